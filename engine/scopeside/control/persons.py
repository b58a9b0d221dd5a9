"""What the guard does for persons: arm, advise, hold, blank, accept, and commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.control import records
from scopeside.control.acting import Acting
from scopeside.control.effects import Effect, Tell, Write
from scopeside.control.evidence import MS
from scopeside.control.instrument import Call
from scopeside.control.judge import Asked, Verdict, blanks, judge
from scopeside.control.remembered import digest_of
from scopeside.control.requests import Request
from scopeside.errors import RefusedError

NOTHING = Verdict((), ())


class Persons:
    """Does what persons ask; every ask gets one answer, when it is done or refused."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting
        self._numbered = 0
        self._does = {
            "arm": self._arm,
            "advise": self._advise,
            "hold": self._hold,
            "blank": self._blank,
            "unblank": self._unblank,
            "accept": self._accept,
            "decline": self._decline,
            "do": self._do,
            "status": self._status,
        }

    def ask(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        """Do what is asked.

        Raises
        ------
        RefusedError
            If it cannot be done; nothing has happened then.
        """
        return self._does[request.ask](request, client, now_ns)

    # -- standing ----------------------------------------------------------------

    def _arm(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        acting = self._acting
        mode = acting.rules.settings.mode
        if mode == "observe":
            raise RefusedError("mode = 'observe': nothing is sent", "observe_only")
        if mode == "advise":
            text = "mode = 'advise' in the pipeline file: it cannot be armed"
            raise RefusedError(text, "not_armed")
        self._ready(now_ns)
        dose = acting.rules.dose
        if dose is not None and dose.lacking:
            raise RefusedError(
                f"the dose budget cannot be kept: {dose.lacking}", "no_dose_calibration"
            )
        if acting.readings.lacking(now_ns):
            raise RefusedError(acting.readings.lacking(now_ns), "no_readback")
        until_ns = now_ns + int(request.seconds * 1e9)
        acting.standing.arm(until_ns, request.who)
        acting.begin()
        record = acting.event("armed", f"by {request.who}", until_ns=until_ns)
        return [*self._done(request, client), record]

    def _advise(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        acting = self._acting
        if acting.observing:
            raise RefusedError("mode = 'observe': nothing is sent", "observe_only")
        self._ready(now_ns)
        acting.standing.advise()
        acting.begin()
        record = acting.event("advising", f"by {request.who}")
        return [*self._done(request, client), record]

    def _ready(self, now_ns: int) -> None:
        """Refuse to go on while something is under way, or the engine is silent."""
        situation = self._acting.situation(now_ns)
        if situation.busy:
            raise RefusedError(f"{situation.busy} is under way", "busy")
        engine = situation.engine
        silence_ms = self._acting.rules.settings.silence_ms
        if engine.epoch is None or now_ns - engine.heard_ns > silence_ms * MS:
            raise RefusedError("the engine is not heard", "engine_restarting")

    def _hold(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        reason = f"{request.who or 'a person'} asked to hold"
        out = self._done(request, client)
        return [*out, *self._acting.park("held", _why(reason, request), now_ns)]

    def _status(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        name = self._acting.standing.name
        return [Tell(client, request.id, "done", "", name)]

    # -- the beam ----------------------------------------------------------------

    def _blank(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        acting = self._acting
        reason = _why(f"{request.who or 'a person'} asked to blank", request)
        out = acting.blank(reason, now_ns, [(client, request.id)])
        if not out:  # it is under way; a person does not wait for the pause to end
            out = acting.blank_now(now_ns)
        out.append(_record(request, "sent", "", ""))
        return [*out, *acting.park("blanked", reason, now_ns)]

    def _unblank(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        if why := self._acting.must_be_blanked(now_ns):
            raise RefusedError(why, "budget")
        asked = Asked("blank", {"on": False}, "unblank")
        return self._command(request, asked, client, now_ns)

    # -- commands ----------------------------------------------------------------

    def _do(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        fields = request.fields
        if isinstance(fields, Mapping) and isinstance(request.action, str):
            if dict(fields) == {"on": True} and blanks(Call(request.action, fields)):
                return self._blank(request, client, now_ns)
        asked = Asked(request.action, fields, "person")
        return self._command(request, asked, client, now_ns)

    def _command(
        self, request: Request, asked: Asked, client: str, now_ns: int
    ) -> list[Effect]:
        """Judge a person's own command and send it."""
        acting = self._acting
        key = request.id or self._number(now_ns)
        digest = digest_of({"action": asked.action, "fields": asked.fields})
        earlier = acting.remembered.earlier(key, digest, now_ns)
        if earlier is not None:
            told = (earlier.state, earlier.cause, earlier.reason)
            return [Tell(client, request.id, *told)]
        verdict = judge(asked, acting.situation(now_ns), acting.rules)
        state = "refused" if verdict.cause else "sent"
        acting.note(key, asked.action, state, verdict.cause, verdict.reason, now_ns)
        acting.remembered.became(key, state, verdict.cause, verdict.reason)
        more = self._ruled(asked, verdict) | {"id": key}
        out: list[Effect] = [
            _record(request, state, verdict.cause, verdict.reason, **more)
        ]
        if verdict.cause:
            told = (state, verdict.cause, verdict.reason)
            return [*out, Tell(client, request.id, *told)]
        deadline_ns = now_ns + int(acting.rules.settings.valid_for_ms * MS)
        tells = ((client, request.id),)
        out.append(acting.send(key, asked, verdict, tells, deadline_ns, now_ns))
        return out

    def _number(self, now_ns: int) -> str:
        self._numbered += 1
        return f"person/{now_ns}/{self._numbered}"

    # -- what waits --------------------------------------------------------------

    def _accept(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        acting = self._acting
        waits = acting.waiting.get(request.id)
        if waits is None:
            raise RefusedError(f"{request.id:.60} does not wait", "unknown_id")
        proposal = waits.proposal
        asked = Asked(proposal.action, proposal.fields, "accepted", proposal)
        verdict = judge(asked, acting.situation(now_ns), acting.rules)
        ruled = self._ruled(asked, verdict)
        if verdict.cause == "busy":  # it may be accepted again in a moment
            raise RefusedError(verdict.reason, "busy")
        acting.waiting.take(request.id)
        cause, reason = verdict.cause, verdict.reason
        if cause:
            record = _record(request, "refused", cause, reason, **ruled)
            told = Tell(client, request.id, "refused", cause, reason)
            lapsed = acting.lapsed(request.id, waits.client, cause, reason)
            return [record, told, *lapsed]
        tells = ((client, request.id), (waits.client, request.id))
        acting.note(request.id, proposal.action, "sent", "", "", now_ns)
        record = _record(request, "sent", "", "", **ruled)
        if all(blanks(call) for call in verdict.calls):
            acting.sent(asked, verdict, now_ns)
            return [*acting.blank(f"{proposal.rule}: accepted", now_ns, tells), record]
        deadline_ns = now_ns + int(acting.rules.settings.valid_for_ms * MS)
        send = acting.send(request.id, asked, verdict, tells, deadline_ns, now_ns)
        return [record, send, Tell(waits.client, request.id, "sent")]

    def _decline(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        acting = self._acting
        waits = acting.waiting.get(request.id)
        if waits is None:
            raise RefusedError(f"{request.id:.60} does not wait", "unknown_id")
        acting.waiting.take(request.id)
        reason = _why(f"{request.who or 'a person'} declined", request)
        lapsed = acting.lapsed(
            request.id, waits.client, "declined", reason, request.who
        )
        return [*self._done(request, client), *lapsed]

    def _ruled(self, asked: Asked, verdict: Verdict) -> dict[str, Any]:
        return {
            "checks": [check.to_dict() for check in verdict.checks],
            "calls": records.calls_of(verdict.calls),
            "readback": self._acting.used(asked, verdict),
        }

    def _done(self, request: Request, client: str) -> list[Effect]:
        return [_record(request, "done", "", ""), Tell(client, request.id, "done")]


def _why(reason: str, request: Request) -> str:
    return f"{reason}: {request.reason}" if request.reason else reason


def _record(
    request: Request, state: str, cause: str, reason: str, **more: Any
) -> Write:
    """Return the record of a request, with no more in it than was asked."""
    body: dict[str, Any] = {"who": request.who, "ask": request.ask, "id": request.id}
    if request.reason:
        body["why"] = request.reason
    if request.ask == "arm":
        body["seconds"] = request.seconds
    if request.ask == "do":
        body |= {
            "action": records.plain(request.action),
            "fields": records.plain(request.fields),
        }
    return Write(
        "request", body | {"state": state, "cause": cause, "reason": reason} | more
    )
