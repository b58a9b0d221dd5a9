"""Where a point of a frame lies on the specimen, as far as the microscope says so.

What counts is what the microscope was set to while that very frame was exposed. Where
that is not known, or changed in between, there is no answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback
from scopeside.control.policy import Knows, Seen


def readback_of(seen: Seen, microscope: Knows) -> Readback | None:
    """Return what held during the whole exposure of the frame that was seen last.

    The exposure ends with the time stamp. It lasts `exposure_s` of the calibration,
    else `frame_time_s`; the `exposure_s` that is read back if that is longer, or alone.
    None without any of them.
    """
    known = seen.acquisition.calibration
    said = _positive(known.get("exposure_s")) or _positive(known.get("frame_time_s"))
    held = microscope.during(seen.t_ns - round(1e9 * (said or 0.0)), seen.t_ns)
    read = None if held is None else _positive(held.number("exposure_s"))
    if said is None and read is None:
        return None
    if read is None or read <= (said or 0.0):
        return held
    return microscope.during(seen.t_ns - round(1e9 * read), seen.t_ns)


def pixel_size_m(
    acquisition: Acquisition, readback: Readback | None
) -> tuple[float, float] | None:
    """Return (height, width) of a pixel on the specimen, m; None where nobody says.

    The field of view that is read back is newer than the calibration. It gives the
    width; the height keeps its proportion to it. Whether the calibration still holds
    is not looked at: `Zoom` does.
    """
    said = acquisition.calibration.get("pixel_size_m")
    pair = said if isinstance(said, list | tuple) and len(said) == 2 else (said, said)
    down, right = (_positive(one) for one in pair)
    fov_m = None if readback is None else _positive(readback.number("fov_m"))
    if fov_m is not None:
        width = fov_m / acquisition.frame_shape[1]
        return width * (down / right if down and right else 1.0), width
    return None if down is None or right is None else (down, right)


class Zoom:
    """Notes when the magnification is another than it was in the beginning.

    The calibration of an acquisition then holds no more, and where no field of view is
    read back nobody knows how large a pixel is.
    """

    def __init__(self) -> None:
        self._first: float | None = None

    def begin(self) -> None:
        """Forget what was: an acquisition begins, with a calibration of its own."""
        self._first = None

    def see(self, readback: Readback | None) -> None:
        """Take note of the first magnification that is read back."""
        if self._first is None and readback is not None:
            self._first = readback.number("magnification")

    def unknown(self, readback: Readback) -> bool:
        """Whether nobody knows how large a pixel is."""
        value = readback.number("magnification")
        if value is None or self._first is None or readback.number("fov_m") is not None:
            return False
        return not math.isclose(value, self._first, rel_tol=1e-3)


def view_offset_at(
    acquisition: Acquisition, readback: Readback, point: tuple[float, float]
) -> Mapping[str, float] | None:
    """Return the view offset that brings a point of a frame into the middle.

    Parameters
    ----------
    readback
        Of that very frame.
    point : (y, x), px of the frame; (0, 0) is the centre of the first pixel

    Returns
    -------
    x_m, y_m
        Fields of ``set_view_offset``. None if the microscope does not say where the
        view was, or nobody how large a pixel is.
    """
    pixel = pixel_size_m(acquisition, readback)
    found = {}
    for k, axis in enumerate("yx"):
        there = readback.number(f"view_offset_{axis}_m")
        if there is None or pixel is None:
            return None
        from_middle = point[k] - (acquisition.frame_shape[k] - 1) / 2
        found[f"{axis}_m"] = there + from_middle * pixel[k]
    return {"x_m": found["x_m"], "y_m": found["y_m"]}


def _positive(value: Any) -> float | None:
    """Return a finite number above 0, None for anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and 0 < value < float("inf") else None
