"""Dead workers from whom nothing more is taken, so that others can do their batches."""

from __future__ import annotations

from typing import Any

from scopeside.supervise.member import Member
from scopeside.supervise.recovery import Say
from scopeside.wire import Kind


class Fences:
    """The fences that the tee has not confirmed yet."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._fences: dict[str, dict[str, Any]] = {}

    def put(self, worker: Member, epoch: int) -> None:
        """Fence a worker, and say on which batch it died, if it was one of `epoch`."""
        current = worker.board.read().get("current")
        culprit = None
        if current is not None and current[1] == epoch:
            culprit = current[2]
        identity = worker.spec.identity
        self._fences[identity] = {
            "worker": identity,
            "chain": worker.spec.chain,
            "culprit": culprit,
        }
        self._say("collector", Kind.FENCE, **self._fences[identity])

    def repeat(self) -> None:
        """Tell a collector that was restarted."""
        for fence in self._fences.values():
            self._say("collector", Kind.FENCE, **fence)

    def confirmed(self, identity: str) -> None:
        """Drop a fence: the batches behind it are with other workers."""
        self._fences.pop(identity, None)
