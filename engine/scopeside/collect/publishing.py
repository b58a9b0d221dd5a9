"""When which results are published, and what those get who come late."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from scopeside.collect.collector import Collector, Held
from scopeside.collect.paced import MARK, Paced, Told
from scopeside.collect.publisher import Publisher
from scopeside.pipeline import CHANNELS
from scopeside.series import past

_IDLE_MS = 1000
PUBLISH_SHARE = 3
"""Publishing pauses for so many times what it took."""
PUBLISH_EVERY_S = 0.002
"""And never comes oftener than this."""
JOIN_EVERY_S = 0.5
"""Channels are joined and published so often while an acquisition is open."""
JOIN_SHARE = 50
"""But that pauses for so many times what it took."""
PAST_EVERY_S = 0.5
"""The past is told so often at most, to all at once who have asked since."""
JOIN_FRAMES = 1 << 16
"""Beyond so many frames only at its end: joining would hold up the others."""


class Publishing:
    """Publishes what a collector knows, as often as it costs little."""

    def __init__(self, collector: Collector, publisher: Publisher) -> None:
        self._collector = collector
        self._publisher = publisher
        self._paced = Paced(self._publish_paced)
        self._published = 0.0
        self._publish_took = 0.0
        self._joined = 0.0
        self._join_took = 0.0
        self._past_asked = False
        self._past_due = 0.0

    def wait_ms(self) -> int:
        """Return how long there is nothing to do, as far as is known now."""
        wait_ms = _IDLE_MS
        if self._publisher.wanted and self._dirty():
            wait_ms = max(0, int(1000 * (self._due() - time.monotonic())) + 1)
        if self._past_asked:
            rest_s = max(0.0, self._past_due - time.monotonic())
            wait_ms = min(wait_ms, int(1000 * rest_s) + 1)
        paced_s = self._paced.wait_s()
        return wait_ms if paced_s is None else min(wait_ms, int(1000 * paced_s) + 1)

    def look(self) -> None:
        """Do what is due."""
        for asked in self._publisher.new_subscriptions():
            if asked.startswith(past.MARK):
                self._past_asked = True
            else:
                self._repeat(asked)
        self._tell_past()
        self._publish_if_due()
        self._paced.publish_if_due(self._collector.held)

    def end(self) -> None:
        """Publish everything once more."""
        self._publish(everything=True)
        self._paced.publish(self._collector.held)

    # ---------------------------------------------------------------------------

    def _tell_past(self) -> None:
        """Tell the past if somebody has asked for it, and it is time."""
        now = time.monotonic()
        if self._past_asked and now >= self._past_due:
            self._past_asked, self._past_due = False, now + PAST_EVERY_S
            self._publisher.send(past.to_message(self._collector.past_now()))

    def _dirty(self) -> bool:
        return any(held.dirty for held in self._collector.held.values())

    def _due(self) -> float:
        pause = max(PUBLISH_EVERY_S, PUBLISH_SHARE * self._publish_took)
        return self._published + pause

    def _publish_if_due(self) -> None:
        if self._dirty() and time.monotonic() >= self._due():
            self._publish()

    def _publish(self, *, everything: bool = False) -> None:
        began = time.monotonic()
        for held in self._collector.held.values():
            for chain in sorted(held.dirty if not everything else held.masters):
                self._publish_chain(held, chain)
            if everything or (held.dirty and self._may_join(held)):
                self._publish_channels(held, live=held.closed is None)
            held.dirty.clear()
        self._published = time.monotonic()
        self._publish_took = self._published - began

    def _publish_chain(self, held: Held, chain: str, *, whole: bool = False) -> None:
        """Publish what is new of a chain, or the `whole` of what is known."""
        master = held.masters[chain]
        prefix = f"{held.acquisition.id}/".encode()
        if self._publisher.wants(prefix, MARK):
            self._paced.add(held, chain, master.fresh)
        if not self._publisher.wants(prefix):
            master.fresh.clear()
            return
        if whole or held.closed is not None:
            results = list(master.results())
        else:
            results = [*master.fresh, *master.merged_results()]
            master.fresh.clear()
        self._send(held, chain, results, whole=whole)

    def _publish_paced(self, held: Held, chain: str, results: Iterable[Told]) -> None:
        self._send(held, chain, results, mark=MARK)

    def _send(
        self, held: Held, chain: str, results: Iterable[Told], **how: Any
    ) -> None:
        t_frame_ns = held.masters[chain].t_frame_ns
        for processor, result in results:
            self._publisher.publish(
                result,
                acquisition=held.acquisition.id,
                chain=chain,
                processor=processor,
                t_frame_ns=t_frame_ns,
                final=held.closed is not None,
                channels=self._samples_at(t_frame_ns),
                **how,
            )

    def _samples_at(self, t_frame_ns: int) -> dict[str, Any] | None:
        channels = self._collector.channels
        return channels.at(t_frame_ns) if channels else None

    def _may_join(self, held: Held) -> bool:
        """Whether channels may be joined now; always, once it is closed."""
        channels, name = self._collector.channels, held.acquisition.id
        if not channels or held.closed is not None:
            return bool(channels)
        pause = max(JOIN_EVERY_S, JOIN_SHARE * self._join_took)
        rested = time.monotonic() - self._joined >= pause
        return rested and channels.timed_frames(name) <= JOIN_FRAMES

    def _publish_channels(self, held: Held, *, live: bool = False) -> None:
        """Publish the channels, joined to the frames that are known by now."""
        name = held.acquisition.id
        processors = ("channels", "map", "samples")
        marks = [
            mark
            for mark in (b"", MARK)
            if any(
                self._publisher.wants(f"{name}/{p}/".encode(), mark) for p in processors
            )
        ]
        if not marks:
            return
        began = time.monotonic()
        t_frame_ns = max(master.t_frame_ns for master in held.masters.values())
        for processor, result in self._collector.channels.results(name, live=live):
            for mark in marks:
                self._publisher.publish(
                    result,
                    acquisition=name,
                    chain=CHANNELS,
                    processor=processor,
                    t_frame_ns=t_frame_ns,
                    final=held.closed is not None,
                    channels=self._samples_at(t_frame_ns),
                    mark=mark,
                )
        self._joined = time.monotonic()
        self._join_took = self._joined - began

    def _repeat(self, asked: bytes) -> None:
        """Send the last values to whoever has just subscribed."""
        mark = MARK if asked.startswith(MARK) else b""
        for held in self._collector.held.values():
            name = mark + f"{held.acquisition.id}/".encode()
            if asked.startswith(name) or name.startswith(asked):
                for chain, master in held.masters.items():
                    if mark:
                        self._paced.add(held, chain, list(master.results()))
                    else:
                        self._publish_chain(held, chain, whole=True)
                self._publish_channels(held)
