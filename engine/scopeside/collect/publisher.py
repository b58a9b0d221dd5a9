"""The results bus: publishes, and repeats the last value to those who come late.

An XPUB socket tells us of every new subscription; what is known under that topic is
then sent again, to all who listen there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgpack
import zmq

from scopeside.publication import VERSION, to_header, topic
from scopeside.result import Result

SEND_HWM = 32
"""Messages that wait for a slow subscriber; beyond, it misses some and can tell."""


class Publisher:
    """Publishes results to whoever has subscribed."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoints: Sequence[str],
        run: str,
        port: int | None = None,
    ) -> None:
        self.socket = context.socket(zmq.XPUB)
        self.socket.sndhwm = SEND_HWM
        self.socket.linger = 0
        self.socket.xpub_verboser = 1
        for endpoint in endpoints:
            self.socket.bind(endpoint)
        self.tcp = "" if port is None else self._bind(port)
        self._run = run
        self._subscriptions: dict[bytes, int] = {}
        self._sequence: dict[tuple[str, bytes], int] = {}

    def _bind(self, port: int) -> str:
        """Bind to a port of 127.0.0.1, or to a free one if that is taken."""
        try:
            self.socket.bind(f"tcp://127.0.0.1:{port}")
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            self.socket.bind("tcp://127.0.0.1:*")
        return self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscriptions)

    def wants(self, prefix: bytes) -> bool:
        """Whether anybody listens to topics that begin with `prefix`."""
        return any(
            prefix.startswith(asked) or asked.startswith(prefix)
            for asked in self._subscriptions
        )

    def new_subscriptions(self) -> list[bytes]:
        """Return the topics that were asked for since the last call."""
        fresh: list[bytes] = []
        while True:
            try:
                said = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return fresh
            if said[:1] not in (b"\x00", b"\x01"):
                continue  # subscribers may send messages of their own; we take none
            asked = said[1:]
            if said[0] == 1:
                self._subscriptions[asked] = self._subscriptions.get(asked, 0) + 1
                fresh.append(asked)
            elif self._subscriptions.get(asked, 0) > 1:
                self._subscriptions[asked] -= 1
            else:
                self._subscriptions.pop(asked, None)

    def publish(
        self,
        result: Result,
        *,
        acquisition: str,
        chain: str,
        processor: str,
        t_frame_ns: int,
        final: bool,
        channels: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a result, numbered within its chain and topic.

        `channels`: the samples that belong to `t_frame_ns`; None without channels.
        """
        name = topic(acquisition, processor, result.name)
        key = (chain, name)
        number = self._sequence[key] = self._sequence.get(key, -1) + 1
        header, payload = to_header(result)
        header |= {
            "v": VERSION,
            "acq": acquisition,
            "chain": chain,
            "processor": processor,
            "params": 1,
            "seq": number,
            "run": self._run,
            "final": final,
            "t_frame_ns": t_frame_ns,
            "t_published_ns": time.time_ns(),
        }
        if channels is not None:
            header["channels"] = channels
        self.socket.send_multipart([name, msgpack.packb(header), *payload])

    def keep(self, acquisitions: Iterable[str]) -> None:
        """Drop the sequence numbers of all other acquisitions."""
        kept = {name.encode() for name in acquisitions}
        self._sequence = {
            key: number
            for key, number in self._sequence.items()
            if key[1].partition(b"/")[0] in kept
        }
