"""What the guard does for persons: arm, advise, hold, blank, accept, and commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.control import records
from scopeside.control.beam import Beam
from scopeside.control.case import Asked, Verdict
from scopeside.control.effects import Effect, Tell, Write
from scopeside.control.evidence import MS
from scopeside.control.instrument import Call
from scopeside.control.judge import blanks, judge
from scopeside.control.known import Known, Ruled, event, told
from scopeside.control.proposals import id_of
from scopeside.control.remembered import digest_of
from scopeside.control.requests import Request
from scopeside.control.sending import Sending
from scopeside.control.waiting import Waits
from scopeside.errors import RefusedError

_ALWAYS = ("hold", "blank")
"""What is done also in a flood of requests."""
_AT_THE_END = (*_ALWAYS, "status")
_FOR_NOW = ("busy", "rate")
"""What refuses an acceptance without ending the wait for it: try again in a moment."""


class Persons:
    """Does what persons ask; each ask gets one answer, when it is done or refused."""

    def __init__(self, known: Known, sending: Sending, beam: Beam) -> None:
        self._known = known
        self._sending = sending
        self._beam = beam
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

    def ask(
        self, values: Any, client: str, now_ns: int, *, counted: bool
    ) -> list[Effect]:
        """Do what is asked, or say why not.

        Parameters
        ----------
        counted
            False in a flood: then only what stops is done, without a record of its own.
        """
        try:
            request = _read(values)
            if not counted and request.ask not in _ALWAYS:
                raise RefusedError("too many requests in a second", "flood")
            if self._known.ended and request.ask not in _AT_THE_END:
                raise RefusedError("the guard has ended", "ended")
            out = self._does[request.ask](request, client, now_ns)
        except RefusedError as error:
            ruled = Ruled("refused", error.cause, str(error))
            self._known.count(ruled)
            out = [_refused(values, ruled), *told([(client, id_of(values))], ruled)]
        return out if counted else [one for one in out if not _is_request(one)]

    # -- standing ----------------------------------------------------------------

    def _arm(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        known = self._known
        mode = known.rules.settings.mode
        if mode != "armed":
            cause = "observe_only" if mode == "observe" else "not_armed"
            text = f"mode = {mode!r} in the pipeline file: it cannot be armed"
            raise RefusedError(text, cause)
        self._ready(now_ns)
        dose = known.rules.dose
        if dose is not None and dose.lacking:
            text = f"the dose budget cannot be kept: {dose.lacking}"
            raise RefusedError(text, "no_dose_calibration")
        if lacking := known.readings.lacking(now_ns):
            raise RefusedError(lacking, "no_readback")
        until_ns = now_ns + int(request.seconds * 1e9)
        known.standing.arm(until_ns, request.who)
        known.begin()
        why = _why(f"by {request.who or 'a person'}", request)
        return [
            *self._done(request, client),
            event("armed", why, seconds=request.seconds, until_ns=until_ns),
            # Their evidence is old, and who made them may ask again without a person.
            *known.lapse("armed", "it was armed meanwhile", now_ns),
        ]

    def _advise(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        if self._known.observing:
            text = "mode = 'observe' in the pipeline file: nothing is sent"
            raise RefusedError(text, "observe_only")
        self._ready(now_ns)
        self._known.standing.advise()
        self._known.begin()
        why = _why(f"by {request.who or 'a person'}", request)
        return [*self._done(request, client), event("advising", why)]

    def _ready(self, now_ns: int) -> None:
        """Refuse to go on while something is under way, or the engine is silent."""
        known = self._known
        if known.busy:
            raise RefusedError(f"{known.busy} is under way", "busy")
        silent_ns = now_ns - known.engine.heard_ns
        silence_ns = known.rules.settings.silence_ms * MS
        if known.engine.epoch is None or silent_ns > silence_ns:
            raise RefusedError("the engine is not heard", "engine_restarting")

    def _hold(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        why = _why(f"{request.who or 'a person'} asked to hold", request)
        out = self._done(request, client)
        return [*out, *self._known.park("held", why, now_ns)]

    def _status(self, request: Request, client: str, _: int) -> list[Effect]:
        return [Tell(client, request.id, "done", "", self._known.standing.name)]

    # -- the beam ----------------------------------------------------------------

    def _blank(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        if why := self._beam.unable:
            connected = self._known.rules.connected
            raise RefusedError(why, "not_offered" if connected else "no_connection")
        why = _why(f"{request.who or 'a person'} asked to blank", request)
        out = self._beam.blank(why, now_ns, [(client, request.id)])
        out = out or self._beam.at_once(now_ns)
        record = _record(request, Ruled("sent"))
        return [*out, record, *self._known.park("blanked", why, now_ns)]

    def _unblank(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        if self._known.observing and not self._known.blanking.done_ns:
            text = "mode = 'observe': the beam is let on if it was blanked from here"
            raise RefusedError(text, "observe_only")
        if why := self._beam.must_be_off(now_ns):
            raise RefusedError(why, "budget")
        asked = Asked("blank", {"on": False}, "unblank")
        return self._command(request, asked, client, now_ns)

    # -- commands ----------------------------------------------------------------

    def _do(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        action, fields = request.action, request.fields
        whole = action == "blank" and fields == {"on": True}
        if whole and blanks(Call(action, fields)):  # 1 equals True, and is no switch
            return self._blank(request, client, now_ns)
        asked = Asked(action, fields, "person")
        return self._command(request, asked, client, now_ns)

    def _command(
        self, request: Request, asked: Asked, client: str, now_ns: int
    ) -> list[Effect]:
        """Judge a person's own command and send it."""
        known = self._known
        key = request.id or self._number(now_ns)
        digest = digest_of({"action": asked.action, "fields": asked.fields})
        earlier = known.remembered.earlier(key, digest, now_ns)
        tells = ((client, request.id),)
        if earlier is not None:
            ruled = Ruled(earlier.state, earlier.cause, earlier.reason)
            return told(tells, ruled)
        verdict = judge(asked, known.situation(now_ns), known.rules)
        state = "refused" if verdict.cause else "sent"
        ruled = Ruled(state, verdict.cause, verdict.reason)
        known.note(key, asked.action, ruled, now_ns, asked.fields)
        more = self._judged(verdict) | {"id": key}
        record = _record(request, ruled, **more)
        if verdict.cause:
            return [record, *told(tells, ruled)]
        return [record, self._send(key, asked, verdict, tells, now_ns)]

    def _send(
        self,
        key: str,
        asked: Asked,
        verdict: Verdict,
        tells: tuple[tuple[str, str], ...],
        now_ns: int,
    ) -> Effect:
        deadline_ns = now_ns + int(self._known.rules.settings.valid_for_ms * MS)
        return self._sending.send(
            key, asked, verdict, tells=tells, deadline_ns=deadline_ns, now_ns=now_ns
        )

    def _number(self, now_ns: int) -> str:
        self._numbered += 1
        return f"person/{now_ns}/{self._numbered}"

    # -- what waits --------------------------------------------------------------

    def _accept(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        known, waits = self._known, self._waits(request)
        proposal = waits.proposal
        asked = Asked(proposal.action, proposal.fields, "accepted", proposal)
        verdict = judge(asked, known.situation(now_ns), known.rules)
        if verdict.cause in _FOR_NOW:
            raise RefusedError(verdict.reason, verdict.cause)
        known.waiting.take(proposal.id)
        judged = self._judged(verdict)
        if verdict.cause:
            ruled = Ruled("refused", verdict.cause, verdict.reason)
            return [
                _record(request, ruled, **judged),
                *told([(client, request.id)], ruled),
                *known.lapsed(proposal.id, waits.client, ruled, now_ns),
            ]
        ruled = Ruled("sent")
        known.note(proposal.id, proposal.action, ruled, now_ns, proposal.fields)
        record = _record(request, ruled, **judged)
        tells = ((client, proposal.id), (waits.client, proposal.id))
        if all(blanks(call) for call in verdict.calls):
            self._sending.sent(asked, verdict, now_ns)
            why = f"{proposal.rule}: {proposal.why or proposal.id}"
            return [*self._beam.blank(why, now_ns, tells), record]
        send = self._send(proposal.id, asked, verdict, tells, now_ns)
        return [record, send, *told([(waits.client, proposal.id)], ruled)]

    def _decline(self, request: Request, client: str, now_ns: int) -> list[Effect]:
        waits = self._waits(request)
        self._known.waiting.take(request.id)
        why = _why(f"{request.who or 'a person'} declined", request)
        ruled = Ruled("refused", "declined", why)
        lapsed = self._known.lapsed(request.id, waits.client, ruled, now_ns)
        return [*self._done(request, client), *lapsed]

    def _waits(self, request: Request) -> Waits:
        waits = self._known.waiting.get(request.id)
        if waits is None:
            text = f"{request.id or 'no id'} does not wait for a person"
            raise RefusedError(text, "unknown_id")
        return waits

    def _judged(self, verdict: Verdict) -> dict[str, Any]:
        return {
            "checks": [check.to_dict() for check in verdict.checks],
            "calls": records.calls_of(verdict.calls),
            "readback": self._sending.used(verdict),
        }

    def _done(self, request: Request, client: str) -> list[Effect]:
        record = _record(request, Ruled("done"))
        return [record, *told([(client, request.id)], Ruled("done"))]


def _read(values: Any) -> Request:
    """Read a request, whatever it is that came."""
    try:
        digest_of(values)
        return Request.from_dict(values)
    except RefusedError:
        raise
    except Exception as error:  # a stranger's values must not end us
        text = f"it cannot be read: {type(error).__name__}: {error!s:.100}"
        raise RefusedError(text, "wrong_type") from error


def _why(reason: str, request: Request) -> str:
    return f"{reason}: {request.reason}" if request.reason else reason


def _record(request: Request, ruled: Ruled, **more: Any) -> Write:
    """Return the record of a request, with no more in it than was asked."""
    body: dict[str, Any] = {"who": request.who, "ask": request.ask, "id": request.id}
    if request.reason:
        body["why"] = request.reason
    if request.ask == "arm":
        body["seconds"] = request.seconds
    if request.ask == "do":
        body["action"] = records.plain(request.action)
        body["fields"] = records.plain(request.fields)
    outcome = {"state": ruled.state, "cause": ruled.cause, "reason": ruled.reason}
    return Write("request", body | outcome | more)


def _refused(values: Any, ruled: Ruled) -> Write:
    """Return the record of a request that was refused, as far as it can be read."""
    body = {"who": _short(values, "who"), "ask": _short(values, "ask")}
    outcome = {"state": ruled.state, "cause": ruled.cause, "reason": ruled.reason}
    return Write("request", body | {"id": id_of(values)} | outcome)


def _short(values: Any, name: str) -> str:
    """Return a text that came, as far as it can be written down."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return ascii(found)[1:61].rstrip("'") if isinstance(found, str) else ""


def _is_request(effect: Effect) -> bool:
    return isinstance(effect, Write) and effect.kind == "request"
