"""A recorded run, read lazily: also while it is being written."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Array, IntArray
from scopeside.errors import RunError
from scopeside.packed import AnyBatch
from scopeside.runs import follow, frames, lock, manifest
from scopeside.runs.form import LINE, RecordHead, check_body, unpack
from scopeside.runs.index import Index
from scopeside.runs.locate import Locator
from scopeside.runs.message import batch_of
from scopeside.runs.scan import beyond
from scopeside.wire import Kind, Message


class Gap(NamedTuple):
    """Frames `first` to `last` that are not in the run, and why."""

    first: int
    last: int
    cause: str


class Run:
    """A run on disk.

    ``run[i]`` is frame i, ``run[a:b]`` are frames a up to b, as arrays; nothing else is
    read or copied. Frames are counted as the detector counts them. A frame that is not
    there is an error that names it, or masked (`masked`, `scan_rows`), never zeros.

    Attributes
    ----------
    folder
        Where it lies.
    manifest
        What ``manifest.json`` says; `refresh` reads it again.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = {}
        self._index = Index()
        self._verify = verify
        self._verified = np.zeros(0, bool)
        self._maps: dict[int, mmap.mmap] = {}
        self._manifest_was: tuple[int, ...] = ()
        self._batches = self._locator = self._gaps = None  # type: Any
        self._acquisition: Acquisition | None = None
        self.refresh()
        self._look_beyond()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files. Arrays that are in use keep theirs."""
        self._maps.clear()

    # -- what it is -------------------------------------------------------------

    @property
    def acquisition(self) -> Acquisition:
        """What was recorded."""
        if self._acquisition is None:
            self._acquisition = Acquisition.from_dict(self.manifest["acquisition"])
        return self._acquisition

    @property
    def growing(self) -> bool:
        """Whether it is being written, or its writer has died and nobody mended it."""
        return bool(self.manifest["state"] == manifest.RECORDING)

    @property
    def frames(self) -> int:
        """Frames that are there."""
        return int(self.batch_entries["n"].sum())

    @property
    def entries(self) -> npt.NDArray[np.void]:
        """Index of all records so far, (n,) of `scopeside.runs.form.ENTRY`."""
        return self._index.entries

    @property
    def batch_entries(self) -> npt.NDArray[np.void]:
        """Entries of the batches, in the order in which they were received."""
        if self._batches is None:
            self._batches = self.entries[self.entries["kind"] == Kind.BATCH]
        found: npt.NDArray[np.void] = self._batches
        return found

    @property
    def gaps(self) -> list[Gap]:
        """Frames that were lost, by the detector or the recorder, as declared."""
        if self._gaps is None:
            entries = self.entries[self.entries["kind"] == Kind.GAP]
            headers = [self.message(entry).header for entry in entries]
            self._gaps = [
                Gap(said["first"], said["last"], said["cause"])
                for said in headers
                if said["first"] >= 0  # else a damaged record, nobody knows of what
            ]
        found: list[Gap] = self._gaps
        return found

    @property
    def length(self) -> int:
        """Highest frame that is there or declared lost, plus 1."""
        return int(self.entries["last"].max(initial=-1)) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(`length`, height, width)."""
        return (self.length, *self.acquisition.frame_shape)

    @property
    def scan_shape(self) -> tuple[int, int] | None:
        """(rows, columns) of probe positions, None without a scan."""
        return self.acquisition.scan_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a pixel."""
        return self.acquisition.dtype

    @property
    def locator(self) -> Locator:
        """Finds the batches of frames."""
        if self._locator is None:
            self._locator = Locator(self.batch_entries)
        found: Locator = self._locator
        return found

    # -- frames -----------------------------------------------------------------

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, which: int | slice) -> Array:
        """Return a frame, (height, width), or several, (n, height, width), as a copy.

        Raises
        ------
        RunError
            If one of them is not there.
        IndexError
        """
        if isinstance(which, slice):
            return self.frames_at(range(*which.indices(self.length)))
        number = which.__index__()
        if not -self.length <= number < self.length:
            raise IndexError(f"frame {number} of a run of {self.length} frames")
        return self.frame(number % self.length)

    def frame(self, index: int) -> Array:
        """Return frame `index`, (height, width), as a copy.

        Raises
        ------
        RunError
            If it is not there; the message says why.
        """
        found: Array = self.frames_at([index])[0]
        return found

    def frames_at(self, indices: npt.ArrayLike | range) -> Array:
        """Return frames by number, (n, height, width), as a copy, in that order.

        Raises
        ------
        RunError
            If one of them is not there; the message names those and says why.
        """
        return frames.at(self, np.asarray(indices, np.int64))

    def masked(self, first: int, stop: int) -> np.ma.MaskedArray[Any, Any]:
        """Return frames as ``run[first:stop]``, but with absent ones masked."""
        return frames.masked(self, np.arange(first, stop, dtype=np.int64))

    def slices(
        self, first: int = 0, stop: int | None = None, *, at_most: int = 256
    ) -> Iterator[tuple[IntArray, Array]]:
        """Yield (numbers, frames) of what is there, in order, a few at a time.

        `at_most`: frames in one piece. Absent frames are left out: the numbers say so.
        """
        return frames.slices(self, first, stop, at_most)

    def present(self) -> list[tuple[int, int]]:
        """Return the frames that are there, as runs (first, last)."""
        return frames.present(self)

    def absent(self) -> list[tuple[int, int]]:
        """Return the frames below `length` that are not there, as runs."""
        return frames.absent(self)

    def at(self, row: int, column: int, scan: int = 0) -> Array:
        """Return the frame of a probe position, (height, width).

        Raises
        ------
        RunError
            If there is no scan, or no frame of that position.
        IndexError
        """
        return frames.at_position(self, row, column, scan)

    def scan_rows(
        self, first: int, stop: int, scan: int = 0
    ) -> np.ma.MaskedArray[Any, Any]:
        """Return rows of the scan, (n, columns, height, width), absent ones masked.

        Raises
        ------
        RunError
            If there is no scan.
        """
        return frames.rows(self, first, stop, scan)

    # -- batches ----------------------------------------------------------------

    def message(self, entry: Any) -> Message:
        """Return the recorded message of an entry; its payload lies in the file.

        Raises
        ------
        RunError
            If it is damaged.
        """
        at, number = int(entry["offset"]), int(entry["record"])
        memory = self._segment(int(entry["segment"]), at + int(entry["size"]))
        head = RecordHead.from_bytes(memory[at : at + LINE])
        if (head.record, head.size) != (number, int(entry["size"])):
            raise RunError(f"record {head.record} lies where {number} should be")
        body = memory[at + LINE : at + head.size]
        if self._verify and not self._was_verified(number):
            check_body(head, body)
            self._verified[number] = True
        header, parts = unpack(head, body)
        return Message(head.kind, header, parts)

    def batch(self, entry: Any) -> AnyBatch:
        """Return the batch of an entry; its arrays lie in the file, read-only.

        Raises
        ------
        RunError
            If it is damaged, or the entry is not that of a batch.
        """
        message = self.message(entry)
        if message.kind is not Kind.BATCH:
            raise RunError(f"record {entry['record']} is a {message.kind.name}")
        return batch_of(message.header, message.payload)

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[AnyBatch]:
        """Yield batches in the order in which they were received.

        `start`, `stop`: counted in batches, as `seek` gives them.
        """
        for entry in self.batch_entries[start:stop]:
            yield self.batch(entry)

    def seek(
        self,
        *,
        t_ns: int | None = None,
        event: int | None = None,
        frame: int | None = None,
    ) -> int:
        """Return which batch, from 0, is the first to reach a time, event or frame.

        Parameters
        ----------
        t_ns
            Nanoseconds since 1970 UTC, by the frames' time stamps.
        event
            Number of the event, from 0: where what was kept around it begins.

        Raises
        ------
        RunError
            If the run ends before, or holds no such event.
        """
        return follow.seek(self, t_ns=t_ns, event=event, frame=frame)

    def follow(
        self, timeout_s: float | None = None, *, start: int = 0
    ) -> Iterator[AnyBatch]:
        """Yield the batches from `start` on, and those to come, until it is closed.

        Parameters
        ----------
        timeout_s
            None: as long as somebody writes it.

        Raises
        ------
        RunError
            If nothing has come for `timeout_s`, or whoever wrote it has died.
        """
        return follow.follow(self, timeout_s, start)

    @property
    def events(self) -> list[tuple[int, int, list[str]]]:
        """(from, to, labels) of what was kept around events, ns, in order of time."""
        windows = self.manifest.get("windows", [])
        return sorted((a, b, list(labels)) for a, b, labels in windows)

    # -- the files --------------------------------------------------------------

    def refresh(self) -> int:
        """Look at what has come since; return how many records are new."""
        # The manifest first: what it closes is then seen to its end.
        self._read_manifest()
        return self._add(self._index.read(self.folder))

    @property
    def written_by_somebody(self) -> bool | None:
        """Whether a process has it open for writing; None where it cannot be known."""
        return lock.held(self.folder)

    def _read_manifest(self) -> None:
        try:
            found = (self.folder / manifest.NAME).stat()
        except FileNotFoundError:
            found = os.stat_result([0] * 10)
        stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if stamp != self._manifest_was:
            self.manifest = manifest.read(self.folder)
            self._manifest_was = stamp

    def _look_beyond(self) -> None:
        """Find what lies behind the index: its writer has died, or is about to."""
        found = list(beyond(self.folder, self.entries))
        if found:
            self._add(np.concatenate(found))

    def _add(self, entries: npt.NDArray[np.void]) -> int:
        if len(entries):
            self._index.add(entries)
            self._batches = self._locator = self._gaps = None
        return len(entries)

    def _was_verified(self, record: int) -> bool:
        if record >= len(self._verified):
            grown = np.zeros(max(len(self._index), 2 * len(self._verified)), bool)
            grown[: len(self._verified)] = self._verified
            self._verified = grown
        return bool(self._verified[record])

    def _segment(self, number: int, end: int) -> memoryview:
        """Return the memory of a segment, as far as `end` at least."""
        known = self._maps.get(number)
        if known is None or len(known) < end:
            path = self.folder / f"{number:06d}.seg"
            try:
                with path.open("rb") as file:
                    known = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            except (OSError, ValueError) as error:
                raise RunError(f"{path} cannot be read: {error}") from error
            self._maps[number] = known
            if len(known) < end:
                raise RunError(f"{path} is shorter than its index says")
        return memoryview(known)


def open_run(path: str | Path) -> Run:
    """Open a recorded run, of today or of last year, or one that is being recorded.

    Raises
    ------
    RunError
        If there is none at `path`.
    """
    return Run(Path(path))
