"""What the guard does with a proposal: look at it once, judge it, and say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
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


@dataclass(frozen=True, slots=True)
class Came:
    """A proposal that could be read, as plain values too, and who it came from."""

    proposal: Proposal
    client: str
    plain: Mapping[str, Any]
    digest: str

    @property
    def tells(self) -> tuple[tuple[str, str], ...]:
        """Who is told what becomes of it."""
        return ((self.client, self.proposal.id),)

    @classmethod
    def read(cls, values: Any, client: str) -> Came:
        """Read a proposal, whatever it is that came.

        Raises
        ------
        RefusedError
            If it is none, or holds what cannot be written down and shown.
        """
        try:
            proposal = Proposal.from_dict(values)
            usable_id(proposal.id)
            plain = proposal.to_dict()
            digest = digest_of(plain)
        except RefusedError:
            raise
        except Exception as error:  # a stranger's values must not end us
            text = f"it cannot be read: {type(error).__name__}: {error!s:.100}"
            raise RefusedError(text, "wrong_type") from error
        evidence = proposal.evidence
        for text in (
            *(proposal.rule, proposal.why, evidence.acquisition, evidence.reason),
            *(text for one in evidence.sources for text in astuple(one)),
        ):
            if isinstance(text, str) and not text.isprintable():
                raise RefusedError(f"{text!a:.60} is not printable", "wrong_type")
        return cls(proposal, client, plain, digest)


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
            came = Came.read(values, client)
        except RefusedError as error:
            return self._unread(values, client, error)
        proposal, remembered = came.proposal, self._known.remembered
        try:
            earlier = remembered.earlier(proposal.id, came.digest, proposal.created_ns)
        except RefusedError as error:
            return self._replayed(came, error, now_ns)
        if earlier is None:
            return self._judge(came, judged_ns, now_ns)
        self._known.counts["duplicate"] += 1
        ruled = Ruled(earlier.state, earlier.cause, earlier.reason)
        return told(came.tells, ruled)

    def _judge(self, came: Came, judged_ns: int, now_ns: int) -> list[Effect]:
        known, proposal = self._known, came.proposal
        asked = Asked(proposal.action, proposal.fields, "rule", proposal)
        verdict = judge(asked, known.situation(judged_ns), known.rules)
        if not any(one.cause for one in verdict.checks if one.name in _FRESH):
            known.engine = engine_of(known.engine, proposal.evidence)
        ruled = self._ruled(came, verdict)
        record = self._record(came, ruled, verdict, now_ns)
        known.note(proposal.id, proposal.action, ruled, now_ns, proposal.fields)
        if ruled.state == "observed":
            self._sending.sent(asked, verdict, judged_ns)
        elif ruled.state == "waiting":
            until_ns = now_ns + int(known.rules.settings.advice_s * 1e9)
            known.waiting.add(Waits(proposal, came.client, until_ns))
        elif ruled.state == "sent":
            return self._do(came, asked, verdict, record, now_ns)
        return [record, *told(came.tells, ruled)]

    def _do(
        self, came: Came, asked: Asked, verdict: Verdict, record: Write, now_ns: int
    ) -> list[Effect]:
        """Send it once it is written down; blank at once."""
        proposal, sent = came.proposal, told(came.tells, Ruled("sent"))
        if all(blanks(call) for call in verdict.calls):
            self._sending.sent(asked, verdict, now_ns)
            why = f"{proposal.rule}: {proposal.why or proposal.id}"
            return [*self._beam.blank(why, now_ns, came.tells), record, *sent]
        send = self._sending.send(
            proposal.id,
            asked,
            verdict,
            tells=came.tells,
            deadline_ns=proposal.deadline_ns,
            now_ns=now_ns,
        )
        return [record, send, *sent]

    def _ruled(self, came: Came, verdict: Verdict) -> Ruled:
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
                if full := self._known.waiting.full(came.proposal, came.client):
                    return Ruled("refused", "busy", full)
                cause = "not_armed" if standing.ceiling == "armed" else ""
                return Ruled("waiting", cause, "it waits for a person")
            case _:
                return Ruled("refused", "parked", str(standing.parked))

    def _replayed(self, came: Came, error: RefusedError, now_ns: int) -> list[Effect]:
        """Refuse what bears the id of something else; of that one nothing changes."""
        ruled = Ruled("refused", error.cause, str(error))
        verdict = Verdict((failed("id", error.cause, str(error)),))
        self._known.count(ruled)
        record = self._record(came, ruled, verdict, now_ns)
        return [record, *told(came.tells, ruled)]

    def _unread(self, values: Any, client: str, error: RefusedError) -> list[Effect]:
        """Refuse what is no proposal."""
        known, ruled = self._known, Ruled("refused", error.cause, str(error))
        verdict = Verdict((failed("proposal", error.cause, str(error)),))
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

    def _record(self, came: Came, ruled: Ruled, verdict: Verdict, now_ns: int) -> Write:
        body = records.decision(
            came.plain,
            self._known.standing.name,
            records.verdict(ruled.state, ruled.cause, ruled.reason, verdict),
            verdict.calls,
            self._sending.used(verdict),
        )
        latency = records.latencies(came.proposal, now_ns)
        return Write("proposal", {"decision": body, "latency_ms": latency})


def id_of(values: Any) -> str:
    """Return the id that came, if it can be one."""
    found = values.get("id") if isinstance(values, Mapping) else None
    try:
        return usable_id(found)
    except RefusedError:
        return ""
