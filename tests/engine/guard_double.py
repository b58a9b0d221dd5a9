"""A guard's sockets without a guard: it answers what it is told to, and remembers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from scopeside.link import Link
from scopeside.wire import Kind

Answers = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


def done(_: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"ok": True, "state": "done", "cause": "", "reason": ""}]


def silent(_: Mapping[str, Any]) -> list[dict[str, Any]]:
    return []


def refused(cause: str, reason: str) -> Answers:
    return lambda _: [
        {"ok": False, "state": "refused", "cause": cause, "reason": reason}
    ]


def failed(reason: str) -> Answers:
    return lambda _: [{"ok": False, "state": "failed", "cause": "", "reason": reason}]


class GuardDouble:
    """Binds `guard` and `stop` in a folder; a thread answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status: dict[str, Any] = {"mode": "advise", "waiting": []}
        self.answers: dict[str, Answers] = {"guard": done, "stop": done}
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._links = {
            name: Link.listen(self._context, f"ipc://{folder}/{name}")
            for name in ("guard", "stop")
        }
        self._wake = self._context.socket(zmq.PULL)
        self._wake.bind("inproc://wake")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        with self._context.socket(zmq.PUSH) as push:
            push.connect("inproc://wake")
            push.send(b"")
            self._thread.join()
        self._context.destroy(linger=0)

    def _run(self) -> None:
        poller = zmq.Poller()
        for link in self._links.values():
            poller.register(link.socket, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        while self._wake not in dict(poller.poll()):
            for name, link in self._links.items():
                while (found := link.receive_from()) is not None:
                    self._hear(name, link, *found)

    def _hear(self, name: str, link: Link, sender: bytes, message: Any) -> None:
        if message.kind is Kind.STATUS:
            link.send(Kind.STATUS, self.status, to=sender)
            return
        self.heard.append((name, message.header))
        for answer in self.answers[name](message.header):
            header = {"id": message.header.get("id", ""), **answer}
            link.send(Kind.ANSWER, header, to=sender)


@contextmanager
def guard_in(folder: Path):
    """Run a double in a folder that is made for it."""
    folder.mkdir(mode=0o700, parents=True)
    double = GuardDouble(folder)
    try:
        yield double
    finally:
        double.close()
