"""Snapshots: arrays and plain values come back with the same bits."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scopeside.state import pack, unpack

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))


@settings(deadline=None, max_examples=200)
@given(ARRAYS)
def test_an_array_comes_back_as_it_was(array):
    found = unpack(pack({"array": array}))["array"]
    assert found.dtype == array.dtype
    assert found.dtype.str == array.dtype.str
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "view",
    [
        np.arange(24).reshape(4, 6)[::2, ::-1],
        np.arange(24).reshape(4, 6).T,
        np.broadcast_to(np.float32(2.5), (3, 3)),
    ],
)
def test_a_view_comes_back_as_what_it_shows(view):
    found = unpack(pack({"view": view}))["view"]
    assert found.tolist() == view.tolist()


def test_plain_values_and_nested_arrays_come_back():
    state = {"a": None, "b": [1, 2.5, "text", b"bytes", True], 3: {"c": [np.eye(2)]}}
    found = unpack(pack(state))
    np.testing.assert_array_equal(found[3].pop("c")[0], np.eye(2))
    assert found == {"a": None, "b": [1, 2.5, "text", b"bytes", True], 3: {}}


def test_numpy_numbers_become_plain_ones():
    found = unpack(pack({"n": np.int64(7), "x": np.float32(0.5), "b": np.bool_(True)}))
    assert found == {"n": 7, "x": 0.5, "b": True}


def test_what_comes_back_is_read_only():
    assert not unpack(pack({"a": np.zeros(3)}))["a"].flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(2, [("x", "<i4"), ("y", "<f8")]),
        np.array([{}, None], dtype=object),
        np.zeros(2, "V4"),
        object(),
        {1, 2},
    ],
)
def test_what_would_not_come_back_is_refused(value):
    with pytest.raises(TypeError, match="cannot pack"):
        pack({"value": value})


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_garbage_raises_value_error_only(data):
    with contextlib.suppress(ValueError):
        assert isinstance(unpack(data), dict)


@settings(deadline=None, max_examples=300)
@given(ARRAYS, st.integers(0, 500), st.integers(0, 255))
def test_one_wrong_byte_raises_value_error_only(array, at, byte):
    data = bytearray(pack({"array": array, "n": 1}))
    data[at % len(data)] = byte
    with contextlib.suppress(ValueError):
        unpack(bytes(data))


def test_an_array_of_objects_is_not_unpacked():
    data = pack({"a": np.zeros(1, "<u8")}).replace(b"<u8", b"|O8")
    with pytest.raises(ValueError, match="cannot hold object"):
        unpack(data)


def test_a_state_is_a_mapping():
    with pytest.raises(ValueError, match="a mapping, not int"):
        unpack(b"\x01")
