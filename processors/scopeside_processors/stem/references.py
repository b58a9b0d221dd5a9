"""What a profile may be made of: reference profiles and a background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.interpolate import BSpline

from scopeside import params
from scopeside.errors import ConfigError
from scopeside.params import LocalPath

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]

_FWHM = 4 * np.log(2)


class PeakReference(params.Params):
    """A reference profile that is drawn: Gaussians of one width."""

    peaks: Annotated[tuple[tuple[float, Positive], ...], Field(min_length=1)]
    """[[position, height], …]: in `units`, and counts per pixel or any other scale."""
    width: Positive
    """Full width of each at half of its height, in `units`."""


Reference = LocalPath | PeakReference


class Background(params.Params):
    """What lies under the phases: exactly one of the keys below."""

    power: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None
    """Exponents p of terms a (r / r_mid)^-p with a ≥ 0; r_mid is the middle of the
    range."""
    polynomial: Annotated[int, Field(ge=0, le=12)] | None = None
    """Degree; the terms are Legendre polynomials over the range, of either sign."""
    spline: Annotated[int, Field(ge=1, le=24)] | None = None
    """Pieces of a cubic spline whose coefficients are ≥ 0, and so is the spline."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError("background is exactly one of power, polynomial, spline")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """What profiles are fitted with.

    Attributes
    ----------
    phases
        Names of the phases, the first columns.
    terms
        Names of the terms of the background, the columns behind them.
    columns
        (bins, phases + terms) float64.
    free
        (phases + terms,) bool: may be negative.
    scale
        (phases,) float64: what a phase's share counts per unit of its reference.
    """

    phases: tuple[str, ...]
    terms: tuple[str, ...]
    columns: FloatArray
    free: BoolArray
    scale: FloatArray


def components_of(
    references: Mapping[str, Reference],
    background: Background | None,
    scale: Mapping[str, float],
    r: FloatArray,
    units: str,
) -> Components:
    """Return the components on the bins' middles ``r (bins,)``.

    Raises
    ------
    ConfigError
        If a reference cannot be used; the message names it.
    """
    for name in scale:
        if name not in references:
            known = ", ".join(references)
            raise ConfigError(f"phases.scale: {name!r} is no reference ({known} are)")
    columns = [
        _reference(name, reference, r, units) for name, reference in references.items()
    ]
    terms, more, free = _background(background, r)
    return Components(
        tuple(references),
        terms,
        np.stack([*columns, *more], axis=1),
        np.array([False] * len(columns) + [free] * len(more)),
        np.array([scale.get(name, 1.0) for name in references]),
    )


def gaussian(r: FloatArray, position: float, height: float, fwhm: float) -> FloatArray:
    """Return a Gaussian of full width `fwhm` at half of its height."""
    found: FloatArray = height * np.exp(-_FWHM * ((r - position) / fwhm) ** 2)
    return found


def read_curve(path: Path) -> FloatArray:
    """Read position and value from a .npy or .csv file, (n, 2) float64.

    A .csv file has two columns with a comma; lines that begin with # and a first line
    of words are left out.

    Raises
    ------
    ConfigError
        If the file is not that, or the positions do not ascend.
    """
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            found = _read_text(path)
        curve = np.asarray(found, np.float64)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if curve.ndim != 2 or curve.shape[1] != 2 or len(curve) < 2:
        raise ConfigError(
            f"{path} is {curve.shape}; a reference is (n, 2): position and counts"
        )
    if not np.isfinite(curve).all() or (np.diff(curve[:, 0]) <= 0).any():
        raise ConfigError(f"{path}: positions must ascend and all numbers be finite")
    return curve


def _read_text(path: Path) -> Array:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    if rows and any(character.isalpha() for character in rows[0].replace("e", "")):
        rows = rows[1:]
    return np.loadtxt(rows, delimiter=",", ndmin=2)


def _reference(
    name: str, reference: Reference, r: FloatArray, units: str
) -> FloatArray:
    if isinstance(reference, PeakReference):
        parts = [gaussian(r, at, h, reference.width) for at, h in reference.peaks]
        column: FloatArray = np.sum(parts, axis=0)
        where = "its peaks"
    else:
        try:
            curve = read_curve(reference)
        except ConfigError as error:
            raise ConfigError(f"phases.references.{name}: {error}") from error
        if curve[0, 0] > r[0] or curve[-1, 0] < r[-1]:
            raise ConfigError(
                f"phases.references.{name}: {reference} covers {curve[0, 0]:g} to "
                f"{curve[-1, 0]:g}, the bins {r[0]:g} to {r[-1]:g} {units}: set r_min "
                "and r_max, or units to those of the reference"
            )
        column = np.interp(r, curve[:, 0], curve[:, 1])
        where = str(reference)
    if not column.max() > 1e-9 or column.min() < 0:
        raise ConfigError(
            f"phases.references.{name}: {where} must be positive somewhere between "
            f"{r[0]:g} and {r[-1]:g} {units}, and negative nowhere"
        )
    return column


def _background(
    background: Background | None, r: FloatArray
) -> tuple[tuple[str, ...], list[FloatArray], bool]:
    """Return names and columns of the terms, and whether they are free."""
    if background is None:
        return (), [], False
    if background.power is not None:
        middle = (r[0] + r[-1]) / 2
        powers = [(r / middle) ** -p for p in background.power]
        return tuple(f"r^-{p:g}" for p in background.power), powers, False
    if background.polynomial is not None:
        x = 2 * (r - r[0]) / (r[-1] - r[0]) - 1 if len(r) > 1 else np.zeros(1)
        table = np.polynomial.legendre.legvander(x, background.polynomial)
        names = tuple(f"P{degree}" for degree in range(background.polynomial + 1))
        return names, list(table.T), True
    assert background.spline is not None
    inner = np.linspace(r[0], r[-1], background.spline + 1)
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    table = BSpline.design_matrix(r, knots, 3).toarray()
    return tuple(f"B{k}" for k in range(table.shape[1])), list(table.T), False
