"""The running picture of the specimen that frames are compared with.

The template is the mean of the frames, each shifted onto it. How far it may be trusted
differs from place to place: where frames surprise it more than their noise explains,
something moves, grows or dissolves; there it counts for less, and is renewed faster.
What stays where it is on the detector (gain, stains) is learnt beside it, and taken off
the frames as far as it stands out from noise; else it would hold the content back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside_processors.insitu.band import Band
from scopeside_processors.kernels import correlate

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

import os
def E_(n,d): return float(os.environ.get(n,d))
_MEMORY = E_('MEM',100)
"""Frames that the template stands on at most."""
_LASTING = E_('LAST',300)
"""Frames that the pattern of the detector stands on at most."""
_SETTLED = 4.0
"""Frames after which a template is half trusted."""
_FRESH = 0.05
"""Weight of a new frame in the power of the noise."""
_BLOCK = int(E_('BLOCK',4))
"""Side of a block, pixels of the template."""
_RECENT = E_('RECENT',0.1)
"""Weight of a new frame in what surprises."""
_SLACK = E_('SLACK',1.3)
"""So many times the noise is no surprise yet."""
_FASTEST = E_('FAST',0.3)
"""Largest share of a frame in the template once it stands on some."""
PZ=E_('PZ',1)
PAT=E_('PAT',1)
SM=E_('SM',.7)
SS=E_('SS',1.05)
TR=E_('TR',1)
ZS=E_('ZS',.48)
KZ=E_('KZ',1)


FL=E_('FL',0.9)

class Template:
    """What frames are compared with, and how well it is known."""

    def __init__(self, band: Band) -> None:
        self._band = band
        self.frames = 0
        self._picture = np.zeros(band.grid, np.float32)
        self._filter = np.zeros(band.shape, np.complex64)
        self._pattern = np.zeros(band.shape, np.complex64)
        self._before = np.zeros(band.shape, np.complex64)
        self._noise = np.zeros(band.rings)
        blocks = tuple(max(1, n // _BLOCK) for n in band.grid)
        self._surprise = np.zeros(blocks, np.float32)
        self._unrest = np.zeros(blocks, np.float32)
        self._own = np.ones(blocks, np.float32)
        self._error = 1.0
        self._last = np.zeros(band.grid, np.float32)
        self._now = np.zeros(blocks, np.float32)
        self._room = np.empty(band.grid, np.float32)
        self._whole = np.empty(band.shape, np.complex64)
        self._centre = np.zeros(2)
        self._spread = np.zeros((2, 2))
        self._product = np.empty(band.shape, np.complex64)

    @property
    def settled(self) -> float:
        """How far it can be trusted, 0 to 1, by the number of its frames."""
        return self.frames / (self.frames + _SETTLED)

    def begin(self, spectrum: Array, mean: float) -> None:
        """Make the first frame the template; its highest frequencies are noise."""
        band = self._band
        powers = correlate.ring_powers(spectrum, band.ring, band.rings)
        outer = slice(3 * band.rings // 4, band.rings - 1)
        noise = powers[outer].sum() / max(1.0, band.counts[outer].sum())
        self._noise[:] = max(noise * mean, 1e-30)
        self._picture = band.picture(spectrum)
        self._last = self._picture.copy()
        self._filter = spectrum.copy()
        self._before[:] = spectrum
        self.frames = 1

    def compare(self, spectrum: Array, mean: float) -> tuple[Array, float]:
        """Return the cross spectrum, in nats, and what a perfect match would give.

        `spectrum` loses what stays where it is on the detector.
        """
        band = self._band
        self._whole[:] = spectrum
        correlate.less(self._whole, self._pattern, band.ring, self._lasting(mean), band.ky, band.kx, self._spread, spectrum)
        weight, evidence = self._weights(mean)
        correlate.cross(spectrum, self._filter, band.ring, weight, self._product)
        return self._product, evidence

    def take(self, spectrum: Array, mean: float, shift: FloatArray, lock: float) -> None:
        """Take in a frame whose content lies at `shift`, as far as that is sure."""
        band, n = self._band, self.frames + 1
        ramps = band.ramps(shift)
        step = correlate.moved(spectrum, *ramps, self._before, band.ring, band.rings)
        fresh = lock * max(_FRESH, 1 / (n - 1))
        self._noise += fresh * (band.averaged(step) * (mean / 2) - self._noise)
        frame = band.picture(self._before)
        # the pattern
        recent = lock * max(_RECENT, 1 / (n - 1))
        for other, known in ((self._picture, self._surprise), (self._last, self._unrest)):
            correlate.surprise(frame, other, self._now)
            known += np.float32(recent) * (self._now * np.float32(mean) - known)
        self._last[:] = frame
        shares, trust = self._changed(n)
        shares *= np.float32(lock)
        self._own += shares * (shares * (1 + self._own) - 2 * self._own)
        self._error = float((trust**2 * self._own).mean() / (trust**2).mean())
        correlate.renew(frame, self._picture, shares, trust, self._room, FL)
        self._filter = band.spectrum(self._room)
        share = lock / min(n, _LASTING)
        correlate.stay(self._pattern, band.spectrum(frame), *ramps, self._whole, spectrum, share)
        offset = shift - self._centre
        self._centre += share * offset
        self._spread += share * ((1 - share) * np.outer(offset, offset) - self._spread)
        self.frames = n

    def _changed(self, n: int) -> tuple[Float32Array, Float32Array]:
        """Return the share of a new frame in each block, and its trust."""
        expected = float((self._noise * self._band.counts).sum()) * self._band.open
        least = np.float32(1 / min(n, _MEMORY))
        slack = np.float32(1.04 + ZS / np.sqrt(min(n - 1, 2 / _RECENT)))
        seen = ndimage.gaussian_filter(self._surprise, SM, mode="wrap")
        unrest = ndimage.gaussian_filter(self._unrest, SM, mode="wrap")/2
        seen = np.maximum(seen, 1e-6*expected)
        trust = np.minimum(1, slack * np.float32(expected) / seen)
        shares = np.clip(1 - slack*unrest/seen, least, max(least, _FASTEST))
        return shares.astype(np.float32), trust.astype(np.float32)

    def _lasting(self, mean: float) -> Float32Array:
        """Return which part of the pattern in each ring is no noise."""
        band = self._band
        powers = correlate.ring_powers(self._pattern, band.ring, band.rings)
        power = band.averaged(powers)
        noise = self._noise / mean / min(self.frames, _LASTING)
        kept = np.clip(power - PZ * noise, 0, None) / (power + 1e-30)
        return kept.astype(np.float32)*np.float32(PAT*(self.frames>5))

    def _weights(self, mean: float) -> tuple[Float32Array, float]:
        """Return the weight of each ring, and what a perfect match would come to."""
        band = self._band
        powers = correlate.ring_powers(self._filter, band.ring, band.rings)
        power = band.averaged(powers)
        noise = self._noise / mean
        own = noise * self._error
        kept = np.clip(power - own * (1 + KZ*band.doubt), 0, None) / (power + 1e-30)
        weight = band.passed * kept / (noise + kept * own)
        return weight.astype(np.float32), float((weight * kept * powers).sum())

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "frames": self.frames,
            "picture": self._picture,
            "filter": self._filter,
            "pattern": self._pattern,
            "before": self._before,
            "noise": self._noise,
            "surprise": self._surprise,
            "unrest": self._unrest,
            "own": self._own,
            "error": self._error,
            "last": self._last,
            "centre": self._centre,
            "spread": self._spread,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.frames = state["frames"]
        self._picture = np.array(state["picture"])
        self._filter = np.array(state["filter"])
        self._pattern = np.array(state["pattern"])
        self._before = np.array(state["before"])
        self._noise = np.array(state["noise"])
        self._surprise = np.array(state["surprise"])
        self._unrest = np.array(state["unrest"])
        self._own = np.array(state["own"])
        self._error = state["error"]
        self._last = np.array(state["last"])
        self._centre = np.array(state["centre"])
        self._spread = np.array(state["spread"])
