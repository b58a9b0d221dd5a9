"""Finds how far the content of a frame has moved against a running template.

The template is the mean of the frames so far, each shifted onto it, and is kept as a
spectrum: to shift a frame onto it is to multiply with a ramp of phase. With the power
of the noise in each ring of frequencies, learnt from what is left when the template is
taken from a frame, the weighted cross-correlation of a frame with it is the logarithm
of a likelihood, in nats. A random walk that may jump is the prior; where both together
are highest the content lies, and how they curve there says how well that is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from scopeside_processors.insitu.walk import Walk
from scopeside_processors.kernels import correlate
from scopeside_processors.kernels.virtual import as_stored

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

BAND = 0.25
"""Highest frequency that is used, cycles per pixel."""
SLOWEST = 5.0
"""Cycles per frame below which illumination, not the specimen, makes the picture."""
_BLOCKS = 32
"""Blocks along each side whose means make the surroundings of a pixel."""
_AROUND = 1.0
"""Standard deviation of the Gaussian that smooths them, blocks."""
_COARSE = 0.15
"""Highest frequency of the correlation that is searched; the band refines it."""
_TAPER = 0.125
"""Share of each side that the taper takes, both ends together."""
_HOT = 5.0
"""Standard deviations above the mean from where on a pixel may be hot."""
_MEMORY = 100
"""Frames that the template stands on at most."""
_SMOOTH = 7
"""Rings that are averaged where powers are compared."""
_PATTERN = 2.0
"""So many times the power of the detector's pattern is no content yet."""
_SETTLED = 4.0
"""Frames after which a template is half trusted."""
_FRESH = 0.05
"""Weight of a new frame in the power of the noise, once it is known."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Where the content of a frame lies.

    Attributes
    ----------
    shift
        (2,) float64 (dy, dx), px from where it lay in the template.
    covariance
        (2, 2) float64, px².
    lock
        Probability that the content lies there and nowhere else, 0 to 1.
    jumped
        Whether it moved further than the walk so far explains.
    match
        How much of the template the frame shows: 1 all, 0 nothing.
    evidence
        What a perfect match would come to, nats: the template's content in one frame.
    settled
        How far the template itself can be trusted, 0 to 1: it stands on few frames at
        first, whose own places are as uncertain as this one's.
    """

    shift: FloatArray
    covariance: FloatArray
    lock: float
    jumped: bool
    match: float
    evidence: float
    settled: float


