"""Follows a specimen from scan to scan, line by line.

The first scan is the reference, and is itself sheared by the drift while it was
scanned, as every scan alone is. How fast the specimen drifted then is told by where
the next scan finds it: that rate is added to what lines show against the reference.
Where drift was steady over the first two scans, paths are thus true ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.line_drift import (
    LineDrift,
    Template,
    line_drift,
    template_of,
)
from scopeside_processors.kernels.lines import lines_to_specimen
from scopeside_processors.kernels.shift import to_frame

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Drift = tuple[float, float]

LEAST_GAIN = 20.0
"""Nats by which lines must be likelier with the reference than without."""
_FIRST_WALK = 0.0025
"""Variance of a step from line to line before any was seen, px²."""
_HOLE = 2.0
"""Rows between two lines from where on nothing was scanned there."""


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """Where the lines of a scan were.

    Attributes
    ----------
    drift : (rows, 2) float64 px, since the reference was begun
    found : what the comparison with the reference gave
    """

    drift: FloatArray
    found: LineDrift

    @property
    def confidence(self) -> FloatArray:
        """Probability that a line is known to less than 1 px, (rows,), 0 to 1."""
        if self.found.gain < LEAST_GAIN:
            return np.zeros(len(self.drift))
        variance = np.linalg.eigvalsh(self.found.covariance)[:, 1]
        sure: FloatArray = 1 - np.exp(-0.5 / np.maximum(variance, 1e-9))
        return sure


class ScanFollower:
    """The reference, and what was learnt of how the specimen moves.

    Parameters
    ----------
    shape : (rows, columns) of a scan
    memory : scans that the reference stands on at most
    lines : from the begin of one scan to that of the next, in times of a line
    reach : how far lines are searched from where they are expected, px
    """

    def __init__(
        self, shape: tuple[int, int], memory: int, lines: float, reach: int
    ) -> None:
        self._memory, self._lines, self._reach = memory, lines, reach
        self._middle = np.arange(shape[0]) - (shape[0] - 1) / 2
        self._mean = np.zeros(shape, np.float32)
        self._seen = np.zeros(shape, np.uint16)
        self._origin = (0, 0)
        self._rate: FloatArray | None = None
        self._first_rate: FloatArray | None = None
        self._last = np.zeros(2)
        self._noise: float | None = None
        self._walk = _FIRST_WALK

    def begin(self, scan: Float32Array, drift: Drift) -> None:
        """Make `scan`, at `drift` px, the reference."""
        self._origin = round(drift[0]), round(drift[1])
        rest = np.array(drift) - self._origin
        self._mean[:] = 0
        self._seen[:] = 0
        self._rate = self._first_rate = self._noise = None
        self._last = np.array(drift, float)
        self._take(scan, np.tile(rest, (len(scan), 1)))

    def follow(
        self, scan: Float32Array, drift: Drift, missing: int, *, jumped: bool
    ) -> Scanned:
        """Return where the lines of `scan` were, and take it into the reference.

        Parameters
        ----------
        scan : (rows, columns) float32
        drift : (dy, dx) px, of the scan as a whole
        missing : scans between the one before and this one that were not seen
        jumped : whether the specimen made a jump since
        """
        self._learn_rate(np.array(drift), missing, jumped=jumped)
        self._follow(drift)
        level = float(self._mean[self._seen > 0].mean(dtype=np.float64))
        scan = scan * np.float32(level / scan.mean(dtype=np.float64))
        expected = np.array(drift) - self._origin + np.outer(self._middle, self._bend())
        found = line_drift(scan, self._template(), expected, self._walk, self._reach)
        path = found.drift
        if found.gain >= LEAST_GAIN:
            self._walk = found.walk
            self._noise = found.noise
            self._take(scan, path)
            self._last = path.mean(axis=0) + self._origin
        sheared = np.outer(self._middle - path[:, 0], self._own_rate())
        return Scanned(path + self._origin + sheared, found)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "mean": self._mean,
            "seen": self._seen,
            "origin": list(self._origin),
            "rate": self._rate,
            "first": self._first_rate,
            "last": self._last,
            "noise": self._noise,
            "walk": self._walk,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._mean, self._seen = np.array(state["mean"]), np.array(state["seen"])
        self._origin = state["origin"][0], state["origin"][1]
        self._rate, self._first_rate = state["rate"], state["first"]
        self._last, self._noise = np.array(state["last"]), state["noise"]
        self._walk = state["walk"]

    def _learn_rate(self, drift: FloatArray, missing: int, *, jumped: bool) -> None:
        """Keep the rate of drift, px per line, as scans tell it."""
        if jumped:
            return
        rate = (drift - self._last) / (self._lines * (1 + missing))
        self._rate = rate if self._rate is None else (self._rate + rate) / 2
        if self._first_rate is None:
            self._first_rate = self._rate

    def _own_rate(self) -> FloatArray:
        """Return the rate at which the reference itself is sheared."""
        return np.zeros(2) if self._first_rate is None else self._first_rate

    def _bend(self) -> FloatArray:
        """Return the rate that lines are expected to show against the reference."""
        rate = self._own_rate() if self._rate is None else self._rate
        found: FloatArray = rate - self._own_rate()
        return found

    def _template(self) -> Template:
        mean = self._mean
        unknown = self._seen == 0
        if unknown.any():
            level = mean[~unknown].mean(dtype=np.float64)
            mean = np.where(unknown, np.float32(level), mean)
        if self._noise is None:
            return template_of(mean)
        frames = float(np.median(np.minimum(self._seen, self._memory)))
        return template_of(mean, self._noise / max(frames, 1))

    def _take(self, scan: Float32Array, path: FloatArray) -> None:
        image = straightened(scan, path)
        known = np.isfinite(image)
        self._seen += known & (self._seen < np.iinfo(np.uint16).max)
        gain = 1 / np.clip(self._seen, 1, self._memory).astype(np.float32)
        self._mean += np.where(known, gain * (image - self._mean), np.float32(0))

    def _follow(self, drift: Drift) -> None:
        """Move the reference if the field has left it by an eighth."""
        away = drift[0] - self._origin[0], drift[1] - self._origin[1]
        rows, columns = self._mean.shape
        if abs(away[0]) <= rows / 8 and abs(away[1]) <= columns / 8:
            return
        step = round(away[0]), round(away[1])
        mean, seen = np.empty_like(self._mean), np.empty_like(self._seen)
        to_frame(self._mean, step, mean, "integer", 0)
        to_frame(self._seen, step, seen, "integer", 0)
        self._mean, self._seen = mean, seen
        self._origin = self._origin[0] + step[0], self._origin[1] + step[1]


def straightened(scan: Float32Array, drift: FloatArray) -> Float32Array:
    """Return a scan as it would be without drift, NaN where nothing was scanned.

    Parameters
    ----------
    scan : (rows, columns) float32
    drift : (rows, 2) px, of each line

    Returns
    -------
    (rows, columns) float32
        Straight lines between the two scan lines on either side, and along them. What
        was scanned twice, as after a jump back, is taken from the later lines.
    """
    rows = len(scan)
    lines = np.arange(rows)
    place = lines - drift[:, 0]
    # Of lines that come again, only those stay that none after them lies above.
    later = np.minimum.accumulate(place[::-1])[::-1]
    kept = place <= later
    source = np.interp(lines, place[kept], lines[kept], left=-1, right=-1)
    hole = np.diff(place[kept]) > _HOLE
    which = np.clip(np.searchsorted(place[kept], lines) - 1, 0, max(len(hole) - 1, 0))
    if hole.any():
        inside = hole[which] & (place[kept][which] < lines)
        source[inside & (lines < place[kept][which + 1])] = -1
    out = np.empty_like(scan)
    lines_to_specimen(scan, source, np.ascontiguousarray(drift[:, 1]), out)
    return out
