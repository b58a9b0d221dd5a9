"""Documents over 0MQ, as bluesky's own Publisher sends them: one part a message.

    prefix SPACE name SPACE document

The document is msgpack (`scopeside.bluesky.serial`), never a pickle. The socket is
bound for a RemoteDispatcher to connect to, or connects to the front of a 0MQ proxy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import zmq

from scopeside.bluesky.documents import Document, Documents
from scopeside.bluesky.plan_wire import checked_endpoint
from scopeside.bluesky.serial import dumps
from scopeside.errors import ConfigError
from scopeside.subscribe import Subscription

_QUIET = 3
"""So many times nothing came after all last values: the run has ended."""


class DocumentSocket:
    """Sends documents; on this machine only."""

    def __init__(self, endpoint: str, *, proxy: bool = False, prefix: str = "") -> None:
        if " " in prefix:
            raise ConfigError(f"a prefix has no spaces: {prefix!r}")
        self._prefix = prefix.encode()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        try:
            checked_endpoint(endpoint)
            if proxy:
                self._socket.connect(endpoint)
            else:
                self._socket.bind(endpoint)
        except (ValueError, zmq.ZMQError) as error:
            self.close()
            raise ConfigError(f"cannot publish at {endpoint!r}: {error}") from error
        bound: Any = self._socket.getsockopt(zmq.LAST_ENDPOINT)
        self.endpoint: str = bound.decode().rstrip("\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, documents: Iterable[Document]) -> int:
        """Send documents in order; return how many."""
        count = 0
        for name, document in documents:
            self._socket.send(b" ".join([self._prefix, name.encode(), dumps(document)]))
            count += 1
        return count

    def close(self) -> None:
        """Close, after what was sent had a moment to leave."""
        self._context.destroy(linger=500)


def publish(subscription: Subscription, out: DocumentSocket) -> tuple[int, int]:
    """Send what an engine publishes until it has ended.

    Parameters
    ----------
    subscription
        With a time-out: each time nothing came for so long is a chance to end a run.

    Returns
    -------
    tuple[int, int]
        Documents that were sent, and arrays that were too large for one.
    """
    documents, sent, quiet = Documents(), 0, 0
    try:
        while not subscription.engine_has_ended:
            for result in subscription:
                sent += out.send(documents.take(result))
                quiet = 0
            quiet += 1
            if quiet >= _QUIET and documents.complete:
                sent += out.send(documents.end())
    finally:
        sent += out.send(documents.end("publishing has ended"))
    return sent, documents.left_out
