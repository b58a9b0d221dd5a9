"""The guard: decides, for every proposal and request, what is to be done.

A state machine without I/O and without a clock. Its process tells it what came and what
time it is, and does the effects that it returns, in that order. It is no safety system:
the instrument's own interlocks stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scopeside.control import records
from scopeside.control.acting import Acting
from scopeside.control.checks import failed
from scopeside.control.effects import Effect, Say, Tell, Write
from scopeside.control.evidence import MS, engine_of
from scopeside.control.floods import Floods
from scopeside.control.instrument import Readback
from scopeside.control.judge import Asked, Dose, Plan, Rules, Verdict, blanks, judge
from scopeside.control.persons import Persons
from scopeside.control.proposal import Proposal
from scopeside.control.remembered import digest_of, usable_id
from scopeside.control.requests import Request
from scopeside.control.settings import ControlSettings
from scopeside.control.waiting import Waits
from scopeside.errors import RefusedError


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
        self._rules = Rules(settings, actions, plan, dose)
        self._acting = Acting(self._rules)
        self._persons = Persons(self._acting)
        self._floods = Floods(settings.per_s)
        self._restarted = restarted
        self._started = False
        self._silent = False
        self._ended = False
        self._frame_ns = 0
        self._now_ns = 0

    # -- proposals ---------------------------------------------------------------

    def propose(
        self, values: Mapping[str, Any], client: str, now_ns: int
    ) -> list[Effect]:
        """Judge what the adviser, or another program, proposes."""
        out = self._turn(now_ns)
        now = self._time(values, now_ns)
        if not self._floods.take(client, now):
            self._acting.counts["cause.flood"] += 1
            text = f"more than per_s = {self._rules.settings.per_s:g} proposals"
            return [*out, Tell(client, _id_of(values), "refused", "flood", text)]
        self._acting.counts["proposals"] += 1
        try:
            proposal, digest = _read(values)
        except RefusedError as error:
            return out + self._unread(values, client, error, now_ns)
        remembered = self._acting.remembered
        try:
            earlier = remembered.earlier(proposal.id, digest, proposal.created_ns)
        except RefusedError as error:
            return out + self._refuse(proposal, client, error, now_ns)
        if earlier is not None:
            self._acting.counts["duplicate"] += 1
            told = (earlier.state, earlier.cause, earlier.reason)
            return [*out, Tell(client, proposal.id, *told)]
        return out + self._judge(proposal, client, now, now_ns)

    def _judge(
        self, proposal: Proposal, client: str, now: int, now_ns: int
    ) -> list[Effect]:
        acting = self._acting
        asked = Asked(proposal.action, proposal.fields, "rule", proposal)
        verdict = judge(asked, acting.situation(now), self._rules)
        if not any(c.cause for c in verdict.checks if c.name in _OF_EVIDENCE):
            acting.engine = engine_of(acting.engine, proposal.evidence)
        state, cause, reason = self._state(proposal, client, verdict)
        used = acting.used(asked, verdict)
        mode = acting.standing.name
        acting.remembered.became(proposal.id, state, cause, reason)
        acting.note(proposal.id, proposal.action, state, cause, reason, now_ns)
        ruled = records.verdict(state, cause, reason, verdict)
        record = _proposed(proposal, mode, ruled, verdict, used, now_ns)
        told = Tell(client, proposal.id, state, cause, reason)
        if state == "observed":
            acting.sent(asked, verdict, now)
        elif state == "waiting":
            until_ns = now_ns + int(self._rules.settings.advice_s * 1e9)
            acting.waiting.add(Waits(proposal, client, until_ns))
        elif state == "sent":
            tells = ((client, proposal.id),)
            if all(blanks(call) for call in verdict.calls):
                acting.sent(asked, verdict, now)
                why = f"{proposal.rule}: {proposal.why or proposal.id}"
                return [*acting.blank(why, now_ns, tells), record, told]
            send = acting.send(
                proposal.id, asked, verdict, tells, proposal.deadline_ns, now_ns
            )
            return [record, send, told]
        return [record, told]

    def _state(
        self, proposal: Proposal, client: str, verdict: Verdict
    ) -> tuple[str, str, str]:
        """Return what becomes of a proposal, why in one word, and why."""
        if verdict.cause:
            return "refused", verdict.cause, verdict.reason
        standing = self._acting.standing
        match standing.name:
            case "observe":
                text = "mode = 'observe': it would be done"
                return "observed", "observe_only", text
            case "armed":
                return "sent", "", ""
            case "advise":
                if full := self._acting.waiting.full(proposal, client):
                    return "refused", "busy", full
                cause = "not_armed" if standing.ceiling == "armed" else ""
                return "waiting", cause, "it waits for a person"
            case _:
                return "refused", "parked", "parked"

    def _refuse(
        self, proposal: Proposal, client: str, error: RefusedError, now_ns: int
    ) -> list[Effect]:
        """Refuse a proposal that could be read before it is judged."""
        verdict = Verdict((failed("id", error.cause, str(error)),), ())
        mode = self._acting.standing.name
        ruled = records.verdict("refused", error.cause, str(error), verdict)
        key, told = proposal.id, ("refused", error.cause, str(error))
        self._acting.note(key, proposal.action, *told, now_ns)
        record = _proposed(proposal, mode, ruled, verdict, {}, now_ns)
        return [record, Tell(client, key, *told)]

    def _unread(
        self, values: Any, client: str, error: RefusedError, now_ns: int
    ) -> list[Effect]:
        """Refuse what is no proposal."""
        key, told = _id_of(values), ("refused", error.cause, str(error))
        self._acting.note(key, "", *told, now_ns)
        verdict = Verdict((failed("proposal", error.cause, str(error)),), ())
        ruled = records.verdict("refused", error.cause, str(error), verdict)
        mode = self._acting.standing.name
        body = records.decision(records.found(values), mode, ruled, (), {})
        record = Write("proposal", {"decision": body, "latency_ms": {}})
        return [record, Tell(client, key, *told)]

    # -- persons -----------------------------------------------------------------

    def ask(self, request: Mapping[str, Any], client: str, now_ns: int) -> list[Effect]:
        """Do what a person asks, or say why not."""
        out = self._turn(now_ns)
        counted = self._floods.take(f"person {client}", self._time({}, now_ns))
        key, ask = _id_of(request), ""
        try:
            found = _request(request)
            ask = found.ask
            if not counted and ask not in _ALWAYS:
                raise RefusedError("too many requests in a second", "flood")
            did = self._persons.ask(found, client, now_ns)
        except RefusedError as error:
            body = {"who": _short(request, "who"), "ask": ask or _short(request, "ask")}
            body |= {"id": key, "state": "refused", "cause": error.cause}
            self._acting.counts[f"cause.{error.cause}"] += 1
            did = [Tell(client, key, "refused", error.cause, str(error))]
            did.insert(0, Write("request", body | {"reason": str(error)}))
        if not counted:  # it is done, and is in the one record of the flood
            did = [one for one in did if not _is_request(one)]
        return out + did

    # -- engine and instrument ---------------------------------------------------

    def beat(self, epoch: int, degraded: Sequence[str], now_ns: int) -> list[Effect]:
        """Hear that the supervisor lives, and which processes do not run."""
        out = self._turn(now_ns)
        names = tuple(str(name) for name in degraded)
        self._acting.engine = replace(
            self._acting.engine, epoch=epoch, degraded=names, heard_ns=now_ns
        )
        if self._silent:
            self._silent = False
            out.append(self._acting.event("heard", "the engine is heard again"))
        return out

    def read(self, readback: Readback, now_ns: int) -> list[Effect]:
        """Take in what the instrument says it is set to."""
        out, acting = self._turn(now_ns), self._acting
        found = acting.readings.take(readback, now_ns)
        if found is None:
            return out
        if self._rules.dose is not None:
            self._rules.dose.read(found)
        if acting.standing.parked is None:
            for quantity, value in acting.readings.numbers().items():
                acting.start.setdefault(quantity, value)
        out += acting.seen(found, now_ns)
        flight = acting.flight
        if flight is not None and 0 < flight.answered_ns < found.t_ns:
            return out + acting.verify(found, now_ns)
        return out + acting.foreign(found, now_ns)

    def unreadable(self, reason: str, now_ns: int) -> list[Effect]:
        """Take in that the instrument does not say."""
        out = self._turn(now_ns)
        self._acting.readings.fail(reason, now_ns)
        return out

    def answered(
        self,
        id: str,  # noqa: A002 - the word of the contract
        ok: bool,
        answer: Mapping[str, Any],
        reason: str,
        readback: Readback | None,
        now_ns: int,
    ) -> list[Effect]:
        """Take in how the command that was sent has ended."""
        out, acting = self._turn(now_ns), self._acting
        found = readback and acting.readings.take(readback, now_ns)
        if found is not None and self._rules.dose is not None:
            self._rules.dose.read(found)
        return out + acting.answered(id, ok, answer, reason, found, now_ns)

    def blanked(self, ok: bool, reason: str, now_ns: int) -> list[Effect]:
        """Take in how a blank has ended."""
        return self._turn(now_ns) + self._acting.blanked(ok, reason, now_ns)

    def measured(
        self, rate_e_per_A2_s: float, sigma: float, t_ns: int, now_ns: int
    ) -> list[Effect]:
        """Take in the dose rate that a counting detector measured."""
        if self._rules.dose is not None:
            self._rules.dose.measured(rate_e_per_A2_s, sigma, t_ns)
        return self._turn(now_ns)

    # -- time --------------------------------------------------------------------

    def tick(self, now_ns: int) -> list[Effect]:
        """Do what is due: silence, budget, overdue answers, expiry."""
        out, acting = self._turn(now_ns), self._acting
        out += acting.keep_budget(now_ns)
        out += acting.blank_again(now_ns)
        if self._ended:
            return out
        out += self._silence(now_ns)
        out += acting.overdue(now_ns)
        out += acting.unread(now_ns)
        for one in acting.waiting.over(now_ns):
            reason = "no person accepted it within advice_s"
            out += acting.lapsed(one.proposal.id, one.client, "expired", reason)
        for flood in self._floods.over(self._time({}, now_ns)):
            text = f"{flood.refused} more than per_s in a second, from {flood.client}"
            out.append(acting.event("flood", text, count=flood.refused))
        return out

    def _turn(self, now_ns: int) -> list[Effect]:
        """Do what comes before anything else: begin, and let arming expire."""
        self._now_ns, acting = now_ns, self._acting
        out: list[Effect] = []
        if not self._started:
            self._started = True
            mode = self._rules.settings.mode
            out.append(acting.event("started", f"mode = {mode!r}"))
            if self._restarted:
                out += acting.park("restarted", "the guard was started again", now_ns)
        if acting.standing.expired(now_ns):
            out.append(acting.event("expired", "the time it was armed for is over"))
            out.append(Say("control is not armed any more: the time is over"))
        return out

    def _silence(self, now_ns: int) -> list[Effect]:
        """Hold when the engine is silent; blank too if a dose budget is kept."""
        engine, settings = self._acting.engine, self._rules.settings
        if self._silent or engine.epoch is None:
            return []
        silent_ms = (now_ns - engine.heard_ns) / MS
        if silent_ms <= settings.silence_ms:
            return []
        self._silent = True
        reason = f"the engine was not heard for {silent_ms:.0f} ms"
        out: list[Effect] = []
        if self._acting.guards_dose:
            out += self._acting.blank(reason, now_ns)
        out.append(self._acting.event("silence", reason))
        return out + self._acting.park("silence", reason, now_ns)

    def end(self, reason: str, now_ns: int) -> list[Effect]:
        """Hold for good; blank if a dose budget is kept, for nobody counts any more."""
        out, acting = self._turn(now_ns), self._acting
        if acting.guards_dose:
            out += acting.blank(f"the guard ends: {reason}", now_ns)
        self._ended = True
        out += acting.end(reason, now_ns)
        return out

    def _time(self, values: Any, now_ns: int) -> int:
        """Return the time that decisions go by: ours, or that of the newest frame."""
        if self._rules.settings.clock == "wall":
            return now_ns
        try:
            t_ns = values["evidence"]["t_frame_ns"]
        except (KeyError, TypeError, IndexError):
            return self._frame_ns
        if type(t_ns) is int and 0 <= t_ns < 1 << 63:
            self._frame_ns = max(self._frame_ns, t_ns)
        return self._frame_ns

    def status(self) -> dict[str, Any]:
        """Return what people see: the mode, what waits, what was decided last."""
        return self._acting.status(self._now_ns, silent=self._silent)


_ALWAYS = ("hold", "blank")
_OF_EVIDENCE = frozenset(
    {"epoch", "acquisition", "t_frame", "created", "age", "deadline"}
)


def _read(values: Any) -> tuple[Proposal, str]:
    """Read a proposal, whatever it is that came."""
    try:
        proposal = Proposal.from_dict(values)
        usable_id(proposal.id)
        return proposal, digest_of(proposal.to_dict())
    except RefusedError:
        raise
    except Exception as error:  # a stranger's values must not end us
        text = f"it cannot be read: {type(error).__name__}: {error!s:.100}"
        raise RefusedError(text, "wrong_type") from error


def _request(values: Any) -> Request:
    """Read a request, whatever it is that came."""
    try:
        digest_of(values)
        return Request.from_dict(values)
    except RefusedError:
        raise
    except Exception as error:  # a stranger's values must not end us
        text = f"it cannot be read: {type(error).__name__}: {error!s:.100}"
        raise RefusedError(text, "wrong_type") from error


def _proposed(
    proposal: Proposal,
    mode: str,
    ruled: Mapping[str, Any],
    verdict: Verdict,
    used: Mapping[str, Any],
    now_ns: int,
) -> Write:
    """Return the record of a proposal."""
    whole = records.decision(proposal.to_dict(), mode, ruled, verdict.calls, used)
    latency = records.latencies(proposal, now_ns)
    return Write("proposal", {"decision": whole, "latency_ms": latency})


def _id_of(values: Any) -> str:
    """Return the id that came, if it can be one."""
    found = values.get("id") if isinstance(values, Mapping) else None
    try:
        return usable_id(found)
    except RefusedError:
        return ""


def _short(values: Any, name: str) -> str:
    """Return a text that came, as far as it can be written down."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return ascii(found)[1:61] if isinstance(found, str) else ""


def _is_request(effect: Effect) -> bool:
    return isinstance(effect, Write) and effect.kind == "request"
