"""The `simulator` control adapter: the simulated microscope of the same pipeline.

It speaks to the socket that the detector `simulator` opens when it has ``control``,
see `scopeside_adapters.simulator.control`.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgpack
from pydantic import AfterValidator, BaseModel, Field

from scopeside.control.actions import targets
from scopeside.control.instrument import Call, Readback, Value
from scopeside.errors import InstrumentError
from scopeside.params import Params
from scopeside_adapters.endpoint import check_local
from scopeside_adapters.microscope.asked import fields_of
from scopeside_adapters.microscope.requester import Requester
from scopeside_adapters.simulator.commands import ACTIONS

LARGEST_ANSWER = 1 << 20
Answer = dict[str, Any]


class SimulatorControlParams(Params):
    """``[control.adapter]`` with ``kind = "simulator"``."""

    endpoint: Annotated[str, AfterValidator(check_local)]
    """Where the microscope takes commands: `control` of the detector."""
    answer_s: float = Field(2.0, gt=0, le=60)
    """So long may an answer to a question take, s."""
    act_s: float = Field(30.0, gt=0, le=600)
    """So long may a command take, s; of `place_beam`, in addition to the dwelling."""


class SimulatorControl:
    """One connection to the simulated microscope.

    Read-backs hold all of `scopeside_adapters.simulator.state.State` that is a number
    or a switch (``epoch`` counts its changes), the ``optics``, and ``session``: a word
    that changes when the detector is started anew, for then the microscope is a new
    one. A command is meant for the session that was read last; another one refuses
    it, unless it blanks.
    """

    Params: ClassVar[type[BaseModel]] = SimulatorControlParams
    ends_with_engine: ClassVar[bool] = True

    def __init__(self, params: SimulatorControlParams) -> None:
        self._params = params
        self._name = f"the simulated microscope at {params.endpoint}"
        self._requester = Requester(
            params.endpoint, self._name, largest_answer=LARGEST_ANSWER
        )
        self._session = ""

    @property
    def actions(self) -> frozenset[str]:
        """All but ``set_scan`` and ``acquire``; ``place_beam`` only while it scans."""
        return frozenset({*ACTIONS, "place_beam"})

    def check(self) -> list[str]:
        """Return nothing: the microscope is not there before the run has begun."""
        return []

    def open(self) -> None:
        """Connect.

        Raises
        ------
        InstrumentError
            If it does not answer: the run has not begun, or the detector has no
            `control` at this address.
        """
        self._requester.open()
        try:
            self.read()
        except InstrumentError as error:
            self.close()
            raise InstrumentError(
                f"{error} (it is there when the run has begun, if [detector] has "
                f'control = "{self._params.endpoint}")'
            ) from error

    def close(self) -> None:
        """Disconnect."""
        self._requester.close()

    def read(self) -> Readback:
        """Ask what the microscope is set to."""
        answer = self._ask({"action": "get_state"}, self._params.answer_s)
        state, optics = answer["state"], answer.get("optics")
        t_ns, session = answer.get("t_ns"), answer.get("session")
        if type(t_ns) is not int or type(session) is not str:
            raise InstrumentError(f"{self._name} does not say t_ns and session")
        self._session = session
        values = {**state, **(optics if isinstance(optics, dict) else {})}
        plain: dict[str, Value] = {
            name: value for name, value in values.items() if _is_plain(value)
        }
        return Readback(t_ns, {**plain, "session": session})

    def act(self, call: Call) -> Mapping[str, Any]:
        """Carry out one action, and wait until it has taken effect."""
        fields = fields_of(call, self.actions, self._name)
        wait_s = self._params.act_s
        if call.action == "place_beam":
            wait_s += len(fields["points"]) * fields["dwell_s"]
        name = secrets.token_hex(8)
        request = {
            "action": call.action,
            **fields,
            "id": name,
            "session": self._session,
            "deadline": time.time_ns() + round(self._params.act_s * 1e9),
        }
        answer = self._ask(request, wait_s)
        if answer.get("id") != name:
            raise InstrumentError(
                f"{self._name} answered to {answer.get('id')!r:.60}, not to {name!r}"
            )
        self._check_done(call.action, fields, answer["state"])
        more = {"visited": answer["visited"]} if "visited" in answer else {}
        return {"id": name, "epoch": answer["state"].get("epoch"), **more}

    def _check_done(
        self, action: str, fields: Mapping[str, Any], state: Mapping[str, Any]
    ) -> None:
        for quantity, wanted in targets(action, fields).items():
            if state.get(quantity) != wanted:
                raise InstrumentError(
                    f"{self._name} says that {action} is done, but {quantity} is "
                    f"{state.get(quantity)!r:.60}, not {wanted!r:.60}"
                )

    def _ask(self, request: Mapping[str, Any], timeout_s: float) -> Answer:
        data = self._requester.ask(msgpack.packb(request), timeout_s)
        try:
            answer = msgpack.unpackb(data)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise InstrumentError(
                f"{self._name} answered what is not msgpack: {error!r:.100}"
            ) from error
        if (
            not isinstance(answer, dict)
            or not isinstance(answer.get("state"), dict)
            or not all(isinstance(key, str) for key in answer["state"])
        ):
            raise InstrumentError(f"{self._name} answered without a state")
        if answer.get("ok") is not True:
            reason = f"{answer.get('reason')!s:.300}"
            raise InstrumentError(f"{self._name} refused {request['action']}: {reason}")
        return answer


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | str) or (
        type(value) in (int, float) and math.isfinite(value)
    )
