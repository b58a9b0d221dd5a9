"""The channels process: ``python -m scopeside.channels.process``.

One process for all channels, a thread for each. Samples go to the collector in small
groups, and are kept here until it has said that they are safe.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import Any

import zmq

from scopeside.channel import ChannelSource
from scopeside.channels.feed import Feed
from scopeside.child import Child, main
from scopeside.detector import StopRequested
from scopeside.errors import ScopesideError
from scopeside.link import Link
from scopeside.wire import Buffer, Kind, Message, encode

log = logging.getLogger(__name__)

GROUP_S = 0.05
"""Samples are sent together over this time."""
IDLE_MS = 500
MAX_UNSAFE = 2000
"""Groups that wait for the collector's word, at most: 100 s without a collector."""
END_S = 2.0
"""The sources have so long to close what they opened."""
PAUSE_S = (0.5, 30.0)
"""Pause before a lost source is tried again, at first and at most."""


class ChannelsProcess:
    """The links to collector and supervisor, and the threads of the sources."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._channels = child.spec.load_pipeline().channels
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        kept = child.spec.kept_ns
        self._feeds = [
            Feed(channel.settings, self._wake, kept.get(channel.settings.name))
            for channel in self._channels
        ]
        self._kept_ns: dict[str, int] = dict(kept)
        self._unsafe: deque[tuple[int, dict[str, int], list[Buffer]]] = deque()
        self._number = 0
        self._sent = 0.0
        self._wrote = 0.0
        self._stopping = False
        self._dials = 0
        self._collector: Link | None = None
        self._poller = zmq.Poller()
        self._poller.register(child.control.socket, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)
        self._dial()

    def run(self) -> None:
        """Pass samples on until the supervisor says that it is enough."""
        threads = [
            threading.Thread(
                target=serve, args=(channel.source(), feed), name=feed.name, daemon=True
            )
            for channel, feed in zip(self._channels, self._feeds, strict=True)
        ]
        for thread in threads:
            thread.start()
        self._child.tell(Kind.READY)
        while not self._stopping:
            self._poller.poll(IDLE_MS)
            self._rest()
            self._hear()
            self._send()
            self._write_board()
        for feed in self._feeds:
            feed.stop()
        until = time.monotonic() + END_S
        for thread in threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        self._send()
        self._write_board(now=True)
        if self._collector is not None:
            self._collector.flush_and_close()

    # ---------------------------------------------------------------------------

    def _rest(self) -> None:
        """Let a group grow; what the supervisor says is heard all the same."""
        left = self._sent + GROUP_S - time.monotonic()
        if left > 0:
            self._child.control.socket.poll(int(1000 * left) + 1)
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def _hear(self) -> None:
        while (message := self._child.control.receive()) is not None:
            match message.kind:
                case Kind.STOP:
                    self._stopping = True
                case Kind.RESEND:
                    self._dial()
                    self._resend()
                case Kind.EPOCH:
                    pass  # samples do not depend on which adapter runs
                case other:
                    log.warning("channels do not know what to do on %s", other)
        while self._collector and (message := self._collector.receive()) is not None:
            self._hear_collector(message)

    def _hear_collector(self, message: Message) -> None:
        """Forget the groups that are safe with the collector."""
        while self._unsafe and self._unsafe[0][0] <= message.header["number"]:
            _, latest, _ = self._unsafe.popleft()
            for name, t_ns in latest.items():
                self._kept_ns[name] = max(t_ns, self._kept_ns.get(name, 0))

    def _send(self) -> None:
        latest: dict[str, int] = {}
        payload: list[Buffer] = []
        for feed in self._feeds:
            if (found := feed.take()) is not None:
                times, values = found
                latest[feed.name] = int(times.max())
                payload += [times.tobytes(), values.tobytes()]
        for feed in self._feeds:
            for note in feed.take_notes():
                self._child.tell(Kind.NOTE, message=note)
        if not latest:
            return
        self._sent = time.monotonic()
        self._number += 1
        header = {
            "sender": self._child.spec.identity,
            "number": self._number,
            "channels": list(latest),
        }
        group = encode(Kind.SAMPLES, header, payload)
        self._unsafe.append((self._number, latest, group))
        if len(self._unsafe) > MAX_UNSAFE:
            self._unsafe.popleft()
        assert self._collector is not None
        self._collector.forward(group)

    def _resend(self) -> None:
        assert self._collector is not None
        for _, _, group in self._unsafe:
            self._collector.forward(group)

    def _dial(self) -> None:
        """Dial the collector, under a name of its own as workers do."""
        if self._collector is not None:
            self._poller.unregister(self._collector.socket)
            self._collector.close()
        spec = self._child.spec
        self._dials += 1
        name = f"{spec.identity}/{self._dials}"
        link = Link.dial(self._child.context, spec.endpoint("collector"), name)
        self._poller.register(link.socket, zmq.POLLIN)
        self._collector = link

    def _write_board(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._wrote < GROUP_S:
            return
        self._wrote = time.monotonic()
        self._child.board.update(
            channels={feed.name: feed.to_dict() for feed in self._feeds},
            kept_ns=self._kept_ns,
        )


def serve(source: ChannelSource, feed: Feed, pause_s: Any = PAUSE_S) -> None:
    """Run a source in its thread; after a failure again, with growing pauses."""
    shortest, longest = pause_s
    pause = shortest
    while not feed.stopping:
        before = feed.received
        try:
            source.run(feed)
        except StopRequested:
            return
        except ScopesideError as error:
            feed.lose(str(error))
        except Exception as error:
            log.exception("channel %s failed", feed.name)
            feed.lose(f"{type(error).__name__}: {error}")
        else:
            if not feed.stopping:
                feed.end()
            return
        pause = shortest if feed.received > before else min(2 * pause, longest)
        until = time.monotonic() + pause
        while not feed.stopping and time.monotonic() < until:
            time.sleep(0.05)


def run(child: Child) -> None:
    """Run the channels."""
    ChannelsProcess(child).run()


if __name__ == "__main__":
    main(run)
