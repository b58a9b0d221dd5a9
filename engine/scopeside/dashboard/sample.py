"""The frames that were heard of one acquisition: a sample of its positions."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from scopeside.result import Result

MOST_BYTES = 64 << 20
"""Of frames that are kept; beyond, those heard first go."""
MOST = 4096


class Position(NamedTuple):
    """Where the beam was."""

    scan: int
    row: int
    column: int


class Near(NamedTuple):
    """What lies nearest to a position, and how far: in positions of the scan."""

    at: Position
    result: Result
    away: float


class Sample:
    """Frames by position, of the acquisition heard last; used by several threads.

    A processor of the kind ``frame`` says where the beam was (`position_of`). What is
    kept is bounded: the frames heard first are let go.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._acquisition = ""
        self._frames: dict[Position, Result] = {}
        self._bytes = 0

    @property
    def acquisition(self) -> str:
        """Of which acquisition it is; empty before the first frame."""
        return self._acquisition

    def __len__(self) -> int:
        return len(self._frames)

    def hear(self, result: Result) -> None:
        """Keep a result if it is a frame with a position."""
        position = position_of(result)
        if position is None:
            return
        with self._lock:
            if result.meta.get("acq") != self._acquisition:
                self._forget(str(result.meta.get("acq")))
            self._let_go(position)
            self._frames[position] = result
            self._bytes += result.data.nbytes
            while self._bytes > self._most_bytes or len(self._frames) > MOST:
                self._let_go(next(iter(self._frames)))

    def forget(self) -> None:
        """Keep nothing, as when another engine is looked at."""
        with self._lock:
            self._forget("")

    def nearest(
        self, acquisition: str, row: int, column: int, scan: int | None = None
    ) -> Near | None:
        """Return what lies nearest to a position; None if there is nothing.

        `scan`: number of the scan from 0; None: any, of equals the one heard last.
        """
        with self._lock:
            if acquisition != self._acquisition:
                return None
            known = [at for at in self._frames if scan is None or at.scan == scan]
            if not known:
                return None
            places = np.array(known, np.int64)
            away = np.hypot(places[:, 1] - row, places[:, 2] - column)
            found = len(known) - 1 - int(np.argmin(away[::-1]))
            at = known[found]
            return Near(at, self._frames[at], float(away[found]))

    # ---------------------------------------------------------------------------

    def _forget(self, acquisition: str) -> None:
        self._acquisition, self._frames, self._bytes = acquisition, {}, 0

    def _let_go(self, position: Position) -> None:
        gone = self._frames.pop(position, None)
        if gone is not None:
            self._bytes -= gone.data.nbytes


def position_of(result: Result) -> Position | None:
    """Return where the beam was in a result that is one frame; None for any other."""
    meta = result.meta
    one_frame = result.kind == "image" and result.valid and result.used == 1
    if not one_frame or not isinstance(result.data, np.ndarray):
        return None
    numbers = [meta.get(name) for name in Position._fields]
    if result.data.ndim != 2 or not all(type(n) is int for n in numbers):
        return None
    return Position(meta["scan"], meta["row"], meta["column"])
