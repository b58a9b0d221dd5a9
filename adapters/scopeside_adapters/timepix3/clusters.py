"""One event for each electron: hits near in time and place become one.

Two hits belong together when they lie within `window` ticks and `radius` pixels (in
rows and in columns) of each other; a cluster is what hangs together that way, as in
single-linkage clustering, which needs only the hits of the last `window` when they are
in the order of time. Its event lies in the pixel of the mean position, weighted with
the time over threshold, at the time of its first hit.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

import numpy as np

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.jit import compiled
from scopeside_adapters.timepix3.places import place
from scopeside_adapters.timepix3.tables import Array

_ADDRESS = (1 << 24) - 1
_MOST = 0xFFFF


@compiled
def find_clusters(
    before: int, window: int, radius: int, width: int, sums: bool, m: Array
) -> None:
    """Place an event for each cluster that has ended before tick `before`.

    With `sums` its value is the sum of the times over threshold, else 1.
    """
    n, at = m[k.HELD], m[k.HELD_AT]
    if n == 0:
        return
    held = m[at : at + 2 * n].copy()
    times = held[::2]
    order = np.argsort(times, kind="mergesort")
    root = np.arange(n)
    oldest = 0
    for i in range(n):
        while times[order[i]] - times[order[oldest]] > window:
            oldest += 1
        for j in range(oldest, i):
            if _near(held[2 * order[i] + 1], held[2 * order[j] + 1], radius, width):
                a, b = _root_of(i, root), _root_of(j, root)
                root[max(a, b)] = min(a, b)
    _place_all(before - window, held, order, root, width, sums, m)


@compiled
def _near(a: int, b: int, radius: int, width: int) -> bool:
    row_a, row_b = (a & _ADDRESS) // width, (b & _ADDRESS) // width
    column = (a & _ADDRESS) - row_a * width - (b & _ADDRESS) + row_b * width
    return abs(row_a - row_b) <= radius and abs(column) <= radius


@compiled
def _root_of(i: int, root: Array) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return int(i)


@compiled
def _place_all(
    before: int, held: Array, order: Array, root: Array, width: int, sums: bool,
    m: Array,
) -> None:  # fmt: skip
    """Place the clusters whose last hit is older; keep the hits of the others."""
    n = len(order)
    last = np.empty(n, np.int64)
    total, down, across = np.zeros(n), np.zeros(n), np.zeros(n)
    size = np.zeros(n, np.int64)
    for i in range(n):
        own = _root_of(i, root)
        event = held[2 * order[i] + 1]
        address, tot = event & _ADDRESS, max((event >> 24) & _MOST, 1)
        last[own] = held[2 * order[i]]
        total[own] += tot
        down[own] += tot * (address // width)
        across[own] += tot * (address % width)
        size[own] += 1
    kept = 0
    for i in range(n):
        own = _root_of(i, root)
        time, event = held[2 * order[i]], held[2 * order[i] + 1]
        if last[own] >= before:
            m[m[k.HELD_AT] + 2 * kept], m[m[k.HELD_AT] + 2 * kept + 1] = time, event
            kept += 1
        elif own == i:
            row, column = int(down[i] / total[i] + 0.5), int(across[i] / total[i] + 0.5)
            value = min(int(total[i]), _MOST) if sums else 1
            m[k.MERGED] += size[i] - 1
            place(time, (value << 24) | (row * width + column), m)
    m[k.HELD] = kept
