"""Axes of an export with their calibration, in SI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from scopeside.export.frames import RunFrames

FloatArray = npt.NDArray[np.float64]
Unit = Literal["m", "rad", "s", ""]

EVEN = 0.01
"""Intervals that differ by less than this part of their median are called even."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: value = offset + scale · number, SI.

    Attributes
    ----------
    unit
        m, rad or s; empty where the numbers only count.
    values
        (size,) where the values are known one by one and are not even; else None.
    """

    name: str
    size: int
    scale: float = 1.0
    offset: float = 0.0
    unit: Unit = ""
    navigate: bool = False
    values: FloatArray | None = None

    def coordinates(self) -> FloatArray:
        """Return the value of every number, (size,)."""
        if self.values is not None:
            return self.values
        return self.offset + self.scale * np.arange(self.size, dtype=np.float64)


def axes_of(frames: RunFrames) -> list[Axis]:
    """Return the axes of all frames of a run, slowest first.

    What the acquisition does not say counts pixels, and has no unit.
    """
    said = frames.acquisition.calibration
    places = frames.places
    if places.names[-1] == "time":
        navigation = [time_axis(frames.index, frames.times_ns)]
    else:
        navigation = [
            scan_axis(said, name, size)
            for name, size in zip(places.names, places.shape, strict=True)
        ]
    return [*navigation, *detector_axes(said, frames.acquisition.frame_shape)]


def scan_axis(said: Mapping[str, Any], name: str, size: int) -> Axis:
    """Return an axis of a scan; one that is not its rows or columns only counts."""
    step_y, step_x = _pair(said.get("scan_step_m"))
    step_m = {"scan_y": step_y, "scan_x": step_x}.get(name)
    if step_m is None:
        return Axis(name, size, navigate=True)
    return Axis(name, size, step_m, 0.0, "m", navigate=True)


def detector_axes(said: Mapping[str, Any], shape: tuple[int, int]) -> list[Axis]:
    """Return the two axes of a frame; 0 lies at ``centre_px`` where that is known."""
    angles = _pair(said.get("detector_rad_per_px"))
    lengths = _pair(said.get("pixel_size_m"))
    unit: Unit = "rad" if None not in angles else "m" if None not in lengths else ""
    scales = angles if unit == "rad" else lengths
    centre = _pair(said.get("centre_px")) if unit == "rad" else (None, None)
    names = ("y", "x") if unit == "m" else ("detector_y", "detector_x")
    return [
        Axis(name, size, scale, 0.0 - (middle or 0.0) * scale, unit)
        if scale is not None
        else Axis(name, size)
        for name, size, scale, middle in zip(names, shape, scales, centre, strict=True)
    ]


def time_axis(
    index: npt.NDArray[np.int64], times_ns: npt.NDArray[np.int64], name: str = "time"
) -> Axis:
    """Return the axis of the time since the first frame, s.

    Where the intervals are not even (`EVEN`) it has `values`, NaN for absent frames;
    its scale is then the mean interval. Frames that all have one time, or none, are
    only counted.
    """
    size, there = len(index), np.flatnonzero(index >= 0)
    t = times_ns[there]
    if len(there) < 2 or t[-1] <= t[0]:
        return Axis(name, size, navigate=True)
    per_place = np.diff(t) / np.diff(there)
    middle = float(np.median(per_place))
    mean_s = float(t[-1] - t[0]) / float(there[-1] - there[0]) / 1e9
    if middle > 0 and np.all(np.abs(per_place - middle) <= EVEN * middle):
        return Axis(name, size, mean_s, 0.0, "s", navigate=True)
    values = np.full(size, np.nan)
    values[there] = (t - t[0]) / 1e9
    return Axis(name, size, mean_s, 0.0, "s", navigate=True, values=values)


def _pair(value: Any) -> tuple[float | None, float | None]:
    """Return a number for rows and one for columns; None where none is said."""
    numbers = value if isinstance(value, list | tuple) else (value, value)
    if len(numbers) != 2 or not all(_is_number(one) for one in numbers):
        return None, None
    return float(numbers[0]), float(numbers[1])


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )
