"""Passes results on to the adviser: those that rules and policies have asked for.

An adviser that is slow or dead holds up nobody: beyond `HIGH_WATER` messages they are
dropped, and numbers in the messages let it see so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import zmq

from scopeside.control.adviser import answers
from scopeside.control.setup import Control
from scopeside.link import Link
from scopeside.publication import from_header, to_header
from scopeside.result import Result
from scopeside.wire import Buffer, Kind, Message, encode

HIGH_WATER = 1000
HIGH_WATER_REPLAY = 100_000
"""Where decisions are to be the same each time, they wait for the adviser."""


class Feed:
    """The collector's side of the link to the adviser.

    Parameters
    ----------
    identity
        Of this collector: another one counts its messages anew.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        identity: str,
        control: Control,
    ) -> None:
        self._wants = sorted({w for one in control.deciders for w in one.wants})
        self._link = Link(context, zmq.DEALER)
        frames_clock = control.settings.clock == "frames"
        self._link.socket.sndhwm = HIGH_WATER_REPLAY if frames_clock else HIGH_WATER
        self._link.socket.identity = f"feed:{identity}".encode()
        self._link.socket.connect(endpoint)
        self._identity = identity
        self._number = 0

    def begin(self, acquisition: Mapping[str, Any]) -> None:
        """Tell of an acquisition."""
        self._send(Kind.START, {"acquisition": dict(acquisition)}, [])

    def take(self, message: Message) -> None:
        """Pass on those results of a part that are wanted; `message` is new."""
        header = message.header
        at = header.get("states", 0)
        said, payload = [], []
        for step, own, n in header["said"]:
            if self._wanted(step, own["name"], own["kind"]):
                said.append([step, own, n])
                payload += message.payload[at : at + n]
            at += n
        if said:
            about = {key: header[key] for key in ("acq", "chain", "epoch", "t_ns")}
            about |= {"said": said, "stamps": header.get("stamps", []), "final": False}
            self._send(Kind.HEARD, about, payload)

    def close(
        self,
        acquisition: str,
        epoch: int,
        last: list[tuple[str, str, Result]],
        t_ns: int,
    ) -> None:
        """Pass on the `last` values (chain, processor, result) that are wanted."""
        for chain, processor, result in last:
            if self._wanted(processor, result.name, result.kind):
                own, payload = to_header(result)
                about = {
                    "acq": acquisition,
                    "chain": chain,
                    "epoch": epoch,
                    "t_ns": t_ns,
                    "said": [[processor, own, len(payload)]],
                    "stamps": [],
                    "final": True,
                }
                self._send(Kind.HEARD, about, payload)
        self._send(Kind.END, {"acq": acquisition}, [])

    def end(self) -> None:
        """Close, after what was passed on has left."""
        self._link.flush_and_close()

    def _wanted(self, processor: str, name: str, kind: str) -> bool:
        return any(answers(want, processor, name, kind) for want in self._wants)

    def _send(
        self, kind: Kind, header: dict[str, Any], payload: list[Buffer] | list[Any]
    ) -> None:
        self._number += 1
        said = {**header, "feed": self._identity, "number": self._number}
        try:
            self._link.socket.send_multipart(
                list(encode(kind, said, payload)), zmq.DONTWAIT, copy=True
            )
        except zmq.Again:
            return  # the adviser sees from the next number that this one is missing


def results_in(message: Message) -> list[tuple[str, Result]]:
    """Return (processor, result) of what `Feed` has passed on."""
    found, at = [], 0
    for step, own, n in message.header["said"]:
        arrays = [bytes(part) for part in message.payload[at : at + n]]
        found.append((step, from_header(own, arrays)))
        at += n
    return found
