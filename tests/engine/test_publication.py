"""Results on the wire: what goes in comes out, and garbage is a protocol error."""

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scopeside.errors import ProtocolError
from scopeside.publication import digest, from_header, to_header, topic
from scopeside.result import Result

DTYPES = st.sampled_from(["u1", "<i8", ">i4", "<f8", "f4", "?", "<c16"])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))


def journey(result):
    header, payload = to_header(result)
    return from_header(msgpack.unpackb(msgpack.packb(header)), payload)


@settings(deadline=None, max_examples=100)
@given(ARRAYS, st.booleans(), st.integers(0, 2**32))
def test_an_array_and_its_mask_come_back(data, masked, seed):
    mask = np.random.default_rng(seed).random(data.shape) < 0.5 if masked else None
    found = journey(Result("a", data, mask=mask, frame=9, first=2, used=5, expected=8))
    assert found.data.shape == data.shape
    assert found.data.dtype == data.dtype.newbyteorder("<")
    assert found.data.tobytes() == data.astype(found.data.dtype).tobytes()
    assert (found.mask is None) == (mask is None)
    assert mask is None or found.mask.tolist() == mask.tolist()
    assert (found.frame, found.first, found.used, found.expected) == (9, 2, 5, 8)


@pytest.mark.parametrize(
    "data", [None, 3, 2.5, "text", {"x": [1, 2.0], "y": {"z": None}}]
)
def test_plain_values_come_back(data):
    assert journey(Result("a", data, "event")).data == data


def test_numpy_values_become_plain():
    meta = {"k": np.float64(0.5), "a": np.arange(3), "t": (np.int8(1), 2)}
    found = journey(Result("a", {"n": np.int64(3)}, "event", meta=meta))
    assert found.data == {"n": 3}
    assert found.meta == {"k": 0.5, "a": [0, 1, 2], "t": [1, 2]}


def test_what_it_says_of_itself_comes_back():
    found = journey(
        Result("a", np.eye(2), units="rad", axes=("y", "x"), valid=False, reason="no")
    )
    assert (found.units, found.axes, found.valid, found.reason) == (
        "rad",
        ("y", "x"),
        False,
        "no",
    )


HEADER, PAYLOAD = to_header(Result("a", np.arange(6.0).reshape(2, 3)))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [7]},
        {"shape": 7},
        {"shape": ["x"]},
        {"dtype": "nope"},
        {"dtype": "|O8"},
        {"dtype": 5},
        {"frames": [1, 2]},
        {"frames": None},
        {"meta": None},
        {"axes": None},
    ],
)
def test_a_header_that_does_not_fit_is_a_protocol_error(change):
    with pytest.raises(ProtocolError, match="this is no result"):
        from_header({**HEADER, **change}, PAYLOAD)


@pytest.mark.parametrize("lacking", sorted(HEADER.keys() - {"shape", "dtype"}))
def test_a_header_that_lacks_something_is_a_protocol_error(lacking):
    header = {key: value for key, value in HEADER.items() if key != lacking}
    with pytest.raises(ProtocolError, match=lacking):
        from_header(header, PAYLOAD)


@pytest.mark.parametrize("payload", [[], [b""], [b"123"], [bytes(PAYLOAD[0]) + b"x"]])
def test_a_payload_that_does_not_fit_is_a_protocol_error(payload):
    with pytest.raises(ProtocolError):
        from_header(HEADER, payload)


def test_equal_contents_have_equal_digests():
    data = np.arange(6).reshape(2, 3)
    assert digest(Result("a", data)) == digest(Result("b", data.copy(), frame=3))
    assert digest(Result("a", data)) == digest(Result("a", data.astype(">i8")))
    assert digest(Result("a", data.T)) == digest(Result("a", data.T.copy()))


@pytest.mark.parametrize(
    "other",
    [
        np.arange(6).reshape(3, 2),
        np.arange(6, dtype="i4").reshape(2, 3),
        np.arange(1, 7).reshape(2, 3),
    ],
)
def test_other_contents_have_other_digests(other):
    assert digest(Result("a", other)) != digest(Result("a", np.arange(6).reshape(2, 3)))


def test_a_mask_is_part_of_the_digest():
    data = np.arange(3)
    masked = Result("a", data, mask=np.array([True, False, True]))
    assert digest(masked) != digest(Result("a", data))


def test_the_topic_names_acquisition_processor_and_quantity():
    assert topic("a", "virtual", "bf") == b"a/virtual/bf"
