"""A recorded run, read lazily: also while it is being written."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import RunError, ShapeError
from scopeside.packed import AnyBatch
from scopeside.runs import manifest
from scopeside.runs.form import ENTRY, LINE, RecordHead, check_body, unpack
from scopeside.runs.message import batch_of
from scopeside.runs.scan import entries_of
from scopeside.wire import Kind, Message


class Run:
    """A run on disk.

    Attributes
    ----------
    folder
        Where it lies.
    manifest
        What ``manifest.json`` says; `refresh` reads it again.
    entries
        Index of all records so far, (n,) of `scopeside.runs.form.ENTRY`.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = manifest.read(folder)
        self.entries: npt.NDArray[np.void] = np.empty(0, ENTRY)
        self._verify = verify
        self._maps: dict[int, mmap.mmap] = {}
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files. Arrays that are in use keep theirs."""
        self._maps.clear()

    @property
    def acquisition(self) -> Acquisition:
        """What was recorded."""
        try:
            return Acquisition.from_dict(self.manifest["acquisition"])
        except ShapeError as error:
            raise RunError(f"{self.folder / manifest.NAME}: {error}") from error

    @property
    def growing(self) -> bool:
        """Whether it is being written, or its writer has died and nobody mended it."""
        return bool(self.manifest["state"] == manifest.RECORDING)

    @property
    def frames(self) -> int:
        """Frames that are there."""
        return int(self.batch_entries["n"].sum())

    @property
    def batch_entries(self) -> npt.NDArray[np.void]:
        """Entries of the batches, in the order in which they were received."""
        found: npt.NDArray[np.void] = self.entries[self.entries["kind"] == Kind.BATCH]
        return found

    def refresh(self) -> int:
        """Look at what has come since; return how many records are new."""
        self.manifest = manifest.read(self.folder)
        before = len(self.entries)
        self.entries = entries_of(self.folder)
        return len(self.entries) - before

    def message(self, entry: Any) -> Message:
        """Return the recorded message of an entry; its payload lies in the file.

        Raises
        ------
        RunError
            If it is damaged.
        """
        memory = self._segment(
            int(entry["segment"]), int(entry["offset"] + entry["size"])
        )
        at = int(entry["offset"])
        head = RecordHead.from_bytes(memory[at : at + LINE])
        body = memory[at + LINE : at + head.size]
        if self._verify:
            check_body(head, body)
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

    def batches(self) -> Iterator[AnyBatch]:
        """Yield all batches in the order in which they were received."""
        for entry in self.batch_entries:
            yield self.batch(entry)

    def _segment(self, number: int, end: int) -> memoryview:
        """Return the memory of a segment, as far as `end` at least."""
        known = self._maps.get(number)
        if known is None or len(known) < end:
            path = self.folder / f"{number:06d}.seg"
            try:
                with path.open("rb") as file:
                    known = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            except (OSError, ValueError) as error:  # ValueError: it is empty
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
