"""The thread that acts: it owns the first connection to the instrument.

It asks the instrument again and again what it is set to, and carries out one order at a
time. An order that was overtaken by a hold or by its deadline is not begun; nothing
waits for better times.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from scopeside.control.blanker import Blanker
from scopeside.control.clock import Clock
from scopeside.control.connection import Connection
from scopeside.control.effects import Send
from scopeside.control.hold import Hold
from scopeside.control.instrument import Call, Readback
from scopeside.control.news import Answered, Failed, Lost, Note, Post, Read
from scopeside.errors import InstrumentError

log = logging.getLogger(__name__)

PAUSE_S = (0.2, 5.0)
"""Pause before an instrument that does not answer is tried again, first and longest."""


@dataclass(frozen=True, slots=True)
class Order:
    """A `Send`, and what may overtake it.

    Attributes
    ----------
    hold
        Number of the last hold that was known when it was decided.
    blanks
        How many blanks had been asked for when it was given.
    cancelled
        Set when the guard has parked since.
    """

    send: Send
    hold: int
    blanks: int
    cancelled: threading.Event = field(default_factory=threading.Event)


class Actuator:
    """Acts on and reads the instrument in a thread of its own; tells `post`."""

    def __init__(
        self,
        connection: Connection,
        *,
        blanker: Blanker,
        post: Post,
        hold: Hold,
        clock: Clock,
        read_every_s: float,
    ) -> None:
        self._connection = connection
        self._blanker = blanker
        self._post = post
        self._hold = hold
        self._clock = clock
        self._read_every_s = read_every_s
        self._orders: queue.Queue[Order | None] = queue.Queue()
        self._due = time.monotonic()
        self._pause_s = PAUSE_S[0]
        self._lost = ""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="actuator", daemon=True)

    def start(self) -> None:
        """Begin: connect, and read."""
        self._thread.start()

    def order(self, order: Order) -> None:
        """Have an order carried out; `Answered` tells what became of it."""
        self._orders.put(order)

    def stop(self, wait_s: float) -> None:
        """Disconnect and end, unless it hangs in a call."""
        self._stopping = True
        self._orders.put(None)
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
            self._connection.close()
        except Exception as error:
            log.exception("the actuator ended by an error")
            self._post.put(Failed(f"actuator: {type(error).__name__}: {error}"))

    def _turn(self) -> None:
        try:
            order = self._orders.get(timeout=max(0.0, self._due - time.monotonic()))
        except queue.Empty:
            self._look()
            return
        if order is not None:
            self._post.put(self._carried_out(order))

    # -- reading ----------------------------------------------------------------

    def _look(self) -> None:
        """Read; connect first if it has to be."""
        try:
            self._connection.open()
            readback = self._connection.read()
        except InstrumentError as error:
            self._lose(str(error))
        else:
            self._found(readback)
            self._post.put(Read(readback))

    def _found(self, readback: Readback) -> None:
        self._due = time.monotonic() + self._read_every_s
        self._pause_s = PAUSE_S[0]
        if self._lost:
            self._lost = ""
            quantities = len(readback.values)
            self._post.put(Note(f"the instrument answers: {quantities} quantities"))

    def _lose(self, reason: str) -> None:
        """Disconnect; try again after a pause that grows."""
        self._connection.close()
        self._due = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_S[1])
        if reason != self._lost:
            self._lost = reason
            text = f"the instrument does not answer: {reason}; it is tried again"
            self._post.put(Note(text))
        self._post.put(Lost(reason))

    # -- acting -----------------------------------------------------------------

    def _carried_out(self, order: Order) -> Answered:
        send = order.send
        answers: list[dict[str, Any]] = []
        why_not = ""
        for call in send.calls:
            why_not = self._why_not(order, begun=bool(answers))
            why_not = why_not or self._acted(call, answers)
            if why_not:
                done = f" ({len(answers)} of {len(send.calls)} calls were done)"
                why_not += done if len(send.calls) > 1 else ""
                break
        self._blank_again(order)
        readback = self._read_back()
        return Answered(send.id, not why_not, {"calls": answers}, why_not, readback)

    def _why_not(self, order: Order, *, begun: bool) -> str:
        """Return why the next call of an order must not be begun.

        The deadline is for the first: half a hand-over from the shifter to the stage is
        worse than a late one.
        """
        if self._hold.number != order.hold:
            return "held before it was begun"
        if order.cancelled.is_set():
            return "the guard parked before it was begun"
        late_ns = self._clock.now_ns() - order.send.deadline_ns
        if late_ns > 0 and not begun:
            return f"its deadline has passed by {late_ns / 1e6:.0f} ms; not begun"
        if not self._connection.is_open:
            return f"no connection to the instrument: {self._lost or 'not open yet'}"
        return ""

    def _acted(self, call: Call, answers: list[dict[str, Any]]) -> str:
        """Have the instrument act; returns why it did not."""
        began, began_ns = time.monotonic(), self._clock.now_ns()
        try:
            answer = self._connection.act(call)
        except InstrumentError as error:
            return f"{call.action}: {error}"
        took_ms = round(1e3 * (time.monotonic() - began), 3)
        answers.append(
            {
                "action": call.action,
                "answer": answer,
                "began_ns": began_ns,
                "took_ms": took_ms,
            }
        )
        return ""

    def _blank_again(self, order: Order) -> None:
        """See to it that a beam let on by a call in flight does not outlast a blank."""
        lets_on = any(
            call.action == "blank" and not call.fields.get("on", False)
            for call in order.send.calls
        )
        if lets_on and self._blanker.asked > order.blanks:
            self._blanker.blank("the beam was let on by a call that was in flight")

    def _read_back(self) -> Readback | None:
        """Return what the instrument is set to now, None if it does not say."""
        if not self._connection.is_open:
            return None
        try:
            readback = self._connection.read()
        except InstrumentError as error:
            self._lose(str(error))
            return None
        self._found(readback)
        return readback
