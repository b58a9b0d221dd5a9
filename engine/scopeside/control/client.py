"""For programs that ask something of a guard through its door.

::

    with GuardClient("tcp://127.0.0.1:8770", server_key, Path("blue.key_secret"),
                     name="blue") as guard:
        seen = evidence_of(result, guard.epoch())
        answer = guard.propose("set_defocus", {"defocus_m": -5e-7}, seen)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import zmq

from scopeside.control.permission import caller
from scopeside.control.proposal import Evidence, Proposal, Source
from scopeside.errors import ConfigError, EngineNotFoundError, RefusedError
from scopeside.link import Link
from scopeside.publication import digest
from scopeside.result import Result
from scopeside.security.keys import checked_key, checked_name, read_secret
from scopeside.wire import Kind, Message

_ON_THE_WAY = ("sent", "waiting")
_ENDED = frozenset({"observed", "done", "refused", "failed"})


@dataclass(frozen=True, slots=True)
class Decision:
    """What the guard said of a proposal.

    Attributes
    ----------
    state
        ``observed``, ``waiting``, ``sent``, ``done``, ``refused`` or ``failed``.
    cause, reason
        Why, in one word and in words.
    """

    id: str
    state: str
    cause: str = ""
    reason: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing more will be said of it."""
        return self.state in _ENDED


def evidence_of(result: Result, epoch: int) -> Evidence:
    """Return a result of `scopeside.subscribe` as what a proposal stands on.

    Parameters
    ----------
    epoch
        Of the detector's adapter when the result came: `GuardClient.epoch`.
    """
    meta = result.meta
    source = Source(
        str(meta.get("chain", "")),
        str(meta.get("processor", "")),
        result.name,
        digest(result),
        int(meta.get("params") or 0),
    )
    confidence = meta.get("confidence")
    return Evidence(
        acquisition=str(meta.get("acq", "")),
        epoch=epoch,
        first=result.first,
        frame=result.frame,
        t_frame_ns=int(meta.get("t_frame_ns") or 0),
        sources=(source,),
        confidence=None if confidence is None else float(confidence),
        valid=result.valid,
        reason=result.reason,
    )


class GuardClient:
    """One connection to a guard's door; used by one thread.

    Parameters
    ----------
    endpoint
        Of the door, ``tcp://ADDRESS:PORT``.
    server_key
        The guard's public key, 40 characters.
    key
        This program's secret key file (0600).
    name
        What ``[control.door]`` calls this program.
    timeout_s
        How long an answer is waited for.
    """

    def __init__(
        self,
        endpoint: str,
        server_key: str,
        key: Path,
        *,
        name: str,
        timeout_s: float = 5.0,
    ) -> None:
        pair = read_secret(key)
        try:
            checked_key(server_key)
            self._who = caller(checked_name(name))
        except ValueError as error:
            raise ConfigError(f"guard at {endpoint}: {error}") from error
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._decided: dict[str, Decision] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # No name of its own: the door gives it one.
        self._link = Link(self._context, zmq.DEALER)
        socket = self._link.socket
        socket.curve_serverkey = server_key.encode()
        socket.curve_publickey = pair.public.encode()
        socket.curve_secretkey = pair.secret.encode()
        socket.setsockopt(zmq.IPV6, "[" in endpoint)
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ConfigError(
                f"cannot connect to {endpoint!r}: {error.strerror}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def propose(
        self,
        action: str,
        fields: Mapping[str, Any],
        evidence: Evidence,
        *,
        valid_for_s: float = 1.0,
        why: str = "",
    ) -> Decision:
        """Propose an action; return what the guard says at first.

        Raises
        ------
        EngineNotFoundError
            If no answer comes: no guard is there, or it does not know this key.
        """
        now = time.time_ns()
        proposal = Proposal(
            f"{self._who}/{uuid.uuid4().hex}",
            action,
            dict(fields),
            self._who,
            evidence,
            now,
            now + int(valid_for_s * 1e9),
            why,
        )
        return self.send(proposal)

    def send(self, proposal: Proposal) -> Decision:
        """Send a proposal made elsewhere, also a second time: it is acted on once."""
        self._decided.pop(proposal.id, None)
        self._link.send(Kind.PROPOSAL, {"proposal": proposal.to_dict()})
        return self.decided(proposal.id)

    def decided(self, id: str, *, final: bool = False) -> Decision:  # noqa: A002 - its name everywhere
        """Wait for what is said of a proposal, or for the last that is said of it."""
        ends = time.monotonic() + self._timeout_s
        while True:
            known = self._decided.get(id)
            if known is not None and (known.final or not final):
                return known
            self._hear(ends)

    def status(self) -> dict[str, Any]:
        """Return how the guard is."""
        return self._request(Kind.STATUS, {})

    def epoch(self) -> int:
        """Return the epoch of the detector's adapter, which evidence bears.

        Raises
        ------
        EngineNotFoundError
            If the guard has not heard of the engine.
        RefusedError
            If this program may not observe.
        """
        status = self.status()
        if not status.get("ok", True):
            raise RefusedError(str(status.get("reason")), str(status.get("cause")))
        epoch = status.get("engine", {}).get("epoch")
        if type(epoch) is not int:
            raise EngineNotFoundError(
                f"the guard at {self._endpoint} has not heard of its engine"
            )
        return epoch

    def hold(self) -> dict[str, Any]:
        """Have nothing sent to the microscope until a person says otherwise."""
        return self.ask("hold")

    def blank(self) -> dict[str, Any]:
        """Have the beam blanked, and hold."""
        return self.ask("blank")

    def ask(self, ask: str, **fields: Any) -> dict[str, Any]:
        """Ask something else; return the answer, ``ok`` saying whether it was done.

        What takes the instrument's time is waited for; if that is longer than an
        answer is waited for, ``state`` is still ``sent``.
        """
        return self._request(Kind.ASK, {"ask": ask, **fields})

    def close(self) -> None:
        """Disconnect."""
        self._link.close()
        self._context.destroy(linger=0)

    # ---------------------------------------------------------------------------

    def _request(self, kind: Kind, header: Mapping[str, Any]) -> dict[str, Any]:
        ident = uuid.uuid4().hex
        self._link.send(kind, {**header, "id": ident})
        ends = time.monotonic() + self._timeout_s
        found: dict[str, Any] | None = None
        while True:
            try:
                message = self._hear(ends)
            except EngineNotFoundError:
                if found is not None:
                    return found
                raise
            said = message.header
            if message.kind is Kind.DECIDED or said.get("id", "") not in (ident, ""):
                continue
            found = said
            if said.get("state") not in _ON_THE_WAY:
                return found

    def _hear(self, ends: float) -> Message:
        """Return the next message; what is said of proposals is kept as well."""
        left_ms = int((ends - time.monotonic()) * 1000)
        if left_ms <= 0 or not self._link.socket.poll(left_ms):
            raise EngineNotFoundError(
                f"the guard at {self._endpoint} did not answer within "
                f"{self._timeout_s:g} s: it does not run, or this key is not one that "
                "its [control.door] names"
            )
        message = self._link.receive()
        assert message is not None  # it is there
        if message.kind is Kind.DECIDED:
            said = message.header
            decision = Decision(
                *(str(said.get(key, "")) for key in ("id", "state", "cause", "reason"))
            )
            self._decided[decision.id] = decision
        return message
