"""The two threads that touch the disk: one writes, one brings it to the platter."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from scopeside.errors import RunError
from scopeside.record.folder import RunOnDisk, folder_for
from scopeside.record.item import Item
from scopeside.record.notebook import Notebook
from scopeside.record.settings import RecordSettings
from scopeside.runs import place
from scopeside.wire import Kind

log = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Written:
    """What the writer says of an item.

    Attributes
    ----------
    trouble
        ``disk_full`` or ``disk_failed`` and why; empty if it is on disk.
    answer
        To a BOOK.
    """

    item: Item
    trouble: str = ""
    why: str = ""
    answer: dict[str, Any] | None = None


class Writer:
    """Writes items in the order in which they are given, in a thread of its own.

    When one cannot be written, those given after it come back as well, until `retry`:
    the order is never broken.

    Parameters
    ----------
    engine
        The private folder of the engine: it is said there where a run lies.

    Attributes
    ----------
    wake
        An eventfd that is readable when there is news.
    runs
        Those that are open, by acquisition.
    bytes
        Written in all.
    busy_ns
        Time spent writing.
    """

    def __init__(
        self,
        settings: RecordSettings,
        notebook: Notebook,
        about: Mapping[str, Any],
        engine: Path,
    ) -> None:
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.runs: dict[str, RunOnDisk] = {}
        self.bytes = 0
        self.busy_ns = 0
        self._settings = settings
        self._notebook = notebook
        self._about = about
        self._engine = engine
        self._jobs: SimpleQueue[tuple[int, Item, Mapping[str, int]] | None] = (
            SimpleQueue()
        )
        self._news: SimpleQueue[Written] = SimpleQueue()
        self._round = 0
        self._stuck = -1
        self._said = ""
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_all, name="writer", daemon=True),
            threading.Thread(target=self._sync_all, name="syncer", daemon=True),
        ]

    def recover(self) -> list[str]:
        """Open the runs that a recorder before this one has left; return problems."""
        problems = []
        for name, folder in self._notebook.open_runs.items():
            try:
                self.runs[name] = RunOnDisk.recover(
                    Path(folder), self._settings, self._about
                )
                self._tell_place(name, Path(folder))
            except (OSError, RunError) as error:
                problems.append(f"{folder} cannot be gone on with: {error}")
        return problems

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after what was given is written; a disk that hangs is not waited for."""
        self._over.set()
        self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def give(self, item: Item, dropped: Mapping[str, int]) -> None:
        """Have an item written. `dropped`: frames of its run given up so far."""
        self._jobs.put((self._round, item, dropped))

    def retry(self) -> None:
        """Take up writing again after it had failed."""
        self._round += 1

    def news(self) -> list[Written]:
        """Return what has become of items since the last call."""
        try:
            os.eventfd_read(self.wake)
        except BlockingIOError:
            return []
        found = []
        while True:
            try:
                found.append(self._news.get_nowait())
            except Empty:
                return found

    # -- the writer's thread ----------------------------------------------------

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            number, item, dropped = job
            if number <= self._stuck:
                said = Written(item, "waits")
            else:
                began = time.monotonic_ns()
                said = self._try(item, dropped)
                self.busy_ns += time.monotonic_ns() - began
                if said.trouble:
                    self._stuck = number
            self._news.put(said)
            os.eventfd_write(self.wake, 1)

    def _try(self, item: Item, dropped: Mapping[str, int]) -> Written:
        try:
            answer = self._write(item, dropped)
        except OSError as error:
            full = error.errno in FULL
            why = error.strerror or str(error)
            return Written(item, "disk_full" if full else "disk_failed", why)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            if why != self._said:
                self._said = why
                log.exception("the recorder could not write a %s", item.kind.name)
            return Written(item, "disk_failed", why)
        return Written(item, answer=answer)

    def _write(self, item: Item, dropped: Mapping[str, int]) -> dict[str, Any] | None:
        name = item.acquisition
        if item.kind is Kind.BOOK and name not in self.runs:
            answer = self._notebook.answer_of(name)
            if answer is not None:
                return answer  # asked for again by a supervisor that missed it
        run = self._run_of(name)
        before = 0 if run.writer is None else run.writer.written
        answer = None
        if item.kind is Kind.START:
            run.start(item.header)
            self._tell_place(name, run.folder)
        elif item.kind is Kind.BOOK:
            answer = self._close(run, item, dropped)
        else:
            run.write(item)
        assert run.writer is not None
        self.bytes += run.writer.written - before
        return answer

    def _tell_place(self, acquisition: str, folder: Path) -> None:
        """Let the collector know where results are to be put."""
        try:
            place.tell(self._engine, acquisition, folder)
        except OSError as error:
            log.warning("%s gets no results beside it: %s", folder, error)

    def _run_of(self, acquisition: str) -> RunOnDisk:
        run = self.runs.get(acquisition)
        if run is None:
            folder = folder_for(self._settings.to, acquisition, self._notebook)
            run = RunOnDisk(folder, self._settings, self._about)
            self.runs[acquisition] = run
        return run

    def _close(
        self, run: RunOnDisk, item: Item, dropped: Mapping[str, int]
    ) -> dict[str, Any]:
        book = item.header["book"]
        run.start(
            {"acquisition": book["acquisition"], "epoch": 0, "change": 0, "changes": []}
        )
        answer = run.close(item.header, dropped)
        self._notebook.close(item.acquisition, answer)
        del self.runs[item.acquisition]
        return answer

    # -- the syncer's thread ----------------------------------------------------

    def _sync_all(self) -> None:
        said = ""
        while not self._over.wait(self._settings.sync_s):
            for run in list(self.runs.values()):
                try:
                    if run.writer is not None:
                        run.writer.sync()
                except OSError as error:
                    if str(error) != said:
                        said = str(error)
                        log.warning(
                            "%s cannot be brought to disk: %s", run.folder, error
                        )
