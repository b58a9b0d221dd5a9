"""The pair distribution function of a mean electron diffraction profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params
from scopeside.errors import ConfigError, MissingExtraError

FloatArray = npt.NDArray[np.float64]
Share = Annotated[float, Field(gt=0)]


class PdfParams(params.Params):
    """How G(r) is made from a profile."""

    composition: Annotated[dict[str, Share], Field(min_length=1)]
    """Atoms by element, in any proportion: { Si = 1, O = 2 }."""
    q_min: Annotated[float, Field(gt=0)]
    """Where the profile begins to be used, rad/Å: beyond the undiffracted beam."""
    q_max: Annotated[float, Field(gt=0)] | None = None
    """Where it ends, rad/Å; none: with its last bin."""
    degree: int = Field(3, ge=0, le=8)
    """Degree in q of the polynomial that is fitted to F(q) and taken off; 0: none."""
    damping: float = Field(0.0, ge=0)
    """b of the factor exp(-b q²) on F(q), Å²."""
    r_max: float = Field(20.0, gt=0)
    """Where G(r) ends, Å."""
    points: int = Field(400, ge=2, le=20_000)
    """Distances at which G(r) is given, from r_max / points on."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.q_max is not None and self.q_max <= self.q_min:
            raise ValueError(
                f"q_min = {self.q_min:g} must be below q_max = {self.q_max:g}"
            )
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Pdf:
    """G(r), and what it was made from.

    Attributes
    ----------
    r, g
        (points,) Å and Å⁻².
    q, reduced
        (m,) rad/Å and 1/Å: F(q), without its polynomial, before damping.
    scale
        N, what the profile is of the mean squared scattering factor.
    """

    r: FloatArray
    g: FloatArray
    q: FloatArray
    reduced: FloatArray
    scale: float


def pair_distribution(
    q: FloatArray,
    intensity: FloatArray,
    factors: tuple[FloatArray, FloatArray],
    params: PdfParams,
) -> Pdf:
    """Return the reduced pair distribution function of a diffraction profile.

    Parameters
    ----------
    q : (m,) rad/Å, ascending in equal steps, q = 4π sin(θ_B)/λ
    intensity : (m,) counts per pixel, any scale
    factors : (m,) each: ⟨f⟩² and ⟨f²⟩ of the composition, see `scattering`

    Notes
    -----
    ``F(q) = q (I - N ⟨f²⟩) / (N ⟨f⟩²)`` [1]_ with the N that makes it vanish on
    average over the upper half of the range. What is left of inelastic and multiple
    scattering is slow in q: a polynomial without constant is fitted to F and taken
    off [2]_. ``G(r) = 2/π ∫ F(q) exp(-b q²) sin(q r) dq`` by the trapezoidal rule.

    References
    ----------
    .. [1] D. J. H. Cockayne, Annu. Rev. Mater. Res. 37, 159 (2007),
       doi:10.1146/annurev.matsci.35.082803.103337
    .. [2] D. R. G. Mitchell, T. C. Petersen, Microsc. Res. Tech. 75, 153 (2012),
       doi:10.1002/jemt.21038
    """
    squared_mean, mean_square = factors
    upper = q >= (q[0] + q[-1]) / 2
    scale = float(np.mean((intensity / mean_square)[upper]))
    reduced = q * (intensity - scale * mean_square) / (scale * squared_mean)
    if params.degree:
        powers = (q / q[-1])[:, None] ** np.arange(1, params.degree + 1)
        fitted = np.linalg.lstsq(powers, reduced, rcond=None)[0]
        reduced -= powers @ fitted
    step = np.float64(params.r_max / params.points)
    r: FloatArray = np.arange(1, params.points + 1) * step
    weight = np.exp(-params.damping * q**2) * np.gradient(q)
    weight[[0, -1]] /= 2
    g = (2 / np.pi) * (np.sin(r[:, None] * q) @ (weight * reduced))
    return Pdf(r, g, q, reduced, scale)


def scattering(
    composition: Mapping[str, float], q: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ⟨f⟩² and ⟨f²⟩ of electrons at q (rad/Å), (m,) each, Å².

    The factors of neutral atoms are sums of five Gaussians, International Tables for
    Crystallography C, table 4.3.2.2, as gemmi has them; good up to q = 8π rad/Å.

    Raises
    ------
    MissingExtraError
        If gemmi is not installed.
    ConfigError
        If an element is not known.
    """
    try:
        import gemmi  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise MissingExtraError("the result pdf", "gemmi", "crystal") from error
    whole = sum(composition.values())
    mean, mean_square = np.zeros_like(q), np.zeros_like(q)
    for name, share in composition.items():
        table = gemmi.Element(name).c4322
        if gemmi.Element(name).name != name or table is None:
            raise ConfigError(f"pdf.composition: no element {name!r} is known")
        factor = _of_gaussians(table, (q / (4 * np.pi)) ** 2)
        mean += share / whole * factor
        mean_square += share / whole * factor**2
    return mean**2, mean_square


def _of_gaussians(table: Any, stol2: FloatArray) -> FloatArray:
    """Return the sum of Gaussians at (sin θ / λ)², Å."""
    found = np.zeros_like(stol2)
    for a, b in zip(table.a, table.b, strict=True):
        found += a * np.exp(-b * stol2)
    return found
