"""Two-dimensional lattices of diffraction disks: found, compared, and what they say.

Rows of (2, 2) arrays are lattice vectors, (row, column) in pixels.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_TOLERANCE = 0.2
"""A disk belongs to a lattice if it is no further from it, in shortest vectors."""
_FEWEST = 5
"""Disks that make a lattice which nobody has said."""
EXPLAINED = 0.5
"""A lattice has to explain the disks that are there, and have those it explains."""
_MOST_DISKS, _MOST_VECTORS = 40, 24
"""Looked at; more make the search slow and not better."""
_SIMILAR = 0.2
"""Lattice vectors that differ by less, in units of their length, are the same."""


def strain_of(lattices: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the strain of a crystal from its diffraction lattice.

    Parameters
    ----------
    lattices : (…, 2, 2), pixels
    reference : (2, 2), the unstrained lattice in the same basis

    Returns
    -------
    (…, 4) float64
        exx, eyy, exy, rotation: dimensionless, and rad. x is along columns, y along
        rows; positive exx is a crystal that is longer along x, whose disks lie closer.
        Positive rotation turns x (columns) towards y (rows): clockwise on a screen.

    Notes
    -----
    Reciprocal vectors g = g0 · F⁻¹ belong to the deformation F of the crystal; by polar
    decomposition F = R (1 + ε), ε symmetric. See M. J. Hÿtch, E. Snoeck, R. Kilaas,
    Ultramicroscopy 74, 131 (1998), doi:10.1016/S0304-3991(98)00035-7, for the relation,
    and C. Mahr et al., Ultramicroscopy 158, 38 (2015),
    doi:10.1016/j.ultramic.2015.06.011, for nano-beam diffraction.
    """
    with np.errstate(all="ignore"):  # where there is no lattice there is no strain
        change = np.linalg.inv(reference) @ lattices
        # Inverted by hand: numpy refuses a stack in which one has no inverse.
        a, b, c, d = (change[..., i, j] for i in (0, 1) for j in (0, 1))
        f = np.stack([d, -b, -c, a], axis=-1) / (a * d - b * c)[..., None]
        angle = np.arctan2(f[..., 1] - f[..., 2], f[..., 0] + f[..., 3])
        cos, sin = np.cos(angle), np.sin(angle)
        eyy = cos * f[..., 0] - sin * f[..., 2] - 1
        exx = sin * f[..., 1] + cos * f[..., 3] - 1
        exy = (
            cos * f[..., 1] - sin * f[..., 3] + sin * f[..., 0] + cos * f[..., 2]
        ) / 2
    found: FloatArray = np.stack([exx, eyy, exy, angle], axis=-1)
    return found


def to_basis_of(reference: FloatArray, found: FloatArray) -> FloatArray | None:
    """Return the whole numbers T, (2, 2), for which T · `found` is near `reference`.

    None if they are different lattices: T has no inverse of whole numbers, or a vector
    differs by more than a fifth of its length.
    """
    turn: FloatArray = np.rint(reference @ np.linalg.inv(found))
    if abs(abs(np.linalg.det(turn)) - 1) > 1e-6:
        return None
    away = np.linalg.norm(turn @ found - reference, axis=1)
    alike = away <= _SIMILAR * np.linalg.norm(reference, axis=1)
    return turn if alike.all() else None


def reduced(vectors: FloatArray) -> FloatArray:
    """Return the shortest two vectors of a lattice, the first the shorter (Gauss)."""
    a, b = vectors
    while True:
        if a @ a > b @ b:
            a, b = b, a
        times = np.rint((a @ b) / (a @ a))
        if times == 0:
            return np.stack([a, b])
        b = b - times * a


def find_lattice(
    peaks: FloatArray, centre: FloatArray, shortest: float
) -> tuple[FloatArray, FloatArray] | None:
    """Find the lattice that disks form.

    Parameters
    ----------
    peaks : (n, 3), row, column in pixels, and weight; the heaviest first
    centre : (2,) of the undiffracted beam, about: the peak next to it is the origin
    shortest : that a lattice vector can be, pixels

    Returns
    -------
    vectors (2, 2) and origin (2,), or None if there is none
        The pair of vectors between peaks that explains most of them without expecting
        many more, bettered by least squares.
    """
    peaks = peaks[:_MOST_DISKS]
    if len(peaks) < _FEWEST:
        return None
    points = peaks[:, :2]
    origin = points[np.argmin(np.hypot(*(points - centre).T))]
    best, found = 0.0, None
    for pair in itertools.combinations(_candidates(points, shortest), 2):
        vectors = np.stack(pair)
        lengths = np.linalg.norm(vectors, axis=1)
        if abs(np.linalg.det(vectors)) < 0.3 * lengths.prod():
            continue
        if (score := explained(points, origin, vectors)) > best + 1e-9:
            best, found = score, vectors
    if found is None or best < EXPLAINED:
        return None
    return fit_lattice(peaks, reduced(found), origin)


