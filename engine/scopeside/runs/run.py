"""A recorded run, read lazily: also while it is being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Array, IntArray
from scopeside.errors import RunError, ShapeError
from scopeside.packed import AnyBatch
from scopeside.runs import follow, frames, results
from scopeside.runs.files import RunFiles
from scopeside.runs.locate import Locator
from scopeside.runs.results import Results
from scopeside.runs.verify import Damage, damages
from scopeside.wire import Kind


class Gap(NamedTuple):
    """Frames `first` to `last` that are not in the run, and why."""

    first: int
    last: int
    cause: str


class Run(RunFiles):
    """A run on disk.

    ``run[i]`` is frame i, ``run[a:b]`` are frames a up to b, as arrays; nothing else is
    read or copied. Frames are counted as the detector counts them. A frame that is not
    there is an error that names it, or masked (`masked`, `scan_rows`), never zeros.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        self._locator: Locator | None = None
        self._gaps: list[Gap] | None = None
        self._acquisition: Acquisition | None = None
        self._results: Results | None = None
        super().__init__(folder, verify=verify)

    def __repr__(self) -> str:
        height, width = self.acquisition.frame_shape
        state = self.manifest["state"]
        return (
            f"<Run {self.folder.name}: {state}, {self.frames} frames of "
            f"{height}×{width} {self.acquisition.dtype}>"
        )

    # -- what it is -------------------------------------------------------------

    @property
    def acquisition(self) -> Acquisition:
        """What was recorded."""
        if self._acquisition is None:
            try:
                self._acquisition = Acquisition.from_dict(self.manifest["acquisition"])
            except ShapeError as error:
                raise RunError(f"{self.folder}: {error}") from error
        return self._acquisition

    @property
    def frames(self) -> int:
        """Frames that are there."""
        return int(self.batch_entries["n"].sum())

    @property
    def gaps(self) -> list[Gap]:
        """Frames that were lost, by the detector or the recorder, as declared."""
        if self._gaps is None:
            entries = self.entries[self.entries["kind"] == Kind.GAP]
            causes = [self.message(entry).header.get("cause", "") for entry in entries]
            self._gaps = [
                Gap(int(entry["first"]), int(entry["last"]), str(cause))
                for entry, cause in zip(entries, causes, strict=True)
                if entry["first"] >= 0  # else a damaged record, nobody knows of what
            ]
        return self._gaps

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
        return self._locator

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

    @property
    def results(self) -> Results:
        """Results by ``chain.processor.name``, as they are on disk now."""
        if self._results is None:
            self._results = Results(self.folder)
        return self._results

    def samples(self, channel: str) -> tuple[IntArray, npt.NDArray[np.float64]]:
        """Return times (n,), ns, and values (n,) of a channel, once it is closed.

        Raises
        ------
        KeyError
            If there is no such channel.
        RunError
            If its file is damaged.
        """
        times, values = results.samples(self.folder, channel)
        return times, values

    def verify(self) -> list[Damage]:
        """Read every byte of it; return what is not as it was written."""
        return list(damages(self.folder))

    def _changed(self) -> None:
        super()._changed()
        self._locator = self._gaps = None


def open_run(path: str | Path) -> Run:
    """Open a recorded run, of today or of last year, or one that is being recorded.

    Raises
    ------
    RunError
        If there is none at `path`.
    """
    return Run(Path(path))
