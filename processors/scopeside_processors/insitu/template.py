"""The running picture of the specimen that frames are compared with.

The template is the mean of the frames, each shifted onto it. How far it may be trusted
differs from place to place: where frames surprise it more than their noise explains,
something moves, grows or dissolves; there it counts for less. Where they do so without
unlike each other it is behind, and is renewed faster, as a Kalman filter would.

What stays where it is on the detector (gain, stains) is learnt beside it, where content
is as usual, and taken off the frames as far as it stands out from noise; else it would
hold the content back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.band import Band
from scopeside_processors.kernels import correlate

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_MEMORY = 100
"""Frames that a still place of the template stands on at most."""
_LASTING = 300
"""Frames that the pattern of the detector stands on at most."""
_SETTLED = 4.0
"""Frames after which a template is half trusted."""
_FRESH = 0.05
"""Weight of a new frame in the power of the noise."""
_NONE = 1e-30
"""Power of noise where there is none; nothing divides by 0 then."""
_BLURRED = 4.0
"""Power of noise, in units of that of its highest frequencies, that a camera makes."""
_RECENT = 0.2
"""Weight of a new frame in what surprises."""
_PULL = 8
"""Side of a block whose pull on the place is judged, pixels of the template."""
_BLOCK = 4
"""Side of a block, pixels of the template."""
_UNEVEN = 1.04
"""Power of noise in one place, in units of that elsewhere, that is nothing unusual."""
_DOUBT = 0.48
"""Three standard deviations of what one frame surprises a block with, alike."""
_FASTEST = 0.5
"""Largest share of a frame in the template once it stands on some."""
_USUAL = 0.9
"""Trust from where on a place is as usual."""
_WHITE = 2.0
"""So many times the power of the finest content may be the detector's own pattern."""
_FIRST = 5
"""Frames after which there may be a pattern."""


