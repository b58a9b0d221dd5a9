"""What is learnt of diffraction patterns from the first of them.

Blind: disks are found in their mean by correlation, the lattice from the disks, and
the disk's edge from all disks laid on top of each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from scopeside_processors.kernels.lattices import (
    FOUND,
    Expected,
    Filters,
    fit_lattices,
)
from scopeside_processors.kernels.maxima import maxima
from scopeside_processors.stem.disk_filters import disk, filters_of, window_side
from scopeside_processors.stem.lattice import (
    EXPLAINED,
    explained,
    find_lattice,
    fit_lattice,
    orders_of,
    to_basis_of,
)
from scopeside_processors.stem.templates import correlate, spectrum_of

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

INNER = 7
"""Disks that a pattern is first found by: the beam and those around it."""
_USUAL_EDGE = 0.6
"""Edge of a disk that nothing is known of, pixels: a sharp one, seen by a camera."""
_LOWEST_PEAK = 0.01
"""Of the correlation, in units of the highest: what is lower is no disk."""
_STANDS = 0.35
"""A disk stands out by so much of the most that anything does."""
_BRIGHT = 0.7
"""The beam is the brightest disk, or one that is so bright compared with it."""
_PROFILES = 256
"""Disks that the edge is learnt from, at most."""
_STEP = 0.25
"""Bins of the profile of disks, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Wishes:
    """What is said beforehand, and how patterns are to be looked at.

    Attributes
    ----------
    radius
        Of the disks, pixels; None: found.
    vectors
        (2, 2), the lattice as it should be, pixels; None: found.
    centre
        Where the undiffracted beam is, (row, column); None: found.
    within
        Disks that count, (least, most) distance from the beam, pixels.
    most, fewest
        Disks: at most those, and at least these are needed.
    reach
        How far the pattern may have moved, pixels; None: half a lattice vector.
    limit
        Counts from which a pixel is saturated.
    gain
        Counts for one electron.
    """

    radius: float | None = None
    vectors: FloatArray | None = None
    centre: tuple[float, float] | None = None
    within: tuple[float, float] = (0.0, math.inf)
    most: int = 60
    fewest: int = 4
    reach: float | None = None
    limit: float = math.inf
    gain: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """A lattice that was found, and the disks on it.

    Attributes
    ----------
    vectors, centre
        (2, 2) lattice vectors and (2,) undiffracted beam, (row, column), pixels.
    radius, edge
        Of the disks, pixels; see `stem.disk_filters.disk`.
    """

    vectors: FloatArray
    centre: FloatArray
    radius: float
    edge: float

    def to_values(self) -> dict[str, Any]:
        """Return it as plain values and arrays."""
        return {
            "vectors": self.vectors,
            "centre": self.centre,
            "radius": self.radius,
            "edge": self.edge,
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_values` gave."""
        return cls(**values)

    @property
    def spacing(self) -> float:
        """From one disk to the next, pixels."""
        return float(np.linalg.norm(self.vectors, axis=1).min())

    def fitter(self, shape: tuple[int, int], wishes: Wishes) -> Fitter:
        """Return what finds this lattice in frames of a shape."""
        filters = filters_of(self.radius, self.edge, self.spacing, wishes.gain)
        return Fitter(self.centre, self.expected(shape, wishes), filters)

    def expected(self, shape: tuple[int, int], wishes: Wishes) -> Expected:
        """Return what is looked for in frames of a shape."""
        # Half a pixel, so that a disk does not come and go with the noise.
        margin = (window_side(self.radius) - 1) / 2 + 0.5
        orders = orders_of(
            self.vectors,
            self.centre,
            shape,
            margin,
            within=wishes.within,
            most=wishes.most,
        )
        reach = wishes.reach
        if reach is None:
            reach = self.spacing / 2
        return Expected(
            np.ascontiguousarray(self.vectors),
            np.ascontiguousarray(orders),
            min(INNER, len(orders)),
            math.ceil(reach),
            wishes.fewest,
            wishes.limit,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fitter:
    """Finds a lattice in frames: where it is expected, and the filters for its disks.

    `centre` (2,) is where the beam is, pixels, if nobody says it for each frame.
    """

    centre: FloatArray
    expected: Expected
    filters: Filters

    def fit(
        self, frames: Array, centres: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[np.uint8]]:
        """Return what `kernels.lattices.fit_lattices` finds; `centres` is (n, 2)."""
        if centres is None:
            centres = np.broadcast_to(self.centre, (len(frames), 2))
        return fit_lattices(frames, centres, self.expected, self.filters)


def learn(frames: Array, wishes: Wishes) -> Index | str:
    """Return the lattice of ``frames (n, height, width)``, or why there is none."""
    mean = frames.mean(axis=0, dtype=np.float64)
    centre = wishes.centre
    radius = wishes.radius or _radius(mean)
    if 2 * radius + 1 > min(mean.shape):
        return f"disks of radius {radius:.1f} px are larger than half a frame"
    peaks = _disks(mean, radius)
    if not len(peaks):
        return "no disk found"
    beam = _beam(peaks) if centre is None else np.array(centre, np.float64)
    found = _lattice(peaks, beam, radius, wishes.vectors)
    if found is None:
        return f"no lattice found in {len(peaks)} disks"
    vectors, origin = found
    rough = Index(vectors, origin, radius, max(_USUAL_EDGE, 0.05 * radius))
    if rough.spacing < 2 * radius:
        return (
            f"disks overlap: their radius is {radius:.1f} px, the next one is "
            f"{rough.spacing:.1f} px away"
        )
    return _bettered(frames, rough, wishes)


def _bettered(frames: Array, rough: Index, wishes: Wishes) -> Index | str:
    """Learn the disk's edge, and the median lattice, from single frames."""
    if not _has_disks(rough, frames, wishes):
        return f"fewer than {wishes.fewest} disks lie whole in a frame"
    lattices, _, flags = rough.fitter(frames.shape[1:], wishes).fit(frames)
    good = flags == FOUND
    if good.sum() < max(1, len(frames) // 4):
        return "the lattice of the mean pattern is not that of single ones"
    lattice = np.median(lattices[good], axis=0)
    index = replace(rough, vectors=lattice[:2].copy(), centre=lattice[2].copy())
    shape = _shape(frames[good], lattices[good], index, wishes)
    return index if shape is None else replace(index, radius=shape[0], edge=shape[1])


def _has_disks(index: Index, frames: Array, wishes: Wishes) -> bool:
    expected = index.expected((frames.shape[1], frames.shape[2]), wishes)
    return len(expected.orders) >= wishes.fewest


def _lattice(
    peaks: FloatArray, beam: FloatArray, radius: float, said: FloatArray | None
) -> tuple[FloatArray, FloatArray] | None:
    """Return the lattice of the disks, in the basis that was said."""
    found = find_lattice(peaks, beam, 1.5 * radius)
    if said is None:
        return found
    if found is not None and (turn := to_basis_of(said, found[0])) is not None:
        return turn @ found[0], found[1]
    origin = peaks[np.argmin(np.hypot(*(peaks[:, :2] - beam).T)), :2]
    # The disks alone do not show it, but they may be of the lattice that was said.
    near = fit_lattice(peaks, said, origin)
    if near is not None and to_basis_of(said, near[0]) is not None:
        vectors, origin = near
        if explained(peaks[:, :2], origin, vectors) >= EXPLAINED:
            return near
    return found


def _beam(peaks: FloatArray) -> FloatArray:
    """Return the undiffracted beam: of the brightest disks the one in the middle."""
    bright = peaks[peaks[:, 2] >= _BRIGHT * peaks[0, 2], :2]
    middle = np.average(peaks[:, :2], axis=0, weights=peaks[:, 2])
    beam: FloatArray = bright[np.argmin(np.hypot(*(bright - middle).T))]
    return beam


def _disks(mean: FloatArray, radius: float) -> FloatArray:
    """Return row, column and weight of what looks like disks, the brightest first."""
    # The root, so that weak disks stand beside the beam.
    root = np.sqrt(np.maximum(mean, 0))
    spectrum = spectrum_of("disk", radius, _USUAL_EDGE, (len(mean), len(mean[0])))
    seen = correlate(root[None], spectrum)[0]
    out = np.empty((128, 3))
    least = _LOWEST_PEAK * float(seen.max())
    number = maxima(seen, math.ceil(radius), 1.5 * radius, least, out)
    peaks = out[:number]
    noise = 1.4826 * np.median(np.abs(seen - np.median(seen)))
    high: FloatArray = peaks[peaks[:, 2] > max(3 * noise, 1e-12)]
    return high


def _radius(mean: FloatArray) -> float:
    """Return the radius at which the brightest disk stands out best, pixels.

    That is where the difference to its surroundings, times the radius, has its first
    maximum of any height; a cluster of disks may have a higher one, further on.
    """
    shape = (len(mean), len(mean[0]))
    radii = np.geomspace(1.5, min(shape) / 5, 24)
    scores = np.zeros(len(radii) + 2)
    for k, radius in enumerate(radii.tolist()):
        seen = correlate(mean[None], spectrum_of("disk", radius, _USUAL_EDGE, shape))
        scores[k + 1] = float(seen.max()) * radius
    here = scores[1:-1]
    tops = (here >= scores[:-2]) & (here > scores[2:]) & (here > _STANDS * here.max())
    return float(radii[np.argmax(tops)]) if tops.any() else 2.0


def _shape(
    frames: Array, lattices: FloatArray, index: Index, wishes: Wishes
) -> tuple[float, float] | None:
    """Return radius and edge of the disks, laid on top of each other.

    None where they do not tell.
    """
    r, profile, weight = _profile(frames, lattices, index, wishes)
    if not weight.any() or not profile.max() > 0:
        return None
    fixed = wishes.radius

    def miss(p: FloatArray) -> FloatArray:
        model = p[0] * disk(r, fixed or p[3], p[1]) + p[2]
        left: FloatArray = (model - profile) * np.sqrt(weight)
        return left

    start = [float(profile.max()), index.edge, 0.0] + [index.radius] * (fixed is None)
    # Narrower than a pixel's own blur, or as wide as the disk, no edge is.
    low = [0.0, 0.3, -np.inf] + [0.5 * index.radius] * (fixed is None)
    high = [np.inf, max(0.6, index.radius / 2), np.inf]
    high += [1.5 * index.radius] * (fixed is None)
    fit = least_squares(miss, np.clip(start, low, high), bounds=(low, high))
    # Rounded, so that the same filters serve and no last bit decides.
    return fixed or round(float(fit.x[3]), 3), round(float(fit.x[1]), 3)


def _profile(
    frames: Array, lattices: FloatArray, index: Index, wishes: Wishes
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return distances, mean counts there, and pixels that they stand on."""
    side = window_side(index.radius)
    most = min(side / 2, index.spacing - index.radius - index.edge)
    bins = max(int(most / _STEP), 1)
    orders = index.expected((frames.shape[1], frames.shape[2]), wishes)
    inner = orders.orders[: max(1, _PROFILES // len(frames))]
    counts: FloatArray = np.zeros(bins)
    pixels: FloatArray = np.zeros(bins)
    for frame, lattice in zip(frames, lattices, strict=True):
        for at in inner @ lattice[:2] + lattice[2]:
            top, left = np.floor(at - (side - 1) / 2 + 0.5).astype(int)
            part = frame[max(top, 0) : top + side, max(left, 0) : left + side]
            if part.shape != (side, side) or top < 0 or left < 0:
                continue
            if part.max() >= wishes.limit:
                continue
            y, x = np.mgrid[top : top + side, left : left + side]
            place = (np.hypot(y - at[0], x - at[1]) / _STEP).astype(int).ravel()
            near = place < bins
            values = part.ravel()[near].astype(np.float64)
            # Each disk has one weight, however bright it is.
            values /= max(float(values.mean()), 1e-12)
            counts += np.bincount(place[near], values, bins)
            pixels += np.bincount(place[near], minlength=bins)
    r = np.linspace(0.5, bins - 0.5, bins) * _STEP
    return r, np.asarray(counts / np.maximum(pixels, 1)), pixels
