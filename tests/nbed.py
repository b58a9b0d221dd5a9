"""Nano-beam diffraction of a strained crystal, with everything known about it."""

# ruff: noqa: PLR0917 - a simulation has many knobs

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

FloatArray = npt.NDArray[np.float64]

REFERENCE = np.array([[1.3, 20.0], [-17.5, 9.0]])


@dataclass(frozen=True)
class Scan:
    """Frames of a scan, and the truth; arrays begin with (rows, columns).

    `positions` is (rows, columns, disks, 2), pixels, `strain` (rows, columns, 4):
    exx, eyy, exy, rotation.
    """

    frames: npt.NDArray[np.uint16]
    positions: FloatArray
    strain: FloatArray
    centre: FloatArray


def deformed(vectors: FloatArray, strain: FloatArray) -> FloatArray:
    """Return the diffraction lattice of a crystal under (n, 4) strains, (n, 2, 2)."""
    exx, eyy, exy, angle = strain.T
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)
    stretch = np.stack([1 + eyy, exy, exy, 1 + exx], 1).reshape(-1, 2, 2)
    return vectors @ np.linalg.inv(turn @ stretch)


def scan(
    shape: tuple[int, int] = (8, 8),
    electrons: float = 30_000,
    side: int = 128,
    radius: float = 5.0,
    edge: float = 0.6,
    vectors: FloatArray = REFERENCE,
    largest: float = 0.018,
    wander: float = 0.6,
    texture: float = 0.35,
    seed: int = 0,
) -> Scan:
    """Simulate a scan: strain varies along rows and columns, the centre wanders.

    `electrons` is the mean of a pattern. Each disk has an intensity of its own, and in
    each frame a texture, a wave with an amplitude of about `texture`.
    """
    rng = np.random.default_rng(seed)
    n = shape[0] * shape[1]
    row, column = (np.indices(shape).reshape(2, -1) / np.maximum(shape, 2)[:, None]).T.T
    wave = np.stack([np.sin(6 * column), np.cos(5 * row), np.sin(4 * (row + column))])
    strain = np.stack(
        [*(wave * [[1], [1], [1 / 3]]), np.cos(4 * row - 3 * column) * 0.8]
    )
    strain = strain.T * largest
    centre = side / 2 + rng.uniform(-0.5, 0.5, 2) + wander * wave[:2].T
    lattices = deformed(vectors, strain)
    orders = np.mgrid[-5:6, -5:6].reshape(2, -1).T
    length = np.hypot(*(orders @ vectors).T)
    held = length < 0.75 * side
    orders, length = orders[held], length[held]
    bright = 20 * np.exp(-length / (0.23 * side)) * rng.uniform(0.6, 1.4, len(orders))
    bright[length == 0] = 90
    positions = orders @ lattices + centre[:, None]
    frames = np.empty((n, side, side))
    y, x = np.mgrid[:side, :side]
    for f in range(n):
        away = np.hypot(y - centre[f, 0], x - centre[f, 1])
        frames[f] = 3.4 * np.exp(-away / (0.23 * side))
        for at, amplitude in zip(positions[f], bright, strict=True):
            _draw(frames[f], y, x, at, amplitude, radius, edge, texture, rng)
    frames *= electrons / frames.sum(axis=(1, 2)).mean()
    counts = rng.poisson(frames).astype(np.uint16)
    return Scan(
        counts.reshape(*shape, side, side),
        positions.reshape(*shape, -1, 2),
        strain.reshape(*shape, 4),
        centre.reshape(*shape, 2),
    )


def _draw(frame, y, x, at, amplitude, radius, edge, texture, rng):
    """Add a disk whose texture is blurred with its edge."""
    reach = math.ceil(radius + 5 * edge)
    low = np.maximum(np.floor(at).astype(int) - reach, 0)
    high = np.maximum(np.floor(at).astype(int) + reach + 2, 0)
    part = np.s_[low[0] : high[0], low[1] : high[1]]
    down, right = y[part] - at[0], x[part] - at[1]
    r = np.hypot(down, right) + 1e-9
    profile = 0.5 * erfc((r - radius) / (edge * math.sqrt(2)))
    angle, phase = rng.uniform(0, 2 * math.pi, 2)
    wave = 1.2 / radius * np.array([math.sin(angle), math.cos(angle)])
    along = down * wave[0] + right * wave[1] + phase
    fall = np.exp(-0.5 * ((r - radius) / edge) ** 2) / (edge * math.sqrt(2 * math.pi))
    outwards = (down * wave[0] + right * wave[1]) / r
    blurred = profile * np.sin(along) - edge**2 * fall * outwards * np.cos(along)
    frame[part] += amplitude * np.maximum(profile + texture * blurred, 0)


def disk(r: FloatArray, radius: float, edge: float) -> FloatArray:
    """Return a disk with a blurred edge."""
    return 0.5 * erfc((r - radius) / (edge * math.sqrt(2)))
