"""Cells of the detector that stand out from their neighbours in every frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels.defects import alone

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

_LOOKS = (8, 16, 32, 64)
"""Frames after which the first window is looked at; later ones are at their end."""
_MOST = 65536
_FEW, _SHARE = 8, 0.003
"""More cells than these are no defects; the share is of all cells."""


class Defects:
    """Finds hot and dead pixels by what stays where it is on the detector.

    A pixel counts as bad if the mean of its cell differs from its neighbours by more
    than noise and gain allow, and that within one cell: no specimen that is seen
    through a lens does.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sum = np.zeros(shape, np.float32)
        self._frames = 0
        self._first = True
        self.cells: IntArray = np.zeros((0, 2), np.int64)
        """(n, 2): row and column of each bad cell."""

    def take(self, image: Array) -> IntArray:
        """Take in a binned frame; return the bad cells that were not known before."""
        self._sum += image
        self._frames += 1
        last = self._frames == _LOOKS[-1]
        new = np.zeros((0, 2), np.int64)
        if last or (self._first and self._frames in _LOOKS):
            new = self._look(replace=last)
        if last:
            self._sum[:] = 0
            self._frames, self._first = 0, False
        return new

    def _look(self, *, replace: bool) -> IntArray:
        found = np.zeros((_MOST, 2), np.int64)
        cells = found[: alone(self._sum, found)]
        if len(cells) > max(_FEW, _SHARE * self._sum.size):
            cells = cells[
                :0
            ]  # fine structure of the specimen, or of a compressed video
        width = self._sum.shape[1]
        flat, known = cells @ [width, 1], self.cells @ [width, 1]
        new = cells[~np.isin(flat, known)]
        kept = cells if replace else np.concatenate([self.cells, new])
        self.cells = np.ascontiguousarray(kept, np.int64)
        return new

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {
            "sum": self._sum,
            "frames": self._frames,
            "first": self._first,
            "cells": self.cells,
        }

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._sum[:] = state["sum"]
        self._frames, self._first = state["frames"], state["first"]
        self.cells = np.array(state["cells"], np.int64).reshape(-1, 2)
