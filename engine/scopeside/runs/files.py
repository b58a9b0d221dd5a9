"""The files of a run: index, records and manifest, read lazily."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scopeside.errors import RunError
from scopeside.packed import AnyBatch
from scopeside.runs import lock, manifest
from scopeside.runs.form import LINE, RecordHead, check_body, unpack
from scopeside.runs.index import Index
from scopeside.runs.message import batch_of
from scopeside.runs.scan import INDEX, beyond
from scopeside.wire import Kind, Message


class RunFiles:
    """A run folder that is open for reading; nothing in it is ever changed.

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
        self._batches: npt.NDArray[np.void] | None = None
        self._verify = verify
        self._verified = np.zeros(0, bool)
        self._maps: dict[int, mmap.mmap] = {}
        self._manifest_was: tuple[int, ...] = ()
        self.refresh()
        self._look_beyond()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files. Arrays that are in use keep theirs."""
        self._maps.clear()

    @property
    def growing(self) -> bool:
        """Whether it is being written, or its writer has died and nobody mended it."""
        return bool(self.manifest["state"] == manifest.RECORDING)

    @property
    def entries(self) -> npt.NDArray[np.void]:
        """Index of all records so far, (n,) of `scopeside.runs.form.ENTRY`."""
        return self._index.entries

    @property
    def batch_entries(self) -> npt.NDArray[np.void]:
        """Entries of the batches, in the order in which they were received."""
        if self._batches is None:
            self._batches = self.entries[self.entries["kind"] == Kind.BATCH]
        return self._batches

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

    # -- the files --------------------------------------------------------------

    def refresh(self) -> int:
        """Look at what has come since; return how many records are new."""
        # The manifest first: what it closes is then seen to its end.
        self._read_manifest()
        sealed = self.manifest.get("files", {}).get(INDEX, {})
        return self._add(self._index.read(self.folder, sealed.get("digest", "")))

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
            self._changed()
        return len(entries)

    def _changed(self) -> None:
        """Forget what was made of the entries so far."""
        self._batches = None

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
