"""What a movie buffer of DE-Server may hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.errors import ProtocolError
from scopeside_adapters.deserver.protocol import DTYPES, frames_of, layout_of

FRAMES = np.random.default_rng(2024).poisson(9, (3, 4, 6)).astype("<u2")
LAYOUT = layout_of(1024, 0, 5, (4, 6))


def buffer(frames=FRAMES, first=7, header=1024, numbers_at=0):
    numbers = np.arange(first, first + len(frames), dtype="<i8").tobytes()
    return (bytes(numbers_at) + numbers).ljust(header, b"\0") + frames.tobytes()


def test_frames_have_their_numbers():
    found = frames_of(buffer(), 3, LAYOUT)
    assert found.index.tolist() == [7, 8, 9]
    np.testing.assert_array_equal(found.pixels, FRAMES)


def test_numbers_may_begin_later_in_the_header():
    layout = layout_of(128, 64, 5, (4, 6))
    found = frames_of(buffer(header=128, numbers_at=64), 3, layout)
    assert found.index.tolist() == [7, 8, 9]


@pytest.mark.parametrize("data_type", DTYPES)
def test_every_type_of_pixel(data_type):
    frames = FRAMES.astype(DTYPES[data_type])
    layout = layout_of(1024, 0, data_type, (4, 6))
    np.testing.assert_array_equal(frames_of(buffer(frames), 3, layout).pixels, frames)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ((1024, 0, -1, (4, 6)), "wrong_dtype"),
        ((1024, 0, 5, (0, 6)), "wrong_shape"),
        ((1024, 0, 5, (1 << 20, 1 << 20)), "wrong_shape"),
        ((0, 0, 5, (4, 6)), "wrong_header"),
        ((1024, 1024, 5, (4, 6)), "wrong_header"),
        ((1024, -1, 5, (4, 6)), "wrong_header"),
        ((1 << 40, 0, 5, (4, 6)), "wrong_header"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(said, cause):
    with pytest.raises(ProtocolError) as refused:
        layout_of(*said)
    assert refused.value.cause == cause


@pytest.mark.parametrize(
    ("data", "n", "cause"),
    [
        (buffer(), 2, "wrong_size"),
        (buffer()[:-1], 3, "wrong_size"),
        (buffer() + b"\0", 3, "wrong_size"),
        (b"", 0, "wrong_size"),
        (bytes(1024), 0, "wrong_size"),
        (bytes(1024 + 129 * 48), 129, "wrong_header"),
    ],
)
def test_a_buffer_that_contradicts_itself_is_refused(data, n, cause):
    with pytest.raises(ProtocolError) as refused:
        frames_of(data, n, LAYOUT)
    assert refused.value.cause == cause


@given(st.binary(max_size=2000), st.integers(-(1 << 31), 1 << 31))
def test_garbage_is_refused_or_has_the_right_size(data, n):
    try:
        found = frames_of(data, n, LAYOUT)
    except ProtocolError:
        return
    assert found.pixels.shape == (n, 4, 6)
