"""A processor whose results feedback can stand on, as a user would bring it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Order
from scopeside.result import Result
from scopeside.state import pack, unpack


class Level:
    """Says the mean of each frame, as an event, and how sure it is."""

    order: ClassVar[Order] = Order.ORDERED
    Params: ClassVar[type[Base]] = Base

    def __init__(
        self, acquisition: Acquisition, params: Base, device: str = "cpu"
    ) -> None:
        self._seen = 0
        self._last: list[Result] = []

    def process(self, batch: Batch) -> None:
        self._last = []
        for index, frame in zip(batch.index.tolist(), batch.pixels, strict=True):
            self._seen += 1
            mean = float(frame.mean())
            event: dict[str, Any] = {
                "mean": mean,
                "focus_m": (mean - 40) * 1e-8,
                "confidence": min(1.0, mean / 40),
            }
            self._last.append(
                Result("level", event, "event", frame=index, first=index, used=1)
            )

    def results(self) -> Iterable[Result]:
        yield from self._last

    def snapshot(self) -> bytes:
        return pack({"seen": self._seen})

    def restore(self, state: bytes) -> None:
        self._seen = unpack(state)["seen"]
