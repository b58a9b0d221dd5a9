"""All that waits for the disk, in one order."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from scopeside.record.item import Item
from scopeside.wire import Kind


class Queues:
    """Where each thing is that waits.

    Attributes
    ----------
    begun
        With the writer.
    again
        Sent again, because a recorder before this one died while it wrote them.
    spooled
        Copied into the spool: the slab does not wait for the disk.
    slab
        At most a few: a disk that keeps up is written to straight from there.
    """

    def __init__(self) -> None:
        self.begun: deque[Item] = deque()
        self.again: deque[Item] = deque()
        self.spooled: deque[Item] = deque()
        self.slab: deque[Item] = deque()

    def __iter__(self) -> Iterator[Item]:
        """Yield all that waits, in the order in which it is to be written."""
        yield from self.begun
        yield from heapq.merge(self.again, self.spooled, key=lambda item: item.seq)
        yield from self.slab

    def clear(self) -> None:
        """Forget all that waits."""
        for queue in (self.begun, self.again, self.spooled, self.slab):
            queue.clear()

    def next_in(self) -> deque[Item]:
        """Return the queue whose first item is next to be begun; empty if none is."""
        if not (self.again and self.spooled):
            return self.again or self.spooled or self.slab
        first, other = self.again[0], self.spooled[0]
        return self.again if first.seq < other.seq else self.spooled

    @property
    def idle(self) -> bool:
        """Whether everything is written."""
        return next(iter(self), None) is None

    @property
    def with_writer(self) -> bool:
        """Whether the writer works on something."""
        return any(item.begun for item in self.begun)

    @property
    def spool_is_read(self) -> bool:
        """Whether the writer reads from the spool: then nothing behind may go."""
        return any(item.entry is not None for item in self.begun)

    @property
    def batches(self) -> int:
        """Batches that wait."""
        return sum(item.kind is Kind.BATCH for item in self)

    @property
    def slab_batches(self) -> int:
        """Things in the slab that the tee waits for."""
        return sum(item.seq >= 0 for item in self.slab)

    @property
    def slab_bytes(self) -> int:
        """Bytes of the slab that wait for the disk."""
        return sum(item.size for item in (*self.begun, *self.slab) if item.in_slab)

    @property
    def acquisitions(self) -> set[str]:
        """Those of which something is on its way."""
        return {item.acquisition for item in self}

    def awaits_book(self, acquisition: str) -> bool:
        """Whether the last word on an acquisition is on its way."""
        return any(
            item.kind is Kind.BOOK and item.acquisition == acquisition for item in self
        )

    def spooled_seqs(self, epoch: int) -> list[int]:
        """Return the batches of an epoch that are here and need not come again."""
        return [
            item.seq
            for item in self
            if item.epoch == epoch and item.entry is not None and item.seq >= 0
        ]

    @property
    def spooled_ns(self) -> int:
        """From the first to the last batch of the spool, by their time stamps."""
        batches = [item.message for item in self.spooled if item.message is not None]
        return batches[-1].t_ns - batches[0].t_ns if batches else 0
