"""The socket of a tab: what it wants, and the newest of it as fast as it paints.

For every tab there is one thing under way at a time for each image: the next is sent
when the tab says that it has painted the last. What came in between is left out, never
queued, so that a tab that is slow or asleep costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from scopeside.dashboard import picture
from scopeside.dashboard.encodings import Encodings, Made
from scopeside.dashboard.pace import Pace
from scopeside.dashboard.page import Page
from scopeside.dashboard.rules import environ_of, headers
from scopeside.dashboard.said import MOST_WANTED, heard
from scopeside.dashboard.seats import NO_PLACE, PROTOCOL, shows, who_leaves
from scopeside.security.http import refusal

log = logging.getLogger(__name__)

FASTEST_HZ = 30.0
USUAL_HZ = 10.0
MOST_TABS = 32
EARLY = 0.8
"""Of the time between two images: one that is due soon and there already is sent, as it
would only grow older."""
TOGETHER_S = 0.02
"""An image that is there waits so long for another that is being made."""
LOST_S = 2.0
"""A tab that has not said for so long that it has painted is sent the next one."""
_URGENT = ("engine", "guard", "guard_verdicts", "pace")
"""Topics that are told at once, however busy the machine is."""
BEAT_S = 1.0
"""A tab hears from us so often, and knows by that that we live."""


@dataclass(slots=True)
class _Wanted:
    """An image that a tab shows; `making`: its next version, once it was asked for."""

    key: str
    every_s: float
    plane: int | None = None
    sent: int = 0
    sent_at: float = 0.0
    under_way: bool = False
    painted: bool = False
    making: asyncio.Future[Made] | None = None


class Live(WebSocketHandler):
    """One tab.

    Attributes
    ----------
    may_change
        Whether it has shown the token.
    came
        The how manieth tab it is.
    """

    _counted = itertools.count(1)

    page: Page
    tabs: set[Live]
    encodings: Encodings
    pace: Pace
    greeting: Mapping[str, Any]

    def initialize(
        self,
        page: Page,
        tabs: set[Live],
        encodings: Encodings,
        pace: Pace,
        greeting: Mapping[str, Any],
    ) -> None:
        """Take what all tabs share."""
        self.may_change, self.came = False, next(self._counted)
        self.page, self.tabs, self.pace = page, tabs, pace
        self.encodings, self.greeting = encodings, greeting
        self._images: dict[str, _Wanted] = {}
        self._topics: dict[str, int] = {}
        self._new = asyncio.Event()
        self._sent_at = 0.0
        self._gathers_since: float | None = None
        self._sender: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Refuse whoever calls us by another name, and one too many that is no tab."""
        refused = refusal(environ_of(self), self.settings["port"], None)
        if refused is not None:
            self.set_status(refused.status.value)
            self.finish({"error": refused.reason})
        elif len(self.tabs) >= MOST_TABS and PROTOCOL not in self._protocols():
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self.finish({"error": f"{MOST_TABS} tabs are open; close one"})

    def _protocols(self) -> list[str]:
        said = self.request.headers.get("Sec-WebSocket-Protocol", "")
        return [one.strip() for one in said.split(",")]

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Take ours, and look whether the token stands beside it."""
        self.may_change = shows(subprotocols, self.settings["token"])
        return PROTOCOL if PROTOCOL in subprotocols else None

    def set_default_headers(self) -> None:
        """Say what browsers are to keep to, where a tab is refused."""
        for name, value in headers(self.settings["port"]).items():
            self.set_header(name, value)

    def check_origin(self, origin: str) -> bool:
        """Let in pages of ours only."""
        return origin == f"http://{self.request.host}"

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Greet, and begin to send, if there is a place."""
        self.set_nodelay(True)
        if not self._is_seated():
            return
        self.tabs.add(self)
        self._sender = asyncio.ensure_future(self._send())

    def _is_seated(self) -> bool:
        """Find a place, if need be that of the oldest tab without the token."""
        if len(self.tabs) < MOST_TABS:
            return True
        leaves = who_leaves(self.tabs) if self.may_change else None
        if leaves is None:
            self.close(NO_PLACE, f"{MOST_TABS} tabs are open, no more find a place")
            return False
        leaves.give_place()
        return True

    def give_place(self) -> None:
        """Leave, and say why."""
        self.tabs.discard(self)
        why = f"{MOST_TABS} tabs are open, and one with the token took this one's place"
        self.close(NO_PLACE, why)

    def on_close(self) -> None:
        """Forget the tab."""
        self.tabs.discard(self)
        if self._sender is not None:
            self._sender.cancel()

    def wake(self) -> None:
        """There is something new; called in the loop's thread."""
        self._new.set()

    def on_message(self, message: str | bytes) -> None:
        """Take what the tab says: ``want``, or ``painted``."""
        try:
            said = heard(message)
            if "painted" in said:
                self._painted(*said["painted"])
            if "want" in said:
                self._want(said["want"])
        except (ValueError, TypeError, OverflowError) as error:
            self.close(1003, f"not understood: {error}"[:120])
            return
        self._new.set()

    # ---------------------------------------------------------------------------

    def _want(self, want: Mapping[str, Any]) -> None:
        images = {
            str(ident): (
                str(one["key"]),
                float(one.get("hz", USUAL_HZ)),
                None if one.get("plane") is None else int(one["plane"]),
            )
            for ident, one in want["images"].items()
        }
        topics = [str(name) for name in want["topics"]]
        if len(images) > MOST_WANTED or len(topics) > MOST_WANTED:
            raise ValueError(f"at most {MOST_WANTED} images and topics")
        before = self._images
        self._images = {}
        for ident, (key, hz, plane) in images.items():
            every_s = 1 / min(max(hz, 0.1), FASTEST_HZ)
            known = before.get(ident)
            if known is not None and (known.key, known.plane) == (key, plane):
                known.every_s = every_s
                self._images[ident] = known
            else:
                self._images[ident] = _Wanted(key, every_s, plane)
        self._topics = {name: self._topics.get(name, 0) for name in topics}

    def _painted(self, ident: str, number: int) -> None:
        wanted = self._images.get(ident)
        if wanted is not None and wanted.sent == number:
            wanted.under_way, wanted.painted = False, True

    async def _send(self) -> None:
        """Send until the tab is gone; one that we fail comes back by itself."""
        try:
            await self._send_all()
        except (WebSocketClosedError, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("a tab could not be served")
            self.close(1011, "the page failed")

    async def _send_all(self) -> None:
        """Send what is new, one message at a time, each when the last has left."""
        await self.write_message(json.dumps({"hello": self.greeting}))
        beaten = 0.0
        while True:
            now = time.monotonic()
            if now - beaten >= BEAT_S:
                beaten = now
                await self.write_message(json.dumps({"beat": time.time() * 1e3}))
            wait_s = min(BEAT_S, await self._send_new())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._new.wait(), wait_s)
            self._new.clear()

    async def _send_new(self) -> float:
        """Send what is due; return how long nothing else will be, s."""
        rest_s = self._rest_s()
        if rest_s > 0:
            await self._send_topics(_URGENT)
            return rest_s
        self._sent_at = time.monotonic()
        await self._send_topics(self._topics)
        return await self._send_images()

    def _rest_s(self) -> float:
        """Return how long this tab is left alone, where no core has time to spare.

        Then all that is new comes at once, so that the browser draws the tab anew once,
        and not for each of it.
        """
        every_s = self.pace.every_s(1 / USUAL_HZ)
        if self.pace.stretch <= 1:
            return 0.0
        return self._sent_at + EARLY * every_s - time.monotonic()

    async def _send_topics(self, names: Iterable[str]) -> None:
        for name in list(names):
            sent, said = self._topics.get(name), self.page.topic(name)
            if sent is not None and said is not None and said[0] != sent:
                self._topics[name] = said[0]
                await self.write_message(
                    f'{{"topic":{json.dumps(name)},"value":{said[1]}}}'
                )

    async def _send_images(self) -> float:
        """Send what has been made, have made what is due; return when to look again."""
        idle = [one for one in self._images.values() if one.making is None]
        wait_s = min((self._ask_for(one) for one in idle), default=BEAT_S)
        rest_s = self._gathers_s()
        if rest_s > 0:
            return min(wait_s, rest_s)
        for ident, wanted in list(self._images.items()):
            if wanted.making is not None and wanted.making.done():
                made, wanted.making = wanted.making.result(), None
                wanted.sent, wanted.sent_at = made.number, time.monotonic()
                wanted.under_way = True
                message = picture.addressed(ident, made.message)
                await self.write_message(message, binary=True)
        return wait_s

    def _gathers_s(self) -> float:
        """Return how long what is made waits for what is being made, s.

        What comes together the browser draws at once: most of what a tab costs is to
        draw it anew, however much of it has changed.
        """
        making = [one.making.done() for one in self._images.values() if one.making]
        if all(making) or not any(making):
            self._gathers_since = None
            return 0.0
        now = time.monotonic()
        self._gathers_since = self._gathers_since or now
        return self._gathers_since + TOGETHER_S - now

    def _ask_for(self, wanted: _Wanted) -> float:
        """Have the newest made if it is due; return how long it is not, s."""
        shown = self.page.shelf.get(wanted.key)
        if shown is None or shown.number == wanted.sent:
            return BEAT_S
        since = time.monotonic() - wanted.sent_at
        rest_s = EARLY * self.pace.every_s(wanted.every_s)
        if since < rest_s:
            return rest_s - since
        if wanted.under_way and since < LOST_S:
            return BEAT_S
        if not wanted.sent and self._begins():
            return BEAT_S
        wanted.making = self.encodings.of(shown, wanted.plane)
        wanted.making.add_done_callback(self._is_made)
        return BEAT_S

    def _begins(self) -> bool:
        """Whether an image is on its way that this tab has not painted yet.

        A tab that was just opened is given its images one after another.
        """
        lost = time.monotonic() - LOST_S
        return any(
            one.making is not None or (one.under_way and one.sent_at > lost)
            for one in self._images.values()
            if not one.painted
        )

    def _is_made(self, _made: asyncio.Future[Made]) -> None:
        self._new.set()
