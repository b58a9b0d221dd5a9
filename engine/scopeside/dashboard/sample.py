"""The frames that were heard of one acquisition: a sample of its positions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

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

    A processor of the kind ``frame`` says where the beam was (`frames_of`), of the
    newest frame, and with ``sample`` of the last patterns, which are small. A picture
    with all its pixels stays where a small one of the same frame comes. What is kept is
    bounded: the frames heard first are let go.
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
        """Keep a result if it is a frame with a position, or several."""
        for position, frame in frames_of(result):
            with self._lock:
                if result.meta.get("acq") != self._acquisition:
                    self._forget(str(result.meta.get("acq")))
                self._keep(position, frame)

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

    def positions(self, acquisition: str, scan: int | None = None) -> list[Position]:
        """Return those that are kept of an acquisition, or of one of its scans."""
        with self._lock:
            if acquisition != self._acquisition:
                return []
            return [at for at in self._frames if scan is None or at.scan == scan]

    # ---------------------------------------------------------------------------

    def _keep(self, position: Position, frame: Result) -> None:
        known = self._frames.get(position)
        # The small ones come again with each picture until newer ones are the last.
        is_same = known is not None and known.frame == frame.frame
        if known is not None and is_same and known.data.size >= frame.data.size:
            return
        self._let_go(position)
        if frame.data.base is not None:  # a part of many would keep all of them alive
            frame = replace(frame, data=frame.data.copy())
        self._frames[position] = frame
        self._bytes += frame.data.nbytes
        while self._bytes > self._most_bytes or len(self._frames) > MOST:
            self._let_go(next(iter(self._frames)))

    def _forget(self, acquisition: str) -> None:
        self._acquisition, self._frames, self._bytes = acquisition, {}, 0

    def _let_go(self, position: Position) -> None:
        gone = self._frames.pop(position, None)
        if gone is not None:
            self._bytes -= gone.data.nbytes


def frames_of(result: Result) -> Iterator[tuple[Position, Result]]:
    """Yield the frames with a position that a result has; nothing of any other."""
    position = position_of(result)
    if position is not None:
        yield position, result
    data, meta = result.data, result.meta
    lists: list[Any] = [meta.get(name) for name in ("index", "t_ns", *Position._fields)]
    if not (result.valid and isinstance(data, np.ndarray) and data.ndim == 3):
        return
    if not all(isinstance(one, list) and len(one) == len(data) for one in lists):
        return
    for k, frame in enumerate(data):
        numbers: list[Any] = [one[k] for one in lists]
        if not all(type(n) is int for n in numbers):
            return
        index, t_ns, *place = numbers
        at = Position(*place)
        about = {**meta, "index": index, "t_frame_ns": t_ns, **at._asdict()}
        yield (
            at,
            Result(
                "frame",
                frame,
                frame=index,
                first=index,
                used=1,
                expected=1,
                units=result.units,
                axes=("y", "x"),
                meta=about,
            ),
        )


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
