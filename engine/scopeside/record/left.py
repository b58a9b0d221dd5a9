"""What a recorder that was killed has left in its spool and notebook."""

from __future__ import annotations

from collections.abc import Callable

from scopeside.record.item import Item
from scopeside.record.losses import item_of
from scopeside.record.notebook import Notebook
from scopeside.record.spool import Spool

Written = Callable[[str, int, int], bool]
"""Whether acquisition, epoch, batch are on disk."""


def items_left(
    spool: Spool, notebook: Notebook, now_ns: int, written: Written
) -> list[Item]:
    """Return what waits, in the order in which it was heard.

    What is on disk already is taken out: the recorder died before it could.
    """
    items: list[Item] = []
    for entry in list(spool.entries()):
        item = Item.out_of(spool, entry, now_ns)
        if written(item.acquisition, item.epoch, item.seq) and not items:
            spool.pop(entry)
        else:
            items.append(item)
    for gap in notebook.gaps:
        if written(gap.acquisition, gap.epoch, gap.seqs[1]):
            notebook.wrote(gap)
        else:
            _put(items, item_of(gap, now_ns))
    return items


def _put(items: list[Item], gap: Item) -> None:
    """Put a gap between the batches before and behind it."""
    place = 0
    for k, item in enumerate(items):
        if (item.epoch, item.seq) < (gap.epoch, gap.seq):
            place = k + 1
    items.insert(place, gap)
