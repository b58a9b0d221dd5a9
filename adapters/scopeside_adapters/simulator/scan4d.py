"""Diffraction patterns of a crystalline specimen, with everything about them known.

A pattern is the sum of a central disk, Bragg disks in Friedel pairs of equal
intensity, and a diffuse halo; all of it is displaced by the local field and none of it
is cut off by the detector. Its centre of mass is therefore the analytic shift. With
thickness t the electrons are divided like this::

    diffuse   1 - exp(-t / mean_free_path)      rises with thickness, at high angle
    Bragg     the rest times s (0.1 + 0.5 sin²(π t / extinction)), s from 0.3 to 1
              for each grain, as if tilted more or less away from its zone axis
    central   what then remains

and among the Bragg disks by exp(-|g|² / 2 g₀²), g₀ two reciprocal lattice spacings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.params import Params
from scopeside.scan import IntArray, Scan
from scopeside_adapters.simulator.kernels import (
    add_pattern,
    draw_patterns,
    poisson_tables,
)
from scopeside_adapters.simulator.specimen import Local, Specimen
from scopeside_adapters.simulator.state import State

Array = npt.NDArray[Any]
_SAMPLES = 4096  # of a radial profile
_FARTHEST2 = 32  # h² + k²: beyond it a disk would get less than 2 % of the strongest
_EDGES = 5.0  # a disk is 0 beyond its radius plus so many edge widths


class Scan4DParams(Params):
    """``[detector.scan4d]``: the specimen and the optics."""

    semi_angle_px: float = Field(8.0, ge=1.0, le=1000.0)
    """Radius of the disks, pixels."""
    edge_px: float = Field(0.7, ge=0.5, le=10.0)
    """Standard deviation of the blur of their edges, pixels."""
    lattice_px: float = Field(20.0, ge=2.0, le=1000.0)
    """Reciprocal lattice spacing of the square lattice, pixels."""
    grains: int = Field(12, ge=1, le=1000)
    """Number of grains, each with its own lattice rotation."""
    strain: float = Field(0.01, ge=0.0, le=0.1)
    """Largest strain component, and largest lattice rotation within a grain, rad."""
    field_px: float = Field(2.0, ge=0.0, le=100.0)
    """Largest shift of the pattern by the specimen's electrostatic field, pixels."""
    thickness_nm: float = Field(40.0, gt=0.0, le=1000.0)
    """Mean thickness of the specimen, nm."""
    mean_free_path_nm: float = Field(120.0, gt=0.0)
    """Mean free path of diffuse scattering, nm."""
    extinction_nm: float = Field(90.0, gt=0.0)
    """Extinction distance of the Bragg beams, nm."""
    beam_energy_eV: float = Field(300e3, gt=0.0)  # noqa: N815 - the unit is eV
    """Beam energy, eV."""
    semi_angle_rad: float = Field(4e-3, gt=0.0, lt=1.0)
    """Convergence semi-angle, rad; it corresponds to `semi_angle_px`."""
    scan_step_m: float = Field(0.5e-9, gt=0.0)
    """Distance of neighbouring probe positions, m."""

    def reach_px(self) -> float:
        """Return how far a disk extends from its centre, pixels."""
        return self.semi_angle_px + _EDGES * self.edge_px


