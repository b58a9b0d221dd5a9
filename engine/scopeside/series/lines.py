"""Which numbers of which results are followed over time, and in which row of plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scopeside.result import Result

TITLES = {
    "drift": "drift",
    "speed": "drift rate",
    "count": "particles",
    "radius": "radius",
    "growth": "growth",
    "births": "nucleation rate",
    "diffusion": "diffusion",
    "rate": "dose rate",
    "dose": "dose",
    "run": "dose of all places",
}
"""Rows in their order, and what stands beside them; channels follow."""


@dataclass(frozen=True, slots=True)
class Line:
    """A number that is followed.

    Attributes
    ----------
    ident
        Unlike that of any other line.
    row
        Key of `TITLES`, or ``channel NAME``.
    holds
        A value stays till another comes, as a number of nuclei does.
    band
        What lies between the lower and the upper value beside each value, in words;
        empty: there are none.
    """

    ident: str
    row: str
    label: str
    unit: str
    holds: bool = False
    band: str = ""


Reading = tuple[Line, float, float, float, float]
"""Line, frame, value, lower and upper end of its band (NaN: unknown)."""
Rows = Mapping[str, np.ndarray]


def readings(result: Result, source: str, nm_per_px: float | None) -> Iterator[Reading]:
    """Yield what a result says of its own frame.

    Parameters
    ----------
    source
        ``chain.processor``.
    nm_per_px
        Size of a pixel on the specimen; None: lengths stay in pixels.
    """
    read = _READERS.get(result.name)
    if read is None or not result.valid:
        return
    holds = result.name == "nuclei"
    for row, label, unit, value, low, high, band in read(result, nm_per_px):
        line = _line(source, row, label, unit, band, holds=holds)
        yield line, result.frame, value, low, high


def histories(
    result: Result, source: str, nm_per_px: float | None
) -> Iterator[tuple[bool, list[Reading]]]:
    """Yield what a result says of earlier frames: whether it replaces, and what."""
    if not result.valid or not isinstance(result.data, np.ndarray):
        return
    columns = columns_of(result)
    if result.name == "trace" and {"frame", "dy", "dx"} <= columns.keys():
        scale, unit = _length(nm_per_px)
        sigma = columns.get("sigma", np.full(len(result.data), np.nan))
        for label in ("dy", "dx"):
            line = _line(source, "drift", label, unit, SIGMA)
            value = columns[label]
            low, high = scale * (value - sigma), scale * (value + sigma)
            yield False, _over(line, columns["frame"], scale * value, low, high)
    if result.name == "ensemble" and "mean_radius_px" in columns:
        scale, unit = _length(nm_per_px)
        line = _line(source, "radius", "mean, with a law", unit)
        yield True, _over(line, columns["frame"], scale * columns["mean_radius_px"])
        line = _line(source, "count", "with a law", "")
        yield True, _over(line, columns["frame"], columns["particles"])
    if result.name == "nucleation_rate" and "rate" in columns:
        middle = (columns["first_frame"] + columns["last_frame"]) / 2
        scale, unit = (1e-12, "1/(µm² s)") if result.units == _SI else (1, result.units)
        line = _line(source, "births", "births", unit, INTERVAL)
        low, value, high = (
            scale * columns[name] for name in ("rate_low", "rate", "rate_high")
        )
        yield True, _over(line, middle, value, low, high)


def _line(
    source: str, row: str, label: str, unit: str, band: str = "", *, holds: bool = False
) -> Line:
    """Return a line; one in another unit is another line."""
    ident = f"{source}.{row}.{label} {unit}".strip()
    return Line(ident, row, label, unit, holds, band)


def _over(
    line: Line, frames: Any, values: Any, low: Any = None, high: Any = None
) -> list[Reading]:
    none = np.full(len(frames), np.nan)
    ends = (none if one is None else one for one in (low, high))
    rows = zip(*(one.tolist() for one in (frames, values, *ends)), strict=True)
    return [(line, *row) for row in rows]


# -- one reader for each name of a result --------------------------------------------

_UNKNOWN = math.nan
SIGMA = "± 1 σ"
QUARTILES = "quartiles"
INTERVAL = "95 %"


class Told(NamedTuple):
    """A number that a result tells, and the ends of its band."""

    row: str
    label: str
    unit: str
    value: float
    low: float = _UNKNOWN
    high: float = _UNKNOWN
    band: str = ""


def _about(row: str, label: str, unit: str, value: float, sigma: float) -> Told:
    """Return a number with its standard deviation on both sides."""
    return Told(row, label, unit, value, value - sigma, value + sigma, SIGMA)


def _half(row: str, label: str, unit: str, values: np.ndarray) -> Told:
    """Return the median of many, and between which ends half of them lie."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Told(row, label, unit, middle, low, high, QUARTILES)


_SI = "1/(m² s)"


def _drift(result: Result, nm_per_px: float | None) -> Iterator[Told]:
    if np.shape(result.data) != (2,):
        return
    scale, unit = _length(nm_per_px)
    covariance = result.meta.get("covariance") or [[_UNKNOWN] * 2] * 2
    for at, label in enumerate(("dy", "dx")):
        variance = covariance[at][at]
        sigma = math.sqrt(variance) if variance >= 0 else _UNKNOWN
        value = float(result.data[at])
        yield _about("drift", label, unit, scale * value, scale * sigma)
    rate = result.meta.get("rate_nm_per_s")
    if rate is not None:
        yield Told("speed", "speed", "nm/s", math.hypot(*rate))
    elif (rate := result.meta.get("rate_px_per_frame")) is not None:
        yield Told("speed", "speed", "px/frame", math.hypot(*rate))


