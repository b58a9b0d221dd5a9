"""A crystalline specimen whose every property is a formula of the probe position.

Grains are Voronoi cells, each with its own lattice rotation. Potential, strain and
thickness are smooth sums of plane waves, so that derivatives are exact and every
value is known between the probe positions as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_LONGEST_PERIOD = 16  # probe positions; a scan of one row still varies gently


@dataclass(frozen=True, slots=True)
class Local:
    """What the specimen is at n probe positions.

    Attributes
    ----------
    potential
        (n,) projected potential in units of detector pixels times scan steps.
    shift
        (n, 2) deflection (dy, dx) of the beam, detector pixels: the gradient of
        `potential` along rows and columns, in pixels per scan step.
    exx, eyy, exy, rotation
        (n,) strain of the crystal, and its rotation in rad from +x (along columns)
        towards +y (down the rows), relative to its grain's own lattice.
    grain
        (n,) int64, number of the grain.
    thickness_nm
        (n,) in nanometres.
    strength
        (n,) how strongly the grain diffracts, from 0.3 (tilted away) to 1.
    """

    potential: Array
    shift: Array
    exx: Array
    eyy: Array
    exy: Array
    rotation: Array
    grain: Array
    thickness_nm: Array
    strength: Array


class Specimen:
    """Says what lies under the probe.

    Parameters
    ----------
    scan_shape
        (rows, columns) that the specimen is laid out for.
    grains
        How many.
    strain
        No strain component, nor the rotation in rad, exceeds this.
    field_px
        No deflection exceeds this, detector pixels.
    thickness_nm
        Mean thickness; it varies by up to 40 %.
    seed
        Equal seeds give equal specimens.
    """

    def __init__(
        self,
        scan_shape: tuple[int, int],
        *,
        grains: int,
        strain: float,
        field_px: float,
        thickness_nm: float,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        self._seeds = rng.uniform(0, 1, (grains, 2)) * scan_shape
        self.grain_angle_rad = rng.uniform(0, np.pi / 2, grains)
        self._potential = _Waves(rng, scan_shape)
        self._strain = [_Waves(rng, scan_shape) for _ in range(4)]
        self._thickness = _Waves(rng, scan_shape)
        self._potential_scale = field_px / self._potential.steepest
        self._strain_scale = strain
        self._thickness_nm = thickness_nm
        self._strength = rng.uniform(0.3, 1.0, grains)

    def at(self, y: Array, x: Array) -> Local:
        """Return what lies at rows `y` and columns `x`, (n,) each, in scan steps."""
        exx, eyy, exy, rotation = (
            self._strain_scale * waves.value(y, x) for waves in self._strain
        )
        distance = (y[:, None] - self._seeds[:, 0]) ** 2 + (
            x[:, None] - self._seeds[:, 1]
        ) ** 2
        grain = distance.argmin(axis=1)
        return Local(
            potential=self._potential_scale * self._potential.value(y, x),
            shift=self._potential_scale * self._potential.gradient(y, x),
            exx=exx,
            eyy=eyy,
            exy=exy,
            rotation=rotation,
            grain=grain,
            thickness_nm=self._thickness_nm * (1 + 0.4 * self._thickness.value(y, x)),
            strength=self._strength[grain],
        )

    def lattice(self, local: Local) -> tuple[Array, Array]:
        """Return two reciprocal lattice vectors a*, b* for each position.

        They are (n, 2) as (y, x), of length 1 and at right angles before strain. A
        crystal deformed by F = 1 + strain + rotation diffracts to F⁻ᵀ g.
        """
        angle = self.grain_angle_rad[local.grain]
        f_xx, f_yy = 1 + local.exx, 1 + local.eyy
        f_xy, f_yx = local.exy - local.rotation, local.exy + local.rotation
        determinant = f_xx * f_yy - f_xy * f_yx

        def deformed(gx: Array, gy: Array) -> Array:
            g = np.stack([f_xx * gy - f_xy * gx, f_yy * gx - f_yx * gy], axis=1)
            longer: Array = g / determinant[:, None]
            return longer

        cosine, sine = np.cos(angle), np.sin(angle)
        return deformed(cosine, sine), deformed(-sine, cosine)


class _Waves:
    """A smooth function of the probe position between -1 and 1."""

    def __init__(
        self, rng: np.random.Generator, shape: tuple[int, int], n: int = 3
    ) -> None:
        turns = rng.uniform(0.4, 1.6, (n, 2)) * rng.choice([-1.0, 1.0], (n, 2))
        self._k = 2 * np.pi * turns / np.maximum(shape, _LONGEST_PERIOD)
        self._phase = rng.uniform(0, 2 * np.pi, n)
        amplitude = rng.uniform(0.5, 1.0, n)
        self._amplitude = amplitude / amplitude.sum()

    @property
    def steepest(self) -> float:
        """A slope that is nowhere exceeded, per scan step."""
        return float(self._amplitude @ np.hypot(self._k[:, 0], self._k[:, 1]))

    def _angle(self, y: Array, x: Array) -> Array:
        angle: Array = y[:, None] * self._k[:, 0] + x[:, None] * self._k[:, 1]
        return angle + self._phase

    def value(self, y: Array, x: Array) -> Array:
        """Return (n,) values."""
        value: Array = np.sin(self._angle(y, x)) @ self._amplitude
        return value

    def gradient(self, y: Array, x: Array) -> Array:
        """Return (n, 2) derivatives along y and x, per scan step."""
        slope: Array = np.cos(self._angle(y, x)) @ (self._amplitude[:, None] * self._k)
        return slope
