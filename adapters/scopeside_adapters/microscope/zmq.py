"""The `zmq` control adapter: any microscope that answers the control wire.

See docs/control_wire.md; `examples/microscope_server.py` is the other side.
"""

from __future__ import annotations

import secrets
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator
from zmq.auth import load_certificate

from scopeside.control.actions import ACTIONS
from scopeside.control.instrument import Call, Readback
from scopeside.errors import InstrumentError, ProtocolError
from scopeside.messages import unknown
from scopeside.params import LocalPath, Params
from scopeside.security.address import of_this_machine, tcp_of
from scopeside.security.keys import checked_key
from scopeside_adapters.microscope import wire
from scopeside_adapters.microscope.asked import fields_of
from scopeside_adapters.microscope.requester import Keys, Requester

T = TypeVar("T")


def _endpoint(endpoint: str) -> str:
    if endpoint.startswith("ipc://"):
        if not of_this_machine(endpoint):
            raise ValueError("it is 'ipc://PATH', a path in a folder")
        return endpoint
    try:
        address = tcp_of(endpoint)
    except ValueError:
        address = None
    if address is None or address.host == "*" or not address.port:
        raise ValueError("it is 'tcp://HOST:PORT' or 'ipc://PATH'")
    return endpoint


def action_name(name: str) -> str:
    """Return the name of an action that there is."""
    if name not in ACTIONS:
        raise ValueError(unknown("action", name, ACTIONS))
    return name


class ZmqControlParams(Params):
    """``[control.adapter]`` with ``kind = "zmq"``."""

    endpoint: Annotated[str, AfterValidator(_endpoint)]
    """Where the microscope's program listens: tcp://HOST:PORT or ipc://PATH. Any HOST
    but 127.0.0.1 needs keys."""
    actions: tuple[Annotated[str, AfterValidator(action_name)], ...] = Field(
        min_length=1
    )
    """What it may be asked for; the program must offer all of it."""
    server_key: Annotated[str, AfterValidator(checked_key)] | None = None
    """Public key of the microscope's program, 40 letters."""
    own_keys: LocalPath | None = None
    """File with this machine's keys, NAME.key_secret."""
    answer_s: float = Field(2.0, gt=0, le=60)
    """So long may an answer to a question take, s."""
    act_s: float = Field(30.0, gt=0, le=600)
    """So long may a command take, s; of `place_beam`, in addition to the dwelling."""

    @model_validator(mode="after")
    def _is_secure(self) -> Self:
        if (self.server_key is None) != (self.own_keys is None):
            raise ValueError("server_key and own_keys go together")
        if self.server_key is None and not of_this_machine(self.endpoint):
            raise ValueError(
                f"{self.endpoint} is not of this machine; commands do not travel "
                "in the clear: give server_key and own_keys"
            )
        return self


class ZmqControl:
    """One connection to a program that drives a microscope.

    It is meant for the session that was read last; a program that was started anew
    in between refuses commands, unless they blank.
    """

    Params: ClassVar[type[BaseModel]] = ZmqControlParams

    def __init__(self, params: ZmqControlParams) -> None:
        self._params = params
        self._name = f"the microscope at {params.endpoint}"
        self._requester: Requester | None = None
        self._session = ""
        self._clock_ahead_ns = 0

    @property
    def actions(self) -> frozenset[str]:
        """What the pipeline file says that it can do."""
        return frozenset(self._params.actions)

    def check(self) -> list[str]:
        """Return why it could not be commanded: keys, nobody there, not all offered."""
        own = self._params.own_keys
        trial = ZmqControl(self._params)
        try:
            trial.open()
        except InstrumentError as error:
            return [f"{error}."]
        finally:
            trial.close()
        if own is not None and own.stat().st_mode & _OF_OTHERS:
            return [f"own_keys: others can read {own}: chmod 600 {own}."]
        return []

    def open(self) -> None:
        """Connect, and see who is there.

        Raises
        ------
        InstrumentError
            If the keys cannot be read, nobody answers, or an action is not offered.
        """
        self.close()
        self._requester = Requester(
            self._params.endpoint,
            self._name,
            largest_answer=wire.LARGEST_ANSWER,
            keys=self._keys(),
        )
        self._requester.open()
        try:
            self._greet()
        except InstrumentError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect."""
        if self._requester is not None:
            self._requester.close()
        self._requester = None

    def read(self) -> Readback:
        """Ask what the microscope is set to."""
        t_ns = time.time_ns()
        found = self._ask(wire.read, wire.parse_values, self._params.answer_s)
        self._session = found.session
        return Readback(t_ns, {**found.values, "session": found.session})

    def act(self, call: Call) -> Mapping[str, Any]:
        """Carry out one action, and wait until the program says that it is done."""
        fields = fields_of(call, self.actions, self._name)
        act_ns = round(self._params.act_s * 1e9)
        wait_s = self._params.act_s
        if call.action == "place_beam":
            wait_s += len(fields["points"]) * fields["dwell_s"]

        def request(name: str) -> bytes:
            return wire.command(
                name,
                Call(call.action, fields),
                session=self._session,
                deadline_ns=time.time_ns() + self._clock_ahead_ns + act_ns,
            )

        return self._ask(request, wire.parse_done, wait_s).answer

    def _greet(self) -> None:
        sent_ns = time.time_ns()
        found = self._ask(wire.hello, wire.parse_hello, self._params.answer_s)
        self._clock_ahead_ns = found.now_ns - (sent_ns + time.time_ns()) // 2
        self._session = found.session
        if lacking := sorted(self.actions - found.actions):
            raise InstrumentError(
                f"{self._name} ({found.name}) does not offer {', '.join(lacking)}; it "
                f"offers {', '.join(sorted(found.actions)) or 'nothing'}"
            )

    def _ask(
        self,
        request: Callable[[str], bytes],
        parse: Callable[[bytes, str], T | wire.Refused],
        timeout_s: float,
    ) -> T:
        if self._requester is None:
            raise InstrumentError(f"{self._name} is not connected")
        name = secrets.token_hex(8)
        try:
            found = parse(self._requester.ask(request(name), timeout_s), name)
        except ProtocolError as error:
            raise InstrumentError(f"{self._name}: {error}") from error
        if isinstance(found, wire.Refused):
            raise InstrumentError(f"{self._name} refused: {found.reason}")
        return found

    def _keys(self) -> Keys | None:
        server, own = self._params.server_key, self._params.own_keys
        if server is None or own is None:
            return None
        public, secret = _certificate(own)
        return Keys(server.encode(), public, secret)


_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def _certificate(path: Path) -> tuple[bytes, bytes]:
    try:
        public, secret = load_certificate(path)
    except (OSError, ValueError) as error:
        raise InstrumentError(f"own_keys: {path} holds no keys: {error}") from error
    if secret is None:
        raise InstrumentError(
            f"own_keys: {path} has no secret key; the file is NAME.key_secret"
        )
    return public, secret
