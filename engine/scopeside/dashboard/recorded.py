"""Frames of the run that is being recorded, or was: exactly that of a position."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scopeside.batch import Array
from scopeside.errors import RunError
from scopeside.runs.locate import frame_of
from scopeside.runs.run import Run, open_run


class Recorded(NamedTuple):
    """A frame of a run.

    Attributes
    ----------
    frame
        (height, width), counts.
    number
        The detector's count.
    time_ns
        Its time stamp, ns since 1970 UTC.
    """

    frame: Array
    number: int
    time_ns: int


class Recordings:
    """Keeps one run open for reading; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run: Run | None = None

    def close(self) -> None:
        """Let go of the run."""
        with self._lock:
            self._close()

    def at(self, folder: Path, row: int, column: int, scan: int) -> Recorded:
        """Return the frame of a position of the run in `folder`.

        Raises
        ------
        RunError
            If there is no such run, position or frame; the message says why.
        """
        with self._lock:
            run = self._fresh(folder)
            number = _number_of(run, row, column, scan)
            _check_there(run, number)
            return Recorded(run.at(row, column, scan), number, _time_of(run, number))

    def frame(self, folder: Path, number: int) -> Recorded:
        """Return a frame of the run in `folder` by its number.

        Raises
        ------
        RunError
            If there is no such run or frame; the message says why.
        """
        with self._lock:
            run = self._fresh(folder)
            _check_there(run, number)
            return Recorded(run.frame(number), number, _time_of(run, number))

    def there(self, folder: Path) -> list[tuple[int, int]]:
        """Return the frames that are there by now, as runs (first, last).

        Raises
        ------
        RunError
            If there is no such run.
        """
        with self._lock:
            return self._fresh(folder).present()

    # ---------------------------------------------------------------------------

    def _fresh(self, folder: Path) -> Run:
        """Return the run as far as it has come."""
        run = self._opened(folder)
        if run.growing:
            run.refresh()
        return run

    def _opened(self, folder: Path) -> Run:
        if self._run is None or self._run.folder != folder:
            self._close()
            self._run = open_run(folder)
        return self._run

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None


def folder_of(status: Mapping[str, Any], acquisition: str) -> Path | None:
    """Return where an acquisition is, or was, recorded; `status`: that of an engine."""
    record = status.get("record") or {}
    under_way = (record.get("open") or {}).get(acquisition) or {}
    folder = under_way.get("folder") or (record.get("folders") or {}).get(acquisition)
    return None if folder is None else Path(folder)


def _check_there(run: Run, number: int) -> None:
    if number >= run.length or number < 0:
        so_far = " so far" if run.growing else ""
        raise RunError(
            f"it is frame {number:,}, and {run.length:,} frames are recorded{so_far}"
        )


def _number_of(run: Run, row: int, column: int, scan: int) -> int:
    path = run.acquisition.scan
    if path is None:
        raise RunError(f"{run.folder.name} is no scan: its frames have no position")
    rows, columns = path.shape
    if not (0 <= row < rows and 0 <= column < columns and 0 <= scan < path.scans):
        raise RunError(
            f"there is no position [{row}, {column}] in scan {scan}: {path.scans} of "
            f"{rows}×{columns}"
        )
    return frame_of(path, row, column, scan)


def _time_of(run: Run, number: int) -> int:
    for entry in run.locator.overlapping(number, number):
        batch = run.batch(entry)
        found = np.flatnonzero(batch.index == number)
        if len(found):
            return int(batch.timestamp_ns[found[0]])
    return 0
