"""The `epics` channel: a number that an IOC serves over PVAccess.

EPICS says a value when it changes, and not again while it stays. The library that
speaks PVAccess (p4p) calls back from threads of its own; a mailbox keeps what it says.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import deque
from contextlib import closing
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from scopeside.channel import ChannelSink
from scopeside.detector import StopRequested
from scopeside.errors import MissingExtraError, SourceError
from scopeside.params import Params

WAIT_S = 0.05
PATIENCE_S = 5.0
"""A PV that nobody serves for so long is told of."""
WAITING = 100_000
INVALID = 3
"""Alarm severity: the value is not to be trusted."""
REQUEST = "field(value,alarm,timeStamp)"
_SERVER = re.compile(r"[A-Za-z0-9_.\-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


class EpicsPvParams(Params):
    """``[[channel]] kind = "epics"``."""

    pv: str = Field(min_length=1, max_length=256)
    """Name of a PV with a number: an NTScalar of integer, float or enumeration."""
    server: str | None = None
    """host:port of the IOC's PVAccess server; by default it is searched for as the
    EPICS_PVA_ environment variables say."""
    time: Literal["pv", "arrival"] = "pv"
    """Time of a sample: what the PV says, or when it came here."""
    repeat_s: float | None = Field(None, gt=0)
    """While connected and unchanged, the value is said again so often, with the time
    of this machine, s."""

    @field_validator("server")
    @classmethod
    def _is_server(cls, value: str | None) -> str | None:
        if value is not None and not _SERVER.fullmatch(value):
            raise ValueError("expected 'host:port', such as '192.168.1.5:5075'")
        return value


class Mailbox:
    """Updates that wait to be looked at; beyond `WAITING` the oldest go."""

    def __init__(self) -> None:
        self._updates: deque[Any] = deque(maxlen=WAITING)
        self._filled = threading.Event()

    def put(self, update: Any) -> None:
        """Keep an update; called by a thread of the library, which must not wait."""
        self._updates.append(update)
        self._filled.set()

    def get(self) -> Any:
        """Wait for the next update; None if there is none within `WAIT_S`."""
        if not self._updates and not self._filled.wait(WAIT_S):
            return None
        self._filled.clear()
        return self._updates.popleft() if self._updates else None


class EpicsPv:
    """Follows a PV with a number over PVAccess (not Channel Access)."""

    Params: ClassVar[type[EpicsPvParams]] = EpicsPvParams

    def __init__(self, params: EpicsPvParams) -> None:
        self._params = params
        self._name = f"PV {params.pv!r}"
        self._last: float | None = None
        self._said_s = 0.0

    def check(self) -> list[str]:
        """Return what is not installed; whether the PV is there is seen later."""
        try:
            _p4p()
        except MissingExtraError as error:
            return [str(error)]
        return []

    def run(self, sink: ChannelSink) -> None:
        """Follow the PV until the engine is asked to end."""
        updates = Mailbox()
        with closing(self._context()) as context:
            monitor = context.monitor(
                self._params.pv,
                updates.put,
                request=REQUEST,
                notify_disconnect=True,
            )
            with closing(monitor):
                self._follow(updates, sink)
        raise StopRequested

    # ---------------------------------------------------------------------------

    def _context(self) -> Any:
        thread = _p4p()
        if self._params.server is None:
            return thread.Context("pva", nt=False)
        conf = {
            "EPICS_PVA_NAME_SERVERS": self._params.server,
            "EPICS_PVA_ADDR_LIST": "",
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        }
        return thread.Context("pva", nt=False, conf=conf, useenv=False)

    def _follow(self, updates: Mailbox, sink: ChannelSink) -> None:
        thread = _p4p()
        connected, told = False, False
        began = time.monotonic()
        while not sink.stopping:
            update = updates.get()
            if update is None:
                if connected:
                    self._repeat_if_due(sink)
                elif not told and time.monotonic() - began > PATIENCE_S:
                    told = True
                    sink.note(f"waits for {self._name}: nobody serves it yet")
                continue
            if isinstance(update, thread.Disconnected):
                if connected:
                    sink.note(f"{self._name} is disconnected; waits for it")
                connected, self._last = False, None
            elif isinstance(update, BaseException):
                raise SourceError(f"{self._name}: {update}") from update
            else:
                if not connected and told:
                    sink.note(f"{self._name} is connected")
                connected, told = True, True
                self._take(update, sink)

    def _take(self, update: Any, sink: ChannelSink) -> None:
        self._last = None
        severity = int(update.get("alarm", {}).get("severity", 0))
        if severity >= INVALID:
            sink.reject(1, "invalid", f"{self._name} is in the alarm state INVALID")
            return
        value = self._number(update)
        if not math.isfinite(value):
            sink.reject(1, "wrong_value", f"{self._name} is {value}")
            return
        t_ns = time.time_ns() if self._params.time == "arrival" else _time_of(update)
        if t_ns <= 0:
            sink.reject(
                1,
                "wrong_time",
                f"{self._name} says no time; set time = 'arrival'",
            )
            return
        sink.sample(t_ns, value)
        self._last, self._said_s = value, time.monotonic()

    def _number(self, update: Any) -> float:
        """Return the value of an NTScalar or NTEnum.

        Raises
        ------
        SourceError
            If it is anything else, such as an array.
        """
        value = update.get("value")
        kind = str(update.getID())
        if kind.startswith("epics:nt/NTEnum") or "enum_t" in kind:
            value = value["index"] if value is not None else None
        elif hasattr(value, "todict") and "index" in value.todict():
            value = value["index"]
        if isinstance(value, bool | int | float):
            return float(value)
        raise SourceError(
            f"{self._name} is a {kind} with a value of type {type(value).__name__}; a "
            "channel takes one number (NTScalar, NTEnum)"
        )

    def _repeat_if_due(self, sink: ChannelSink) -> None:
        every = self._params.repeat_s
        if every is None or self._last is None:
            return
        if time.monotonic() - self._said_s >= every:
            self._said_s = time.monotonic()
            sink.sample(time.time_ns(), self._last)


def _p4p() -> Any:
    try:
        from p4p.client import thread  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtraError("the channel kind 'epics'", "p4p", "epics") from error
    return thread


def _time_of(update: Any) -> int:
    stamp = update.get("timeStamp", {})
    seconds = int(stamp.get("secondsPastEpoch", 0))
    return seconds * 1_000_000_000 + int(stamp.get("nanoseconds", 0))
