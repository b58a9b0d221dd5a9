"""The in-plane angle of a lattice whose crystal nobody knows.

What is seen on a ring around the beam is periodic in the azimuth; its phase is the
angle. It is as sharp as the counts allow and knows no bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.ring import weighted_sums
from scopeside_processors.stem.annulus import Annulus

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]

EDGE = 3.0
"""Over so many pixels the weight rises and falls."""
_FINEST = 4
"""Pixels that one period has at least, in the middle of the annulus."""
_ALIKE = 0.7
"""A harmonic this strong against the strongest is no weaker than it: the harmonics of
a sharp pattern are all alike, and the first of them is its symmetry."""


@dataclass(frozen=True, slots=True, eq=False)
class Harmonics:
    """Weights that turn the pixels of an annulus into Fourier components.

    Attributes
    ----------
    pixel
        (m,) int64, flat.
    weight
        (m, 1 + 2 folds) float64: of the total; then, of each fold n, those of cos nφ
        and of sin nφ.
    """

    pixel: IntArray
    weight: FloatArray


@lru_cache(maxsize=64)
def harmonics_of(
    ring: Annulus, radii: tuple[float, float], folds: tuple[int, ...]
) -> Harmonics | None:
    """Return the weights for some folds; None if the pixels are too few for them.

    Notes
    -----
    The weights are w(r) and w(r) exp(inφ), where w rises and falls within `EDGE` px of
    the two radii: with hard edges, a sum over square pixels is no integral. A dead
    pixel counts as the mean of the others that are as far from the beam.
    """
    if np.pi * sum(radii) < _FINEST * max(folds) or not len(ring.pixel):
        return None
    radius = np.hypot(ring.y, ring.x)
    weight = _window(radius, radii)
    angle = np.outer(np.arctan2(ring.y, ring.x), folds)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(angle), -1)
    waves = weight[:, None] * np.column_stack([np.ones(len(angle)), waves])
    if not ring.living.all():
        slot = (radius - radius.min()).astype(np.int64)
        count = np.bincount(slot, ring.living)
        lost = np.array(
            [np.bincount(slot, np.where(ring.living, 0.0, w)) for w in waves.T]
        )
        waves += (lost / np.maximum(count, 1)).T[slot]
    living = ring.living
    return Harmonics(ring.pixel[living], np.ascontiguousarray(waves[living]))


def _window(radius: FloatArray, radii: tuple[float, float]) -> FloatArray:
    edge = min(EDGE, (radii[1] - radii[0]) / 2)
    inside = np.minimum(radius - radii[0], radii[1] - radius) / edge
    window: FloatArray = np.sin(np.pi / 2 * np.clip(inside, 0, 1)) ** 2
    return window


def order_parameters(
    frames: Array, which: IntArray, harmonics: Harmonics
) -> tuple[ComplexArray, FloatArray]:
    """Return how strongly, and in which direction, a ring is n-fold.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype
    which : (k,) frames that are wanted

    Returns
    -------
    (k, folds) complex128
        ⟨exp(i n φ)⟩ over the counts of the ring: its length is 1 for n sharp spots and
        0 for a ring without n-fold structure; its phase is n times the angle.
    (k,) float64
        Counts on the ring, weighted.
    """
    sums = weighted_sums(frames, which, harmonics.pixel, harmonics.weight)
    total = sums[:, 0]
    wave = sums[:, 1::2] + 1j * sums[:, 2::2]
    counted = np.where(total > 0, total, np.nan)
    parameters: ComplexArray = (wave / counted[:, None]).astype(np.complex128)
    return parameters, total


def confidence(strength: FloatArray, electrons: FloatArray) -> FloatArray:
    """Return how unlikely it is that so strong an order comes by chance.

    1 − exp(−N s²), Rayleigh's test: of N electrons without preference, a strength of s
    or more is found with the probability exp(−N s²).

    References
    ----------
    .. [1] K. V. Mardia, P. E. Jupp, Directional Statistics (Wiley, 2000), section
       6.3.1, doi:10.1002/9780470316979
    """
    found: FloatArray = -np.expm1(-electrons * strength**2)
    return found


def likely_fold(strengths: FloatArray, folds: tuple[int, ...]) -> int:
    """Return which of `folds`, in rising order, describes the pattern.

    Parameters
    ----------
    strengths : (folds,), of each
    """
    largest = float(strengths.max())
    return next(
        fold
        for fold, strength in zip(folds, strengths.tolist(), strict=True)
        if strength >= _ALIKE * largest
    )


def angle_of(parameter: ComplexArray, fold: int) -> FloatArray:
    """Return the angle of the lattice, 0 ≤ angle < 2π/fold, rad."""
    turn = 2 * np.pi / fold
    angle: FloatArray = np.mod(np.angle(parameter) / fold, turn)
    return np.where(angle >= turn, 0.0, angle)