@dataclass(frozen=True, slots=True)
class Scan4DTruth:
    """What the patterns of a scan were made from.

    Attributes
    ----------
    shift
        (rows, columns, 2) displacement (dy, dx) of the pattern, pixels: its centre of
        mass relative to the centre of the detector, and the gradient of `potential`.
    potential
        (rows, columns) pixels times scan steps.
    exx, eyy, exy, rotation
        (rows, columns) strain; rotation in rad from +x towards +y, on top of the
        grain's own.
    grain
        (rows, columns) int64.
    grain_angle_rad
        (grains,) rotation of each grain's lattice, rad from +x towards +y.
    thickness_nm
        (rows, columns) nm.
    orders
        (disks, 2) int64, Miller indices (h, k) of the disks; the first is (0, 0).
    disk_centres
        (rows, columns, disks, 2) as (y, x), pixels, shift included.
    disk_counts
        (rows, columns, disks) expected electrons in each disk.
    diffuse_counts
        (rows, columns) expected electrons in the halo.
    """

    shift: Array
    potential: Array
    exx: Array
    eyy: Array
    exy: Array
    rotation: Array
    grain: Array
    grain_angle_rad: Array
    thickness_nm: Array
    orders: IntArray
    disk_centres: Array
    disk_counts: Array
    diffuse_counts: Array


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Where the disks of n patterns are, and how many electrons they get."""

    centres: Array  # (n, disks, 2)
    weights: Array  # (n, disks)
    diffuse: Array  # (n,)


class Scan4D:
    """Draws the pattern of any frame of a scan.

    Parameters
    ----------
    params
        Specimen and optics.
    scan
        The path of the beam. Fly-back frames are empty: the beam is blanked.
    frame_shape
        (height, width), pixels.
    electrons
        Expected electrons in a frame while the microscope is in state `nominal`.
    seed
        For specimen and noise.
    nominal
        What doses, shifts and fields of view are relative to.
    """

    def __init__(
        self,
        params: Scan4DParams,
        scan: Scan,
        frame_shape: tuple[int, int],
        *,
        electrons: float,
        seed: int,
        nominal: State,
    ) -> None:
        self.scan = scan
        self.frame_shape = frame_shape
        self.centre_px = ((frame_shape[0] - 1) / 2, (frame_shape[1] - 1) / 2)
        self.specimen = Specimen(
            scan.shape,
            grains=params.grains,
            strain=params.strain,
            field_px=params.field_px,
            thickness_nm=params.thickness_nm,
            seed=seed,
        )
        self._params = params
        self._electrons = electrons
        self._seed = np.uint64(seed)
        self._nominal = nominal
        halo_reach = min(self.centre_px) - params.field_px
        self.orders = _orders(params, halo_reach)
        self._disk = _profile(params.reach_px(), _disk_of(params))
        self._halo = _profile(halo_reach, _halo_of(halo_reach))

    def expected(self, position: int, state: State | None = None) -> Array:
        """Return the expected counts (height, width) at a flat probe position."""
        state = self._nominal if state is None else state
        patterns = self._patterns(self._local(np.array([position]), state), state)
        out = np.empty(self.frame_shape)
        add_pattern(
            out,
            patterns.centres[0],
            patterns.weights[0],
            patterns.diffuse[0],
            self._disk,
            self._halo,
        )
        return out

    def render(self, index: IntArray, out: Array, state: State) -> None:
        """Fill `out` (n, height, width) with the frames `index`, noise and all."""
        position = self.scan.position_of(index)
        patterns = self._patterns(self._local(np.maximum(position, 0), state), state)
        if state.probe is None:
            patterns.weights[position < 0] = 0.0
            patterns.diffuse[position < 0] = 0.0
        draw_patterns(
            patterns.centres,
            patterns.weights,
            patterns.diffuse,
            self._disk,
            self._halo,
            self._seed,
            index,
            poisson_tables(),
            np.iinfo(out.dtype).max,
            out,
        )

    def truth(self) -> Scan4DTruth:
        """Return what every pattern of the scan is made from, in state `nominal`."""
        shape = self.scan.shape
        local = self._local(np.arange(self.scan.positions), self._nominal)
        patterns = self._patterns(local, self._nominal)
        return Scan4DTruth(
            shift=local.shift.reshape(*shape, 2),
            potential=local.potential.reshape(shape),
            exx=local.exx.reshape(shape),
            eyy=local.eyy.reshape(shape),
            exy=local.exy.reshape(shape),
            rotation=local.rotation.reshape(shape),
            grain=local.grain.reshape(shape),
            grain_angle_rad=self.specimen.grain_angle_rad,
            thickness_nm=local.thickness_nm.reshape(shape),
            orders=self.orders,
            disk_centres=patterns.centres.reshape(*shape, -1, 2),
            disk_counts=patterns.weights.reshape(*shape, -1),
            diffuse_counts=patterns.diffuse.reshape(shape),
        )

    def _local(self, position: IntArray, state: State) -> Local:
        """Return the specimen under the probe, wherever the state has moved it."""
        rows, columns = self.scan.shape
        y, x = np.divmod(position, columns)
        if state.probe is not None:
            y, x = (
                np.full(len(position), at * (n - 1))
                for at, n in zip(state.probe, self.scan.shape, strict=True)
            )
        zoom = state.fov_m / self._nominal.fov_m
        dy, dx = (shift / self._params.scan_step_m for shift in state.content_shift_m)
        middle_y, middle_x = (rows - 1) / 2, (columns - 1) / 2
        return self.specimen.at(
            middle_y + (y - middle_y) * zoom - dy, middle_x + (x - middle_x) * zoom - dx
        )

    def _patterns(self, local: Local, state: State) -> _Patterns:
        a, b = self.specimen.lattice(local)
        offsets = self._params.lattice_px * (
            self.orders[:, 0, None] * a[:, None] + self.orders[:, 1, None] * b[:, None]
        )
        electrons = (
            self._electrons * state.electrons_per_A2 / self._nominal.electrons_per_A2
        )
        diffuse, central, bragg = _shares(self._params, local)
        weights = np.exp(-(self.orders**2).sum(axis=1) / 8.0)
        weights[0] = 0.0
        weights /= max(weights.sum(), 1e-300)
        if len(self.orders) == 1:
            central = central + bragg
        counts = bragg[:, None] * weights
        counts[:, 0] = central
        return _Patterns(
            centres=offsets + local.shift[:, None] + self.centre_px,
            weights=electrons * counts,
            diffuse=electrons * diffuse,
        )


def _shares(params: Scan4DParams, local: Local) -> tuple[Array, Array, Array]:
    """Return the shares of the electrons: diffuse, central disk, Bragg disks."""
    coherent = np.exp(-local.thickness_nm / params.mean_free_path_nm)
    phase = np.pi * local.thickness_nm / params.extinction_nm
    diffracted = local.strength * (0.1 + 0.5 * np.sin(phase) ** 2)
    return 1 - coherent, coherent * (1 - diffracted), coherent * diffracted


def _orders(params: Scan4DParams, halo_reach: float) -> IntArray:
    """Return the (h, k) of all disks that lie on the detector whatever happens."""
    # Strain and rotation together lengthen a reciprocal vector by less than this.
    longest = (halo_reach - params.reach_px()) * (1 - 3 * params.strain)
    most = min(max(0, int(longest / params.lattice_px)), math.isqrt(_FARTHEST2))
    h, k = np.mgrid[-most : most + 1, -most : most + 1].reshape(2, -1)
    length2 = h**2 + k**2
    inside = length2 * params.lattice_px**2 <= max(0.0, longest) ** 2
    inside &= length2 <= _FARTHEST2
    inside |= length2 == 0
    by_length = np.lexsort((k[inside], h[inside], length2[inside]))
    return np.stack([h[inside], k[inside]], axis=1)[by_length].astype(np.int64)


def _profile(reach: float, density: Callable[[Array], Array]) -> tuple[Array, float]:
    """Sample a radial density over r² up to `reach`², and make its integral 1."""
    r2 = np.linspace(0.0, reach**2, _SAMPLES)
    profile = density(np.sqrt(r2))
    profile[-1] = 0.0
    # 2π r dr is π d(r²), and the kernel draws straight lines between the samples.
    integral = np.pi * r2[1] * (profile.sum() - profile[0] / 2)
    return profile / integral, reach


def _disk_of(params: Scan4DParams) -> Callable[[Array], Array]:
    """Return a density that is 1 inside the disk and falls off across its edge."""

    def density(r: Array) -> Array:
        inner = (r - params.semi_angle_px) / (params.edge_px * math.sqrt(2))
        return np.array([0.5 * math.erfc(value) for value in inner])

    return density


def _halo_of(reach: float) -> Callable[[Array], Array]:
    """Return a density that is faint on the axis, strong far out, 0 at `reach`."""
    width = reach / 2.5

    def density(r: Array) -> Array:
        q2 = (r / width) ** 2
        halo: Array = (0.2 + q2) * np.exp(-q2 / 2) * (1 - (r / reach) ** 2) ** 2
        return halo

    return density
