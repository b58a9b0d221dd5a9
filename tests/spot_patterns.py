"""Spot patterns of crystals in known orientations, with counts as a camera has them."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scopeside_processors.stem.calibration import wavelength_m

ENERGY = 200e3
WAVELENGTH = 1e10 * wavelength_m(ENERGY)
K_MAX = 2.0
SIDE = 128
PX_PER_K = 30.0
CALIBRATION = {
    "beam_energy_eV": ENERGY,
    "detector_rad_per_px": WAVELENGTH / PX_PER_K,
    "centre_px": [63.25, 64.5],
}
COPPER = {
    "cell": [3.615, 3.615, 3.615, 90, 90, 90],
    "spacegroup": "F m -3 m",
    "atoms": [{"element": "Cu", "at": [0, 0, 0]}],
}
SILICON = {
    "cell": [5.431, 5.431, 5.431, 90, 90, 90],
    "spacegroup": "F d -3 m",
    "atoms": [{"element": "Si", "at": [0, 0, 0]}],
}
MAGNESIUM = {
    "cell": [3.209, 3.209, 5.211, 90, 90, 120],
    "spacegroup": "P 63/m m c",
    "atoms": [{"element": "Mg", "at": [1 / 3, 2 / 3, 0.25]}],
}
QUARTZ = {
    "cell": [4.913, 4.913, 5.405, 90, 90, 120],
    "spacegroup": "P 32 2 1",
    "atoms": [
        {"element": "Si", "at": [0.4697, 0, 2 / 3]},
        {"element": "O", "at": [0.4135, 0.2669, 0.7858]},
    ],
}


def random_orientations(n, seed):
    return Rotation.random(n, random_state=seed).as_matrix()


def draw(at, light, dose, seed, *, centre=(63.25, 64.5), sigma=1.2, side=SIDE):
    """Return (n, side, side) uint16: Gaussian spots, Poisson counts.

    Parameters
    ----------
    at : (n, m, 2), x and y from the centre, px
    light : (n, m), relative; each frame gets `dose` counts, and as many in the beam
    """
    row, column = np.arange(side) - centre[0], np.arange(side) - centre[1]
    tall = np.exp(-((row - at[..., 1, None]) ** 2) / (2 * sigma**2))
    wide = np.exp(-((column - at[..., 0, None]) ** 2) / (2 * sigma**2))
    mean = np.einsum("nm,nmy,nmx->nyx", light, tall, wide)
    mean *= dose / mean.sum(axis=(1, 2), keepdims=True)
    beam = np.exp(-(row[:, None] ** 2 + column**2) / (2 * sigma**2))
    mean += dose * beam / beam.sum()
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16)


def ring_pattern(angle, fold, strength=0.6, *, side=64, mean=20.0, seed=None):
    """Return (n, side, side) of rings with 1 + 2 s cos n(φ - angle) around (31, 32.5).

    Counts if a `seed` is given, else float64.
    """
    row, column = np.mgrid[:side, :side]
    y, x = row - 31.0, column - 32.5
    azimuth = np.arctan2(y, x)
    falls = mean * np.exp(-np.hypot(y, x) / 10)
    angle = np.atleast_1d(angle)[:, None, None]
    frames = falls * (1 + 2 * strength * np.cos(fold * (azimuth - angle)))
    if seed is None:
        return frames
    return np.random.default_rng(seed).poisson(np.maximum(frames, 0)).astype(np.uint16)
