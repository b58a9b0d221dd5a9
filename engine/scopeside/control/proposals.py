"""What the guard does with a proposal: look at it once, judge it, and say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scopeside.control import records
from scopeside.control.beam import Beam
from scopeside.control.case import Asked, Verdict
from scopeside.control.checks import failed
from scopeside.control.effects import Effect, Write
from scopeside.control.evidence import engine_of
from scopeside.control.judge import blanks, judge
from scopeside.control.known import Known, Ruled, told
from scopeside.control.proposal import Proposal
from scopeside.control.remembered import digest_of, usable_id
from scopeside.control.sending import Sending
from scopeside.control.waiting import Waits
from scopeside.errors import RefusedError

_FRESH = frozenset({"epoch", "acquisition", "t_frame", "created", "age", "deadline"})


class Proposals:
    """Takes proposals of the adviser and of other programs."""

    def __init__(self, known: Known, sending: Sending, beam: Beam) -> None:
        self._known = known
        self._sending = sending
        self._beam = beam

    def take(
        self, values: Any, client: str, judged_ns: int, now_ns: int
    ) -> list[Effect]:
        """Judge a proposal as of `judged_ns`, which differs from now in a replay."""
        try:
            proposal, digest = read(values)
        except RefusedError as error:
            return self._unread(values, client, error)
        remembered = self._known.remembered
        try:
            earlier = remembered.earlier(proposal.id, digest, proposal.created_ns)
        except RefusedError as error:
            return self._replayed(proposal, client, error, now_ns)
        if earlier is None:
            return self._judge(proposal, client, judged_ns, now_ns)
        self._known.counts["duplicate"] += 1
        ruled = Ruled(earlier.state, earlier.cause, earlier.reason)
        return told([(client, proposal.id)], ruled)

    def _judge(
        self, proposal: Proposal, client: str, judged_ns: int, now_ns: int
    ) -> list[Effect]:
        known = self._known
        asked = Asked(proposal.action, proposal.fields, "rule", proposal)
        verdict = judge(asked, known.situation(judged_ns), known.rules)
        if not any(one.cause for one in verdict.checks if one.name in _FRESH):
            known.engine = engine_of(known.engine, proposal.evidence)
        ruled = self._ruled(proposal, client, verdict)
        record = self._record(proposal, ruled, verdict, asked, now_ns)
        known.note(proposal.id, proposal.action, ruled, now_ns)
        tells = ((client, proposal.id),)
        out: list[Effect] = [record, *told(tells, ruled)]
        if ruled.state == "observed":
            self._sending.sent(asked, verdict, judged_ns)
        elif ruled.state == "waiting":
            until_ns = now_ns + int(known.rules.settings.advice_s * 1e9)
            known.waiting.add(Waits(proposal, client, until_ns))
        elif ruled.state == "sent" and all(blanks(one) for one in verdict.calls):
            self._sending.sent(asked, verdict, now_ns)
            why = f"{proposal.rule}: {proposal.why or proposal.id}"
            return [*self._beam.blank(why, now_ns, tells), *out]
        elif ruled.state == "sent":
            send = self._sending.send(
                proposal.id,
                asked,
                verdict,
                tells=tells,
                deadline_ns=proposal.deadline_ns,
                now_ns=now_ns,
            )
            out.insert(1, send)
        return out

    def _ruled(self, proposal: Proposal, client: str, verdict: Verdict) -> Ruled:
        """Return what becomes of a proposal in the mode that holds."""
        if verdict.cause:
            return Ruled("refused", verdict.cause, verdict.reason)
        standing = self._known.standing
        match standing.name:
            case "observe":
                text = "mode = 'observe': it would be done"
                return Ruled("observed", "observe_only", text)
            case "armed":
                return Ruled("sent")
            case "advise":
                if full := self._known.waiting.full(proposal, client):
                    return Ruled("refused", "busy", full)
                cause = "not_armed" if standing.ceiling == "armed" else ""
                return Ruled("waiting", cause, "it waits for a person")
            case _:
                return Ruled("refused", "parked", str(standing.parked))

    def _replayed(
        self, proposal: Proposal, client: str, error: RefusedError, now_ns: int
    ) -> list[Effect]:
        """Refuse what bears the id of something else; of that one nothing changes."""
        known, ruled = self._known, Ruled("refused", error.cause, str(error))
        verdict = Verdict((failed("id", error.cause, str(error)),), ())
        asked = Asked(proposal.action, proposal.fields, "rule", proposal)
        known.count(ruled)
        record = self._record(proposal, ruled, verdict, asked, now_ns)
        return [record, *told([(client, proposal.id)], ruled)]

    def _unread(self, values: Any, client: str, error: RefusedError) -> list[Effect]:
        """Refuse what is no proposal."""
        known, ruled = self._known, Ruled("refused", error.cause, str(error))
        verdict = Verdict((failed("proposal", error.cause, str(error)),), ())
        known.count(ruled)
        body = records.decision(
            records.found(values),
            known.standing.name,
            records.verdict(ruled.state, ruled.cause, ruled.reason, verdict),
            (),
            {},
        )
        record = Write("proposal", {"decision": body, "latency_ms": {}})
        return [record, *told([(client, id_of(values))], ruled)]

    def _record(
        self,
        proposal: Proposal,
        ruled: Ruled,
        verdict: Verdict,
        asked: Asked,
        now_ns: int,
    ) -> Write:
        body = records.decision(
            proposal.to_dict(),
            self._known.standing.name,
            records.verdict(ruled.state, ruled.cause, ruled.reason, verdict),
            verdict.calls,
            self._sending.used(asked, verdict),
        )
        latency = records.latencies(proposal, now_ns)
        return Write("proposal", {"decision": body, "latency_ms": latency})


def read(values: Any) -> tuple[Proposal, str]:
    """Read a proposal, whatever it is that came; return it with its digest.

    Raises
    ------
    RefusedError
        If it is none, or holds what cannot be written down and shown.
    """
    try:
        proposal = Proposal.from_dict(values)
        usable_id(proposal.id)
        digest = digest_of(proposal.to_dict())
    except RefusedError:
        raise
    except Exception as error:  # a stranger's values must not end us
        text = f"it cannot be read: {type(error).__name__}: {error!s:.100}"
        raise RefusedError(text, "wrong_type") from error
    evidence = proposal.evidence
    for text in (proposal.rule, proposal.why, evidence.acquisition, evidence.reason):
        if not text.isprintable():
            raise RefusedError(f"{text!a:.60} is not printable", "wrong_type")
    return proposal, digest


def id_of(values: Any) -> str:
    """Return the id that came, if it can be one."""
    found = values.get("id") if isinstance(values, Mapping) else None
    try:
        return usable_id(found)
    except RefusedError:
        return ""
