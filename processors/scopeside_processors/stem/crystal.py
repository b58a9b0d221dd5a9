"""A crystal, and how strongly its reflections scatter electrons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside import params
from scopeside.errors import ConfigError, MissingExtraError
from scopeside.params import LocalPath

FloatArray = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(gt=0, lt=180)]

_WEAKEST = 1e-4
"""Reflections below this share of the strongest are left out."""
_ABSENT = 1e-6
"""Of what all atoms in phase would scatter: below it, a factor is rounding."""
_MOST_REFLECTIONS = 50_000


class Atom(params.Params):
    """One atom of the asymmetric unit."""

    element: str
    """Its symbol, such as "Cu"."""
    at: tuple[float, float, float]
    """Position as fractions of the cell."""
    occupancy: float = Field(1.0, gt=0, le=1)
    """Share of the cells in which it is there."""
    u_iso: float = Field(0.0, ge=0)
    """Mean square displacement, Å²."""


class CrystalTable(params.Params):
    """A crystal in the pipeline file."""

    cell: tuple[Positive, Positive, Positive, Angle, Angle, Angle]
    """[a, b, c, alpha, beta, gamma], Å and degrees."""
    spacegroup: str
    """Hermann–Mauguin symbol or number, such as "F m -3 m"."""
    atoms: Annotated[tuple[Atom, ...], Field(min_length=1)]
    """Of the asymmetric unit."""


CrystalSource = LocalPath | CrystalTable
"""Path of a CIF, or a table."""


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """What kinematic diffraction needs of a crystal.

    Attributes
    ----------
    name
        Formula or file name, for people.
    g
        (m, 3) float64, 1/Å, reciprocal lattice vectors; a along x, c* along z.
    hkl
        (m, 3) int64.
    intensity
        (m,) float64, |F|², Å².
    laue
        (k, 3, 3) float64, the operations of its Laue group on such vectors.
    """

    name: str
    g: FloatArray
    hkl: npt.NDArray[np.int64]
    intensity: FloatArray
    laue: FloatArray


def crystal_of(source: CrystalSource, k_max: float) -> Crystal:
    """Return a crystal with its reflections up to ``k_max``, 1/Å.

    Structure factors are F = Σ o f(s) exp(-8π² U s²) exp(2πi h·x) over the atoms of the
    cell, with s = k/2 and the electron scattering factors f of International Tables C
    [1]_.

    Raises
    ------
    MissingExtraError
        If gemmi is not installed.
    ConfigError
        If the crystal cannot be read, or has too many reflections.

    References
    ----------
    .. [1] International Tables for Crystallography C, table 4.3.2.2 (2006),
       doi:10.1107/97809553602060000103
    """
    gemmi = _gemmi()
    structure = _structure(gemmi, source)
    orth = np.array(structure.cell.orth.mat.tolist())
    hkl, g = _lattice_points(np.linalg.inv(orth).T, k_max)
    factor, most = _factors(structure, hkl, g)
    intensity = np.abs(factor) ** 2
    strong = intensity > _WEAKEST * intensity.max(initial=0.0)
    strong &= np.abs(factor) > _ABSENT * most
    if not strong.any():
        raise ConfigError(
            f"orientation: crystal: no reflection lies within {k_max:.3g} 1/Å: set "
            "r_out, or look at the camera length (detector_rad_per_px)"
        )
    name = str(source.name) if not isinstance(source, CrystalTable) else "crystal"
    laue = _laue(structure, orth)
    return Crystal(name, g[strong], hkl[strong], intensity[strong], laue)


def _gemmi() -> Any:
    try:
        import gemmi  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError(
            "orientation with method = 'library'", "gemmi", "crystal"
        ) from error
    return gemmi


def _structure(gemmi: Any, source: CrystalSource) -> Any:
    """Return gemmi's small structure, with a space group and atoms.

    Raises
    ------
    ConfigError
        If the source is of no use.
    """
    where = "orientation: crystal"
    if isinstance(source, CrystalTable):
        structure = _from_table(gemmi, source)
    else:
        try:
            block = gemmi.cif.read(str(source)).sole_block()
            structure = gemmi.make_small_structure_from_block(block)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{where}: {source}: {error}") from error
    if structure.spacegroup is None:
        raise ConfigError(f"{where}: {source!s:.80} names no known space group")
    if not len(structure.sites) or not structure.cell.is_crystal():
        raise ConfigError(f"{where}: {source!s:.80} holds no atoms, or no cell")
    return structure


def _from_table(gemmi: Any, table: CrystalTable) -> Any:
    structure = gemmi.SmallStructure()
    structure.cell = gemmi.UnitCell(*table.cell)
    group = gemmi.find_spacegroup_by_name(table.spacegroup)
    if group is None and table.spacegroup.isdigit():
        group = gemmi.find_spacegroup_by_number(int(table.spacegroup))
    if group is None:
        raise ConfigError(
            "orientation: crystal.spacegroup: expected a symbol such as 'F m -3 m' or "
            f"a number from 1 to 230, found {table.spacegroup!r}"
        )
    structure.spacegroup_hm = group.xhm()
    structure.determine_and_set_spacegroup("2")
    for atom in table.atoms:
        structure.add_site(_site(gemmi, atom))
    structure.setup_cell_images()
    return structure


def _site(gemmi: Any, atom: Atom) -> Any:
    site = gemmi.SmallStructure.Site()
    site.element = gemmi.Element(atom.element)
    if site.element.atomic_number == 0:
        raise ConfigError(
            f"orientation: crystal.atoms: {atom.element!r} is no chemical element"
        )
    site.label = site.type_symbol = atom.element
    site.fract = gemmi.Fractional(*atom.at)
    site.occ, site.u_iso = atom.occupancy, atom.u_iso
    return site


def _lattice_points(
    reciprocal: FloatArray, k_max: float
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the points (hkl, g) of a lattice with 0 < |g| ≤ k_max.

    `reciprocal` (3, 3) has the vectors a*, b*, c* as its columns.
    """
    # |h| ≤ |a| k_max, where a is a row of the inverse.
    most = np.linalg.norm(np.linalg.inv(reciprocal), axis=1) * k_max
    limits = [math.floor(value) for value in most.tolist()]
    if math.prod(2 * n + 1 for n in limits) > 20 * _MOST_REFLECTIONS:
        raise ConfigError(
            f"orientation: crystal: too many reflections lie within {k_max:.3g} 1/Å: "
            "set a smaller r_out"
        )
    ranges = [np.arange(-n, n + 1) for n in limits]
    hkl = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    g = hkl @ reciprocal.T
    length = np.linalg.norm(g, axis=1)
    held = (length > 0) & (length <= k_max)
    return hkl[held], g[held]


