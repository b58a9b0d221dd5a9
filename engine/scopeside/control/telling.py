"""What the guard tells those who have asked, and the adviser of the instrument."""

from __future__ import annotations

from collections.abc import Mapping

from scopeside.control.desk import ADVISER, Desk
from scopeside.control.effects import Tell
from scopeside.control.instrument import Readback, Value
from scopeside.wire import Kind


class Telling:
    """Answers, and keeps the adviser's picture of the instrument true.

    Parameters
    ----------
    absent
        There is no instrument: what holds is nothing, and that is known.
    """

    def __init__(self, desk: Desk, *, absent: bool) -> None:
        self._desk = desk
        self._absent = absent
        self._readback: Readback | None = None
        self._changed_ns = 0

    @property
    def known(self) -> Mapping[str, Value] | None:
        """What the instrument is set to; None if it is changing or not known."""
        return None if self._readback is None else dict(self._readback.values)

    def outcome(self, tell: Tell) -> None:
        """Tell a client what became of what it asked."""
        if not tell.client:
            return  # the process itself has asked
        header = {
            "id": tell.id,
            "state": tell.state,
            "cause": tell.cause,
            "reason": tell.reason,
        }
        if tell.client == ADVISER:
            self._desk.tell(ADVISER, Kind.DECIDED, header)
        else:
            ok = tell.state not in ("refused", "failed")
            self._desk.tell(tell.client, Kind.ANSWER, {**header, "ok": ok})

    def welcome(self, now_ns: int) -> None:
        """Tell a new adviser what holds."""
        if self._absent:
            self._send(Readback(now_ns, {}))
        elif self._readback is not None:
            self._send(self._readback)

    def read(self, readback: Readback, *, in_flight: bool) -> None:
        """Tell the adviser if it is news; not while a command may be changing it."""
        if in_flight or readback.t_ns < self._changed_ns:
            return
        if self.known == readback.values:
            return
        self._readback = readback
        self._send(readback)

    def changing(self, now_ns: int) -> None:
        """Tell the adviser that what it knows does not hold any more."""
        self._changed_ns = now_ns
        if self._readback is not None:
            self._readback = None
            header = {"t_ns": now_ns, "values": None}
            self._desk.tell(ADVISER, Kind.READBACK, header)

    def _send(self, readback: Readback) -> None:
        header = {"t_ns": readback.t_ns, "values": dict(readback.values)}
        self._desk.tell(ADVISER, Kind.READBACK, header)