def _dose(result: Result, _nm_per_px: float | None) -> Iterator[Told]:
    row = _row(result)
    for area, unit in (("A2", "e⁻/Å²"), ("px", "e⁻/px")):
        total = row.get(f"cumulative_e_per_{area}", _UNKNOWN)
        if math.isfinite(total):
            sigma = row.get(f"uncertainty_e_per_{area}", _UNKNOWN)
            yield _about("dose", "of the field", unit, total, sigma)
            break
    rate = row.get("rate_e_per_A2_s", _UNKNOWN)
    if math.isfinite(rate):
        sigma = result.meta.get("rate_sigma_e_per_A2_s") or _UNKNOWN
        yield _about("rate", "counted", "e⁻/Å²/s", rate, sigma)
    elif math.isfinite(one := row.get("e_per_px", _UNKNOWN)):
        yield Told("rate", "counted", "e⁻/px per frame", one)


def _particles(result: Result, nm_per_px: float | None) -> Iterator[Told]:
    yield from _crowd(result, nm_per_px, "found", "median found")


def _tracks(result: Result, nm_per_px: float | None) -> Iterator[Told]:
    yield from _crowd(result, nm_per_px, "followed", "median")


def _crowd(
    result: Result, nm_per_px: float | None, how: str, middle: str
) -> Iterator[Told]:
    columns = columns_of(result)
    if "radius_px" not in columns:
        return
    radii = columns["radius_px"]
    yield Told("count", how, "", float(len(radii)))
    known = radii[np.isfinite(radii)]
    if len(known):
        scale, unit = _length(nm_per_px)
        yield _half("radius", middle, unit, scale * known)


def _nuclei(result: Result, _nm_per_px: float | None) -> Iterator[Told]:
    columns = columns_of(result)
    confirmed = result.meta.get("confirmed", len(np.atleast_2d(result.data)))
    yield Told("count", "nuclei so far", "", float(confirmed))
    if "dissolved_frame" in columns:
        gone = int(np.isfinite(columns["dissolved_frame"]).sum())
        yield Told("count", "nuclei, still there", "", float(confirmed - gone))


def _growth(result: Result, _nm_per_px: float | None) -> Iterator[Told]:
    columns = columns_of(result)
    si = columns.get("speed_m_s")
    speeds, unit = (columns.get("speed"), "px/frame") if si is None else (si, "nm/s")
    if speeds is None or not np.isfinite(speeds).any():
        return
    scale = 1.0 if si is None else 1e9
    yield _half("growth", "median", unit, scale * speeds[np.isfinite(speeds)])
    for label, at in (("fastest", np.nanargmax), ("slowest", np.nanargmin)):
        yield _one_of(columns, label, unit, scale * speeds, int(at(speeds)))


def _one_of(columns: Rows, label: str, unit: str, speeds: np.ndarray, at: int) -> Told:
    """Return how fast one particle grows, with the interval of its fit."""
    value = float(speeds[at])
    low = high = _UNKNOWN
    own = columns["speed"][at]  # as the ends are told, px per frame
    if own and "speed_low" in columns:
        both = (columns[name][at] / own * value for name in ("speed_low", "speed_high"))
        low, high = sorted(float(one) for one in both)
    return Told("growth", label, unit, value, low, high, INTERVAL)


def _motion(result: Result, _nm_per_px: float | None) -> Iterator[Told]:
    row = _row(result, -1)
    si = math.isfinite(row.get("d_median_m2_s", _UNKNOWN))
    key, unit, scale = ("d_median_m2_s", "nm²/s", 1e18) if si else _IN_PX
    value = row.get(key, _UNKNOWN)
    if math.isfinite(value):
        names = (key.replace("median", end) for end in ("lower", "upper"))
        low, high = (scale * row.get(name, _UNKNOWN) for name in names)
        yield Told("diffusion", "median", unit, scale * value, low, high, QUARTILES)


_IN_PX = "d_median", "px²/frame", 1.0
_READERS: Mapping[str, Callable[[Result, float | None], Iterator[Told]]] = {
    "drift": _drift,
    "dose": _dose,
    "particles": _particles,
    "tracks": _tracks,
    "nuclei": _nuclei,
    "growth": _growth,
    "ensemble_diffusion": _motion,
}


def _length(nm_per_px: float | None) -> tuple[float, str]:
    return (1.0, "px") if nm_per_px is None else (nm_per_px, "nm")


def columns_of(result: Result) -> Rows:
    """Return a table's columns by name; none if it is no table."""
    names = result.meta.get("columns")
    data = result.data
    if names is None or not isinstance(data, np.ndarray) or data.ndim != 2:
        return {}
    if data.shape[1] != len(names):
        return {}
    return {name: data[:, at] for at, name in enumerate(names)}


def _row(result: Result, at: int = 0) -> Mapping[str, float]:
    columns = columns_of(result)
    full = columns and len(result.data)
    return {name: float(one[at]) for name, one in columns.items()} if full else {}