def fit_lattice(
    peaks: FloatArray, vectors: FloatArray, origin: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Better a lattice by least squares; None if fewer than five disks belong to it."""
    for _ in range(4):
        orders, belongs = _orders(peaks[:, :2], origin, vectors)
        design = np.column_stack([orders[belongs], np.ones(int(belongs.sum()))])
        if len(design) < _FEWEST or np.linalg.matrix_rank(design) < 3:
            return None
        root = np.sqrt(peaks[belongs, 2])[:, None]
        fit: Any = np.linalg.lstsq(design * root, peaks[belongs, :2] * root, rcond=None)
        vectors, origin = fit[0][:2], fit[0][2]
        if abs(np.linalg.det(vectors)) < 1.0:
            return None
    return vectors, origin


def orders_of(
    vectors: FloatArray,
    centre: FloatArray,
    shape: tuple[int, int],
    margin: float,
    *,
    within: tuple[float, float] = (0.0, math.inf),
    most: int,
) -> FloatArray:
    """Return the whole numbers (m, 2) of the disks that lie in a frame.

    The nearest to the beam come first, at most `most`; each at least `margin` pixels
    from the frame's edge, and ``within`` (least, most) pixels of the beam.
    """
    # Lines of the lattice lie this far apart, at least.
    apart = abs(np.linalg.det(vectors)) / np.linalg.norm(vectors, axis=1).max()
    reach = min(1 + int(np.hypot(*shape) / apart), 128)
    square = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    orders: FloatArray = square.astype(np.float64)
    at = orders @ vectors + centre
    away = np.hypot(*(at - centre).T)
    high = np.array(shape) - 1 - margin
    held = ((at >= margin) & (at <= high)).all(axis=1)
    held = held & (away >= within[0]) & (away <= within[1])
    near = np.argsort(away[held].round(6), kind="stable")
    found: FloatArray = orders[held][near][:most]
    return found


def _candidates(points: FloatArray, shortest: float) -> list[FloatArray]:
    """Return the shortest vectors between heavy peaks, each once."""
    first = points[:16]
    between = (first[:, None] - first[None]).reshape(-1, 2)
    upper = (between[:, 0] > 1e-9) | (
        (abs(between[:, 0]) <= 1e-9) & (between[:, 1] > 0)
    )
    length = np.hypot(*between.T)
    between = between[upper & (length >= shortest)]
    between = between[np.argsort(np.hypot(*between.T).round(6), kind="stable")]
    kept: list[FloatArray] = []
    for one in between:
        if all(
            min(np.hypot(*(one - k)), np.hypot(*(one + k))) > 0.1 * np.hypot(*k)
            for k in kept
        ):
            kept.append(one)
        if len(kept) == _MOST_VECTORS:
            break
    return kept


def _orders(
    points: FloatArray, origin: FloatArray, vectors: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the whole numbers (n, 2) of points, and which belong to the lattice."""
    exact = (points - origin) @ np.linalg.inv(vectors)
    orders = np.rint(exact)
    away = np.hypot(*((exact - orders) @ vectors).T)
    limit = _TOLERANCE * np.linalg.norm(vectors, axis=1).min()
    return orders, away <= limit


def explained(points: FloatArray, origin: FloatArray, vectors: FloatArray) -> float:
    """Return how well a lattice explains points, from 0 to 1.

    Twice the disks that are explained by those that are there and those that should
    be: a lattice too fine explains all, and expects many that are not there.
    """
    orders, belongs = _orders(points, origin, vectors)
    # Where four fifths of the points are, wherever among them the origin is.
    away = np.sort(np.hypot(*(points - points.mean(axis=0)).T))
    area = math.pi * away[int(0.8 * (len(away) - 1))] ** 2 / 0.8
    those = len(set(map(tuple, orders[belongs].tolist())))
    expected = max(area / abs(np.linalg.det(vectors)), those)
    return float(2 * those / (len(points) + expected))
