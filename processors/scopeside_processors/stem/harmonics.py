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
        (m, 1 + 2 folds) float64: of the mean; then, of each fold n, those of cos nφ and
        of sin nφ.
    """

    pixel: IntArray
    weight: FloatArray


@lru_cache(maxsize=64)
def harmonics_of(ring: Annulus, folds: tuple[int, ...]) -> Harmonics | None:
    """Return the weights for some folds; None if the pixels are too few for them.

    Notes
    -----
    The intensity is fitted by least squares as a(r) + Σ (b cos nφ + c sin nφ), with a
    value of its own for each pixel of radius r: what depends on the radius alone gives
    no component, though pixels lie unevenly and some may be dead.
    """
    azimuth = np.arctan2(ring.y, ring.x)
    angle = np.outer(azimuth, folds)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(angle), -1)
    _, radius = np.unique(
        np.hypot(ring.y, ring.x).astype(np.int64), return_inverse=True
    )
    count = np.bincount(radius)
    sums = np.stack([np.bincount(radius, wave) for wave in waves.T], axis=1)
    waves = waves - (sums / count[:, None])[radius]
    normal = waves.T @ waves
    if len(waves) < 4 * len(normal) or np.linalg.cond(normal) > 100:
        return None
    weight = np.empty((len(waves), 1 + len(normal)))
    weight[:, 0] = 1 / len(waves)
    weight[:, 1:] = np.linalg.solve(normal, waves.T).T
    return Harmonics(ring.pixel, weight)


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
        Counts on the ring.
    """
    sums = weighted_sums(frames, which, harmonics.pixel, harmonics.weight)
    mean = sums[:, :1]
    wave = sums[:, 1::2] + 1j * sums[:, 2::2]
    parameters = wave / (2 * np.where(mean > 0, mean, np.nan))
    return parameters, mean[:, 0] * len(harmonics.pixel)


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
