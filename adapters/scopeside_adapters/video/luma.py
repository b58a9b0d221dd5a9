"""The luma of a decoded frame, as an array and without conversion.

Grey and Y'CbCr formats hold it as it was encoded: one plane, or every second byte.
Only RGB is converted (to full-range BT.601 luma); grey stored as RGB stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import SourceError

Array = npt.NDArray[Any]

_JPEG_RANGE = 2
_PACKED = {"yuyv422": 0, "yvyu422": 0, "uyvy422": 1}
_HIGH_BITS = ("p010le", "p012le", "p210le", "p212le", "p410le", "p412le")


@dataclass(frozen=True, slots=True)
class Luma:
    """How the frames of a stream are delivered.

    Attributes
    ----------
    shape
        (height, width) of a whole frame.
    bits
        Of a value.
    limited
        Whether values go from 16 to 235 (times 2 to the power of bits - 8).
    """

    format: str
    shape: tuple[int, int]
    bits: int
    limited: bool

    @classmethod
    def of(cls, frame: Any) -> Luma:
        """Look at a decoded frame.

        Raises
        ------
        SourceError
            If it holds no luma that can be taken.
        """
        form = frame.format
        component = form.components[0]
        if form.name.startswith(("bayer", "mono")) or form.has_palette:
            raise SourceError(
                f"its pixels are {form.name!r}, which hold no luma; convert the movie "
                "to grey, or ask the camera for another pixel format"
            )
        if component.bits not in range(8, 17):
            raise SourceError(
                f"its pixels are {form.name!r} of {component.bits} bits; 8 to 16 can "
                "be taken"
            )
        bits = component.bits if not form.is_rgb else (16 if component.bits > 8 else 8)
        grey = form.name.startswith(("gray", "ya"))
        limited = not (
            form.is_rgb
            or grey
            or form.name.startswith("yuvj")
            or int(frame.color_range) == _JPEG_RANGE
        )
        return cls(form.name, (frame.height, frame.width), bits, limited)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 for 8 bits, else uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else "<u2")

    def copy(
        self, frame: Any, crop: tuple[slice, slice], out: Array, full: bool
    ) -> None:
        """Fill `out` with a frame's luma, stretched to the `full` range if asked."""
        np.copyto(out, self._view(frame)[crop])
        if self.format in _HIGH_BITS:
            np.right_shift(out, 16 - self.bits, out=out)
        if full and self.limited:
            scale = 1 << (self.bits - 8)
            stretched = (out.astype(np.float32) - 16 * scale) * (
                ((1 << self.bits) - 1) / (219 * scale)
            )
            np.rint(stretched, out=stretched)
            out[...] = np.clip(stretched, 0, (1 << self.bits) - 1)

    def _view(self, frame: Any) -> Array:
        """Return the luma where the decoder has put it, without copying."""
        if frame.format.is_rgb:
            to = "gray" if self.bits == 8 else "gray16le"
            # One thread: with more, conversions of PyAV 18 now and then spoil a row.
            frame = frame.reformat(format=to, dst_color_range=_JPEG_RANGE, threads=1)
        plane = frame.planes[0]
        order = ">" if frame.format.is_big_endian else "<"
        size = 1 if self.bits == 8 else 2
        rows = np.frombuffer(plane, f"{order}u{size}").reshape(
            -1, plane.line_size // size
        )[: self.shape[0]]
        if self.format in _PACKED:
            return rows[:, _PACKED[self.format] :: 2][:, : self.shape[1]]
        if self.format.startswith("ya"):
            return rows[:, ::2][:, : self.shape[1]]
        return rows[:, : self.shape[1]]
