"""The batches that go into the next part, and when it is time to send that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from scopeside.slab import Slab

MAX_GROUP = 16
"""Batches in one part at most: half the credit, so that work never waits for it."""
MAX_AGE_NS = 50_000_000
"""A part is sent after this time at the latest."""
COMMIT_SHARE = 4
"""A part is held back until work has taken so many times what sending it takes."""
HEAVY_BYTES = 1 << 18
"""An ordered chain with more state than this tells its results before its state.

A movie's background and history are tens of MB. Sent with every frame they would cost
more than the frame; so they go less often, and results do not wait for them.
"""
HEAVY_AGE_NS = 1_000_000_000
HEAVY_SHARE = 20
"""MAX_AGE_NS and COMMIT_SHARE of such a chain."""
HEAVY_SLAB = 4
"""Its part is sent when the batches of it hold this fraction of the slab."""


@dataclass(slots=True)
class Group:
    """Batches since the last commit, of one acquisition, with the same parameters.

    Attributes
    ----------
    change
        Number of the last change of parameters before them.
    began_ns
        When work on the first of them began, monotonic.
    headers
        Of the batches that went well.
    failed
        Headers of the batches that did not, each with the cause.
    told
        Sequence numbers of the batches whose results have been sent ahead.
    """

    acquisition: str
    change: int
    began_ns: int
    frame_bytes: int
    headers: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    told: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.headers) + len(self.failed)

    @property
    def held_bytes(self) -> int:
        """Bytes of the slab that the batches which went well hold."""
        frames: int = sum(header["n"] for header in self.headers)
        return self.frame_bytes * frames

    @property
    def untold(self) -> list[dict[str, Any]]:
        """Headers of the batches whose results have not been sent ahead."""
        return [header for header in self.headers if header["seq"] not in self.told]


class CommitPace:
    """Says when a group is to be sent, by what sending the last one took.

    Parameters
    ----------
    group_size
        Batches in one part at most.
    slab
        The memory that the batches lie in.
    """

    def __init__(self, group_size: int, slab: Slab) -> None:
        self._group_size = group_size
        self._slab = slab
        self._took_ns = 0
        self._ended_ns = 0

    def sent(self, began_ns: int) -> None:
        """Take note that a part has just been sent, which was begun at that time."""
        self._ended_ns = time.monotonic_ns()
        self._took_ns = self._ended_ns - began_ns

    def due_in_ms(self, group: Group, *, idle: bool) -> int:
        """Return for how long a group can wait, milliseconds; 0: it is time.

        An idle worker commits at once, unless sending parts would then take more
        than a fifth of the time.
        """
        now = time.monotonic_ns()
        heavy = bool(group.told)
        share = HEAVY_SHARE if heavy else COMMIT_SHARE
        rested = now - self._ended_ns - share * self._took_ns
        aged = now - group.began_ns - (HEAVY_AGE_NS if heavy else MAX_AGE_NS)
        full = len(group) >= self._group_size or (
            heavy and HEAVY_SLAB * group.held_bytes >= self._slab.size
        )
        if full or aged >= 0 or (idle and rested >= 0):
            return 0
        return max(1, -max(rested, aged) // 1_000_000)
