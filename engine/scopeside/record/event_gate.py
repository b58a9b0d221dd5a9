"""The gate of the recorder's ring in ``mode = "on_event"``: a keeper by acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.record.cutting import cut
from scopeside.record.settings import RecordSettings
from scopeside.record.windows import Keeper
from scopeside.runs.message import BatchMessage, batch_of, message_of

_OF_A_BATCH = ("acq", "epoch", "n", "index", "t_ns", "shape", "dtype", "codec")


class EventGate:
    """Decides on the oldest batch of the ring (`scopeside.record.gate.Gate`)."""

    def __init__(self, settings: RecordSettings) -> None:
        self._settings = settings
        self._keepers: dict[str, Keeper] = {}
        self._last: tuple[str, int, int] | None = None
        self._decided: BatchMessage | None = None

    def know(self, header: Mapping[str, Any]) -> None:
        """Take EVENTS, what the collector knows of an acquisition."""
        name = header["acq"]
        if name not in self._keepers:
            times = (self._settings.before_s, self._settings.after_s)
            before, after = (round(seconds * 1e9) for seconds in times)
            late = round(self._settings.late_s * 1e9)
            self._keepers[name] = Keeper(before, after, late)
        keeper = self._keepers[name]
        keeper.know(header["events"], header["upto_ns"], header["final"])

    def kept(self, acquisition: str, batch: BatchMessage) -> BatchMessage | None:
        """Return what is to be written of a batch; None: it cannot be said yet.

        A batch that is kept as a whole is returned as it is; of one that is not wanted
        a message with ``n == 0``. Asked again about the last batch that was decided, it
        says the same.
        """
        which = (acquisition, batch.header["epoch"], batch.header["seq"])
        if which == self._last:
            return self._decided
        keeper = self._keepers.get(acquisition)
        if keeper is None:
            return None
        mask = keeper.verdict(np.frombuffer(batch.parts[2], "<i8"))
        if mask is None:
            return None
        self._last, self._decided = which, _only(acquisition, batch, mask)
        return self._decided

    def windows(self, acquisition: str) -> list[list[Any]]:
        """Return [from, to, labels] of what is kept, for the manifest; ns."""
        keeper = self._keepers.get(acquisition)
        found = [] if keeper is None else keeper.windows
        return [[one.from_ns, one.to_ns, list(one.labels)] for one in found]

    def in_doubt(self, acquisition: str) -> int:
        """Return how many frames were kept because their time says nothing."""
        keeper = self._keepers.get(acquisition)
        return 0 if keeper is None else keeper.in_doubt

    def forget(self, acquisition: str) -> None:
        """Let an acquisition go whose run is closed."""
        self._keepers.pop(acquisition, None)


def holds_words(settings: RecordSettings, bytes_per_s: float) -> str:
    """Return a sentence if the ring is too small for such a stream, else nothing."""
    if bytes_per_s <= 0:
        return ""
    holds_s = (settings.spool_mib << 20) / bytes_per_s
    needs_s = settings.before_s + settings.late_s
    if holds_s >= needs_s:
        return ""
    needed = -(-int(needs_s * bytes_per_s) // (1 << 20))
    held_s = max(0.0, holds_s - settings.late_s)
    return (
        f"at {bytes_per_s / 1e6:.4g} MB/s record.spool_mib = {settings.spool_mib} "
        f"holds {holds_s:.3g} s of frames, before_s + late_s are {needs_s:g} s: of "
        f"before_s = {settings.before_s:g} s before an event it keeps {held_s:.3g} s; "
        f"{needed} MiB would hold it"
    )


def ring_warning(settings: RecordSettings, acquisition: Acquisition) -> str:
    """Return a sentence if it is known that the ring is too small, else nothing.

    The rate is that of frames pixel by pixel; what comes packed is smaller.
    """
    frame_s = acquisition.calibration.get("frame_time_s")
    if settings.mode != "on_event" or not isinstance(frame_s, int | float):
        return ""
    if frame_s <= 0 or acquisition.encoding == "events":
        return ""
    return holds_words(settings, acquisition.frame_bytes / frame_s)


def _only(name: str, batch: BatchMessage, mask: Any) -> BatchMessage:
    """Return a batch with the frames of a mask."""
    if mask.all():
        return batch
    if not mask.any():
        return batch._replace(n=0)
    more = {k: v for k, v in batch.header.items() if k not in _OF_A_BATCH}
    return message_of(name, cut(batch_of(batch.header, batch.parts), mask), **more)
