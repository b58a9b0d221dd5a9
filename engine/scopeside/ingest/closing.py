"""The end of acquisitions: told to the collector when every frame is settled."""

from __future__ import annotations

from collections.abc import Mapping

from scopeside.edge import Edge
from scopeside.ingest.accounts import OpenAcquisition
from scopeside.ingest.recording import RecordEdge
from scopeside.link import Link
from scopeside.record.settings import EDGE
from scopeside.wire import Kind


class Closing:
    """Says each thing once to a collector; `open_ones`: what is open, by id."""

    def __init__(
        self,
        open_ones: Mapping[str, OpenAcquisition],
        edges: Mapping[str, Edge],
        router: Link,
        epoch: int,
    ) -> None:
        self._open = open_ones
        self._records = EDGE in edges
        recorder = edges.get(EDGE)
        self._recorder = recorder if isinstance(recorder, RecordEdge) else None
        self._router = router
        self._epoch = epoch

    def look(self, collector: bytes) -> bool:
        """Tell what is over; return whether anything is."""
        over = False
        for name, account in self._open.items():
            self._tell_drained(name, account, collector)
            owed = self._recorder is not None and self._recorder.owes(name)
            if account.settled and not owed and not account.announced_end:
                account.announced_end = over = True
                header = {"acq": name, "epoch": self._epoch}
                ledger = account.to_dict()
                self._router.send(Kind.END, {**header, "ledger": ledger}, to=collector)
        return over

    def _tell_drained(
        self, name: str, account: OpenAcquisition, collector: bytes
    ) -> None:
        """Tell the collector that all but the recorder have seen all frames.

        A recorder of events decides only then on the last frames; until it has, they
        are in flight, and the acquisition cannot be closed.
        """
        if not self._records or account.announced_drained:
            return
        if account.drained(EDGE):
            account.announced_drained = True
            header = {"acq": name, "epoch": self._epoch}
            self._router.send(Kind.DRAINED, header, to=collector)
