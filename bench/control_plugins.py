"""A processor that decides often, for bench/control_latency.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Order
from scopeside.result import Result
from scopeside.state import pack, unpack


class Often:
    """Says an event in every so-manieth frame, as nucleation does in a few."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """How often."""

        every: int = 5
        """Frames."""

    def __init__(
        self,
        acquisition: Acquisition,  # noqa: ARG002 - of the interface
        params: Params,
        device: str = "cpu",  # noqa: ARG002 - of the interface
    ) -> None:
        self._every = params.every
        self._last: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Look at the index of each frame, and at nothing else."""
        self._last = [
            self._event(frame)
            for frame in batch.index.tolist()
            if frame % self._every == 0
        ]

    def _event(self, frame: int) -> Result:
        # Small steps to and fro: within any limit, and never twice the same.
        turn = frame // self._every % 100
        event: dict[str, Any] = {"defocus_m": (turn + 1) * 1e-9, "confidence": 0.99}
        return Result("event", event, "event", frame=frame, first=frame, used=1)

    def results(self) -> Iterable[Result]:
        """Yield the events of the last batch."""
        yield from self._last

    def snapshot(self) -> bytes:
        """Return nothing: there is no state."""
        return pack({})

    def restore(self, state: bytes) -> None:
        """Take nothing over."""
        unpack(state)
