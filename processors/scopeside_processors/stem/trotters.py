"""The lenses, or trotters, in which two diffracted disks overlap.

A weak object with the transmission 1 + o(r) brings to the pattern at angle k, at the
spatial frequency Q of the scan [1]_,

    G(k, Q) = A*(k) A(k - Q) O(Q) + A(k) A*(k + Q) O*(-Q),

with the aperture function A. Lens + of Q are the cells of the disk that lie under the
disk moved by Q and not under the one moved by -Q; lens - the other way about. G is
summed over each, with the phase that the aberrations give it taken off. What A brings
to these sums is a matrix of 2 by 2, from the amplitude as it is, soft edge included;
its inverse turns them into O(Q) and O*(-Q).

References
----------
.. [1] J. M. Rodenburg, B. C. McCallum, P. D. Nellist, Ultramicroscopy 48, 304-314
   (1993), doi:10.1016/0304-3991(93)90105-7; T. J. Pennycook et al.,
   Ultramicroscopy 151, 160-167 (2015), doi:10.1016/j.ultramic.2014.09.013
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels import ssb as kernels
from scopeside_processors.stem.overlaps import Cells, Overlaps
from scopeside_processors.stem.probe import Aberrations

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SCRATCH = 1 << 20
_SINGULAR = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Trotters:
    """The lenses of all frequencies of `Overlaps`.

    Attributes
    ----------
    columns, lines
        Where the frequencies of each kx begin, (kx + 1,) int64; ky modulo the rows
        of the scan, (q,) int64.
    runs, bounds
        (r, 2) int64, first and one past the last cell; (2 q + 1,) int64, where those
        of each lens begin. With aberrations.
    edges, edge_bounds
        The ends of the runs, for `kernels.add_lenses`. Without aberrations.
    weights
        (2, w) float32, real and imaginary parts, of the cells of all runs. With
        aberrations.
    inverse
        (q, 2, 2) complex128, from the sums over both lenses to O(Q) and O*(-Q); 0
        where a phase and an amplitude cannot be told apart.
    weighted
        Whether there are aberrations.
    """

    columns: IntArray
    lines: IntArray
    runs: IntArray
    bounds: IntArray
    edges: npt.NDArray[np.uint16]
    edge_bounds: IntArray
    weights: npt.NDArray[np.float32]
    inverse: npt.NDArray[np.complex128]
    weighted: bool

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        arrays = (self.runs, self.bounds, self.edges, self.edge_bounds, self.weights)
        return sum(array.nbytes for array in arrays) + self.inverse.nbytes


@lru_cache(maxsize=4)
def trotters_of(
    overlaps: Overlaps, cells: Cells, aberrations: Aberrations, cutoff: float
) -> Trotters:
    """Return the lenses; the last ones are kept.

    Parameters
    ----------
    cutoff
        Where the lenses bring a phase this share of the disk, a frequency beyond the
        semi-angle is damped to a half, see `_damping`.
    """
    weighted = not aberrations.none
    runs, counts, weights, norms = (
        np.concatenate(part)
        for part in zip(
            *_pieces(
                overlaps, cells, aberrations.kick(overlaps.wavelength_m), weighted
            ),
            strict=True,
        )
    )
    bounds = np.concatenate([[0], np.cumsum(counts.ravel())])
    edges, edge_bounds = _edges(runs, counts.ravel(), cells.starts)
    ky, kx = overlaps.frequencies.T
    nothing = np.empty((0, 2), np.int64)
    return Trotters(
        np.searchsorted(kx, np.arange(kx.max() + 2)),
        ky % overlaps.scan_shape[0],
        runs if weighted else nothing,
        bounds if weighted else nothing[:, 0],
        edges[:0] if weighted else edges,
        nothing[:, 0] if weighted else edge_bounds,
        np.stack([weights.real, weights.imag]),
        _inverse(norms, overlaps, cells, cutoff),
        weighted,
    )


def edges_of_some(overlaps: Overlaps, cells: Cells, most: int) -> tuple[float, float]:
    """Return how many ends of runs, and how many cells, the lenses of a Q have.

    The mean over every so many frequencies, so that it is about `most` of them.
    """
    every = max(1, len(overlaps.frequencies) // most)
    ends = held = frequencies = 0
    for runs, counts, _, _ in _pieces(overlaps, cells, np.zeros(4), False, every):
        ends += len(runs) + int((~np.isin(runs[:, 0], cells.starts)).sum())
        held += int((runs[:, 1] - runs[:, 0]).sum())
        frequencies += len(counts)
    return ends / frequencies, held / frequencies


def _pieces(
    overlaps: Overlaps,
    cells: Cells,
    kick: FloatArray,
    weighted: bool,
    every: int = 1,
) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Yield runs, their counts, weights and norms of a few frequencies at a time."""
    shifts, angles = overlaps.shifts[::every], overlaps.angles[::every]
    size = max(1, _SCRATCH // cells.count)
    runs = np.empty((size * (cells.count + 2), 2), np.int64)
    weights = np.empty(size * cells.count if weighted else 0, np.complex64)
    for start in range(0, len(shifts), size):
        part = slice(start, start + size)
        n = len(shifts[part])
        counts, norms = np.empty((n, 2), np.int64), np.empty((n, 2, 2), np.complex128)
        found, filled = kernels.find_lenses(
            overlaps.disk,
            cells.rows,
            cells.origin + overlaps.margin,
            cells.side,
            shifts[part],
            angles[part],
            overlaps.by_pixel,
            kick,
            runs,
            counts,
            weights,
            norms,
        )
        yield runs[:found].copy(), counts, weights[:filled].copy(), norms


def _edges(
    runs: IntArray, counts: IntArray, starts: IntArray
) -> tuple[npt.NDArray[np.uint16], IntArray]:
    """Return the columns to add and to subtract, for each lens in turn.

    Where a run begins with a stretch of cells there is nothing to subtract.
    """
    lens = np.repeat(np.arange(len(counts)), counts)
    within = ~np.isin(runs[:, 0], starts)
    turn = np.concatenate([2 * lens, 2 * lens[within] + 1])
    ends = np.concatenate([runs[:, 1], runs[within, 0]])
    order = np.argsort(turn, kind="stable")
    bounds = np.searchsorted(turn[order], np.arange(2 * len(counts) + 1))
    return ends[order].astype(np.uint16), bounds


def _inverse(
    norms: npt.NDArray[np.complex128], overlaps: Overlaps, cells: Cells, cutoff: float
) -> npt.NDArray[np.complex128]:
    """Return the inverse of each (2, 2), damped; 0 where there is none."""
    direct = norms[:, [0, 1], [0, 1]].real
    crossed = np.abs(norms[:, [0, 1], [1, 0]])
    share = (direct - crossed).sum(axis=1) / cells.energy
    determinant = norms[:, 0, 0] * norms[:, 1, 1] - norms[:, 0, 1] * norms[:, 1, 0]
    kept = (direct > 0).all(axis=1) & (share > 0)
    kept &= np.abs(determinant) > _SINGULAR * direct.prod(axis=1)
    inverse = np.zeros_like(norms)
    inverse[kept] = np.linalg.inv(norms[kept])
    high = np.hypot(*overlaps.angles.T) > overlaps.semi_angle_rad
    damping = np.where(high & kept, _damping(share, cutoff), 1.0)
    return inverse * damping[:, None, None]


def _damping(share: FloatArray, cutoff: float) -> FloatArray:
    """Return s²/(s² + c²), for what share s of the disk brings a phase.

    Towards twice the semi-angle the overlap vanishes, and the noise, which goes with
    1/s, would drown all other frequencies.
    """
    damping: FloatArray = share**2 / np.maximum(share**2 + cutoff**2, 1e-300)
    return damping
