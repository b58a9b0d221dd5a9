"""Does what the guard has decided, in its order; what was not written is not done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scopeside.control.actuator import Actuator, Order
from scopeside.control.blanker import Blanker
from scopeside.control.book import Book
from scopeside.control.clock import Clock, WallClock
from scopeside.control.desk import text_of
from scopeside.control.effects import Blank, Effect, Say, Send, Tell, Write
from scopeside.control.guard import Guard
from scopeside.errors import AuditError
from scopeside.latency import Latencies

KEEP_S = 1.0
"""The dose account is written so often, and before each command."""


class Doer:
    """Carries out effects.

    Parameters
    ----------
    account
        Returns the dose account as it is kept; None if none is.
    actuator
        None: there is no instrument.
    tell, say, changing
        Called to answer a client, to tell the operator, and with the time when a
        command is about to change what the instrument is set to.

    Attributes
    ----------
    hold
        Number of the last hold that the guard has heard of.
    blank
        Number of the last blank that the guard has asked for.
    ages
        Of the frames that commands stood on, when these were sent.
    unwritten
        Why a record could not be written; empty: all were. Nothing is sent meanwhile.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        book: Book,
        account: Callable[[], Mapping[str, Any]] | None,
        actuator: Actuator | None,
        blanker: Blanker,
        clock: Clock,
        tell: Callable[[Tell], None],
        say: Callable[[str], None],
        changing: Callable[[int], None],
    ) -> None:
        self._guard = guard
        self._book = book
        self._account = account
        self._actuator = actuator
        self._blanker = blanker
        self._clock = clock
        self._wall = WallClock()
        self._tell = tell
        self._say = say
        self._changing = changing
        self._kept_at = 0.0
        self.ages = Latencies()
        self.hold = 0
        self.blank = 0
        self._order: Order | None = None
        self._parked = False
        self.unwritten = ""

    def do(self, effects: Iterable[Effect]) -> None:
        """Do them, and what follows from them; usually nothing."""
        before = self.unwritten
        self._do_all(effects)
        if self.unwritten and not before:
            self.park(self.unwritten)

    @property
    def in_flight(self) -> str:
        """Id of the command that the actuator carries out, empty if there is none."""
        return "" if self._order is None else self._order.send.id

    def landed(self) -> None:
        """Take note that the actuator has answered."""
        self._order = None

    def park(self, reason: str) -> None:
        """Have the guard park, for a reason of the process's own."""
        ask = {"ask": "hold", "id": "", "who": "guard", "reason": text_of(reason)}
        self._do_all(self._guard.ask(ask, "", self._clock.now_ns()))

    def settle(self, *, durably: bool = False) -> None:
        """Have on disk what was written; parks if it cannot be."""
        before = self.unwritten
        try:
            self._book.settle()
            if durably or time.monotonic() - self._kept_at > KEEP_S:
                self._keep(durably=durably)
        except AuditError as error:
            self._lack(error)
        if self.unwritten and not before:
            self.park(self.unwritten)

    # ---------------------------------------------------------------------------

    def _do_all(self, effects: Iterable[Effect]) -> None:
        waiting = deque(effects)
        while waiting:
            match waiting.popleft():
                case Write(kind, body):
                    self._write(kind, body)
                case Send() as send:
                    waiting.extend(self._send(send))
                case Blank(reason):
                    self._changing(self._clock.now_ns())
                    self.blank = self._blanker.blank(reason)
                case Tell() as tell:
                    self._tell(tell)
                case Say(text):
                    self._say(text)
        self._overtake()

    def _overtake(self) -> None:
        """Have nothing more begun of a command that was under way when it parked."""
        if self._guard.parked and not self._parked and self._order is not None:
            self._order.cancelled.set()
        self._parked = self._guard.parked

    def _write(self, kind: str, body: Mapping[str, Any]) -> None:
        frame_ms = body.get("latency_ms", {}).get("frame_to_command")
        if kind == "answer" and frame_ms is not None:
            self.ages.add(frame_ms / 1e3, 1)
        try:
            self._book.write(kind, body, self._wall.now_ns())
        except AuditError as error:
            self._lack(error)

    def _lack(self, error: AuditError) -> None:
        if not self.unwritten:
            self._say(f"nothing is sent any more: {error}")
        self.unwritten = str(error)

    def _send(self, send: Send) -> Iterable[Effect]:
        """Give the actuator an order; returns what follows if it cannot be given."""
        why = self._why_not_sent()
        if why:
            now_ns = self._clock.now_ns()
            return self._guard.answered(send.id, False, {}, why, None, now_ns)
        assert self._actuator is not None
        self._changing(self._clock.now_ns())
        self._order = Order(send, self.hold, self._blanker.asked)
        self._actuator.order(self._order)
        return ()

    def _why_not_sent(self) -> str:
        if self._actuator is None:
            return "there is no instrument"
        if self._order is not None:
            return f"command {self.in_flight} is still in flight"
        if not self.unwritten:
            try:
                self._book.settle()
                self._keep(durably=True)
            except AuditError as error:
                self._lack(error)
        return self.unwritten

    def _keep(self, *, durably: bool) -> None:
        self._kept_at = time.monotonic()
        if self._account is not None:
            self._book.keep(self._account(), durably=durably)
