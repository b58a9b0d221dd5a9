"""The processes that have joined the tee of an adapter process, and those cut off."""

from __future__ import annotations

from scopeside.link import Link
from scopeside.wire import Buffer


class Listeners:
    """Who is to be told what happens to an acquisition.

    Attributes
    ----------
    collector
        Its name on the router; None until it has joined.
    """

    def __init__(self, router: Link) -> None:
        self.collector: bytes | None = None
        self._router = router
        self._workers: list[bytes] = []
        self._fenced_off: set[bytes] = set()

    def knows(self, worker: bytes) -> bool:
        """Whether a worker has joined, or was cut off: it must not join any more."""
        return worker in self._workers or worker in self._fenced_off

    def add(self, worker: bytes) -> None:
        """Tell a worker what happens from now on."""
        self._workers.append(worker)

    def fence(self, worker: bytes) -> bool:
        """Cut a dead worker off for good; return whether it had joined."""
        self._fenced_off.add(worker)
        if worker not in self._workers:
            return False
        self._workers.remove(worker)
        return True

    def tell_workers(self, message: list[Buffer]) -> None:
        """Send all workers, and the recorder, an encoded message."""
        for worker in self._workers:
            self._router.forward(message, to=worker)

    def tell_all(self, message: list[Buffer]) -> None:
        """Send the workers and the collector an encoded message."""
        self.tell_workers(message)
        if self.collector is not None:
            self._router.forward(message, to=self.collector)
