"""Which detection belongs to which track: the best of all one-to-one choices."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scopeside_processors.kernels import spots as kernels

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def near(
    tracks: FloatArray, reach: FloatArray, places: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return pairs of `tracks` (n, 2) and `places` (k, 2) within `reach` (n,), px."""
    order = np.lexsort((places[:, 1], places[:, 0]))
    first = np.searchsorted(places[order, 0], tracks[:, 0] - reach)
    room = 16 * (len(tracks) + len(places)) + 16
    while True:
        pairs = np.empty((room, 2), np.int64)
        n = kernels.near(tracks, reach, places, order, first, pairs)
        if n <= room:
            return pairs[:n, 0].copy(), pairs[:n, 1].copy()
        room = n


def assign(
    track: IntArray, place: IntArray, gain: FloatArray, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return for each pair whether it is chosen, (p,) bool.

    Parameters
    ----------
    track, place : (p,) the pairs that are possible, each once
    gain : (p,) what a pair is worth, above 0; to choose none is worth 0
    shape : number of tracks and of places

    The choice with the largest sum of gains, in which no track and no place stands
    twice. Each connected part of the graph of pairs is solved for itself.
    """
    n, k = shape
    if not len(track):
        return np.zeros(0, np.bool_)
    graph = coo_array((np.ones(len(track)), (track, place + n)), shape=(n + k, n + k))
    _, part = connected_components(graph, directed=False)
    by_part = np.argsort(part[track], kind="stable")
    edges = np.flatnonzero(np.diff(part[track][by_part], prepend=-1, append=-1))
    chosen = np.zeros(len(track), np.bool_)
    for first, stop in pairwise(edges):
        pairs = by_part[first:stop]
        if len(pairs) == 1:
            chosen[pairs] = True
        else:
            chosen[pairs] = _best(track[pairs], place[pairs], gain[pairs])
    return chosen


def _best(track: IntArray, place: IntArray, gain: FloatArray) -> npt.NDArray[np.bool_]:
    rows, row = np.unique(track, return_inverse=True)
    columns, column = np.unique(place, return_inverse=True)
    worth = np.zeros((len(rows), len(columns)))
    worth[row, column] = gain
    partner = np.full(len(rows), -1)
    r, c = linear_sum_assignment(worth, maximize=True)
    partner[r] = c
    return np.asarray(partner[row] == column)
