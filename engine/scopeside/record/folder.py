"""One run on disk while it is recorded: its folder, its records, its manifest."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.ledger import Account, FrameRanges
from scopeside.record.item import Item
from scopeside.record.notebook import Notebook
from scopeside.record.remembered import Remembered, remember
from scopeside.record.settings import EDGE, RecordSettings
from scopeside.runs import audit, manifest
from scopeside.runs.message import BatchMessage
from scopeside.runs.writer import RunWriter
from scopeside.wire import Kind

log = logging.getLogger(__name__)

OWN_CAUSES = frozenset(
    {"disk_slow", "disk_full", "disk_failed", "ring_full", "no_event", "not_written"}
)
"""Why the recorder itself gives frames up."""
_OF_ADAPTER = ("stalled", "degraded")
"""Why the adapter gives up frames that the recorder does not take."""
UNRECORDED = "not_recorded"
"""Frames that came, and of which the recorder has heard nothing."""
MAX_RECEIVED_RUNS = 1000
"""Of the frames received only so many runs are told; beyond, gaps are not sought."""


class RunOnDisk:
    """A run that is being written. All that is here is done by the writer's thread.

    Attributes
    ----------
    folder
        Where it lies.
    frames
        Those that are on disk.
    gaps
        (first, last, cause) of those that the recorder has given up.
    changes
        Of parameters, as in START and PARAM.
    done
        The highest batch (epoch, seq) that is written, or given up on disk.
    last
        The last batches that a recorder before this one wrote: epoch, seq, frames.
    """

    def __init__(
        self, folder: Path, settings: RecordSettings, about: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.frames = FrameRanges()
        self.bytes = 0
        self.gaps: list[tuple[int, int, str]] = []
        self.changes: list[dict[str, Any]] = []
        self.done = (0, -1)
        self.given_up: list[tuple[int, int, int, str]] = []
        self.last: list[tuple[int, int, int]] = []
        self.writer: RunWriter | None = None
        self.manifest: dict[str, Any] = {}
        self.ended = False
        self._n = 0
        self._settings = settings
        self._about = about

    @classmethod
    def recover(
        cls, folder: Path, settings: RecordSettings, about: Mapping[str, Any]
    ) -> RunOnDisk:
        """Go on with a run whose recorder was killed.

        Raises
        ------
        RunError, OSError
            If what lies there cannot be gone on with.
        """
        run = cls(folder, settings, about)
        if not folder.is_dir():
            return run
        if (folder / manifest.NAME).exists():
            run.manifest = manifest.read(folder)
            run.manifest.pop("form", None)
        run.writer = RunWriter.resume(folder, settings.segment_mib << 20)
        run._take_over(remember(folder))
        return run

    @property
    def written_frames(self) -> int:
        """How many frames are on disk."""
        return self._n

    def _take_over(self, found: Remembered) -> None:
        self.frames, self.bytes = found.frames, found.bytes
        self.gaps, self.given_up = found.gaps, found.given_up
        self.changes, self.done, self.last = found.changes, found.done, found.last
        self.ended = found.ended
        self._n = len(self.frames)

    # -- writing ----------------------------------------------------------------

    def start(self, header: Mapping[str, Any]) -> None:
        """Make the folder, the first manifest, and the record START; again harmless.

        Raises
        ------
        OSError
        """
        if self.writer is None:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            segment = self._settings.segment_mib << 20
            self.writer = RunWriter.create(self.folder, segment)
        if not self.manifest:
            first = {
                "state": manifest.RECORDING,
                "acquisition": header["acquisition"],
                "started_ns": time.time_ns(),
                **self._about,
            }
            if "control" in first:
                first["control"] = audit.begin(**first["control"])
            manifest.write(self.folder, first)
            self.manifest = first
        if self.writer.record == 0:
            kept = {k: header[k] for k in ("acquisition", "epoch", "change", "changes")}
            self._see_room()
            self.writer.append(Kind.START, kept)
            self.changes += header["changes"]

    def write(self, item: Item) -> None:
        """Write a batch, a gap, or a change.

        Raises
        ------
        OSError
            If there is no room, or it cannot be written.
        """
        assert self.writer is not None
        if item.kind is Kind.BATCH:
            self._check_room(item.size)
            self._batch(item)
        elif item.gap is not None:
            self._own_gap(item)
        elif item.kind is Kind.GAP:
            self._gap(item.header, item.epoch, item.seq)
        else:
            more = item.header.get("more", 0)
            change = item.header["change"]
            before = self.writer.record + 1 + more
            kept = {"change": change, "before": before, "seq": item.seq}
            self.writer.append(Kind.PARAM, {**kept, "epoch": item.epoch})
            self.changes.append(change)
        if item.seq >= 0:
            self.done = max(self.done, (item.epoch, item.seq))

    def _batch(self, item: Item) -> None:
        assert self.writer is not None
        assert item.message is not None
        message: BatchMessage = item.message
        self.writer.append(
            Kind.BATCH,
            message.header,
            message.parts,
            n=message.n,
            first=message.first,
            last=message.last,
            t_ns=message.t_ns,
            t_last_ns=message.t_last_ns,
        )
        self.bytes += item.size
        self._n += item.message.n
        for first, last in item.runs:
            self.frames.add(first, last)

    def _own_gap(self, item: Item) -> None:
        gap = item.gap
        assert gap is not None
        for first, last in gap.runs:
            told = {"first": first, "last": last, "cause": gap.cause}
            self._gap({**told, "seqs": list(gap.seqs)}, gap.epoch, gap.seqs[1])
            self.gaps.append((first, last, gap.cause))
        self.given_up.append((gap.epoch, *gap.seqs, gap.cause))
        self.done = max(self.done, (gap.epoch, gap.seqs[1]))

    def _gap(self, said: Mapping[str, Any], epoch: int, seq: int) -> None:
        assert self.writer is not None
        kept = {k: said[k] for k in ("first", "last", "cause", "seqs") if k in said}
        name = self.manifest["acquisition"]["id"]
        first, last = said["first"], said["last"]
        header = {"acq": name, "epoch": epoch, "seq": seq, **kept}
        self.writer.append(Kind.GAP, header, first=first, last=last)

    def _see_room(self) -> int:
        """Return what may be written yet, bytes; reserve nothing that is not there."""
        assert self.writer is not None
        left = free_bytes(self.folder) - (self._settings.keep_free_mib << 20)
        self.writer.preallocate = left > self._settings.segment_mib << 20
        return left + self.writer.ahead

    def _check_room(self, size: int) -> None:
        """Raise if a batch would take what is to be left free of the disk.

        Gaps and the manifest may take of it: they are small, and say what is missing.

        Raises
        ------
        OSError
            ENOSPC, as if the disk itself had said so.
        """
        left = self._see_room()
        if left < size:
            keep = self._settings.keep_free_mib
            free = (left >> 20) + keep
            text = f"{free} MiB are free, and [record] keep_free_mib = {keep}"
            raise OSError(errno.ENOSPC, text)

    # -- the end ----------------------------------------------------------------

    def close(
        self, said: Mapping[str, Any], dropped: Mapping[str, int]
    ) -> dict[str, Any]:
        """Write the last record and the manifest; return what is to be said of the run.

        Parameters
        ----------
        said
            The supervisor's BOOK.
        dropped
            Frames that this recorder has given up, by cause.

        Raises
        ------
        OSError
            Nothing is half done: it may be tried again.
        """
        book = said["book"]
        assert self.writer is not None
        account = self._account(said, dropped)
        if not self.ended:
            self._declare_unrecorded(book)
            end = {
                "acq": self.manifest["acquisition"]["id"],
                "epoch": said.get("epoch", self.done[0]),
                "total": book["ingest"]["received"]
                + sum(book["ingest"]["missing"].values()),
                "state": book["state"],
                "reason": book["reason"],
            }
            self.writer.append(Kind.END, end)
            self.ended = True
        segments = self.writer.close()
        answer = {
            "folder": str(self.folder),
            "frames": len(self.frames),
            "bytes": self.writer.written,
            "gaps": _by_cause(self.gaps),
            "problems": [],
            "account": account.to_dict(),
        }
        manifest.write(self.folder, self._last_word(said, account, segments))
        return answer

    def _last_word(
        self, said: Mapping[str, Any], account: Account, segments: list[dict[str, Any]]
    ) -> dict[str, Any]:
        assert self.writer is not None
        book = said["book"]
        edges = {**book["edges"], EDGE: account.to_dict()}
        return {
            **self.manifest,
            "state": self._state(book["state"]),
            "reason": book["reason"],
            "ended_ns": time.time_ns(),
            "frames": {
                "recorded": len(self.frames),
                "bytes": self.bytes,
                "runs": self.frames.runs(),
            },
            "gaps": [list(gap) for gap in self.gaps],
            "records": self.writer.record,
            "segments": segments,
            "changes": self.changes,
            "ledger": {**book, "edges": edges},
            "results": book["results"],
            "processed": said["processed"],
            "failed": said["failed"],
            "channels": book["channels"],
            **({"windows": said["windows"]} if "windows" in said else {}),
            **self._control(),
        }

    def _control(self) -> dict[str, Any]:
        """Copy what the guard wrote down during this run; say what that is."""
        control = self.manifest.get("control")
        return {} if control is None else {"control": audit.copy(self.folder, control)}

    def _state(self, state: str) -> str:
        """Return the state of the recording: what came whole may have gaps here."""
        return "incomplete" if state == "complete" and self.gaps else state

    def _account(self, said: Mapping[str, Any], dropped: Mapping[str, int]) -> Account:
        """Return the account of our edge; of an adapter that is gone we know better."""
        account = Account.from_dict(said["book"]["edges"][EDGE])
        cause = said.get("orphaned")
        if not cause:
            self._count_found(account)
            return account
        own = {**_by_cause(self.gaps), **dropped}
        account.processed = len(self.frames)
        for name in OWN_CAUSES & (account.dropped.keys() | own.keys()):
            account.dropped[name] = max(account.dropped[name], own.get(name, 0))
        account.failed.clear()
        account.failed[cause] = account.in_flight
        account.failed = +account.failed
        return account

    def _count_found(self, account: Account) -> None:
        """Count as recorded what the adapter gave up and is on disk nevertheless.

        A recorder that was killed had written it, and had not come to say so.
        """
        for cause in _OF_ADAPTER:
            found = min(len(self.frames) - account.processed, account.dropped[cause])
            if found > 0:
                account.dropped[cause] -= found
                account.processed += found
        account.dropped = +account.dropped

    def _declare_unrecorded(self, book: Mapping[str, Any]) -> None:
        """Write a gap for frames that came and are neither here nor in a gap."""
        received = book["ingest"]["received_runs"]
        if len(received) >= MAX_RECEIVED_RUNS or self._settings.mode == "on_event":
            return
        known = FrameRanges([*self.frames, *((a, b) for a, b, _ in self.gaps)])
        lost = book["edges"][EDGE]["dropped"]
        causes = [name for name in _OF_ADAPTER if lost.get(name)]
        cause = causes[0] if len(causes) == 1 else UNRECORDED
        for first, last in received:
            for a, b in list(known.holes(first, last)):
                told = {"first": a, "last": b, "cause": cause}
                self._gap(told, self.done[0], -1)
                self.gaps.append((a, b, cause))


def folder_for(root: Path, acquisition: str, notebook: Notebook) -> Path:
    """Return the folder that a run is to have, and remember it."""
    known = notebook.folder_of(acquisition)
    return new_folder(root, acquisition, notebook) if known is None else Path(known)


def new_folder(root: Path, acquisition: str, notebook: Notebook) -> Path:
    """Return a folder that is not there yet, and remember it."""
    folder, number = root / acquisition, 1
    while folder.exists():
        number += 1
        folder = root / f"{acquisition}.{number}"
    notebook.begin(acquisition, str(folder))
    return folder


def free_bytes(folder: Path) -> int:
    """Return what may still be written to the disk of a folder, bytes."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _by_cause(gaps: list[tuple[int, int, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for first, last, cause in gaps:
        found[cause] = found.get(cause, 0) + last - first + 1
    return found
