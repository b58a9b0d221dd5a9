"""Where a scan lies as a whole, before its lines are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from scopeside_processors.insitu.line_drift import JUMP, TRUST, Template, best_nearby

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_FIRST_SPREAD = 25.0
"""Variance of where a scan is expected before any was seen, px²."""
_LEAST_SPREAD = 1.0
_LEARN = 0.2
"""Weight of a new scan in that variance."""
_STRIPS = 8
"""Parts of a scan that may each lie a pixel beside the others, for a bent scan."""
_NEAR = 2.5
"""Places this near to the best are the same place, px."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan lies.

    Attributes
    ----------
    drift : (2,) float64 px, to the nearest pixel
    lock : probability that it is there and not elsewhere, 0 to 1
    """

    drift: FloatArray
    lock: float


class SteadyMotion:
    """Expects a scan where steady drift would take it; jumps are allowed for."""

    def __init__(self) -> None:
        self.last = np.zeros(2)
        self.rate: FloatArray | None = None
        self._spread, self._steps = _FIRST_SPREAD, 0

    def begin(self, drift: FloatArray) -> None:
        """Forget the rate."""
        self.last, self.rate = drift, None
        self._spread, self._steps = _FIRST_SPREAD, 0

    def expected(self, scans: int) -> tuple[FloatArray, float]:
        """Return where the scan after so many is expected, px, and its variance."""
        ahead = np.zeros(2) if self.rate is None else scans * self.rate
        return self.last + ahead, self._spread * scans

    def learn(self, drift: FloatArray, scans: int) -> None:
        """Take in where it was."""
        expected, _ = self.expected(scans)
        error = float(np.mean((drift - expected) ** 2)) / scans
        if self.rate is not None:
            self._steps += 1
            fresh = max(_LEARN, 1 / (1 + self._steps))
            self._spread += fresh * (min(error, _FIRST_SPREAD) - self._spread)
            self._spread = max(self._spread, _LEAST_SPREAD)
        rate = (drift - self.last) / scans
        self.rate = rate if self.rate is None else (self.rate + rate) / 2
        self.last = drift

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "last": self.last,
            "rate": self.rate,
            "spread": self._spread,
            "steps": self._steps,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.last, self.rate = state["last"], state["rate"]
        self._spread, self._steps = state["spread"], state["steps"]


def whole_scan(
    scan: Float32Array, template: Template, near: FloatArray, variance: float
) -> Place:
    """Return where `scan` lies on the template.

    Parameters
    ----------
    scan : (rows, columns) float32, of the same mean as the template's was
    template : as `line_drift.template_of` gives it
    near, variance : (2,) px and px², where it is expected

    Notes
    -----
    The cross-correlation with the denoised template is the logarithm of a likelihood.
    Shear makes it say more than it knows, and on a crystal prefer the wrong column; so
    what it can say is bounded (`line_drift.TRUST`), and what is expected decides.
    """
    rows, columns = scan.shape
    level = scan - scan.mean(dtype=np.float64)
    level = (level * _taper(rows)[:, None] * _taper(columns)).astype(np.float32)
    power = float(np.mean(level**2, dtype=np.float64))
    noise = max(power - float(template.energy.sum()) / scan.size, 0.1 * power, 1e-12)
    found = np.zeros(scan.shape)
    spectrum = scipy.fft.rfft2(template.images[0], workers=1).conj()
    for strip in np.array_split(np.arange(rows), _STRIPS):
        part = np.zeros_like(level)
        part[strip] = level[strip]
        cross = scipy.fft.rfft2(part, workers=1) * spectrum
        one = scipy.fft.irfft2(cross, s=scan.shape, workers=1).astype(np.float64)
        found += scipy.ndimage.maximum_filter(best_nearby(one), 3, mode="wrap")
    found /= noise
    found /= 1 + max(float(found.max()), 0) / TRUST
    away = [
        _wrapped(np.arange(n) - p, n) for n, p in zip(scan.shape, near, strict=True)
    ]
    square = np.add.outer(away[0] ** 2, away[1] ** 2)
    found -= np.minimum(square / (2 * variance), JUMP)
    row, column = np.divmod(int(found.argmax()), columns)
    weight = np.exp(found - found.max())
    same = [
        np.abs(_wrapped(np.arange(n) - p, n)) <= _NEAR
        for n, p in zip(scan.shape, (row, column), strict=True)
    ]
    lock = float(weight[np.ix_(*same)].sum() / weight.sum())
    place = near + np.array([away[0][row], away[1][column]])
    return Place(place, lock)


def _wrapped(offset: FloatArray, size: int) -> FloatArray:
    """Return offsets brought into -size/2 … size/2, as spectra are periodic."""
    found: FloatArray = (offset + size / 2) % size - size / 2
    return found


def _taper(size: int) -> FloatArray:
    """Return (size,): rising over a sixteenth at both ends, 1 between."""
    edge = max(1.0, size / 16)
    depth = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    found: FloatArray = 0.5 - 0.5 * np.cos(np.pi * np.minimum(depth / edge, 1))
    return found
