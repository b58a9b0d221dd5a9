"""The results bus: publishes, and repeats the last value to those who come late.

An XPUB socket tells us of every new subscription; what is known under that topic is
then sent again, to all who listen there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import zmq

from scopeside import patch
from scopeside.collect import paced
from scopeside.errors import ConfigError
from scopeside.publication import VERSION, to_header, topic
from scopeside.result import Result
from scopeside.security.entrance import Entrance
from scopeside.security.ring import Ring, own_pair
from scopeside.wire import Buffer

Key = tuple[str, bytes]
"""Chain and topic."""
SEND_HWM = 64
"""Messages that wait for a slow subscriber; beyond, it misses some and can tell."""

LARGEST_SUBSCRIPTION = 4096
"""Bytes; topics are far shorter. Who sends more is cut off."""
MOST_SUBSCRIPTIONS = 10_000
"""Topics that are remembered; more are not answered with a last value."""
WHOLE_EVERY_S = 0.25
"""Between two whole results there may be patches for so long."""


@dataclass(slots=True)
class _Sent:
    """What was last sent under a topic."""

    at: float
    seq: int
    patches: int
    result: Result


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
        self.socket.maxmsgsize = LARGEST_SUBSCRIPTION
        self.socket.xpub_verboser = 1
        for endpoint in endpoints:
            self.socket.bind(endpoint)
        self.tcp = "" if port is None else self._bind(port)
        self._entrance: Entrance | None = None
        self._run = run
        self._subscriptions: dict[bytes, int] = {}
        self._sequence: dict[tuple[str, bytes], int] = {}
        self._sent: dict[tuple[str, bytes], _Sent] = {}

    def _bind(self, port: int) -> str:
        """Bind to a port of 127.0.0.1, or to a free one if that is taken."""
        try:
            self.socket.bind(f"tcp://127.0.0.1:{port}")
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            self.socket.bind("tcp://127.0.0.1:*")
        return self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def open_to(self, bind: str, keys: Path) -> str:
        """Publish at `bind` as well, for programs of a key folder that may observe.

        Returns
        -------
        The address, with its port.

        Raises
        ------
        ConfigError
            If the folder cannot be used, or nobody can listen there.
        """
        ring, own = Ring(keys, {"observe"}), own_pair(keys)
        # What an address asks of those who come is settled when it is bound: the
        # ones above stay as they are.
        self._entrance = Entrance(
            self.socket,
            own.secret,
            ring,
            what="results",
            where=str(keys),
        )
        try:
            self._entrance.bind(bind)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"results.bind: nobody can listen at {bind}: {error.strerror}"
            ) from error
        return self._entrance.endpoint

    def told(self) -> list[str]:
        """Return what the operator should know since the last call, in words."""
        if self._entrance is None:
            return []
        self._entrance.mind()
        return self._entrance.told()

    def close(self) -> None:
        """Close, after what was sent had a moment to leave."""
        if self._entrance is not None:
            self._entrance.close()
        self.socket.close(linger=500)

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscriptions)

    def wants(self, prefix: bytes, mark: bytes = b"") -> bool:
        """Whether anybody listens to topics that begin with `mark` and `prefix`."""
        return any(
            (prefix.startswith(topic) or topic.startswith(prefix))
            for topic in (
                asked[len(mark) :]
                for asked in self._subscriptions
                if asked.startswith(mark)
            )
        )

    @property
    def _wants_patches(self) -> bool:
        return any(asked.startswith(patch.MARK) for asked in self._subscriptions)

    def new_subscriptions(self) -> list[bytes]:
        """Return the topics that were asked for since the last call."""
        fresh: list[bytes] = []
        while True:
            try:
                frame = self.socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return fresh
            if self._entrance is not None:
                self._entrance.sender(frame)  # to cut its link if it is withdrawn
            said = frame.bytes
            if said[:1] not in (b"\x00", b"\x01"):
                continue  # subscribers may send messages of their own; we take none
            asked = said[1:]
            known = asked in self._subscriptions
            if (
                said[0] == 1
                and not known
                and len(self._subscriptions) >= MOST_SUBSCRIPTIONS
            ):
                continue
            if said[0] == 1:
                self._subscriptions[asked] = self._subscriptions.get(asked, 0) + 1
                fresh.append(asked)
            elif self._subscriptions.get(asked, 0) > 1:
                self._subscriptions[asked] -= 1
            else:
                self._subscriptions.pop(asked, None)

    def send(self, parts: Sequence[Buffer]) -> None:
        """Send a message that is no result, to whoever listens to its topic."""
        self.socket.send_multipart(list(parts))

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
        whole: bool = False,
        mark: bytes = b"",
    ) -> None:
        """Send a result, numbered within its chain and topic.

        Who has subscribed to patches gets only what has changed, unless `whole`.
        `channels`: the samples that belong to `t_frame_ns`; None without channels.
        `mark`: what the topic begins with, of those that are sent whole only.
        """
        name = mark + topic(acquisition, processor, result.name)
        header: dict[str, Any] = {
            "v": VERSION,
            "acq": acquisition,
            "chain": chain,
            "processor": processor,
            "params": result.meta.get("params", 1),
            "params_from": result.meta.get("params_from", 0),
            "run": self._run,
            "final": final,
            "t_frame_ns": t_frame_ns,
            "t_published_ns": time.time_ns(),
        }
        if channels is not None:
            header["channels"] = channels
        if final or whole or mark or not self._patch((chain, name), header, result):
            self._whole((chain, name), header, result, patched=not mark)

    def _whole(
        self, key: Key, header: dict[str, Any], result: Result, *, patched: bool
    ) -> None:
        """Send all of a result, which patches may follow."""
        number = self._sequence[key] = self._sequence.get(key, -1) + 1
        own, payload = to_header(result)
        packed = msgpack.packb({**own, **header, "seq": number})
        self.socket.send_multipart([key[1], packed, *payload])
        if patched and self._wants_patches and not header["final"]:
            self._sent[key] = _Sent(time.monotonic(), number, 0, result)
        else:
            self._sent.pop(key, None)

    def _patch(self, key: Key, header: dict[str, Any], result: Result) -> bool:
        """Send what has changed of a result; return whether that could be done."""
        sent = self._sent.get(key)
        if sent is None or time.monotonic() - sent.at > WHOLE_EVERY_S:
            return False
        where = patch.changed(sent.result, result)
        if where is None:
            return False
        sent.patches += 1
        sent.result = result
        own, _ = to_header(result)
        said = {"seq": sent.seq, "patch": where, "number": sent.patches}
        packed = msgpack.packb({**own, **header, **said})
        payload = patch.cut(result, where)
        self.socket.send_multipart([patch.MARK + key[1], packed, *payload])
        return True

    def keep(self, acquisitions: Iterable[str]) -> None:
        """Drop the sequence numbers of all other acquisitions."""
        kept = {name.encode() for name in acquisitions}
        self._sequence = {
            key: number
            for key, number in self._sequence.items()
            if key[1].removeprefix(paced.MARK).partition(b"/")[0] in kept
        }
        self._sent = {
            key: sent for key, sent in self._sent.items() if key in self._sequence
        }
