"""What a recorder shows on its board, and what it has the operator told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from scopeside.board import Board
from scopeside.record.folder import free_bytes
from scopeside.record.gate import Gate
from scopeside.record.pace import Backlog, Pace
from scopeside.record.recorder import RING_FULL, Recorder
from scopeside.record.ring import holds_words
from scopeside.record.settings import RecordSettings
from scopeside.record.spool import Spool
from scopeside.record.writing import Writer

BOARD_NS = 200_000_000


class Report:
    """Looks at the recorder several times a second.

    Attributes
    ----------
    came
        Bytes of batches heard so far; whoever hears them counts.
    """

    def __init__(
        self,
        *,
        board: Board,
        settings: RecordSettings,
        recorder: Recorder,
        spool: Spool,
        writer: Writer,
        gate: Gate | None,
    ) -> None:
        self.came = 0
        self._board = board
        self._settings = settings
        self._recorder = recorder
        self._spool = spool
        self._writer = writer
        self._gate = gate
        self._pace = Pace()
        self._looked_ns = 0
        self._told: set[str] = set()

    def knows(self, cause: str) -> None:
        """Take note that the operator has been told of losses of a cause."""
        self._told.add(cause)

    def look(self, *, now: bool = False) -> list[str]:
        """See how it goes, if it is time or must be `now`; return what to say."""
        now_ns = time.monotonic_ns()
        if not now and now_ns - self._looked_ns < BOARD_NS:
            return []
        self._looked_ns = now_ns
        recorder = self._recorder
        waits = Backlog(
            recorder.backlog_bytes,
            recorder.oldest_ns,
            self._spool.capacity,
            recorder.trouble,
        )
        said = self._pace.see(now_ns, self.came, self._writer.bytes, waits)
        self._show(waits)
        return [
            *said,
            *self._losses(),
            *([] if self._gate is None else self._gate.news()),
        ]

    def _show(self, waits: Backlog) -> None:
        recorder, pace = self._recorder, self._pace
        self._board.update(
            busy_ns=self._writer.busy_ns,
            record={
                "state": recorder.trouble or ("lagging" if pace.lagging else "ok"),
                "writing": recorder.queues.with_writer,
                "bytes": self._writer.bytes,
                "backlog_bytes": waits.bytes,
                "spool_share": round(self._spool.share, 4),
                "in_mb_per_s": round(pace.in_bytes_per_s / 1e6, 1),
                "disk_mb_per_s": round(pace.out_bytes_per_s / 1e6, 1),
                "full_in_s": pace.full_in_s(waits),
                "free_bytes": self._free(),
                "lost": dict(recorder.losses.total),
                "open": self._open(),
            },
        )

    def _free(self) -> int | None:
        try:
            return free_bytes(self._settings.to)
        except OSError:
            return None  # not made yet

    def _open(self) -> dict[str, Any]:
        return {
            name: {
                "folder": str(run.folder),
                "frames": run.written_frames,
                "bytes": run.bytes,
            }
            for name, run in list(self._writer.runs.items())
        }

    def _losses(self) -> Iterator[str]:
        """Yield once for each cause that frames are given up."""
        for cause in list(self._recorder.losses.total):
            if cause in self._told:
                continue
            self._told.add(cause)
            if cause == RING_FULL:
                words = holds_words(self._settings, self._recorder.ring_bytes_per_s)
                why = words or "events are told so late that the ring is full before"
                yield f"RING FULL: the oldest frames are given up: {why}"
            else:
                yield (
                    f"the spool of {self._settings.spool_mib} MiB is full: frames are "
                    f"not recorded ({cause}) until it has room; everything else goes on"
                )
