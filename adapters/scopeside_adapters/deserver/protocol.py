"""What a movie buffer of DE-Server holds: bytes in, numbered frames out. No I/O.

::

    header      int64 numbers of the frames, little endian, from `numbers_at`; padded
    frames      height × width pixels each, row by row, little endian

DE-Server tells the size of the header, the type of a pixel, and how many frames a
buffer has. Width and height are those of its properties: the simulated server of deapi
gives them in another order than the camera's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ProtocolError

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("u1"),
    5: np.dtype("<u2"),
    7: np.dtype("<i2"),
    13: np.dtype("<f4"),
}
"""Types of a pixel by the number that DE-Server gives them."""
LARGEST_BUFFER = 1 << 31
"""Bytes."""


@dataclass(frozen=True, slots=True)
class MovieLayout:
    """How the buffers of one acquisition are laid out.

    Attributes
    ----------
    header
        Bytes before the first frame.
    numbers_at
        Where in the header the numbers of the frames begin, bytes.
    shape
        (height, width) of a frame, pixels.
    """

    header: int
    numbers_at: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def frame_bytes(self) -> int:
        """Size of a frame."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class FramesReceived:
    """The frames of one buffer, still where they were received.

    Attributes
    ----------
    index
        (n,) int64.
    pixels
        (n, height, width).
    """

    index: npt.NDArray[np.int64]
    pixels: npt.NDArray[Any]


def layout_of(
    header: int, numbers_at: int, data_type: int, shape: tuple[int, int]
) -> MovieLayout:
    """Return the layout that DE-Server describes.

    Raises
    ------
    ProtocolError
        If it cannot be.
    """
    if data_type not in DTYPES:
        raise ProtocolError(
            f"pixels of type {data_type} are not known; known are {sorted(DTYPES)}",
            cause="wrong_dtype",
        )
    if min(shape) < 1 or shape[0] * shape[1] > LARGEST_BUFFER:
        raise ProtocolError(
            f"a frame of {shape[0]}×{shape[1]} pixels cannot be", cause="wrong_shape"
        )
    if not 0 <= numbers_at < header <= LARGEST_BUFFER:
        raise ProtocolError(
            f"a header of {header} bytes with numbers from byte {numbers_at} cannot be",
            cause="wrong_header",
        )
    return MovieLayout(header, numbers_at, shape, DTYPES[data_type])


def frames_of(buffer: bytes, n: int, layout: MovieLayout) -> FramesReceived:
    """Return the `n` frames of a buffer.

    Raises
    ------
    ProtocolError
        If the buffer has another size, or no room for so many numbers.
    """
    expected = layout.header + n * layout.frame_bytes
    if n < 1 or len(buffer) != expected:
        raise ProtocolError(
            f"a movie buffer of {n} frames has {expected} bytes, not {len(buffer)}",
            cause="wrong_size",
        )
    if layout.numbers_at + 8 * n > layout.header:
        raise ProtocolError(
            f"a header of {layout.header} bytes has no room for {n} numbers",
            cause="wrong_header",
        )
    index = np.frombuffer(buffer, "<i8", n, layout.numbers_at)
    pixels = np.frombuffer(buffer, layout.dtype, offset=layout.header)
    return FramesReceived(index, pixels.reshape(n, *layout.shape))
