"""A device that pushes samples: ``scopeside simulate samples``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgpack
import zmq
from pydantic import AfterValidator, Field

from scopeside.params import Params
from scopeside.security.keys import read_passport
from scopeside_adapters.endpoint import check_endpoint


class SampleSimulatorParams(Params):
    """``scopeside simulate samples``."""

    to: Annotated[str, AfterValidator(check_endpoint)] = "tcp://127.0.0.1:5556"
    """Where the engine listens."""
    keys: Path | None = None
    """The file NAME.key_secret that the engine's machine has made, if it wants one."""
    name: str = "temperature"
    """Name of the samples."""
    unit: str = ""
    """Their unit; empty: it is not said."""
    period_s: float = Field(0.01, gt=0, le=3600)
    """Time from one sample to the next, s."""
    first: float = 20.0
    """Value of the first sample."""
    per_s: float = 1.0
    """By how much the value rises in a second."""
    samples: int = Field(0, ge=0)
    """How many are sent; 0: no end."""
    as_json: bool = False
    """JSON instead of msgpack."""


class SampleSimulator:
    """A device whose value rises steadily, pushed on the public sample wire."""

    Params: ClassVar[type[SampleSimulatorParams]] = SampleSimulatorParams

    def __init__(self, params: SampleSimulatorParams) -> None:
        self._params = params
        self.sent: list[tuple[int, float]] = []
        self.stopping = False

    def run(self, say: Callable[[str], None]) -> None:
        """Push samples to the engine that listens at ``to``.

        A stop by `stopping` is noticed within 50 ms. What was sent stays in `sent`, at
        most the last 100000.
        """
        asked = self._params
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.linger = 1000
        if asked.keys is not None:
            read_passport(asked.keys).put_on(socket)
        socket.connect(asked.to)
        say(f"pushes samples of {asked.name!r} to {asked.to}")
        began = time.monotonic()
        number = 0
        try:
            while not self.stopping and number != (asked.samples or -1):
                self._wait_until(began + number * asked.period_s)
                value = asked.first + asked.per_s * number * asked.period_s
                if self._send(socket, time.time_ns(), value):
                    number += 1
        finally:
            socket.close()
            context.term()
        say(f"{number} samples sent")

    def _wait_until(self, due: float) -> None:
        while not self.stopping and (left := due - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))

    def _send(self, socket: zmq.Socket[bytes], t_ns: int, value: float) -> bool:
        """Send a sample; False if there is no engine to take it now."""
        said: dict[str, Any] = {
            "name": self._params.name,
            "t_ns": t_ns,
            "value": value,
        }
        if self._params.unit:
            said["unit"] = self._params.unit
        packed = (
            json.dumps(said).encode() if self._params.as_json else msgpack.packb(said)
        )
        if not socket.poll(50, zmq.POLLOUT):
            return False
        socket.send(packed)
        self.sent.append((t_ns, value))
        del self.sent[:-100_000]
        return True
