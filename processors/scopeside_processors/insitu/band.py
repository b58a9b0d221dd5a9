"""The frequencies of a frame that drift is found with, and the search with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from scopeside_processors.insitu.walk import Walk
from scopeside_processors.kernels import correlate

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

BAND = 0.25
"""Highest frequency that is used, cycles per pixel."""
_SLOWEST = 5.0
"""Cycles per frame below which illumination, not the specimen, makes the picture."""
_COARSE = 0.125
"""Highest frequency of the correlation that is searched; the band refines it."""
_TAPER = 0.125
"""Share of each side that the taper takes, both ends together."""
_SMOOTH = 7
"""Rings that are averaged where powers are compared."""


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


class Band:
    """The frequencies of a frame that are used, and how to search with them."""

    def __init__(self, shape: tuple[int, int]) -> None:
        height, width = shape
        rows, columns = scipy.fft.fftfreq(height), scipy.fft.rfftfreq(width)
        self._shape = shape
        self._rows = np.flatnonzero(np.abs(rows) < BAND)
        self._columns = int(np.count_nonzero(columns < BAND))
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
        self._beside = _beside(self.counts.astype(np.float64))
        self.doubt = np.sqrt(2 / np.maximum(self._beside, 1))
        f = np.arange(self.rings) / side
        self.slopes = (2 * np.pi * f) ** 2
        """(rings,) float64, (rad/px)²."""
        last = max(1, self.rings - 1)
        self.fine = slice(min(3 * self.rings // 5, last - 1), last)
        """Rings of the highest frequencies."""
        self.passed = np.exp(-((f / BAND) ** 6))
        self.passed *= 1 - np.exp(-((f * side / _SLOWEST) ** 4))
        self.tapers = _taper(height), _taper(width)
        self.open = 1 / float(
            np.mean(self.tapers[0] ** 2) * np.mean(self.tapers[1] ** 2)
        )
        self._reach = len(fy) // 2 + 1
        self.grid = (
            scipy.fft.next_fast_len(2 * self._reach, real=True),
            scipy.fft.next_fast_len(2 * self.shape[1], real=True),
        )
        """Rows and columns of the smallest picture that holds the whole band."""
        halves = (
            np.cos(np.pi * f * size / n) ** 2
            for f, size, n in zip((fy, fx), shape, self.grid, strict=True)
        )
        cells = 4 * double * np.multiply.outer(*halves)
        self.cells = np.bincount(self.ring.ravel(), cells.ravel(), self.rings)
        """(rings,), what white noise of power 1 in each ring adds to the square of a
        cell of 2 × 2 pixels of such a picture, see `kernels.correlate.surprise`."""
        self._whole = np.zeros((self.grid[0], self.grid[1] // 2 + 1), np.complex64)
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

    def picture(self, spectrum: Array) -> Array:
        """Return what a spectrum within the band shows, `grid` float32."""
        whole, reach, columns = self._whole, self._reach, self.shape[1]
        whole[:reach, :columns] = spectrum[:reach]
        whole[self.grid[0] - reach + 1 :, :columns] = spectrum[reach:]
        found: Array = scipy.fft.irfft2(whole, s=self.grid, workers=1, norm="forward")
        return found

    def spectrum(self, picture: Array) -> Array:
        """Return the spectrum (m, n) of what `picture` gave."""
        full = scipy.fft.rfft2(picture, workers=1, norm="forward")
        columns, reach = self.shape[1], self._reach
        below = full[self.grid[0] - reach + 1 :, :columns]
        return np.concatenate([full[:reach, :columns], below])

    def averaged(self, powers: FloatArray) -> FloatArray:
        """Return the mean power of a number in each ring and those beside it."""
        mean: FloatArray = _beside(powers) / np.maximum(self._beside, 1)
        return mean

    def ramps(self, shift: FloatArray) -> tuple[Array, Array]:
        """Return what shifts a spectrum back by `shift`, by rows and by columns."""
        return np.exp(1j * self.ky * shift[0]), np.exp(1j * self.kx * shift[1])

    def peak(self, product: Array, walk: Walk) -> Peak:
        """Return the summits of a correlation, given as a cross spectrum."""
        surface = self._surface(product)
        offsets = self._offsets(walk)
        price = walk.price(self.area)
        penalties = [
            o**2 / (2 * walk.variance + step**2 / 6)
            for o, step in zip(offsets, self._step, strict=True)
        ]
        top = int(surface.argmax())
        at = correlate.summit(surface, penalties[0], penalties[1], price)
        spots = [self._spot(k, offsets, walk) for k in (top if at < 0 else at, top)]
        near = self._climb(product, spots[0], walk)
        apart = float(np.hypot(*(spots[1] - near[0])))
        pulled = float(np.hypot(*(near[0] - walk.place))) ** 2 / (2 * walk.variance)
        alone = apart < 1.5 * max(self._step) and pulled < price
        far = near if alone else self._climb(product, spots[1], None)
        reference = max(float(surface.flat[top]), near[1], far[1])
        total = correlate.mass(surface, reference) * self._step[0] * self._step[1]
        return Peak(near, far, reference + math.log(max(total, 1e-30)), self.area)

    @property
    def area(self) -> float:
        """Size of a frame, px²."""
        return float(self._shape[0] * self._shape[1])

    def _offsets(self, walk: Walk) -> list[FloatArray]:
        """Return how far rows and columns of the surface are from where a walk is."""
        every = zip(self._step, self._grid, walk.place, self._shape, strict=True)
        return [_wrapped(s * np.arange(n) - p, size) for s, n, p, size in every]

    def _spot(self, index: int, offsets: list[FloatArray], walk: Walk) -> FloatArray:
        row, column = divmod(index, self._grid[1])
        away = np.array([offsets[0][row], offsets[1][column]])
        found: FloatArray = walk.place + away
        return found

    def _surface(self, product: Array) -> Array:
        half, near, side = self._half, self._near, self._side
        half[:near, :side] = product[:near, :side]
        below = len(product) - near + 1
        half[self._grid[0] - near + 1 :, :side] = product[below:, :side]
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


def _beside(values: FloatArray) -> FloatArray:
    """Return the sum over each ring and those beside it, `_SMOOTH` in all."""
    total = np.convolve(values, np.ones(_SMOOTH))
    return total[_SMOOTH // 2 : _SMOOTH // 2 + len(values)]


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