class Template:
    """What frames are compared with, and how well it is known."""

    def __init__(self, band: Band) -> None:
        self._band = band
        self.frames = 0
        self.discord = 1.0
        """How many times the variance of the pulls of blocks is that of noise."""
        self._picture = np.zeros(band.grid, np.float32)
        self._last = np.zeros(band.grid, np.float32)
        self._filter = np.zeros(band.shape, np.complex64)
        self._pattern = np.zeros(band.shape, np.complex64)
        self._before = np.zeros(band.shape, np.complex64)
        self._noise = np.zeros(band.rings)
        blocks = tuple(max(1, n // _BLOCK) for n in band.grid)
        self._surprise = np.zeros(blocks, np.float32)
        self._unrest = np.zeros(blocks, np.float32)
        self._own = np.ones(blocks, np.float32)
        self._error = 1.0
        self._centre = np.zeros(2)
        self._spread = np.zeros((2, 2))
        self._shares, self._trust = np.zeros((2, *blocks), np.float32)
        self._room = np.empty(band.grid, np.float32)
        self._whole = np.empty(band.shape, np.complex64)
        self._product = np.empty(band.shape, np.complex64)

    @property
    def settled(self) -> float:
        """How far it can be trusted, 0 to 1, by the number of its frames."""
        return self.frames / (self.frames + _SETTLED)

    def begin(self, spectrum: Array, mean: float) -> None:
        """Make the first frame the template."""
        band = self._band
        powers = correlate.ring_powers(spectrum, band.ring, band.rings)
        self._noise = np.maximum(band.averaged(powers) * mean, _NONE)
        self._picture[:] = band.picture(spectrum)
        self._last[:] = self._picture
        self._filter = spectrum.copy()
        self._before[:] = spectrum
        self.frames = 1

    def compare(self, spectrum: Array, mean: float) -> tuple[Array, float]:
        """Return the cross spectrum, in nats, and what a perfect match would give.

        Parameters
        ----------
        spectrum : (m, n) complex64, of the contrast of a frame; loses what stays where
            it is on the detector
        mean : of the frame, counts per pixel
        """
        band = self._band
        self._whole[:] = spectrum
        kept, k = self._lasting(mean), (band.ky, band.kx)
        if self.frames == 1:
            self._noise = self._first_noise(spectrum, mean)
        correlate.less(
            self._whole, self._pattern, band.ring, kept, *k, self._spread, spectrum
        )
        weight, evidence = self._weights(mean)
        correlate.cross(spectrum, self._filter, band.ring, weight, self._product)
        return self._product, evidence

    def take(
        self, spectrum: Array, mean: float, shift: FloatArray, lock: float
    ) -> None:
        """Take in a frame whose content lies at `shift`, as far as that is sure.

        Parameters
        ----------
        spectrum : as `compare` left it
        mean : of the frame, counts per pixel
        shift : (2,) float64, px
        lock : probability of the shift
        """
        band, n = self._band, self.frames + 1
        rows, columns = band.ramps(shift)
        step = correlate.moved(
            spectrum, rows, columns, self._before, band.ring, band.rings
        )
        fresh = 1.0 if n == 2 else lock * max(_FRESH, 1 / (n - 1))
        self._noise += fresh * (band.averaged(step) * (mean / 2) - self._noise)
        np.maximum(self._noise, _NONE, out=self._noise)
        frame = band.picture(self._before)
        self._judge(frame, mean, lock)
        self._look(frame, mean, lock, n)
        correlate.renew(
            frame, self._picture, self._shares, self._trust, self._room, _USUAL
        )
        self._filter = band.spectrum(self._room)
        share = lock / min(n, _LASTING)
        left = band.spectrum(frame)
        correlate.stay(self._pattern, left, rows, columns, self._whole, spectrum, share)
        offset = shift - self._centre
        self._centre += share * offset
        spread = (1 - share) * np.outer(offset, offset)
        self._spread += share * (spread - self._spread)
        self.frames = n

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        arrays = {name: getattr(self, f"_{name}") for name in _ARRAYS}
        return {
            **arrays,
            "frames": self.frames,
            "error": self._error,
            "discord": self.discord,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name in _ARRAYS:
            setattr(self, f"_{name}", np.array(state[name]))
        self._last[:] = self._band.picture(self._before)
        self.frames, self._error = state["frames"], state["error"]
        self.discord = state["discord"]

    def _first_noise(self, spectrum: Array, mean: float) -> FloatArray:
        """Return the most that noise may be, by ring, from the first two frames.

        That is half of what they differ by, though content may have moved; and a few
        times what the highest frequencies hold, though a camera may have blurred it.
        """
        band = self._band
        step = correlate.ring_powers(spectrum - self._before, band.ring, band.rings)
        powers = correlate.ring_powers(spectrum, band.ring, band.rings)
        outer = float(np.median(band.averaged(powers)[band.fine]))
        most = np.minimum(band.averaged(step) / 2, _BLURRED * outer)
        return np.maximum(most * mean, _NONE)

    def _judge(self, frame: Array, mean: float, lock: float) -> None:
        """Follow by how much blocks pull more than noise explains."""
        band = self._band
        pulls, slopes = correlate.discord(frame, self._picture, self._trust, _PULL)
        noise = float(self._noise @ band.counts) * band.open / mean * (1 + self._error)
        if slopes > 0 and self.frames > _FIRST:
            now = min(pulls / (slopes * noise), 100.0)
            self.discord += lock * _RECENT * (now - self.discord)

    def _look(self, frame: Array, mean: float, lock: float, n: int) -> None:
        """Say of each block how fast it is renewed and how far it is trusted."""
        recent = lock * max(_RECENT, 1 / (n - 1))
        correlate.surprise(frame, self._picture, recent, mean, self._surprise)
        correlate.surprise(frame, self._last, recent, mean, self._unrest)
        self._last[:] = frame
        usual = float(self._noise @ self._band.cells) * self._band.open
        least = 1 / min(n, _MEMORY)
        slack = _UNEVEN + _DOUBT / math.sqrt(min(n - 1, 2 / _RECENT))
        most = max(least, _FASTEST)
        now = self._shares, self._trust
        correlate.changes(self._surprise, self._unrest, usual, slack, least, most, *now)
        self._shares *= np.float32(lock)
        # The noise of the template itself, in units of that of a frame.
        self._own += self._shares * (self._shares * (1 + self._own) - 2 * self._own)
        squares = self._trust**2
        self._error = float((squares * self._own).mean() / squares.mean())

    def _lasting(self, mean: float) -> Float32Array:
        """Return which part of the pattern in each ring is no noise."""
        band = self._band
        if self.frames <= _FIRST:
            return np.zeros(band.rings, np.float32)
        powers = correlate.ring_powers(self._pattern, band.ring, band.rings)
        power = band.averaged(powers)
        noise = self._noise / mean / min(self.frames, _LASTING)
        kept = np.clip(power - noise, 0, None) / (power + 1e-30)
        return kept.astype(np.float32)

    def _weights(self, mean: float) -> tuple[Float32Array, float]:
        """Return the weight of each ring, and what a perfect match would come to.

        The template is shrunk to what stands out from its own noise, by more than
        that may happen to be (Wiener's filter). A detector's pattern is white: as long
        as content has not moved enough to tell, the finest may be that.
        """
        band = self._band
        powers = correlate.ring_powers(self._filter, band.ring, band.rings)
        power = band.averaged(powers)
        noise = self._noise / mean
        own = noise * self._error
        excess = power - own * (1 + band.doubt)
        white = _WHITE * max(0.0, float(np.median(excess[band.fine])))
        turn = band.slopes * float(np.trace(self._spread)) / 2
        kept = np.clip(excess - white / (1 + turn), 0, None) / (power + 1e-30)
        weight = band.passed * kept / (noise + kept * own)
        return weight.astype(np.float32), float((weight * kept * powers).sum())


_ARRAYS = (
    "picture",
    "filter",
    "pattern",
    "before",
    "noise",
    "surprise",
    "unrest",
    "own",
    "trust",
    "centre",
    "spread",
)
