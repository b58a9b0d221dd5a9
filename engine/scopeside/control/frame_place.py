"""Where a point of a frame lies on the specimen, as far as the microscope says so.

What counts is what the microscope was set to while that very frame was exposed. Where
that is not known, or changed in between, there is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback
from scopeside.control.policy import Knows, Seen


def readback_of(seen: Seen, microscope: Knows) -> Readback | None:
    """Return what held during the whole exposure of the frame that was seen last.

    The exposure ends with the time stamp and lasts `frame_time_s` of the calibration;
    where that is not there, the `exposure_s` that is read back; None without either.
    """
    at_end = microscope.during(seen.t_ns, seen.t_ns)
    time_s = _positive(seen.acquisition.calibration.get("frame_time_s"))
    if time_s is None and at_end is not None:
        time_s = _positive(at_end.number("exposure_s"))
    if time_s is None:
        return None
    return microscope.during(seen.t_ns - round(time_s * 1e9), seen.t_ns)


def pixel_size_m(
    acquisition: Acquisition, readback: Readback | None
) -> tuple[float, float] | None:
    """Return (height, width) of a pixel on the specimen, m; None where nobody says.

    The field of view that is read back is newer than the calibration. It gives the
    width; the height keeps its proportion to it.
    """
    said = acquisition.calibration.get("pixel_size_m")
    pair = said if isinstance(said, list | tuple) and len(said) == 2 else (said, said)
    down, right = (_positive(one) for one in pair)
    fov_m = None if readback is None else _positive(readback.number("fov_m"))
    if fov_m is not None:
        width = fov_m / acquisition.frame_shape[1]
        return width * (down / right if down and right else 1.0), width
    return None if down is None or right is None else (down, right)


def view_offset_at(
    seen: Seen, microscope: Knows, point: tuple[float, float]
) -> Mapping[str, float] | None:
    """Return the view offset that brings a point of the frame into the middle.

    Parameters
    ----------
    point : (y, x), px of the frame; (0, 0) is the centre of the first pixel

    Returns
    -------
    x_m, y_m
        Fields of ``set_view_offset``. None if the microscope did not say where that
        frame was taken, or was on the way.
    """
    readback = readback_of(seen, microscope)
    if readback is None:
        return None
    pixel = pixel_size_m(seen.acquisition, readback)
    there = [readback.number(f"view_offset_{axis}_m") for axis in "yx"]
    if pixel is None or None in there:
        return None
    found = {}
    for k, axis in enumerate("yx"):
        from_middle = point[k] - (seen.acquisition.frame_shape[k] - 1) / 2
        found[f"{axis}_m"] = (there[k] or 0.0) + from_middle * pixel[k]
    return {"x_m": found["x_m"], "y_m": found["y_m"]}


def _positive(value: Any) -> float | None:
    """Return a finite number above 0, None for anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and 0 < value < float("inf") else None
