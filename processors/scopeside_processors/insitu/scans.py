"""Follows a specimen from scan to scan, line by line.

The first scan is the reference, and is itself sheared by the drift while it was
scanned, as every scan alone is. How fast the specimen drifted then is told by where
the next scan finds it: that rate is added to what lines show against the reference.
Bends that all scans show against it are its own, as bends of different scans have
nothing to do with each other; their mean is taken off, the better the more scans. The
same is done by Sang and LeBeau (Ultramicroscopy 138, 28, 2014,
doi:10.1016/j.ultramic.2013.12.004) and by Ophus, Ciston and Nelson (Ultramicroscopy
162, 1, 2016, doi:10.1016/j.ultramic.2015.12.002) with scans in several directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.line_drift import (
    LineDrift,
    Template,
    line_drift,
    template_of,
)
from scopeside_processors.insitu.whole_scan import Place, SteadyMotion, whole_scan
from scopeside_processors.kernels.lines import lines_to_specimen
from scopeside_processors.kernels.shift import to_frame

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

LEAST_GAIN = 20.0
"""Nats by which lines must be likelier with the reference than without."""
_FIRST_WALK = 0.0025
"""Variance of a step from line to line before any was seen, px²."""
_LOST = 0.5
"""A lock below this is none."""
_STEADY = 1.0
"""Steps from scan to scan that differ by less than this, and half of themselves, are
of one drift, px."""
_ODD = 4.0
"""A bend of more than so many times the usual mean square is an odd one."""
_HOLE = 2.0
"""Rows between two lines from where on nothing was scanned there."""


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """Where the lines of a scan were.

    Attributes
    ----------
    drift : (rows, 2) float64 px, in the coordinates that the reference was begun in
    covariance : (rows, 2, 2) float64 px², with what the reference's own bend is
        unknown by
    found : what the comparison with the reference gave
    lock : probability that the scan is where it says and not elsewhere
    """

    drift: FloatArray
    covariance: FloatArray
    found: LineDrift
    lock: float

    @property
    def locked(self) -> bool:
        """Whether the content was found."""
        return self.lock >= _LOST and self.found.gain >= LEAST_GAIN

    @property
    def confidence(self) -> FloatArray:
        """Probability that a line is known to less than 1 px, (rows,), 0 to 1."""
        if not self.locked:
            return np.zeros(len(self.drift))
        variance = np.linalg.eigvalsh(self.covariance)[:, 1]
        sure: FloatArray = self.lock * (1 - np.exp(-0.5 / np.maximum(variance, 1e-9)))
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
        self._motion = SteadyMotion()
        self._rates: list[FloatArray] = []
        self._bends = np.zeros((shape[0], 2))
        self._weight = self._power = 0.0
        self._noise: float | None = None
        self._walk = _FIRST_WALK

    def begin(self, scan: Float32Array, drift: FloatArray) -> None:
        """Make `scan`, at ``drift (2,)`` px, the reference."""
        self._origin = round(float(drift[0])), round(float(drift[1]))
        self._mean[:] = 0
        self._seen[:] = 0
        self._rates, self._noise = [], None
        self._bends[:] = 0
        self._weight = self._power = 0.0
        self._motion.begin(drift)
        self._take(_levelled(scan), np.tile(drift - self._origin, (len(scan), 1)))

    def follow(self, scan: Float32Array, missing: int) -> Scanned:
        """Return where the lines of `scan` were, and take it into the reference.

        Parameters
        ----------
        scan : (rows, columns) float32, above zero on average
        missing : scans between the one before and this one that were not seen
        """
        scans = 1 + missing
        near, variance = self._motion.expected(scans)
        self._follow(near)
        template = self._template()
        scan = _levelled(scan)
        place = whole_scan(scan, template, near - self._origin, variance)
        expected = place.drift + np.outer(self._middle, self._bend(place, scans))
        found = line_drift(scan, template, expected, self._walk, self._reach)
        path = found.drift
        scanned = Scanned(path + self._origin, found.covariance, found, place.lock)
        if scanned.locked:
            self._walk, self._noise = found.walk, found.noise
            self._take(scan, path)
            self._learn(path, scans)
        return replace(
            scanned,
            drift=scanned.drift + self._own_drift(path),
            covariance=found.covariance + self._unknown() * np.eye(2),
        )

    @property
    def last(self) -> FloatArray:
        """Where the last scan that was found lay, (2,) px."""
        return self._motion.last

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "mean": self._mean,
            "seen": self._seen,
            "origin": list(self._origin),
            "motion": self._motion.state(),
            "rates": self._rates,
            "bends": self._bends,
            "weight": self._weight,
            "power": self._power,
            "noise": self._noise,
            "walk": self._walk,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._mean, self._seen = np.array(state["mean"]), np.array(state["seen"])
        self._origin = state["origin"][0], state["origin"][1]
        self._motion.take_over(state["motion"])
        self._rates, self._noise = list(state["rates"]), state["noise"]
        self._bends = np.array(state["bends"])
        self._weight, self._power = state["weight"], state["power"]
        self._walk = state["walk"]

    def _learn(self, path: FloatArray, scans: int) -> None:
        """Take in where a scan was; the first two steps tell how the reference was."""
        drift = path.mean(axis=0) + self._origin
        if len(self._rates) < 2:
            self._rates.append((drift - self._motion.last) / scans)
        self._motion.learn(drift, scans)
        line = self._middle / float(self._middle @ self._middle)
        bend = path - path.mean(axis=0) - np.outer(self._middle, line @ path)
        # The reference's own bend is what all others show the opposite of. One that
        # bends far more than they do, as by a jump, weighs accordingly less.
        power = float(np.mean(bend**2))
        usual = self._power / self._weight if self._weight else power
        weight = min(1.0, _ODD * usual / max(power, 1e-12))
        self._weight += weight
        self._power += weight * power
        self._bends += weight * bend

    def _own_drift(self, path: FloatArray) -> FloatArray:
        """Return how the reference itself had drifted where lines at `path` fell."""
        rows = np.arange(len(path))
        at = rows - path[:, 0]
        bends = self._bends / (1 + self._weight)
        bend = [np.interp(at, rows, bends[:, k]) for k in (0, 1)]
        sheared = np.outer(at - (len(path) - 1) / 2, self._own_rate())
        found: FloatArray = sheared - np.stack(bend, axis=1)
        return found

    def _unknown(self) -> float:
        """Return the variance that is left of the reference's own bend, px².

        A bend seen against it is that of two scans, and as many as were seen tell it.
        """
        if not self._weight:
            return 0.0
        return self._power / self._weight / 2 / (1 + self._weight)

    def _own_rate(self) -> FloatArray:
        """Return the rate at which the reference itself is sheared, px per line.

        That of the first step; where the second is another, the first was a jump.
        """
        if not self._rates:
            return np.zeros(2)
        first, second = self._rates[0], self._rates[-1]
        apart = float(np.hypot(*(first - second)))
        steady = apart <= _STEADY + float(np.hypot(*second)) / 2
        return (first if steady else second) / self._lines

    def _bend(self, place: Place, scans: int) -> FloatArray:
        """Return the rate that lines are expected to show against the reference."""
        if not self._rates:
            return np.zeros(2)
        step = (place.drift + self._origin - self._motion.last) / scans
        usual = self._motion.rate
        assert usual is not None
        if float(np.hypot(*(step - usual))) > _STEADY + float(np.hypot(*usual)) / 2:
            step = usual
        found: FloatArray = (step + usual) / 2 / self._lines - self._own_rate()
        return found

    def _template(self) -> Template:
        seen = self._seen > 0
        if self._noise is None:
            return template_of(self._mean, seen=seen)
        frames = float(np.median(np.minimum(self._seen, self._memory)))
        return template_of(self._mean, self._noise / max(frames, 1), seen)

    def _take(self, scan: Float32Array, path: FloatArray) -> None:
        image = straightened(scan, path)
        known = np.isfinite(image)
        self._seen += known & (self._seen < np.iinfo(np.uint16).max)
        gain = 1 / np.clip(self._seen, 1, self._memory).astype(np.float32)
        self._mean += np.where(known, gain * (image - self._mean), np.float32(0))

    def _follow(self, drift: FloatArray) -> None:
        """Move the reference if the field has left it by an eighth."""
        rows, columns = self._mean.shape
        # Half of it stays in view, wherever drift may have led in a long pause.
        half, last = np.array(self._mean.shape) / 2, self._motion.last
        away = np.clip(drift, last - half, last + half) - self._origin
        if abs(away[0]) <= rows / 8 and abs(away[1]) <= columns / 8:
            return
        step = round(float(away[0])), round(float(away[1]))
        mean, seen = np.empty_like(self._mean), np.empty_like(self._seen)
        to_frame(self._mean, step, mean, "integer", 0)
        to_frame(self._seen, step, seen, "integer", 0)
        self._mean, self._seen = mean, seen
        self._origin = self._origin[0] + step[0], self._origin[1] + step[1]


def _levelled(scan: Float32Array) -> Float32Array:
    """Return a scan with the mean 1, whatever its units and the current of the gun."""
    mean = float(scan.mean(dtype=np.float64))
    return scan / np.float32(mean) if mean > 0 else scan


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
