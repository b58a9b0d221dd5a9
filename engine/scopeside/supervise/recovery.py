"""What is to be done between the death of an adapter and the next one.

Workers finish the batches they were handed; then the collector closes what was open,
as failed, with exactly the frames that were announced; then an adapter may start.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from scopeside.supervise.member import Member, State
from scopeside.wire import Kind

Say = Callable[..., None]
"""Called with the name of a process, a kind, and the header's fields."""


class Recovery:
    """One recovery at a time; `begin` it again for the next."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._draining: set[str] = set()
        self._aborts: dict[str, dict[str, Any]] = {}

    @property
    def draining(self) -> set[str]:
        """Workers that still hold batches of the dead adapter."""
        return set(self._draining)

    @property
    def over(self) -> bool:
        """Whether all workers are done and all acquisitions closed."""
        return not self._draining and not self._aborts

    def begin(
        self,
        ledgers: dict[str, dict[str, Any]],
        closed: Container[str],
        workers: Iterable[Member],
        reason: str,
    ) -> None:
        """Ask the workers to finish; keep what is to be closed after that.

        Parameters
        ----------
        ledgers
            The open acquisitions as they stand on the dead adapter's board.
        closed
            Those of them that the collector has closed already.
        """
        for name, ledger in ledgers.items():
            if name not in closed:
                self._aborts[name] = {
                    "acq": name,
                    "acquisition": ledger["acquisition"],
                    "ledger": {**ledger, "state": "failed", "reason": reason},
                }
        for worker in workers:
            if worker.state is State.RUNNING:
                self._draining.add(worker.name)
                self._say(worker.name, Kind.DRAIN)

    def drained(self, worker: str) -> None:
        """Take note that a worker holds nothing more, or is dead."""
        self._draining.discard(worker)

    def closed(self, acquisition: str) -> bool:
        """Take note that one is closed; return whether it was for this recovery."""
        return self._aborts.pop(acquisition, None) is not None

    def send_aborts(self, collector: Member) -> None:
        """Have the acquisitions closed, once all workers are done.

        A collector that was restarted meanwhile is told again.
        """
        if self._draining or collector.state is not State.RUNNING:
            return
        for abort in self._aborts.values():
            if abort.get("told") != collector.spec.incarnation:
                abort["told"] = collector.spec.incarnation
                self._say(collector.name, Kind.ABORT, **abort)
