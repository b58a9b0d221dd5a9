"""Which frame of a run goes to which place of an array, without I/O.

A scan becomes (rows, columns) or (scans, rows, columns): fly-back frames have no place,
the rows of a snake scan run all in one direction. Listed positions, a part of a scan
and frames without a scan become a list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.scan import Scan

IntArray = npt.NDArray[np.int64]

MAX_PLACES = 1 << 26
"""Places of one export: about 100 bytes of memory are needed for each."""
_CHUNK = 1 << 20
_LIST = {"movie": "time", "tilt_series": "tilt"}
"""Name of the axis of a list of frames, by the kind of the acquisition."""


@dataclass(frozen=True, slots=True)
class Places:
    """The navigation axes of an export.

    Attributes
    ----------
    shape
        Of the navigation axes.
    names
        Of these axes.
    frame
        (n,) int64: which frame belongs to each flat place, -1 for none.
    positions
        (n, 2) or (n, 3) int64: row and column, or scan, row and column of each place
        of a list; None where there is no scan, or the shape itself is that of it.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    frame: IntArray
    positions: IntArray | None = None

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self.frame)


def places_of(
    acquisition: Acquisition,
    total: int,
    frames: tuple[int | None, int | None] | None = None,
) -> Places:
    """Return the places of the frames of an acquisition.

    Parameters
    ----------
    total
        Frames that the run knows of: one more than the last.
    frames
        Only those from the first number up to but not including the second.

    Raises
    ------
    ConfigError
        If `frames` leaves none, or there are too many (`MAX_PLACES`).
    """
    scan = acquisition.scan
    if scan is not None and frames is None:
        _check_number(scan.expected)
        return _of_path(scan) if scan.visited else _of_grid(scan)
    start, stop, _ = slice(*(frames or (None, None))).indices(total)
    if start >= stop:
        raise ConfigError(f"--frames leaves none of the {total} frames of the run")
    _check_number(stop - start)
    return list_of(acquisition, np.arange(start, stop))


def list_of(acquisition: Acquisition, frame: IntArray) -> Places:
    """Return a list of frames; those of a scan that have no position are left out."""
    scan = acquisition.scan
    if scan is None:
        name = _LIST.get(acquisition.kind, "frame")
        return Places((len(frame),), (name,), frame)
    where = scan.position_of(frame)
    frame, where = frame[where >= 0], where[where >= 0]
    if not len(frame):
        raise ConfigError("none of the frames that were asked for has a position")
    return Places((len(frame),), ("position",), frame, _split(where, scan))


def _check_number(places: int) -> None:
    if places > MAX_PLACES:
        raise ConfigError(
            f"the run has places for {places} frames, and {MAX_PLACES} can be exported "
            "at once: name a part with --frames A:B, or leave out what is absent with "
            "--absent skip"
        )


def _of_grid(scan: Scan) -> Places:
    frame = np.full(scan.scans * scan.positions, -1, np.int64)
    for first in range(0, scan.frames, _CHUNK):
        index = np.arange(first, min(first + _CHUNK, scan.frames))
        where = scan.position_of(index)
        frame[where[where >= 0]] = index[where >= 0]
    return Places(scan.result_shape, scan.axes, frame)


def _of_path(scan: Scan) -> Places:
    """Return the places in order of visit; each scan goes over all of them."""
    path = scan.path
    began = scan.offset + np.arange(scan.scans) * scan.period
    frame = (began[:, None] + np.arange(len(path))).reshape(-1)
    where = (np.arange(scan.scans)[:, None] * scan.positions + path).reshape(-1)
    return Places((len(frame),), ("position",), frame, _split(where, scan))


def _split(where: IntArray, scan: Scan) -> IntArray:
    return np.stack(np.unravel_index(where, scan.result_shape), axis=1)
