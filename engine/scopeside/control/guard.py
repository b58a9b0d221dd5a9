"""The guard: decides, for every proposal and request, what is to be done.

A state machine without I/O and without a clock. Its process tells it what came and what
time it is, and does the effects that it returns, in that order. It is no safety system:
the instrument's own interlocks stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scopeside.control.beam import Beam
from scopeside.control.case import Dose, Plan, Rules
from scopeside.control.effects import Effect, Say, Tell
from scopeside.control.evidence import MS
from scopeside.control.floods import Floods
from scopeside.control.instrument import Readback
from scopeside.control.known import Known, Ruled, event
from scopeside.control.overview import overview
from scopeside.control.persons import Persons
from scopeside.control.proposals import Proposals, id_of
from scopeside.control.sending import Sending
from scopeside.control.settings import ControlSettings


class Guard:
    """Decides what may be done to the microscope, and says what is to be done.

    Every method takes the time last, ns since 1970 UTC, never set back, and returns
    effects (`scopeside.control.effects`) to be done in that order.

    Parameters
    ----------
    actions
        What the instrument can do; empty where there is none.
    plan
        Of an instrument that does actions by others (`instrument.Plans`).
    dose
        The account of the dose, None if none is kept.
    restarted
        Whether a guard has died before: then it begins parked.
    """

    def __init__(
        self,
        settings: ControlSettings,
        actions: frozenset[str],
        *,
        plan: Plan | None = None,
        dose: Dose | None = None,
        restarted: bool = False,
    ) -> None:
        self._known = Known(Rules(settings, actions, plan, dose))
        self._settings = settings
        self._dose = dose
        self._sending = Sending(self._known)
        self._beam = Beam(self._known)
        self._proposals = Proposals(self._known, self._sending, self._beam)
        self._persons = Persons(self._known, self._sending, self._beam)
        self._floods = Floods(settings.per_s)
        self._restarted = restarted
        self._started = False
        self._silent = False
        self._frame_ns = 0
        self._now_ns = 0

    # -- who asks ----------------------------------------------------------------

    def propose(
        self, values: Mapping[str, Any], client: str, now_ns: int
    ) -> list[Effect]:
        """Judge what the adviser, or another program, proposes."""
        out = self._turn(now_ns)
        judged_ns = self._time(values, now_ns)
        self._known.counts["proposals"] += 1
        if self._floods.take(client, judged_ns):
            return out + self._proposals.take(values, client, judged_ns, now_ns)
        text = f"more than per_s = {self._settings.per_s:g} proposals in a second"
        self._known.count(Ruled("refused", "flood"))
        return [*out, Tell(client, id_of(values), "refused", "flood", text)]

    def ask(self, request: Mapping[str, Any], client: str, now_ns: int) -> list[Effect]:
        """Do what a person asks, or say why not."""
        out = self._turn(now_ns)
        counted = self._floods.take(f"person {client}", self._time({}, now_ns))
        return out + self._persons.ask(request, client, now_ns, counted=counted)

    # -- engine and instrument ---------------------------------------------------

    def beat(self, epoch: int, degraded: Sequence[str], now_ns: int) -> list[Effect]:
        """Hear that the supervisor lives, and which processes do not run."""
        out = self._turn(now_ns)
        names = tuple(str(name) for name in degraded)
        self._known.engine = replace(
            self._known.engine, epoch=epoch, degraded=names, heard_ns=now_ns
        )
        if self._silent:
            self._silent = False
            out.append(event("heard", "the engine is heard again"))
        return out

    def read(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Take in what the instrument says it is set to."""
        out = self._turn(now_ns)
        found = self._take(readback, now_ns)
        if found is None:
            return out
        known = self._known
        if known.standing.parked is None:
            for quantity, value in known.readings.numbers().items():
                known.start.setdefault(quantity, value)
        out += self._beam.seen(found, now_ns)
        flight = known.flight
        if flight is not None and 0 < flight.answered_ns < found.t_ns:
            return out + self._sending.verify(found, now_ns)
        return out + self._sending.foreign(found, now_ns)

    def unreadable(self, reason: str, now_ns: int) -> list[Effect]:
        """Take in that the instrument does not say."""
        self._known.readings.fail(reason, now_ns)
        return self._turn(now_ns)

    def answered(  # noqa: PLR0917 - as the process knows it
        self,
        id: str,  # noqa: A002 - as in `Send.id`
        ok: bool,
        answer: Mapping[str, Any],
        reason: str,
        readback: Readback | None,
        now_ns: int,
    ) -> list[Effect]:
        """Take in how the command that was sent has ended.

        Without a read-back the next one has to confirm it; till then it is under way.
        """
        out = self._turn(now_ns)
        found = None if readback is None else self._take(readback, now_ns)
        out += self._sending.answered(
            id, found, now_ns, ok=ok, answer=answer, reason=reason
        )
        return out if found is None else out + self._sending.verify(found, now_ns)

    def blanked(self, ok: bool, reason: str, now_ns: int) -> list[Effect]:
        """Take in how a blank has ended."""
        return self._turn(now_ns) + self._beam.blanked(ok, reason, now_ns)

    def measured(
        self,
        rate_e_per_A2_s: float,  # noqa: N803 - the unit's own spelling
        sigma: float,
        t_ns: int,
        now_ns: int,
    ) -> list[Effect]:
        """Take in the dose rate that a counting detector measured."""
        out = self._turn(now_ns)
        if not (_positive(rate_e_per_A2_s) and _positive(sigma)):
            text = f"a dose rate of {rate_e_per_A2_s!r:.40} ± {sigma!r:.40} is none"
            return [*out, event("nonsense", text)]
        if self._dose is not None:
            self._dose.measured(rate_e_per_A2_s, sigma, t_ns)
        return out

    # -- time --------------------------------------------------------------------

    def tick(self, now_ns: int) -> list[Effect]:
        """Do what is due: silence, budget, overdue answers, expiry."""
        out, known = self._turn(now_ns), self._known
        out += self._beam.keep_budget(now_ns)
        out += self._beam.again(now_ns)
        if known.ended:
            return out
        out += self._silence(now_ns)
        out += self._sending.overdue(now_ns)
        out += self._sending.unread(now_ns)
        for one in known.waiting.over(now_ns):
            late = Ruled("refused", "expired", "no person accepted it within advice_s")
            out += known.lapsed(one.proposal.id, one.client, late, now_ns)
        for flood in self._floods.over(self._time({}, now_ns)):
            text = f"{flood.refused} more than per_s in a second, from {flood.client}"
            out.append(event("flood", text, count=flood.refused, who=flood.client))
        return out

    def end(self, reason: str, now_ns: int) -> list[Effect]:
        """Hold for good; blank if a dose budget is kept, for nobody counts any more."""
        out, known = self._turn(now_ns), self._known
        why = f"the guard ends: {reason}"
        if known.guards_dose:
            out += self._beam.blank(why, now_ns)
        known.ended = True
        out += known.lapse("ended", why, now_ns)
        known.standing.park("ended", reason, now_ns)
        flight = known.flight
        left = "" if flight is None else flight.id
        return [*out, event("ended", reason, under_way=left)]

    @property
    def parked(self) -> bool:
        """Whether nothing is sent until a person says so."""
        return self._known.standing.parked is not None

    def status(self) -> dict[str, Any]:
        """Return what people see: the mode, what waits, what was decided last."""
        return overview(self._known, self._now_ns, silent=self._silent)

    def _turn(self, now_ns: int) -> list[Effect]:
        """Do what comes before anything else: begin, and let arming expire."""
        self._now_ns = now_ns
        out: list[Effect] = []
        if not self._started:
            self._started = True
            out.append(event("started", f"mode = {self._settings.mode!r}"))
            if self._restarted:
                why = "the guard was started again"
                out += self._known.park("restarted", why, now_ns)
        if self._known.standing.expired(now_ns):
            why = "the time that it was armed for is over"
            out += [event("expired", why), Say(f"control is not armed any more: {why}")]
        return out

    def _take(self, readback: Readback, now_ns: int) -> Readback | None:
        found = self._known.readings.take(readback, now_ns)
        if found is not None and self._dose is not None:
            self._dose.read(found)
        return found

    def _silence(self, now_ns: int) -> list[Effect]:
        """Hold when the engine is silent; blank too if a dose budget is kept."""
        known = self._known
        silent_ms = (now_ns - known.engine.heard_ns) / MS
        if self._silent or known.engine.epoch is None:
            return []
        if self._settings.clock == "frames":
            return []  # how much time has passed in a recording says nothing of it
        if silent_ms <= self._settings.silence_ms:
            return []
        self._silent = True
        reason = f"the engine was not heard for {silent_ms:.0f} ms"
        out = self._beam.blank(reason, now_ns) if known.guards_dose else []
        return [
            *out,
            event("silence", reason),
            *known.park("silence", reason, now_ns),
        ]

    def _time(self, values: Any, now_ns: int) -> int:
        """Return the time that decisions go by: ours, or that of the newest frame."""
        if self._settings.clock == "wall":
            return now_ns
        try:
            t_ns = values["evidence"]["t_frame_ns"]
        except (KeyError, TypeError, IndexError):
            return self._frame_ns
        if type(t_ns) is int and 0 <= t_ns < 1 << 63:
            self._frame_ns = max(self._frame_ns, t_ns)
        return self._frame_ns


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
