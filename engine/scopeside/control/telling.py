"""What the guard tells those who have asked, and the adviser of the instrument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scopeside.control.desk import ADVISER, Desk
from scopeside.control.effects import Tell
from scopeside.control.instrument import Readback, Value
from scopeside.wire import Kind

if TYPE_CHECKING:
    from scopeside.control.door import Door

DOOR = "door:"
"""Programs that have come in by the door are called so, and then by their name."""


class Telling:
    """Answers, and keeps the adviser's picture of the instrument true.

    Parameters
    ----------
    absent
        There is no instrument: what holds is nothing, and that is known.
    """

    def __init__(self, desk: Desk, door: Door | None, *, absent: bool) -> None:
        self._desk = desk
        self._door = door
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
        # A program's own proposals bear its name.
        proposed = tell.client == ADVISER or tell.id.startswith(f"{tell.client}/")
        ok = tell.state not in ("refused", "failed")
        kind = Kind.DECIDED if proposed else Kind.ANSWER
        self.answer(tell.client, kind, header if proposed else {**header, "ok": ok})

    def answer(self, client: str, kind: Kind, header: Mapping[str, Any]) -> None:
        """Say something to a client, wherever it has come in."""
        if not client.startswith(DOOR):
            self._desk.tell(client, kind, header)
        elif self._door is not None:
            self._door.answer(client, kind, header)

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
