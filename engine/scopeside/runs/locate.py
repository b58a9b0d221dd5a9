"""Which record holds which frame."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from scopeside.scan import Scan

Entries = npt.NDArray[np.void]
IntArray = npt.NDArray[np.int64]
Run = tuple[int, int]
"""First and last of frames that follow each other."""


class Locator:
    """Finds the batches of frames, whatever the order in which they came."""

    def __init__(self, batches: Entries) -> None:
        order = np.argsort(batches["first"], kind="stable")
        self._batches = batches[order]
        # No batch before this place reaches as far as this frame.
        self._reach = np.maximum.accumulate(self._batches["last"])

    def overlapping(self, first: int, last: int) -> Entries:
        """Return the batches that may hold frames of `first` to `last`, as received."""
        begin = int(np.searchsorted(self._reach, first, side="left"))
        end = int(np.searchsorted(self._batches["first"], last, side="right"))
        found = self._batches[begin:end]
        found = found[found["last"] >= first]
        return found[np.argsort(found["record"], kind="stable")]


def merged(first: IntArray, last: IntArray) -> list[Run]:
    """Return ranges of frames as disjoint runs in order; ranges that touch are one."""
    if not len(first):
        return []
    order = np.argsort(first, kind="stable")
    first, reach = first[order], np.maximum.accumulate(last[order])
    begins = np.flatnonzero(np.append(True, first[1:] > reach[:-1] + 1))
    ends = np.append(begins[1:], len(first)) - 1
    return list(zip(first[begins].tolist(), reach[ends].tolist(), strict=True))


def runs_of(index: IntArray) -> list[Run]:
    """Return single frames, ascending, as runs."""
    return merged(index, index)


def in_words(runs: Iterable[Run], at_most: int = 4) -> str:
    """Return frames for a message: ``3, 7 to 9 and 12 to 20``."""
    told = [str(a) if a == b else f"{a} to {b}" for a, b in runs]
    if len(told) > at_most:
        told[at_most:] = [f"{len(told) - at_most} stretches more"]
    return " and ".join(filter(None, [", ".join(told[:-1]), told[-1]]))


def frame_of(scan: Scan, row: int, column: int, number: int = 0) -> int:
    """Return the frame that was taken at a position in scan `number`, -1 if none was.

    It is the inverse of `Scan.position_of`.
    """
    if scan.visited:
        visits = np.flatnonzero(scan.path == row * scan.shape[1] + column)
        if not len(visits):
            return -1
        within = int(visits[0])
    else:
        back = scan.pattern == "snake" and row % 2 == 1
        within = row * scan.line_frames + (
            scan.shape[1] - 1 - column if back else column
        )
    return max(-1, scan.offset + number * scan.period + within)
