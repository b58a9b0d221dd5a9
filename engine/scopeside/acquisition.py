"""What one run of a detector is: its frames, its scan, its calibration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from scopeside.dtypes import dtype_of
from scopeside.errors import ShapeError
from scopeside.scan import Scan

Kind = Literal["scan4d", "movie", "spectrum_image", "tilt_series"]
Encoding = Literal["frames", "events", "packed"]

_PACKED = ("u1", "u2", "u4", "i1", "i2", "i4")
_ID = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""Windows opens a device by such a name, whatever the folder and the suffix."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of a detector. What is not known is absent, never invented.

    Attributes
    ----------
    id
        Unique name, that of a folder on any system: letters, digits, ``.``, ``_`` and
        ``-``, at most 64; no ``.`` at either end, and no device of Windows (``nul``).
    kind
        ``scan4d``, ``movie``, ``spectrum_image`` or ``tilt_series``.
    frame_shape
        (height, width) in pixels.
    dtype
        Of a pixel, little endian or single byte.
    encoding
        How the frames come: ``frames``, pixel by pixel; ``events``, where each
        frame is what a probe position has counted (`scopeside.events.EventBatch`),
        shape and dtype being those of frames made of the events; or ``packed``, as
        bitshuffle and LZ4 have made them small (`scopeside.packed.PackedBatch`).
    frames
        How many frames are expected; None when nobody has said.
    scan
        The path of the beam; None when there is none.
    calibration
        SI values by name with the unit in it: ``beam_energy_eV``,
        ``semi_angle_rad``, ``scan_step_m``, ``detector_rad_per_px``,
        ``pixel_size_m``, ``frame_time_s``, ``centre_px`` …
    detector
        Who delivered it, in words.
    started_ns
        Start, nanoseconds since 1970 UTC; None when unknown.
    metadata
        Anything else, as plain values.
    """

    id: str
    frame_shape: tuple[int, int]
    dtype: np.dtype[Any]
    kind: Kind = "movie"
    frames: int | None = None
    scan: Scan | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    detector: str = ""
    started_ns: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    encoding: Encoding = "frames"

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ShapeError(
                f"an acquisition id has 1 to 64 letters, digits, '.', '_' or '-' "
                f"and begins with a letter or digit, not {self.id!r:.80}; nor does it "
                "end with '.'"
            )
        if _DEVICE.fullmatch(self.id):
            raise ShapeError(
                f"an acquisition cannot be called {self.id!r}: its folder could not "
                "be copied to Windows, where that is a device"
            )
        if self.kind not in get_args(Kind):
            raise ShapeError(f"kind is one of {get_args(Kind)}, not {self.kind!r}")
        if len(self.frame_shape) != 2 or min(self.frame_shape) < 1:
            raise ShapeError(f"a frame has (height, width) ≥ 1, not {self.frame_shape}")
        object.__setattr__(self, "dtype", check_dtype(self.dtype))
        if self.frames is not None and self.frames < 0:
            raise ShapeError(f"expected frames cannot be negative: {self.frames}")
        if self.encoding not in get_args(Encoding):
            raise ShapeError(
                f"frames come as frames, events or packed, not {self.encoding!r}"
            )
        if self.encoding == "events":
            _check_events(self.frame_shape, self.dtype)
        if self.encoding == "packed" and self.dtype.str[1:] not in _PACKED:
            raise ShapeError(
                f"packed frames have integers of 1, 2 or 4 bytes, not {self.dtype}"
            )

    @property
    def frame_bytes(self) -> int:
        """Size of one frame in memory, bytes."""
        return self.frame_shape[0] * self.frame_shape[1] * self.dtype.itemsize

    @property
    def scan_shape(self) -> tuple[int, int] | None:
        """(rows, columns) of probe positions, None without a scan."""
        return None if self.scan is None else self.scan.shape

    def with_frames(self, frames: int | None) -> Self:
        """Return the same acquisition with another number of expected frames."""
        return replace(self, frames=frames)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they travel on the wire and stand in reports."""
        out: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "shape": list(self.frame_shape),
            "dtype": self.dtype.str,
            "calibration": dict(self.calibration),
            "detector": self.detector,
            "metadata": dict(self.metadata),
        }
        if self.frames is not None:
            out["frames"] = self.frames
        if self.encoding != "frames":
            out["encoding"] = self.encoding
        if self.started_ns is not None:
            out["started_ns"] = self.started_ns
        if self.scan is not None:
            out["scan"] = self.scan.to_dict()
        return out

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build an acquisition from what `to_dict` gave.

        Raises
        ------
        ShapeError
            If a value is missing or impossible; the message names it.
        """
        try:
            scan = values.get("scan")
            return cls(
                id=str(values["id"]),
                kind=values.get("kind", "movie"),
                frame_shape=_pair(values["shape"], "shape"),
                dtype=dtype_of(values["dtype"]),
                frames=_count(values.get("frames"), "frames"),
                scan=None if scan is None else Scan.from_dict(scan),
                calibration=_mapping(values.get("calibration"), "calibration"),
                detector=str(values.get("detector", "")),
                started_ns=_count(values.get("started_ns"), "started_ns"),
                metadata=_mapping(values.get("metadata"), "metadata"),
                encoding=values.get("encoding", "frames"),
            )
        except KeyError as error:
            raise ShapeError(f"an acquisition needs {error.args[0]!r}") from error
        except ShapeError:
            raise
        except (TypeError, AttributeError, ValueError) as error:
            raise ShapeError(f"an acquisition cannot be {values!r:.200}") from error
        except RecursionError as error:  # in the text of an error: it cannot be shown
            raise ShapeError("an acquisition cannot be nested so deep") from error


def check_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return a pixel dtype in little endian.

    Raises
    ------
    ShapeError
        If it is not a plain integer of 1 to 8 bytes or a float of 2, 4 or 8.
    """
    found = np.dtype(dtype)
    if found.kind not in "uif" or found.itemsize not in (1, 2, 4, 8):
        raise ShapeError(f"pixels are integers or floats of 1 to 8 bytes, not {found}")
    return found.newbyteorder("<")


def _check_events(shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    """Refuse frames that events cannot make: an address has 24 bits."""
    if shape[0] * shape[1] > 1 << 24:
        raise ShapeError(f"frames of events have {1 << 24} pixels at most, not {shape}")
    if dtype.kind == "f":
        raise ShapeError(f"events are counted in whole numbers, not in {dtype}")


def _pair(value: Any, name: str) -> tuple[int, int]:
    numbers = tuple(value)
    if len(numbers) != 2 or not all(type(n) is int for n in numbers):
        raise ShapeError(f"{name} is two whole numbers, not {value!r:.80}")
    return numbers


def _count(value: Any, name: str) -> int | None:
    if value is not None and type(value) is not int:
        raise ShapeError(f"{name} is a whole number, not {value!r:.80}")
    return value


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ShapeError(f"{name} is a table of names and values, not {value!r:.80}")
    return value
