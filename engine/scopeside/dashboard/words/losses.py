"""What each loss means, for the person at the microscope; see docs/operations.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Loss:
    """A cause for which frames are lost.

    Attributes
    ----------
    level
        ``ok`` if somebody has asked for it.
    why
        Goes after "because".
    detector
        The frames were lost before they came here: on every edge the same.
    """

    level: Level
    why: str
    what_to_do: str
    detector: bool = False


_DISK = "a faster disk, room on it, or a larger spool_mib in [record]"

DROPPED = {
    "superseded": Loss("ok", "a newer batch took its place, as this chain asks", ""),
    "sampled_out": Loss("ok", "this chain takes only one batch of every few", ""),
    "as_recorded": Loss("ok", "the chain had not processed them when recorded", ""),
    "no_event": Loss("ok", "no event is near, and only those are recorded", ""),
    "queue_full": Loss(
        "warn",
        "the chain was further behind than its policy allows",
        "more workers, fewer processors in the chain, or a larger k in bounded:k",
    ),
    "stalled": Loss(
        "bad",
        "the memory for frames was full and the chain did not move",
        "look at the worker's notes; a larger slab or more workers",
    ),
    "late": Loss(
        "warn",
        "they came after newer ones, and the chain needs them in order",
        "the detector sends out of order: use a processor that needs no order",
    ),
    "degraded": Loss(
        "bad",
        "the chain's workers could not be kept alive",
        "read the notes; stop, mend the processor, start again",
    ),
    "short_line": Loss(
        "warn",
        "a line of the scan ended before its last frame",
        "look at the line trigger and the camera",
        detector=True,
    ),
    "missing": Loss(
        "bad",
        "the detector promised them and they never came",
        "look at the camera, its link and its buffers",
        detector=True,
    ),
    "disk_slow": Loss(
        "bad", "the disk is slower than the detector and the spool was full", _DISK
    ),
    "disk_full": Loss("bad", "the disk is full and so was the spool", _DISK),
    "disk_failed": Loss(
        "bad", "the disk cannot be written to and the spool was full", _DISK
    ),
    "ring_full": Loss(
        "warn",
        "the spool was full before it was known whether an event needs them",
        "a larger spool_mib, or smaller before_s or late_s, in [record]",
    ),
}
FAILED = {
    "refused": Loss(
        "bad",
        "a processor cannot work on frames like these",
        "read the notes; change the chain's parameters",
    ),
    "killed_worker": Loss(
        "bad",
        "the batch killed two workers",
        "it is kept in the folder quarantine; look there and at the processor",
    ),
    "not_drained": Loss(
        "bad", "time ran out before they were processed", "a larger drain_s"
    ),
    "adapter_died": Loss(
        "bad",
        "the detector's process died before they were processed",
        "read its last words in the notes",
    ),
}


def loss(outcome: str, cause: str) -> Loss:
    """Return what is known of a cause; outcome is ``dropped`` or ``failed``."""
    if outcome == "failed":
        return FAILED.get(cause) or Loss(
            "bad",
            f"a processor failed on them ({cause})",
            "read the notes; look at the processor",
        )
    return DROPPED.get(cause) or Loss(
        "bad",
        f"the detector says that it lost them ({cause})",
        "look at the detector and its link",
        detector=True,
    )
