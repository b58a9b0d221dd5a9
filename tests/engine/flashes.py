"""A processor that tells of events at given frames, as a user would bring it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Order
from scopeside.result import Result
from scopeside.state import pack, unpack


class Flashes:
    """ORDERED: an event at each of `at`, which began `lag` frames before."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        at: tuple[int, ...] = ()
        lag: int = 0
        fail_at: int = -1
        state_bytes: int = Field(0, ge=0)

    def __init__(
        self, acquisition: Acquisition, params: Params, device: str = "cpu"
    ) -> None:
        self._params = params
        self._seen = 0
        self._last: list[Result] = []

    def process(self, batch: Batch) -> None:
        self._last = []
        for index in batch.index.tolist():
            self._seen += 1
            if index == self._params.fail_at:
                raise ValueError("this frame cannot be")
            if index in self._params.at:
                number = self._params.at.index(index)
                data = {
                    "id": number,
                    "status": "bright" if number % 2 else "faint",
                    "birth_frame": index - self._params.lag,
                }
                self._last.append(Result("flash", data, "event", index, 0, used=1))

    def results(self) -> Iterable[Result]:
        yield from self._last

    def snapshot(self) -> bytes:
        return pack({"seen": self._seen, "weight": bytes(self._params.state_bytes)})

    def restore(self, state: bytes) -> None:
        self._seen = unpack(state)["seen"]
