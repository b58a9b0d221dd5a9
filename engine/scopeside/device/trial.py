"""A processor under test, fed through a GPU as a worker does it."""

from __future__ import annotations

from collections.abc import Iterable

from scopeside.batch import Batch
from scopeside.device.card import Card
from scopeside.device.lanes import Lanes, Ring
from scopeside.device.twin import OnCard
from scopeside.packed import AnyBatch
from scopeside.processor import Processor
from scopeside.trial import feed


def feed_on_card(processor: Processor, batches: Iterable[AnyBatch], card: Card) -> int:
    """Have a processor take in batches over a card; return how many took that way.

    Events, and batches without frames, are fed as on the CPU; so is a processor that
    has no kernels for them.
    """
    lanes = Lanes(card)
    ring = Ring(lanes, 4, 1 << 20)
    took = 0
    for batch in batches:
        twin = isinstance(processor, OnCard) and processor.takes_card()
        if not twin or not isinstance(batch, Batch) or not len(batch):
            feed(processor, batch)
            continue
        assert isinstance(processor, OnCard)
        finish = processor.launch(ring.frames(batch))
        lanes.settle()
        finish()
        ring.leave(batch)
        took += 1
    return took
