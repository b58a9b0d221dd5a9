"""Sentences on recording and the disk."""

from __future__ import annotations

from collections.abc import Iterator

from scopeside.dashboard.words.amounts import duration, size
from scopeside.dashboard.words.given import at, number, text
from scopeside.dashboard.words.sentence import Now, Sentence

SOON_S = 600.0
"""A disk that is full within this time at the present pace is told of."""
LITTLE_BYTES = 2e9
_ROOM = "make room on the disk of the runs; recording then goes on by itself"


def record_sentences(now: Now) -> Iterator[Sentence]:
    """Yield what is to be said of recording; nothing where nothing is recorded."""
    state = text(now.status, "record", "state")
    if state == "lagging":
        yield _lagging(now)
    elif state == "disk_full":
        yield Sentence(
            "bad",
            "record",
            f"the disk of the runs is full{_left(now)}: frames wait in memory, then "
            "they are not recorded",
            _ROOM,
        )
    elif state == "disk_failed":
        yield Sentence(
            "bad",
            "record",
            f"the disk of the runs cannot be written to{_left(now)}: frames wait in "
            "memory, then they are not recorded",
            "look at the disk, its cable, the network; it is tried every second",
        )
    elif state == "lost":
        yield Sentence(
            "bad",
            "record",
            "the recorder was given up: nothing is recorded any more; all else goes on",
            "read the notes; stop and start again to record",
        )
    yield from _disk(now, state)


def _lagging(now: Now) -> Sentence:
    record = now.status.get("record")
    come, takes = number(record, "in_mb_per_s"), number(record, "disk_mb_per_s")
    waits = size(number(record, "backlog_bytes"))
    return Sentence(
        "warn",
        "record",
        f"the disk is slower than the detector: it takes {takes:.0f} MB/s, "
        f"{come:.0f} MB/s come, {waits} wait{_left(now)}",
        "a faster disk, or a slower scan, before the spool is full",
    )


def _left(now: Now) -> str:
    left_s = at(now.status, "record", "full_in_s")
    if left_s is None:
        return ""
    return f"; the spool is full in {duration(number(left_s))}"


def _disk(now: Now, state: str) -> Iterator[Sentence]:
    free = at(now.status, "record", "free_bytes")
    if free is None or state in ("disk_full", "disk_failed", "lost"):
        return
    free_bytes = number(free)
    pace = 1e6 * number(now.status, "record", "disk_mb_per_s")
    left_s = free_bytes / pace if pace > 0 else None
    if left_s is not None and left_s < SOON_S:
        words = f", full in {duration(left_s)} at this pace"
    elif free_bytes < LITTLE_BYTES:
        words = ""
    else:
        return
    yield Sentence(
        "warn",
        "disk",
        f"{size(free_bytes)} are free on the disk of the runs{words}",
        "make room on it, or end the run before",
    )
