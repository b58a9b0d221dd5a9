"""From where the beam was on the camera to its deflection in the scan's axes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_REST_EV = 510998.95
_VACUUM = 8.8541878128e-12
"""Permittivity, F/m; both CODATA 2018."""
_AROUND = [(i, j) for i in (0, 1, 2) for j in (0, 1, 2) if (i, j) != (1, 1)]


def fit_plane(positions: FloatArray, known: BoolArray) -> FloatArray:
    """Return the planes over the scan that lie closest to positions on the camera.

    Parameters
    ----------
    positions : (…, rows, columns, 2)
    known : (…, rows, columns), those that count

    Returns
    -------
    (2, 3) float64
        Of y and of x: at scan position (0, 0), per row, per column. Along a direction
        in which there is but one position the slope is 0; without any all are.
    """
    count = int(known.sum())
    plane = np.zeros((2, 3))
    if not count:
        return plane
    row, column = np.ogrid[: known.shape[-2], : known.shape[-1]]
    middle = [float((known * place).sum()) / count for place in (row, column)]
    # Sums of products, not a product of matrices: their order is always the same.
    away = [known * (row - middle[0]), known * (column - middle[1])]
    square = np.array([[(a * b).sum() for b in away] for a in away])
    inverse = np.linalg.pinv(square, rcond=1e-9, hermitian=True)
    for axis in (0, 1):
        values = np.where(known, positions[..., axis], 0.0)
        mean = values.sum() / count
        slope = inverse @ [(a * values).sum() for a in away]
        plane[axis] = mean - slope[0] * middle[0] - slope[1] * middle[1], *slope
    return plane


def plane_over(plane: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return ``plane (2, 3)`` at each position of a scan, (rows, columns, 2)."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    return np.stack([p[0] + p[1] * row + p[2] * column for p in plane], axis=-1)


def turned(vectors: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return ``matrix (2, 2)`` times each of ``vectors (…, 2)``."""
    y, x = vectors[..., 0], vectors[..., 1]
    return np.stack([row[0] * y + row[1] * x for row in matrix], axis=-1)


def filled(field: FloatArray, known: BoolArray, holes: BoolArray) -> FloatArray:
    """Return a field that is known everywhere, for an integration over all of it.

    Parameters
    ----------
    field : (rows, columns, 2)
    known : (rows, columns), where it is known
    holes : (rows, columns), where a frame had no value; they get the mean of those of
        their eight neighbours that are known

    Where nothing is known it gets the mean of all that is: there the mean deflection,
    which has no image, goes on.
    """
    out = field.copy()
    count = int(known.sum())
    for axis in (0, 1):
        values = np.where(known, field[..., axis], 0.0)
        out[~known, axis] = values.sum() / count if count else 0.0
    around = np.zeros(known.shape)
    sums = np.zeros(field.shape)
    if holes.any():
        rows, columns = known.shape
        edged = np.pad(known, 1)
        values = np.where(known[..., None], field, 0.0)
        values = np.pad(values, ((1, 1), (1, 1), (0, 0)))
        for i, j in _AROUND:
            around += edged[i : i + rows, j : j + columns]
            sums += values[i : i + rows, j : j + columns]
    near = holes & (around > 0)
    out[near] = sums[near] / around[near][:, None]
    return out


def volts_per_radian(beam_energy_eV: float) -> float:  # noqa: N803 - a unit is not a word
    """Return p v / e of the beam's electrons, volts.

    A thin specimen with the projected field E = ∫ E⊥ dz (volts) turns them by the angle
    θ = -e E / (p v) [1]_: towards positive charge, against the field.

    References
    ----------
    .. [1] K. Müller et al., Nature Communications 5, 5653 (2014),
       doi:10.1038/ncomms6653
    """
    energy = beam_energy_eV
    return energy * (energy + 2 * _REST_EV) / (energy + _REST_EV)


def charge_per_divergence(beam_energy_eV: float) -> float:  # noqa: N803 - as above
    """Return what turns -div θ (rad/m) into projected charge density, (C/m²)/(rad/m).

    Gauss' law for the projected field: σ = ε₀ div E = -ε₀ (p v / e) div θ.
    """
    return _VACUUM * volts_per_radian(beam_energy_eV)
