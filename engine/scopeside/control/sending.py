"""Sends what is allowed, one command at a time, and sees that it was done."""

from __future__ import annotations

from typing import Any

from scopeside.control import records
from scopeside.control.case import Asked, Verdict
from scopeside.control.effects import Effect, Say, Send, Write
from scopeside.control.evidence import MS
from scopeside.control.flight import Flight
from scopeside.control.instrument import Readback
from scopeside.control.known import Known, Ruled, Tells, event, told
from scopeside.control.limits import Wanted, wanted


class Sending:
    """The command under way, from being sent until it is seen in a read-back."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def send(
        self,
        key: str,
        asked: Asked,
        verdict: Verdict,
        *,
        tells: Tells,
        deadline_ns: int,
        now_ns: int,
    ) -> Send:
        """Return the order to carry out what was allowed; it is under way now."""
        assert self._known.flight is None
        assert verdict.calls
        proposal = asked.proposal
        self._known.flight = Flight(
            id=key,
            action=asked.action,
            calls=verdict.calls,
            tells=tells,
            want=self._want(verdict),
            sent_ns=now_ns,
            t_frame_ns=0 if proposal is None else proposal.evidence.t_frame_ns,
        )
        self.sent(asked, verdict, now_ns)
        if self._known.rules.dose is not None:
            self._known.rules.dose.sent(verdict.calls, now_ns)
        return Send(key, verdict.calls, deadline_ns)

    def sent(self, asked: Asked, verdict: Verdict, now_ns: int) -> None:
        """Take note of when an action was sent, or would have been."""
        for action in {asked.action, *(call.action for call in verdict.calls)}:
            self._known.sent_ns[action] = now_ns

    def used(self, verdict: Verdict) -> dict[str, Any]:
        """Return the values read back that a verdict went by."""
        return dict(self._known.readings.used(self._want(verdict)))

    def answered(
        self,
        key: str,
        found: Readback | None,
        now_ns: int,
        *,
        ok: bool,
        answer: Any,
        reason: str,
    ) -> list[Effect]:
        """Take in how a command ended; a read-back has to confirm it."""
        flight = self._known.flight
        if flight is None or flight.id != key or flight.answered_ns:
            return [Say(f"an answer came to {key:.60}, which is not under way")]
        frame_ms = (_began_ns(answer, flight.sent_ns) - flight.t_frame_ns) / MS
        body = {
            "id": key,
            "ok": ok,
            "reason": reason,
            "answer": records.plain(answer),
            "readback": records.read(found),
            "latency_ms": {
                "sent_to_answer": (now_ns - flight.sent_ns) / MS,
                "frame_to_command": frame_ms if flight.t_frame_ns else None,
            },
        }
        out: list[Effect] = [Write("answer", body)]
        if not ok:
            return out + self._failed(flight, reason or "it does not say why", now_ns)
        flight.answered_ns = now_ns
        return out

    def verify(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Hold what was read back against what was sent, once that is done."""
        known, flight = self._known, self._known.flight
        if flight is None or not flight.answered_ns:
            return []
        if why := known.readings.unlike(flight.want, readback):
            if now_ns - flight.answered_ns < known.rules.settings.settle_ms * MS:
                return []
            return self._failed(flight, why, now_ns)
        known.flight, known.changed_ns = None, now_ns
        known.readings.settled(flight.want, readback)
        out: list[Effect] = []
        if flight.want.get("blanked", (True, 0.0))[0] is False:
            known.blanking.done_ns, known.blanking.unseen = 0, False
            out.append(event("unblanked", "", id=flight.id))
        if flight.overdue:
            return [*out, Say(f"{flight} is done, long after it was due")]
        known.note(flight.id, flight.action, Ruled("done"), now_ns)
        return [*out, *told(flight.tells, Ruled("done"))]

    def _failed(self, flight: Flight, reason: str, now_ns: int) -> list[Effect]:
        known, ruled = self._known, Ruled("failed", "instrument", reason)
        known.flight, known.changed_ns = None, now_ns
        out = known.park("instrument", f"{flight}: {reason}", now_ns)
        if flight.overdue:
            return out
        known.note(flight.id, flight.action, ruled, now_ns)
        return [*out, *told(flight.tells, ruled)]

    def overdue(self, now_ns: int) -> list[Effect]:
        """Park when the instrument takes too long; the command stays under way."""
        known, flight = self._known, self._known.flight
        if flight is None or flight.overdue:
            return []
        patience_ms = known.rules.settings.answer_ms * len(flight.calls)
        if now_ns - (flight.answered_ns or flight.sent_ns) <= patience_ms * MS:
            return []
        flight.overdue = True
        what = "no read-back" if flight.answered_ns else "no answer"
        ruled = Ruled("failed", "overdue", f"{what} for {patience_ms:g} ms")
        known.note(flight.id, flight.action, ruled, now_ns)
        return [
            *known.park("overdue", f"{flight}: {ruled.reason}", now_ns),
            *told(flight.tells, ruled),
        ]

    def foreign(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Park if somebody else has changed what the guard had set."""
        known = self._known
        if known.busy or known.standing.parked or readback.t_ns <= known.changed_ns:
            return []
        why = known.readings.foreign(readback)
        return known.park("second_writer", why, now_ns) if why else []

    def unread(self, now_ns: int) -> list[Effect]:
        """Park when nobody knows any more, for long, how the microscope is set.

        One that was never read is only not there yet: nothing can be sent to it, and
        nobody can arm.
        """
        known, readings = self._known, self._known.readings
        last = readings.last
        if known.flight is not None or last is None:
            return []
        read_ns = readings.failing_ns or last.t_ns
        silent_ns = now_ns - max(read_ns, known.changed_ns)
        if silent_ns <= max(known.rules.settings.answer_ms * MS, readings.fresh_ns):
            return []
        why = readings.why or "no read-back comes"
        text = f"{why}, for {silent_ns / MS:.0f} ms"
        return known.park("no_readback", text, now_ns)

    def _want(self, verdict: Verdict) -> Wanted:
        calls = (
            verdict.calls if verdict.whole is None else (verdict.whole, *verdict.calls)
        )
        return wanted(calls, self._known.rules.settings.limits)


def _began_ns(answer: Any, otherwise_ns: int) -> int:
    """Return when the first call of a command was made, ns, if the answer says it."""
    try:
        return int(answer["calls"][0]["began_ns"])
    except (KeyError, IndexError, TypeError, ValueError):
        return otherwise_ns
