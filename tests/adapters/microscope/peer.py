"""A peer that answers requests as a test wants it to, over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

import zmq

Reply = Callable[[bytes], list[bytes] | bytes | None]


class Peer:
    """Hands each request to `reply`; None: no answer.

    Attributes
    ----------
    reply
        May be changed while it runs.
    requests
        All that have come, in order.
    """

    def __init__(
        self, reply: Reply, *, secure: Callable[[zmq.Socket], None] | None = None
    ):
        self.reply = reply
        self.requests: list[bytes] = []
        self._secure = secure
        self.ending: Callable[[], object] = lambda: None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        if self._secure is not None:
            self._secure(self._socket)
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(10)
        self.ending()
        self._context.destroy(linger=0)

    def _serve(self) -> None:
        while not self._ending.is_set():
            if not self._socket.poll(20):
                continue
            *route, request = self._socket.recv_multipart()
            self.requests.append(request)
            answer = self.reply(request)
            if answer is not None:
                parts = answer if isinstance(answer, list) else [answer]
                self._socket.send_multipart([*route, *parts])
