"""What the guard does once it is decided: send, blank, park, and tell."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

from scopeside.control import records
from scopeside.control.actions import checked, targets
from scopeside.control.blanking import Blanking
from scopeside.control.effects import Blank, Effect, Say, Send, Tell, Write
from scopeside.control.evidence import MS, Engine
from scopeside.control.flight import Flight
from scopeside.control.instrument import Call, Readback
from scopeside.control.judge import Asked, Rules, Situation, Verdict
from scopeside.control.limits import Wanted, wanted
from scopeside.control.readings import Readings
from scopeside.control.remembered import Remembered
from scopeside.control.standing import Standing
from scopeside.control.waiting import Waiting

LAST = 50
"""Verdicts that `status` shows."""
SETTLED_NS = 1000 * MS
"""So long after a blank the instrument may take to say that the beam is blanked."""


class Acting:
    """The state of the guard, and every way in which it acts on the world."""

    def __init__(self, rules: Rules) -> None:
        settings = rules.settings
        self.rules = rules
        self.engine = Engine()
        self.standing = Standing(settings.mode)
        self.readings = Readings(settings)
        self.waiting = Waiting()
        self.remembered = Remembered()
        self.blanking = Blanking(int(settings.answer_ms * MS))
        self.flight: Flight | None = None
        self.start: dict[str, float] = {}
        self.sent_ns: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.last: deque[Mapping[str, Any]] = deque(maxlen=LAST)
        self._changed_ns = 0

    @property
    def observing(self) -> bool:
        """Whether nothing is ever done by itself."""
        return self.rules.settings.mode == "observe"

    @property
    def guards_dose(self) -> bool:
        """Whether the beam is to be blanked when in doubt, for the dose's sake."""
        dose = self.rules.dose
        return dose is not None and dose.enforced and not self.observing

    def situation(self, now_ns: int) -> Situation:
        """Return what is known now."""
        busy = ""
        if self.flight is not None:
            busy = str(self.flight)
        elif self.blanking.wanted:
            busy = f"blanking ({self.blanking.wanted:.60})"
        parked = self.standing.parked
        return Situation(
            now_ns=now_ns,
            engine=self.engine,
            parked="" if parked is None else str(parked),
            readback=self.readings.last,
            unreadable=self.readings.lacking(now_ns),
            start=self.start,
            sent_ns=self.sent_ns,
            busy=busy,
        )

    # -- telling -----------------------------------------------------------------

    def tell(
        self,
        tells: Iterable[tuple[str, str]],
        state: str,
        cause: str = "",
        reason: str = "",
    ) -> list[Effect]:
        """Tell whoever asked."""
        return [Tell(client, key, state, cause, reason) for client, key in tells]

    def note(
        self, key: str, what: Any, state: str, cause: str, reason: str, now_ns: int
    ) -> None:
        """Keep a verdict for `status`."""
        self.counts[state] += 1
        if cause and state in ("refused", "failed"):
            self.counts[f"cause.{cause}"] += 1
        self.last.append(
            {
                "id": key,
                "action": what if isinstance(what, str) else "",
                "state": state,
                "cause": cause,
                "reason": reason,
                "t_ns": now_ns,
            }
        )

    def event(self, what: str, reason: str, **more: Any) -> Effect:
        """Return a record of what happened to the guard."""
        return Write("event", {"what": what, "reason": reason, **more})

    # -- standing ----------------------------------------------------------------

    def park(self, cause: str, reason: str, now_ns: int) -> list[Effect]:
        """Send nothing until a person says so; whatever waits, waits no longer."""
        if not self.standing.park(cause, reason, now_ns):
            return []
        self.start = {}
        out: list[Effect] = [self.event("parked", reason, cause=cause)]
        out.append(Say(f"control is parked ({cause}): {reason}"))
        return out + self.lapse("parked", f"parked: {reason}")

    def lapse(self, cause: str, reason: str) -> list[Effect]:
        """Let nothing wait for a person any more."""
        out: list[Effect] = []
        for one in self.waiting.clear():
            out += self.lapsed(one.proposal.id, one.client, cause, reason)
        return out

    def lapsed(
        self, key: str, client: str, cause: str, reason: str, who: str = ""
    ) -> list[Effect]:
        """A proposal that waited will not be carried out."""
        self.remembered.became(key, "refused", cause, reason)
        self.counts["refused"] += 1
        self.counts[f"cause.{cause}"] += 1
        record = self.event("lapsed", reason, id=key, cause=cause, who=who)
        return [record, Tell(client, key, "refused", cause, reason)]

    def begin(self) -> None:
        """A person takes over: where the microscope stands now is the start."""
        self.readings.forget()
        self.start = self.readings.numbers()

    # -- sending -----------------------------------------------------------------

    def send(
        self,
        key: str,
        asked: Asked,
        verdict: Verdict,
        tells: tuple[tuple[str, str], ...],
        deadline_ns: int,
        now_ns: int,
    ) -> Send:
        """Return the order to carry out what was allowed; it is under way now."""
        proposal = asked.proposal
        self.flight = Flight(
            id=key,
            action=asked.action,
            calls=verdict.calls,
            tells=tells,
            want=self._want(asked, verdict),
            sent_ns=now_ns,
            t_frame_ns=0 if proposal is None else proposal.evidence.t_frame_ns,
        )
        self.sent(asked, verdict, now_ns)
        self.remembered.became(key, "sent")
        return Send(key, verdict.calls, deadline_ns)

    def sent(self, asked: Asked, verdict: Verdict, now_ns: int) -> None:
        """Take note of when an action was sent, or would have been."""
        for action in {asked.action, *(call.action for call in verdict.calls)}:
            self.sent_ns[action] = now_ns

    def used(self, asked: Asked, verdict: Verdict) -> dict[str, Any]:
        """Return the values read back that a verdict went by."""
        return dict(self.readings.used(self._want(asked, verdict)))

    def _want(self, asked: Asked, verdict: Verdict) -> Wanted:
        if not verdict.calls:
            known = isinstance(asked.action, str) and isinstance(asked.fields, Mapping)
            try:
                quantities = targets(asked.action, asked.fields) if known else {}
            except KeyError:
                quantities = {}
            return dict.fromkeys(quantities, (0.0, 0.0))
        whole = Call(asked.action, checked(asked.action, asked.fields))
        return wanted((whole, *verdict.calls), self.rules.settings.limits)

    def answered(
        self,
        key: str,
        ok: bool,
        answer: Any,
        reason: str,
        readback: Readback | None,
        now_ns: int,
    ) -> list[Effect]:
        """Take in how a command ended."""
        flight = self.flight
        if flight is None or flight.id != key:
            return [Say(f"an answer to {key:.60} came, which is not under way")]
        body = {
            "id": key,
            "ok": ok,
            "reason": reason,
            "answer": records.plain(answer),
            "readback": records.read(readback),
            "latency_ms": {
                "sent_to_answer": (now_ns - flight.sent_ns) / MS,
                "frame_to_command": (flight.sent_ns - flight.t_frame_ns) / MS
                if flight.t_frame_ns
                else None,
            },
        }
        out: list[Effect] = [Write("answer", body)]
        if not ok:
            return out + self._failed(flight, reason or "it does not say why", now_ns)
        flight.answered_ns = now_ns
        return out if readback is None else out + self.verify(readback, now_ns)

    def verify(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Hold what was read back against what was sent, once that is done."""
        flight = self.flight
        if flight is None or not flight.answered_ns:
            return []
        if why := self.readings.unlike(flight.want, readback):
            if now_ns - flight.answered_ns < self.rules.settings.settle_ms * MS:
                return []
            return self._failed(flight, why, now_ns)
        self.flight = None
        self._changed_ns = now_ns
        self.readings.settled(flight.want, readback)
        if flight.overdue:
            return [Say(f"{flight} is done, long after it was due")]
        self.remembered.became(flight.id, "done")
        self.note(flight.id, flight.action, "done", "", "", now_ns)
        out = self.tell(flight.tells, "done")
        if "blanked" in flight.want and flight.want["blanked"][0] is False:
            out.append(self.event("unblanked", "", id=flight.id))
        return out

    def _failed(self, flight: Flight, reason: str, now_ns: int) -> list[Effect]:
        self.flight = None
        self._changed_ns = now_ns
        self.remembered.became(flight.id, "failed", "instrument", reason)
        self.note(flight.id, flight.action, "failed", "instrument", reason, now_ns)
        told = () if flight.overdue else flight.tells
        return [
            *self.park("instrument", f"{flight}: {reason}", now_ns),
            *self.tell(told, "failed", "instrument", reason),
        ]

    def overdue(self, now_ns: int) -> list[Effect]:
        """Park when the instrument takes too long; the command stays under way."""
        flight = self.flight
        if flight is None or flight.overdue:
            return []
        patience_ms = self.rules.settings.answer_ms * len(flight.calls)
        if now_ns - (flight.answered_ns or flight.sent_ns) <= patience_ms * MS:
            return []
        flight.overdue = True
        what = "no read-back" if flight.answered_ns else "no answer"
        reason = f"{what} within answer_ms: {patience_ms:g} ms"
        self.remembered.became(flight.id, "failed", "overdue", reason)
        self.note(flight.id, flight.action, "failed", "overdue", reason, now_ns)
        return [
            *self.park("overdue", f"{flight}: {reason}", now_ns),
            *self.tell(flight.tells, "failed", "overdue", reason),
        ]

    def foreign(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Park if somebody else has changed what the guard had set."""
        under_way = self.flight is not None or self.blanking.wanted
        if under_way or self.standing.parked or readback.t_ns <= self._changed_ns:
            return []
        why = self.readings.foreign(readback)
        return self.park("second_writer", why, now_ns) if why else []

    # -- the beam ----------------------------------------------------------------

    def blank(
        self, reason: str, now_ns: int, tells: Iterable[tuple[str, str]] = ()
    ) -> list[Effect]:
        """Blank the beam, until it is done."""
        if "blank" not in self.rules.actions:
            text = "the instrument cannot blank the beam: close the valve by hand"
            cause = "not_offered" if self.rules.connected else "no_connection"
            return [Say(f"{reason}: {text}"), *self.tell(tells, "refused", cause, text)]
        self.blanking.tells += tells
        return [Blank(reason)] if self.blanking.want(reason, now_ns) else []

    def blanked(self, ok: bool, reason: str, now_ns: int) -> list[Effect]:
        """Take in how a blank ended."""
        why = self.blanking.wanted or "a person asked"
        self.blanking.answered(ok, reason, now_ns)
        tells, self.blanking.tells = self.blanking.tells, []
        for _, key in tells:
            self.remembered.became(key, "done" if ok else "failed", "", reason)
        if not ok:
            text = f"THE BEAM IS NOT BLANKED ({why}): {self.blanking.failed}"
            return [
                self.event("blank_failed", reason, tried=self.blanking.tried),
                Say(f"{text}; it is tried again"),
                *self.tell(tells, "failed", "instrument", reason),
                *self.park("instrument", text, now_ns),
            ]
        self._changed_ns = now_ns
        self.readings.put("blanked", True)
        record = self.event("blanked", why)
        return [record, Say(f"the beam is blanked: {why}"), *self.tell(tells, "done")]

    def seen(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Hold the first read-back after a blank against it."""
        blanking = self.blanking
        if not blanking.unseen or readback.t_ns <= blanking.done_ns:
            return []
        blanking.unseen = False
        if readback.values.get("blanked") is not False:
            return []
        return self.blanked(False, "it is read back as not blanked", now_ns)

    def blank_again(self, now_ns: int) -> list[Effect]:
        """Try again to blank, when it is time."""
        out: list[Effect] = []
        if self.blanking.overdue(now_ns):
            out += self.blanked(False, "the instrument does not answer", now_ns)
        if self.blanking.due(now_ns):
            self.blanking.again(now_ns)
            out.append(Blank(self.blanking.wanted))
        return out

    def blank_now(self, now_ns: int) -> list[Effect]:
        """Try again at once if the last try failed; else it is being done."""
        if not self.blanking.wanted or self.blanking.asked_ns:
            return []
        self.blanking.again(now_ns)
        return [Blank(self.blanking.wanted)]

    def must_be_blanked(self, now_ns: int) -> str:
        """Return why the beam must not be let on; "" if it may."""
        if self.rules.dose is None or not self.guards_dose:
            return ""
        return self.rules.dose.must_blank(now_ns)

    def keep_budget(self, now_ns: int) -> list[Effect]:
        """Blank and park when the dose account says so."""
        dose = self.rules.dose
        if dose is None or not self.guards_dose or self.blanking.wanted:
            return []
        why = dose.must_blank(now_ns)
        if not why or self._just_blanked(now_ns):
            return []
        return [
            *self.blank(why, now_ns),
            self.event("budget", why),
            *self.park("budget", why, now_ns),
        ]

    def _just_blanked(self, now_ns: int) -> bool:
        """Whether the account cannot know yet that the beam is blanked."""
        done_ns, last = self.blanking.done_ns, self.readings.last
        if not done_ns or now_ns - done_ns > SETTLED_NS:
            return False
        return last is None or last.t_ns <= done_ns

    # -- the whole ---------------------------------------------------------------

    def unread(self, now_ns: int) -> list[Effect]:
        """Park when nobody knows for long how the microscope is set."""
        readings, last = self.readings, self.readings.last
        if self.flight is not None or (last is None and not readings.failing_ns):
            return []
        since_ns = readings.failing_ns or (0 if last is None else last.t_ns)
        since_ns = max(since_ns, self._changed_ns)
        patience_ns = self.rules.settings.answer_ms * MS
        if now_ns - since_ns <= max(patience_ns, SETTLED_NS):
            return []
        why = readings.why or "no read-back comes"
        return self.park("no_readback", f"{why}, for longer than answer_ms", now_ns)

    def end(self, reason: str, now_ns: int) -> list[Effect]:
        """Hold for good."""
        out = self.lapse("ended", f"the guard ends: {reason}")
        self.standing.park("ended", reason, now_ns)
        if self.flight is not None:
            text = f"ended while {self.flight} was under way"
            out += self.tell(self.flight.tells, "failed", "ended", text)
        return [*out, self.event("ended", reason)]

    def status(self, now_ns: int, *, silent: bool) -> dict[str, Any]:
        """Return plain values for people."""
        flight, last, dose = self.flight, self.readings.last, self.rules.dose
        blanking = self.blanking
        return {
            **self.standing.status(),
            "connected": self.rules.connected,
            "actions": sorted(self.rules.actions),
            "limited": sorted(self.rules.settings.limits),
            "engine": {
                "epoch": self.engine.epoch,
                "degraded": list(self.engine.degraded),
                "heard_ns": self.engine.heard_ns or None,
                "silent": silent,
            },
            "under_way": None
            if flight is None
            else {
                "id": flight.id,
                "action": flight.action,
                "since_ns": flight.sent_ns,
                "overdue": flight.overdue,
            },
            "blanking": {
                "wanted": blanking.wanted,
                "tried": blanking.tried,
                "failed": blanking.failed,
            },
            "readback": records.read(last),
            "unreadable": self.readings.why,
            "waiting": self.waiting.status(),
            "last": list(self.last),
            "counts": dict(self.counts),
            "dose": None if dose is None else dict(dose.status(now_ns)),
        }