def _factors(
    structure: Any, hkl: npt.NDArray[np.int64], g: FloatArray
) -> tuple[npt.NDArray[np.complex128], FloatArray]:
    """Return the structure factors, and those of all atoms in phase, (m,), Å."""
    squared = (g**2).sum(axis=1) / 4
    values, of = np.unique(np.round(squared, 9), return_inverse=True)
    curves: dict[str, FloatArray] = {}
    total, most = np.zeros(len(hkl), np.complex128), np.zeros(len(hkl))
    for site in structure.get_all_unit_cell_sites():
        symbol = site.element.name
        if symbol not in curves:
            curve = site.element.c4322
            if curve is None:
                raise ConfigError(
                    f"orientation: crystal: {symbol} has no tabulated electron "
                    "scattering factor"
                )
            curves[symbol] = np.array([curve.calculate_sf(s2) for s2 in values])[of]
        damped = np.exp(-8 * math.pi**2 * site.u_iso * squared)
        phase = 2 * math.pi * (hkl @ np.array(site.fract.tolist()))
        scattered = site.occ * curves[symbol] * damped
        total += scattered * np.exp(1j * phase)
        most += scattered
    return total, most


def _laue(structure: Any, orth: FloatArray) -> FloatArray:
    """Return the Laue group on Cartesian vectors, (k, 3, 3)."""
    found = [np.array(op.rot) / op.DEN for op in structure.spacegroup.operations()]
    both = np.unique(np.round([*found, *(-rot for rot in found)]), axis=0)
    laue: FloatArray = orth @ both @ np.linalg.inv(orth)
    return laue
