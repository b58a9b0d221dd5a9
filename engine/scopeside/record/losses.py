"""Frames that the recorder gives up: counted, remembered, and declared as gaps."""

from __future__ import annotations

from collections import Counter

from scopeside.record.item import Item
from scopeside.record.notebook import Gap, Notebook
from scopeside.wire import Kind


class Losses:
    """What is given up, of the acquisitions that are open.

    Attributes
    ----------
    total
        Frames by cause, of all acquisitions; those that no event asks for not among
        them.
    """

    def __init__(self, notebook: Notebook) -> None:
        self.total: Counter[str] = Counter()
        self._notebook = notebook
        self._of: dict[str, Counter[str]] = {}

    def give_up(self, item: Item, cause: str, last: Item | None) -> Item | None:
        """Make `last` longer, if it is the gap before `item`, or return a new one.

        It is in the notebook when this returns.
        """
        self.total[cause] += item.n
        self.count(item.acquisition, cause, item.n)
        new = None
        if last is not None and last.gap is not None and _continues(last, item, cause):
            gap = last.gap
            gap.grow(item.seq, item.runs)
        else:
            runs = [list(run) for run in item.runs]
            seqs = (item.seq, item.seq)
            gap = Gap(item.acquisition, item.epoch, cause, seqs, runs)
            new = item_of(gap, item.since_ns)
        self._notebook.give_up(gap)
        return new

    def count(self, acquisition: str, cause: str, n: int) -> None:
        """Count frames that are not written, for whatever cause."""
        self._of.setdefault(acquisition, Counter())[cause] += n

    def of(self, acquisition: str) -> dict[str, int]:
        """Return frames of an acquisition that are not written, by cause."""
        return dict(self._of.get(acquisition, {}))

    def forget(self, acquisition: str) -> None:
        """Forget what was counted for a run that is closed."""
        self._of.pop(acquisition, None)


def item_of(gap: Gap, now_ns: int) -> Item:
    """Return what is to be written of a gap."""
    header = {"seqs": list(gap.seqs)}
    seq = gap.seqs[0]
    return Item(Kind.GAP, gap.acquisition, gap.epoch, seq, header, now_ns, gap=gap)


def _continues(last: Item, item: Item, cause: str) -> bool:
    gap = last.gap
    assert gap is not None
    same = (gap.acquisition, gap.epoch, gap.cause)
    return not last.begun and same == (item.acquisition, item.epoch, cause)
