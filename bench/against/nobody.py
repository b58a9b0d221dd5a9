"""How fast the peer's simulator sends to somebody who throws everything away.

No engine beside it can be faster; on two cores none can come near, as the simulator
alone takes one of them.
"""

from __future__ import annotations

import socket
import time

import zmq
from bench.against.senders import PATIENCE_S, Sender
from bench.against.streams import Stream

from scopeside_adapters.merlin.controller import Controller
from scopeside_adapters.rest import RestApi

HOST = "127.0.0.1"
_READ = 4 << 20


def rate(stream: Stream, sender: Sender) -> float:
    """Return frames/s of one acquisition that is received and thrown away."""
    take = {"merlin": _merlin, "dectris": _dectris}[stream.protocol]
    return take(stream, sender.ports)


def _merlin(stream: Stream, ports: dict[str, int]) -> float:
    buffer = memoryview(bytearray(_READ))
    with (
        Controller(HOST, ports["control"]) as control,
        socket.create_connection((HOST, ports["data"]), PATIENCE_S) as data,
    ):
        control.set("NUMFRAMESTOACQUIRE", stream.frames)
        control.start()
        data.recv_into(buffer)  # what announces the acquisition
        began = time.monotonic()
        control.command("SOFTTRIGGER")
        data.settimeout(1.0)
        last = began
        try:
            while data.recv_into(buffer):
                last = time.monotonic()
        except TimeoutError:
            pass  # it has sent all and waits for the next start
    return stream.frames / (last - began)


def _dectris(stream: Stream, ports: dict[str, int]) -> float:
    api = RestApi(f"http://{HOST}:{ports['control']}", "the simulator", PATIENCE_S)
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.linger = 0
        pull.connect(f"tcp://{HOST}:{ports['data']}")
        api.put("/detector/api/1.8.0/command/arm")
        images, began, last = 0, time.monotonic(), 0.0
        while images < stream.frames and pull.poll(int(PATIENCE_S * 1000)):
            parts = pull.recv_multipart(copy=False)
            if len(parts) >= 4:
                began = time.monotonic() if images == 0 else began
                images += 1
        last = time.monotonic()
        api.put("/detector/api/1.8.0/command/disarm")
    api.close()
    return images / (last - began)
