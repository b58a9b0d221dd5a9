"""Frames of a run by their number or their place in the scan."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scopeside.batch import Array, Batch, IntArray
from scopeside.errors import RunError
from scopeside.ledger import FrameRanges
from scopeside.packed import AnyBatch
from scopeside.runs.locate import frame_of, in_words, merged, runs_of
from scopeside.scan import Scan

if TYPE_CHECKING:
    from scopeside.runs.run import Run

BoolArray = np.ndarray[Any, np.dtype[np.bool_]]


def at(run: Run, indices: IntArray) -> Array:
    """Return frames by number, (n, height, width).

    Raises
    ------
    RunError
        If one is not there.
    """
    found, there = _filled(run, indices)
    if not there.all():
        raise RunError(f"{run.folder}: {_why_not(run, indices[~there])}")
    return found


def masked(run: Run, indices: IntArray) -> np.ma.MaskedArray[Any, Any]:
    """Return frames by number, (n, height, width); those that are not there masked."""
    found, there = _filled(run, indices)
    mask = np.broadcast_to(~there[:, None, None], found.shape)
    # A mask as large as the frames, but only where one is missing.
    return np.ma.MaskedArray(found, mask.copy() if not there.all() else False)


def slices(
    run: Run, first: int, stop: int | None, at_most: int
) -> Iterator[tuple[IntArray, Array]]:
    """Yield (numbers, frames) of what is there, at most so many at a time."""
    stop = run.length if stop is None else min(stop, run.length)
    for begin in range(max(0, first), stop, at_most):
        wanted = np.arange(begin, min(begin + at_most, stop), dtype=np.int64)
        found, there = _filled(run, wanted)
        if there.all():
            yield wanted, found
        elif there.any():
            yield wanted[there], found[there]


def present(run: Run) -> list[tuple[int, int]]:
    """Return the frames that are there, as runs (first, last)."""
    batches = run.batch_entries
    whole = batches["last"] - batches["first"] + 1 == batches["n"]
    solid = batches[whole]
    runs = merged(solid["first"].astype(np.int64), solid["last"].astype(np.int64))
    if whole.all():
        return runs
    ranges = FrameRanges(runs)
    for entry in batches[~whole]:
        for a, b in runs_of(np.sort(run.batch(entry).index)):
            ranges.add(a, b)
    return list(ranges)


def absent(run: Run) -> list[tuple[int, int]]:
    """Return the frames below the run's length that are not there, as runs."""
    return list(FrameRanges(present(run)).holes(0, run.length - 1))


def at_position(run: Run, row: int, column: int, number: int) -> Array:
    """Return the frame of a probe position.

    Raises
    ------
    RunError, IndexError
    """
    scan = _scan_of(run)
    rows, columns = scan.shape
    if not (-rows <= row < rows and -columns <= column < columns):
        raise IndexError(f"position [{row}, {column}] of a scan of {rows}×{columns}")
    if not 0 <= number < scan.scans:
        raise IndexError(f"scan {number} of {scan.scans}")
    row, column = row % rows, column % columns
    frame = frame_of(scan, row, column, number)
    if frame < 0:
        raise RunError(f"position [{row}, {column}] was not visited by the beam")
    return run.frame(frame)


def rows(run: Run, first: int, stop: int, number: int) -> np.ma.MaskedArray[Any, Any]:
    """Return rows of the scan, (n, columns, height, width), absent ones masked."""
    scan = _scan_of(run)
    first, stop, _ = slice(first, stop).indices(scan.shape[0])
    places = np.arange(first * scan.shape[1], stop * scan.shape[1])
    frames = frames_of(scan, number)[places]
    flat = masked(run, frames)
    shape = (max(0, stop - first), scan.shape[1], *run.acquisition.frame_shape)
    return flat.reshape(shape)


def frames_of(scan: Scan, number: int = 0) -> IntArray:
    """Return the frame of each place of scan `number`, (rows · columns,), -1: none."""
    begin = scan.offset + number * scan.period
    taken = np.arange(max(0, begin), max(0, begin + scan.period), dtype=np.int64)
    place = scan.position_of(taken) - number * scan.positions
    there = (place >= 0) & (place < scan.positions)
    found = np.full(scan.positions, -1, np.int64)
    found[place[there]] = taken[there]
    return found


# -----------------------------------------------------------------------------------


def _filled(run: Run, indices: IntArray) -> tuple[Array, BoolArray]:
    """Return room for frames, filled with those that are there, and which these are."""
    out = np.zeros((len(indices), *run.acquisition.frame_shape), run.dtype)
    there = np.zeros(len(indices), bool)
    if not len(indices):
        return out, there
    order = np.argsort(indices, kind="stable")
    wanted = indices[order]
    for entry in run.locator.overlapping(int(wanted[0]), int(wanted[-1])):
        begin = np.searchsorted(wanted, entry["first"], side="left")
        end = np.searchsorted(wanted, entry["last"], side="right")
        missing = order[begin:end][~there[order[begin:end]]]
        if len(missing):
            batch = run.batch(entry)
            source, to = _places(batch.index, indices[missing])
            _take(batch, source, out, missing[to])
            there[missing[to]] = True
    return out, there


def _places(index: IntArray, wanted: IntArray) -> tuple[IntArray, IntArray]:
    """Return where frames are in a batch, and which of `wanted` these are."""
    order = np.argsort(index, kind="stable")
    at = np.searchsorted(index[order], wanted, side="left")
    within = at < len(index)
    source = order[np.where(within, at, 0)]
    hit = within & (index[source] == wanted)
    return source[hit], np.flatnonzero(hit)


def _take(batch: AnyBatch, source: IntArray, out: Array, to: IntArray) -> None:
    """Copy frames of a batch, unpacked, into `out`."""
    if isinstance(batch, Batch):
        for a, b in _stretches(source, to):
            out[to[a] : to[b - 1] + 1] = batch.pixels[source[a] : source[b - 1] + 1]
        return
    for a, b in _stretches(source, to):
        piece = batch.dense(int(source[a]), int(source[b - 1]) + 1)
        out[to[a] : to[b - 1] + 1] = piece.pixels


def _stretches(source: IntArray, to: IntArray) -> Iterator[tuple[int, int]]:
    """Yield stretches [a, b) in which both go up one by one."""
    if not len(source):
        return
    breaks = np.flatnonzero((np.diff(source) != 1) | (np.diff(to) != 1)) + 1
    edges = [0, *breaks.tolist(), len(source)]
    yield from pairwise(edges)


def _scan_of(run: Run) -> Scan:
    scan = run.acquisition.scan
    if scan is None:
        raise RunError(f"{run.folder} is no scan: frames have a number only")
    return scan


def _why_not(run: Run, absent: IntArray) -> str:
    runs = runs_of(np.unique(absent))
    causes = {
        gap.cause
        for gap in run.gaps
        for first, last in runs[:16]
        if gap.first <= last and first <= gap.last
    }
    many = len(absent) > 1
    said = f"frame{'s' if many else ''} {in_words(runs)} {'are' if many else 'is'} "
    return f"{said}not in it{': ' if causes else ''}{', '.join(sorted(causes))}"
