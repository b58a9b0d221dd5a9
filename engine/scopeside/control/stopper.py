"""The thread that stops: it hears hold and blank, and watches who else should be alive.

It has a socket of its own and never waits for the instrument, the disk or the main
loop. It holds first, then blanks (`Blanker`), then tells the main loop, which parks and
writes it down.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zmq

from scopeside.control.blanker import Blanker
from scopeside.control.desk import MAX_TURN, listen, text_of
from scopeside.control.hold import Hold
from scopeside.control.news import Blanked, Failed, Orphaned, Post, Stopped
from scopeside.errors import ProtocolError
from scopeside.wire import Kind, decode, encode

log = logging.getLogger(__name__)

TURN_MS = 20
ANSWER_S = 2.0
"""A person is told after so long that the beam is not known to be blanked yet."""
GONE_S = 5.0
"""So long after the supervisor is gone the process ends, whatever it hangs in."""


@dataclass(slots=True)
class Watch:
    """What the main loop lets the stopper see; only the main loop writes it.

    Attributes
    ----------
    turned
        When its last turn began, s of the monotonic clock; 0 before the first.
    enforced
        Whether a dose budget is enforced: then the beam is blanked if in doubt.
    """

    turned: float = 0.0
    enforced: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A person who waits to hear of a blank."""

    client: bytes
    id: Any
    number: int
    began: float


class Stopper:
    """Holds and blanks in a thread of its own.

    Parameters
    ----------
    post
        To the main loop.
    heard
        From the blanker.
    silence_s
        So long may the main loop stand still.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        hold: Hold,
        blanker: Blanker,
        post: Post,
        heard: Post,
        watch: Watch,
        parent: int,
        silence_s: float,
    ) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = listen(self._context, endpoint)
        self._hold = hold
        self._blanker = blanker
        self._post = post
        self._heard = heard
        self._watch = watch
        self._parent = parent
        self._silence_s = silence_s
        self._waiting: list[Waiting] = []
        self._stood_at = 0.0
        self._orphaned_at: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="stopper", daemon=True)

    def start(self) -> None:
        """Begin to listen and to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; nobody is heard any more."""
        self._stopping = True
        self._thread.join()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._heard.fd, zmq.POLLIN)
        try:
            while not self._stopping:
                poller.poll(TURN_MS)
                self._hear()
                self._answer()
                self._watch_loop()
                self._watch_supervisor()
        except Exception as error:
            log.exception("the stopper ended by an error")
            self._post.put(Failed(f"stopper: {type(error).__name__}: {error}"))
        finally:
            self._socket.close(linger=200)
            self._context.destroy(linger=200)

    # -- persons ----------------------------------------------------------------

    def _hear(self) -> None:
        for _ in range(MAX_TURN):
            try:
                sender, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode(parts)
            except ProtocolError:
                continue  # garbage; nobody can be told
            if message.kind is Kind.ASK:
                self._asked(sender, message.header)

    def _asked(self, client: bytes, header: Mapping[str, Any]) -> None:
        began = time.monotonic()
        ask, request = header.get("ask"), text_of(header.get("id"))
        if ask not in ("hold", "blank"):
            reason = f"here, one asks to hold or to blank, not {ask!r:.60}"
            self._tell(client, request, ok=False, reason=reason, began=began)
            return
        number = self._hold.ask()
        if ask == "blank":
            blank = self._blanker.blank("a person asked")
            self._waiting.append(Waiting(client, request, blank, began))
        else:
            self._tell(client, request, ok=True, reason="", began=began)
        who = text_of(header.get("who")) or "somebody"
        reason = text_of(header.get("reason"))
        self._post.put(Stopped(number, ask, who, reason))

    def _answer(self) -> None:
        """Tell those who wait what became of their blank."""
        for news in self._heard.take():
            if isinstance(news, Blanked):
                done = [w for w in self._waiting if w.number <= news.number]
                self._tell_all(done, ok=news.ok, reason=news.reason)
        late = [w for w in self._waiting if time.monotonic() - w.began > ANSWER_S]
        why = f"held; the instrument has not answered for {ANSWER_S:g} s, it is waited"
        self._tell_all(late, ok=False, reason=why)

    def _tell_all(self, those: list[Waiting], *, ok: bool, reason: str) -> None:
        for one in those:
            self._waiting.remove(one)
            self._tell(one.client, one.id, ok=ok, reason=reason, began=one.began)

    def _tell(
        self, client: bytes, request: str, *, ok: bool, reason: str, began: float
    ) -> None:
        header = {
            "id": request,
            "ok": ok,
            "state": "done" if ok else "failed",
            "cause": "",
            "reason": reason,
            "took_ms": round(1e3 * (time.monotonic() - began), 3),
        }
        self._socket.send_multipart([client, *encode(Kind.ANSWER, header)])

    # -- watching ---------------------------------------------------------------

    def _watch_loop(self) -> None:
        """Hold once, if the main loop stands still."""
        turned = self._watch.turned
        stood_s = time.monotonic() - turned
        if turned and turned != self._stood_at and stood_s > self._silence_s:
            self._stood_at = turned
            self._fail(f"the guard's own loop stood still for {stood_s:.1f} s")

    def _watch_supervisor(self) -> None:
        now = time.monotonic()
        if self._orphaned_at is None:
            if os.getppid() != self._parent:
                self._orphaned_at = now
                self._fail("the supervisor is gone")
                self._post.put(Orphaned())
            return
        gone_s = now - self._orphaned_at
        if gone_s > (self._blanker.give_up_s if self._blanker.busy else 0.0) + GONE_S:
            os._exit(3)  # the main loop hangs; what can be made safe, is

    def _fail(self, reason: str) -> None:
        number = self._hold.ask()
        if self._watch.enforced:
            self._blanker.blank(reason)
        self._post.put(Stopped(number, "hold", "guard", reason))
