"""The interface of a processor, in full.

A processor is a pure function that knows the physics and no stream, and a small
object, new for every acquisition, that knows the stream and no physics. This file
describes the object. Its laws (`scopeside.testing.check_processor` tests them):

- how frames are cut into batches does not matter;
- ANY: two halves merged equal the whole, in any order;
- KEYED: parts merged in order equal the whole, wherever they were cut;
- asking for results changes nothing;
- frames are left as they were;
- restore(snapshot()) is invisible;
- empty batches, one-frame batches and gaps are survived;
- with `Adjustable`: a change at a frame is kept by snapshots and merges;
- with `TakesEvents`: events bring what the frames made of them bring;
- with `TakesPacked`: packed frames bring what the frames in them bring.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.events import EventBatch
from scopeside.packed import PackedBatch, SparseBatch
from scopeside.result import Result

Device = Literal["cpu", "gpu"]


class Order(Enum):
    """What a processor asks of the order of its batches."""

    ANY = "any"
    """Batches in any order, on any number of workers; results are merged."""

    ORDERED = "ordered"
    """All batches on one worker, in the order of arrival."""

    KEYED = "keyed"
    """As ORDERED, for what is learnt from the first frames; but what each frame has
    brought is kept by frame, and results are merged as those of ANY (`Keyed`)."""


class Processor(Protocol):
    """One step of a chain; see the module's docstring for its laws."""

    order: ClassVar[Order]
    Params: ClassVar[type[BaseModel]]

    def __init__(
        self, acquisition: Acquisition, params: Any, device: Device = "cpu"
    ) -> None: ...

    def process(self, batch: Batch) -> Batch | None:
        """Take in the frames; return a batch only to replace them in the chain."""

    def results(self) -> Iterable[Result]:
        """Return what is known now.

        ORDERED processors return the results of the last batch, one a frame
        where the quantity belongs to a frame.
        """

    def snapshot(self) -> bytes:
        """Return all state as bytes (`scopeside.state.pack`)."""

    def restore(self, state: bytes) -> None:
        """Take over the state that `snapshot` gave; only on a new object."""


@runtime_checkable
class TakesEvents(Protocol):
    """A processor that can do without frames where a detector sends events.

    It gives the same results as for the frames that the chain would make of them. A
    chain feeds processors without it, and those that come after one that has replaced
    the frames, with frames.
    """

    def process_events(self, batch: EventBatch) -> EventBatch | None:
        """Take in the events; return a batch only to replace them in the chain."""


@runtime_checkable
class TakesPacked(Protocol):
    """A processor that can do without pixels where a detector sends packed frames.

    It gives the same results as for the frames that the chain would make of them.
    """

    def process_packed(self, batch: PackedBatch) -> PackedBatch | None:
        """Take in the frames; return a batch only to replace them in the chain."""


Take = Callable[[Any], SparseBatch | None]


def take_of(processor: Processor, batch: SparseBatch) -> Take | None:
    """Return what takes in such a batch as it is; None if the processor cannot."""
    if isinstance(batch, EventBatch):
        return processor.process_events if isinstance(processor, TakesEvents) else None
    return processor.process_packed if isinstance(processor, TakesPacked) else None


@runtime_checkable
class Prepared(Protocol):
    """A processor that has something to load or compile before the first frame."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Do it now.

        A process calls this before it says that it is ready, and a worker again with
        each acquisition, before its first batch.
        """


def prepare(processors: Iterable[type[Processor]], lock: Path) -> None:
    """Have all that can be prepared prepared, one process at a time.

    What the first process compiles it leaves in numba's cache, where the others find
    it; side by side each of them would compile it all.
    """
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for cls in processors:
            if isinstance(cls, Prepared):
                cls.prepare()


@runtime_checkable
class Adjustable(Protocol):
    """A processor that takes new parameters in the middle of an acquisition.

    Parameters that `change` never takes it may name in a class attribute ``fixed``, a
    tuple of keys, so that a person is told before: they hold from the next acquisition
    on.
    """

    def change(self, params: Any) -> None:
        """Use `params` for the frames from now on, and for what is worked out of all.

        What was seen stays. Whether it can be done depends on the acquisition and on
        the parameters, those before and these, and not on what was seen: it is tried
        on an object that has seen nothing. A snapshot taken after it is restored into
        an object that was made with `params`; what was seen with other parameters is
        merged with what was seen with these, in any order if the processor is ANY.

        Raises
        ------
        ConfigError
            If it is impossible in mid-acquisition; nothing has changed then.
        """


class Mergeable(Processor, Protocol):
    """An ANY processor: what two objects saw can be put together."""

    def merge(self, other: Self) -> None:
        """Take in what `other` has seen; the two never saw the same frame."""


class Keyed(Mergeable, Protocol):
    """A KEYED processor: values by frame, and a small context learnt so far.

    At a commit its worker sends `snapshot` (values since the last commit, and the
    context), makes a new object and has it `resume` from the `context`. The collector
    merges the snapshots in order; `merge` takes over the values of the other, and its
    context, which is the later one. A new worker resumes from the collector's context.
    """

    def context(self) -> bytes:
        """Return what was learnt so far, and the frames that still wait for it."""

    def resume(self, context: bytes) -> None:
        """Go on with what `context` gave, without values; only on a new object."""
