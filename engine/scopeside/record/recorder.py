"""Decides what is written next, what is copied aside, and what is given up.

No socket, no clock, no thread, no disk. All that is heard waits in the one order of
`Queues`. What the spool has taken is never discarded for want of room; what it has no
room for is given up, as a gap with its exact range, until a tenth of it is free again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scopeside.record.gate import Gate
from scopeside.record.item import Answers, Item
from scopeside.record.losses import Losses
from scopeside.record.notebook import Notebook
from scopeside.record.queues import Queues
from scopeside.record.settings import credit_of
from scopeside.record.spool import Spool
from scopeside.wire import Kind

SPARE = 1 << 16
"""Bytes of the spool that are kept for what is small: gaps, parameters."""
FULL_ABOVE, ROOM_BELOW = 0.98, 0.9
"""When frames have been given up, none is taken before the spool is so empty."""
NO_EVENT = "no_event"
RING_FULL = "ring_full"


class Recorder:
    """What is on its way to the disk, and what became of it.

    Parameters
    ----------
    gate
        Says which frames are to be kept; None: all (`scopeside.record.gate`).

    Attributes
    ----------
    answers
        What the tee is to be told.
    notes
        What the operator is to be told.
    trouble
        Why nothing can be written now: ``disk_full``, ``disk_failed``; empty if it can.
    queues
        What waits, and where.
    losses
        Frames given up.
    started
        Acquisitions whose START is on disk or on its way; of others nothing is written.
    epoch
        Of the adapter process that waits for answers.
    awaited
        Batches that are sent again, and come before what the spool holds; None: it is
        not known yet which.
    """

    def __init__(
        self, spool: Spool, notebook: Notebook, gate: Gate | None = None
    ) -> None:
        self.answers = Answers()
        self.notes: list[str] = []
        self.trouble = ""
        self.queues = Queues()
        self.losses = Losses(notebook)
        self.started: set[str] = set()
        self.epoch = 0
        self.awaited: set[int] | None = set()
        self._spool = spool
        self._notebook = notebook
        self._gate = gate
        self._giving_up = False
        self._depth, self._may_wait = 1, 0

    # -- what comes -------------------------------------------------------------

    def recover(self, items: Iterable[Item]) -> None:
        """Take over what a recorder before this one has left, in order."""
        self.queues.spooled.extend(items)
        if any(item.entry is not None for item in self.queues.spooled):
            self.awaited = None

    def put(self, item: Item) -> None:
        """Take what is to be written after all that was taken before."""
        if item.kind is Kind.BATCH:
            self._fit(item.header.get("slots", 0))
        if self.awaited and item.epoch == self.epoch and item.seq in self.awaited:
            self.awaited.remove(item.seq)
            self.queues.again.append(item)
        else:
            self.queues.slab.append(item)

    def put_first(self, item: Item) -> None:
        """Take a START that others wait for already."""
        self.queues.spooled.appendleft(item)

    def _fit(self, slots: int) -> None:
        """Let no more batches wait in the slab than leaves most of it to others."""
        credit = credit_of(slots)
        self._depth = 2 if credit >= 8 else 1
        self._may_wait = max(0, credit // 2 - self._depth)

    # -- what goes --------------------------------------------------------------

    def next(self) -> Item | None:
        """Return the next item for the writer; None if it has enough, or must wait."""
        for item in self.queues.begun:
            if not item.begun:
                item.begun = True
                return item
        if self.awaited is None or self.awaited:
            return None
        while len(self.queues.begun) < self._depth:
            waiting = self.queues.next_in()
            if not waiting:
                return None
            item = waiting[0]
            if item.kind is not Kind.BOOK and item.acquisition not in self.started:
                return None
            wanted = self._wanted(item)
            if wanted is None or (not wanted and self.queues.spool_is_read):
                return None
            waiting.popleft()
            if not wanted:
                self._leave_out(item)
                continue
            item.begun = True
            self.queues.begun.append(item)
            return item
        return None

    def _wanted(self, item: Item) -> bool | None:
        """Return whether any of it is to be written; None: it cannot be said yet."""
        if self._gate is None or (item.message is None and item.gap is None):
            return True
        if item.message is None:
            return None if self._grows(item) else True
        kept = self._gate.kept(item.acquisition, item.message)
        if kept is None:
            return None
        if 0 < kept.n < item.n:
            item.cut_to(kept)
        return kept.n > 0

    def _grows(self, gap: Item) -> bool:
        """Whether a gap at the head of the ring may become longer."""
        assert self._gate is not None
        spooled = self.queues.spooled
        if not spooled or spooled[0] is not gap:
            return False
        behind = spooled[1] if len(spooled) > 1 else None
        if behind is None:
            return True
        if behind.message is None:
            return False
        return self._gate.kept(behind.acquisition, behind.message) is None

    def _leave_out(self, item: Item, cause: str = NO_EVENT) -> None:
        """Drop the oldest batch of the ring, which no event asks for."""
        if item.entry is not None:
            self._spool.pop(item.entry)
        self.losses.count(item.acquisition, cause, item.n)
        if self._asked(item):
            self.answers.dropped.append([item.seq, cause])

    def written(self, item: Item) -> None:
        """Take note that the oldest that was begun is on disk."""
        assert self.queues.begun[0] is item
        self.queues.begun.popleft()
        if item.kind is Kind.BATCH or not self.queues.batches:
            self.trouble = ""  # what is small may find room where a batch does not
        if item.entry is not None:
            self._spool.pop(item.entry)
        if item.gap is not None:
            self._notebook.wrote(item.gap)
        elif self._asked(item) and item.kept is not None:
            self.answers.cut.append([item.seq, item.kept, NO_EVENT])
        elif self._asked(item):
            self.answers.done.append(item.seq)
        if item.kept is not None:
            self.losses.count(item.acquisition, NO_EVENT, item.n - item.kept)
        if item.kind is Kind.BOOK:
            self.started.discard(item.acquisition)

    def refused(self, item: Item, trouble: str) -> None:
        """Take note that the writer could not write it; it is the next again."""
        item.begun = False
        if trouble:
            self.trouble = trouble

    # -- what has no room -------------------------------------------------------

    def spill(self) -> None:
        """Copy aside what the slab should not hold longer; give up what finds no room.

        With a gate everything is copied: the spool is its ring.
        """
        if self._giving_up and self._spool.share < ROOM_BELOW:
            self._giving_up = False
        may_wait = 0 if self._gate is not None else self._may_wait
        while self.queues.slab_batches > may_wait:
            if not self._aside(self.queues.slab.popleft()):
                return

    def leave_slab(self) -> bool:
        """Let go of the slab for good; return whether nothing lies in it any more."""
        while self.queues.slab:
            if not self._aside(self.queues.slab.popleft()):
                return False
        for item in (*self.queues.begun, *self.queues.again):
            if item.in_slab and not item.begun:
                assert item.message is not None
                parts = [bytes(part) for part in item.message.parts]
                item.message = item.message._replace(parts=list(parts))
        return not any(item.in_slab and item.begun for item in self.queues.begun)

    def _aside(self, item: Item) -> bool:
        """Copy an item aside, or give it up; False if it can be waited with."""
        if item.seq < 0 or item.gap is not None:
            self.queues.spooled.append(item)
            return True
        batch = item.kind is Kind.BATCH
        if batch and self._giving_up:
            self._give_up(item, self.trouble or "disk_slow")
            return True
        placed = item.into(self._spool, spare=SPARE if batch else 0)
        while not placed and self._gate is not None and self._free_ring():
            placed = item.into(self._spool, spare=SPARE if batch else 0)
        if placed:
            self.queues.spooled.append(item)
            if self._asked(item):
                self.answers.released.append(item.seq)
        elif self._may_hold:
            # There is room when the oldest is written.
            self.queues.slab.appendleft(item)
            return False
        elif batch:
            self._giving_up = True
            self._give_up(item, self.trouble or "disk_slow")
        else:
            self.queues.spooled.append(item)  # the tee keeps it until it is written
        return True

    @property
    def _may_hold(self) -> bool:
        """Whether the slab can wait a little for room in the ring."""
        few = self.queues.slab_batches <= self._may_wait
        return self._gate is not None and not self.trouble and few

    def _free_ring(self) -> bool:
        """Give up the oldest that waits for a verdict; return whether there was one."""
        spooled = self.queues.spooled
        if self.queues.spool_is_read or not spooled:
            return False
        gap = spooled[0] if spooled[0].gap is not None else None
        place = 0 if gap is None else 1
        oldest = spooled[place] if len(spooled) > place else None
        if oldest is None or oldest.kind is not Kind.BATCH or oldest.entry is None:
            return False
        del spooled[place]
        new = self._lose(oldest, RING_FULL, gap)
        self._spool.pop(oldest.entry)
        if new is not None:
            spooled.insert(place, new)
        return True

    def _give_up(self, item: Item, cause: str) -> None:
        """Count a batch as dropped, and put a gap in its place, behind the spooled."""
        last = self.queues.spooled[-1] if self.queues.spooled else None
        new = self._lose(item, cause, last)
        if new is not None:
            self.queues.spooled.append(new)

    def _lose(self, item: Item, cause: str, last: Item | None) -> Item | None:
        new = self.losses.give_up(item, cause, last)
        if self._asked(item):
            self.answers.dropped.append([item.seq, cause])
        return new

    def _asked(self, item: Item) -> bool:
        """Whether the tee of now waits for an answer."""
        return item.seq >= 0 and item.epoch == self.epoch

    def give_up_waiting(self) -> int:
        """Give up all batches that wait, for a disk that stays full; return how many.

        What is said between them is kept.
        """
        cause = self.trouble or "disk_slow"
        waiting = list(self.queues)
        self.queues.clear()
        given_up = 0
        for item in waiting:
            item.begun = False
            if item.kind is Kind.BATCH:
                self._give_up(item, cause)
                given_up += 1
            else:
                self.queues.spooled.append(item)
        for item in waiting:
            if item.entry is not None:
                self._spool.pop(item.entry)
                item.entry = None
        for item in self.queues.spooled:
            if item.seq >= 0 and item.gap is None:
                item.into(self._spool, spare=0)
        return given_up

    # -- how it stands ----------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the disk; those in a ring wait for an event first."""
        if self._gate is not None:
            return sum(item.size for item in self.queues.begun)
        return self._spool.used + self.queues.slab_bytes

    @property
    def ring_bytes_per_s(self) -> float:
        """Bytes that the ring takes for a second of frames, by their time; 0: unknown.

        By what lies in it: that is told when it is full for the first time.
        """
        passed_ns = self.queues.spooled_ns
        return self._spool.used * 1e9 / passed_ns if passed_ns > 0 else 0.0

    @property
    def oldest_ns(self) -> int | None:
        """Since when the oldest waits for the disk, monotonic; None if none does."""
        oldest = next(
            iter(self.queues.begun if self._gate is not None else self.queues), None
        )
        return None if oldest is None else oldest.since_ns

    def take_answers(self) -> dict[str, Any] | None:
        """Return what the tee is to be told now, once."""
        if not self.answers:
            return None
        said, self.answers = self.answers.to_header(), Answers()
        return said