class Registration:
    """Registers frames (height, width), one after another, with what went before.

    Parameters
    ----------
    shape : (height, width) of a frame, px
    memory : frames that the template stands on at most
    """

    def __init__(self, shape: tuple[int, int], memory: int = _MEMORY) -> None:
        self._shape = shape
        self._memory = memory
        self._band = _Band(shape)
        self._room = np.empty(shape, np.float32)
        blocks = (max(1, min(_BLOCKS, n // 4)) for n in shape)
        self._blocks = np.empty(tuple(blocks), np.float32)
        self._product = np.empty(self._band.shape, np.complex64)
        self.reset()

    def reset(self) -> None:
        """Forget the template and the walk."""
        self._template = np.zeros(self._band.shape, np.complex64)
        self._frames = 0.0
        self._seen = 0
        self._noise = np.zeros(self._band.rings)
        self.walk = Walk()

    def register(self, frame: Array, mean: float, missing: int = 0) -> Estimate:
        """Return where the content of `frame` lies, and take it into the template.

        Parameters
        ----------
        frame : (height, width) counts, finite
        mean : of the frame, counts per pixel, above zero
        missing : frames between the one before and this one that were not seen
        """
        spectrum = self._spectrum(frame, mean)
        if not self._seen:
            self._begin(spectrum, mean)
            still = np.zeros(2), np.zeros((2, 2))
            return Estimate(*still, 1.0, False, 1.0, 0.0, self._settled)
        weight, evidence = self._weights(mean)
        correlate.cross(
            spectrum, self._template, self._band.ring, weight, self._product
        )
        self.walk.wait(1 + missing)
        peak = self._band.peak(self._product, self.walk)
        match = peak.height / evidence if evidence > 0 else 0.0
        found = self.walk.step(peak)
        settled = self._settled
        self._take(spectrum, mean, found.shift, found.lock)
        return Estimate(
            found.shift,
            found.covariance,
            found.lock,
            found.jumped,
            match,
            evidence,
            settled,
        )

    @property
    def _settled(self) -> float:
        return self._seen / (self._seen + _SETTLED)

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "template": self._template,
            "noise": self._noise,
            "frames": self._frames,
            "seen": self._seen,
            "walk": self.walk.state(),
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._template = np.array(state["template"])
        self._noise = np.array(state["noise"])
        self._frames = state["frames"]
        self._seen = state["seen"]
        self.walk.take_over(state["walk"])

    def _spectrum(self, frame: Array, mean: float) -> Array:
        band = self._band
        spread = float(frame[::4, ::4].std(dtype=np.float64))
        stored = as_stored(frame)
        rows, columns = band.tapers
        correlate.block_means(stored, self._blocks)
        around = ndimage.gaussian_filter(self._blocks, _AROUND, mode="nearest")
        hot = _HOT * spread
        correlate.contrast(stored, mean, hot, around, rows, columns, self._room)
        return band.cut(self._room)

    def _begin(self, spectrum: Array, mean: float) -> None:
        """Make the first frame the template; its highest frequencies are noise."""
        band = self._band
        self._template = spectrum.copy()
        powers = correlate.ring_powers(spectrum, band.ring, band.rings)
        outer = slice(3 * band.rings // 4, band.rings - 1)
        noise = powers[outer].sum() / max(1.0, band.counts[outer].sum())
        self._noise[:] = max(noise * mean, 1e-30)
        self._frames, self._seen = 1.0, 1

    def _weights(self, mean: float) -> tuple[npt.NDArray[np.float32], float]:
        """Return the weight of each ring, and what a perfect match would come to."""
        band = self._band
        powers = correlate.ring_powers(self._template, band.ring, band.rings)
        power = band.averaged(powers)
        noise = self._noise / mean
        own = noise / self._frames
        # A detector's own pattern is white, and smeared along the drift: as much of it
        # as the highest frequencies hold is in all, and would hold content back.
        pattern = max(0.0, float(np.median((power - own)[band.fine])))
        content = power - own - _PATTERN * pattern
        kept = np.clip(content, 0, None) / (power + 1e-30)
        weight = band.passed * kept / (noise + kept * own)
        return weight.astype(np.float32), float((weight * kept * powers).sum())

    def _take(self, spectrum: Array, mean: float, shift: FloatArray, w: float) -> None:
        band = self._band
        share = w / min(self._seen + 1, self._memory)
        ramps = band.ramps(shift)
        powers = correlate.take_in(
            spectrum, self._template, *ramps, share, band.ring, band.rings
        )
        left = band.averaged(powers) * mean / (1 + 1 / self._frames)
        fresh = w * max(_FRESH, 1 / (self._seen + 1))
        self._noise += fresh * (left - self._noise)
        self._frames = 1 / ((1 - share) ** 2 / self._frames + share**2)
        self._seen += 1


@dataclass(frozen=True, slots=True)
class Peak:
    """What a correlation says of where content lies; heights in nats."""

    near: tuple[FloatArray, float, FloatArray]
    """Place, height and curvature of the summit that the walk leads to."""
    far: tuple[FloatArray, float, FloatArray]
    """The same of the highest anywhere."""
    elsewhere: float
    """Logarithm of the sum over the search area, nats + log px²."""
    area: float
    """Size of the search area, px²."""

    @property
    def height(self) -> float:
        """Of the highest summit."""
        return max(self.near[1], self.far[1])


class _Band:
    """The frequencies of a frame that are used, and how to search with them."""

    def __init__(self, shape: tuple[int, int]) -> None:
        height, width = shape
        rows, columns = scipy.fft.fftfreq(height), scipy.fft.rfftfreq(width)
        self._shape = shape
        self._rows = np.flatnonzero(np.abs(rows) <= BAND)
        self._columns = int(np.count_nonzero(columns <= BAND))
        fy, fx = rows[self._rows], columns[: self._columns]
        self.ky, self.kx = 2 * np.pi * fy, 2 * np.pi * fx
        self.shape = len(fy), len(fx)
        frequency = np.hypot(fy[:, None], fx[None])
        side = min(shape)
        self.ring = np.rint(frequency * side).astype(np.int16)
        self.rings = int(self.ring.max()) + 1
        double = np.where(np.arange(self.shape[1]) == 0, 1.0, 2.0)
        self.counts = np.bincount(
            self.ring.ravel(), np.broadcast_to(double, self.shape).ravel(), self.rings
        )
        f = np.arange(self.rings) / side
        self.fine = slice(3 * self.rings // 5, self.rings - 1)
        """Rings where a detector's pattern stands out from most content."""
        self.passed = np.exp(-((f / BAND) ** 6))
        self.passed *= 1 - np.exp(-((f * side / SLOWEST) ** 4))
        self.tapers = _taper(height), _taper(width)
        self._near = int(np.count_nonzero(np.abs(fy) <= _COARSE)) // 2 + 1
        self._side = int(np.count_nonzero(fx <= _COARSE))
        self._grid = (
            min(scipy.fft.next_fast_len(4 * self._near, real=True), height),
            min(scipy.fft.next_fast_len(4 * self._side, real=True), width),
        )
        self._half = np.zeros((self._grid[0], self._grid[1] // 2 + 1), np.complex64)
        self._step = height / self._grid[0], width / self._grid[1]

    def cut(self, picture: Array) -> Array:
        """Return the spectrum (m, n) complex64 of a picture within the band."""
        along = scipy.fft.rfft(picture, axis=1, workers=1)[:, : self._columns]
        full = scipy.fft.fft(along, axis=0, workers=1)
        found: Array = full[self._rows]
        return found

    def averaged(self, powers: FloatArray) -> FloatArray:
        """Return the mean power of a number in each ring and those beside it."""
        window = np.ones(_SMOOTH)
        total = np.convolve(powers, window, "same")
        mean: FloatArray = total / np.convolve(self.counts, window, "same")
        return mean

    def ramps(self, shift: FloatArray) -> tuple[Array, Array]:
        """Return what shifts a spectrum back by `shift`, by rows and by columns."""
        return np.exp(1j * self.ky * shift[0]), np.exp(1j * self.kx * shift[1])

    def peak(self, product: Array, walk: Walk) -> Peak:
        """Return the summits of a correlation, given as a cross spectrum."""
        surface = self._surface(product)
        place, spread = walk.place, walk.variance
        offsets = [
            _wrapped(step * np.arange(n) - p, size)
            for step, n, p, size in zip(
                self._step, self._grid, place, self._shape, strict=True
            )
        ]
        wide = [2 * (spread + step**2 / 12) for step in self._step]
        penalties = [o**2 / w for o, w in zip(offsets, wide, strict=True)]
        price = walk.price(self.area)
        best, far, _, near = correlate.survey(
            surface, penalties[0], penalties[1], price
        )
        columns = self._grid[1]
        spots = [
            place + np.array([offsets[0][i // columns], offsets[1][i % columns]])
            for i in (near, far)
        ]
        summits = [
            self._climb(product, spots[0], walk),
            self._climb(product, spots[1], None),
        ]
        reference = max(best, summits[0][1], summits[1][1])
        cell = self._step[0] * self._step[1]
        total = correlate.mass(surface, reference) * cell
        elsewhere = reference + math.log(max(total, 1e-30))
        return Peak(summits[0], summits[1], elsewhere, self.area)

    @property
    def area(self) -> float:
        """Size of a frame, px²."""
        return float(self._shape[0] * self._shape[1])

    def _surface(self, product: Array) -> Array:
        half, near, side = self._half, self._near, self._side
        half[:near, :side] = product[:near, :side]
        half[1 - near :, :side] = product[1 - near :, :side]
        surface: Array = scipy.fft.irfft2(half, s=self._grid, workers=1, norm="forward")
        return surface

    def _climb(
        self, product: Array, start: FloatArray, walk: Walk | None
    ) -> tuple[FloatArray, float, FloatArray]:
        """Return place, height and curvature of the summit near `start`.

        With `walk` the summit is that of likelihood and prior together; height and
        curvature are those of the likelihood there.
        """
        place, hold = start.copy(), 0.7 * self._step[0]
        pull = 0.0 if walk is None else 1 / walk.variance
        for _ in range(6):
            ramps = self.ramps(place)
            s = correlate.slopes(product, ramps[0], ramps[1], self.ky, self.kx)
            slope = s[1:3].copy()
            curve = np.array([[s[3], s[4]], [s[4], s[5]]])
            if walk is not None:
                slope -= pull * (place - walk.place)
            bent = curve - pull * np.eye(2)
            if bent[0, 0] >= 0 or bent[0, 0] * bent[1, 1] <= bent[0, 1] ** 2:
                break
            stride = -np.linalg.solve(bent, slope)
            length = float(np.hypot(*stride))
            place = place + stride * min(1.0, hold / max(length, 1e-12))
            if length < 1e-3:
                break
        return place, float(s[0]), -curve


def _taper(size: int) -> npt.NDArray[np.float32]:
    """Return (size,) float32: a cosine at both ends, 1 between (Tukey's window)."""
    edge = max(1.0, _TAPER * size / 2)
    depth = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    found = 0.5 - 0.5 * np.cos(np.pi * np.minimum(depth / edge, 1))
    return found.astype(np.float32)


def _wrapped(offset: FloatArray, size: int) -> FloatArray:
    """Return offsets brought into -size/2 … size/2, as spectra are periodic."""
    found: FloatArray = (offset + size / 2) % size - size / 2
    return found
