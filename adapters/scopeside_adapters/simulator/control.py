"""Commands for the simulated microscope over ZeroMQ, from this machine only.

One request, one answer, both msgpack maps (REQ or DEALER to ROUTER)::

    {"action": "set_defocus", "defocus_m": -1e-6, "id": "17"}
    {"id": "17", "ok": true, "reason": "", "state": {"defocus_m": -1e-6, …}}

A command may be given a delay; it takes effect and is answered when that is over, and
others are served meanwhile. ``place_beam`` is answered when the beam has left the last
point.

``get_state`` changes nothing and needs no id; with ``at_ns`` it answers with the state
that was in force at that time, such as the time stamp of a frame. ``get_visits``
answers with the stays of the beam from number ``first`` on. ``get_dose`` with
``points``, a list of [y, x] in metres, answers with what the specimen has really
received since it was asked first (`Microscope.dose`). What is no request gets an answer
with ``ok`` false and the reason.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import msgpack
import zmq

from scopeside.errors import ConfigError, SourceError
from scopeside.security.address import of_this_machine
from scopeside_adapters.simulator.microscope import Microscope

LARGEST_REQUEST = 1 << 18
MOST_WAITING = 1000
MOST_POINTS = 1000
_POLL_MS = 50
_LOOK_S = 0.002


def check_endpoint(endpoint: str) -> str:
    """Return `endpoint` if it can be reached from this machine only.

    Raises
    ------
    ConfigError
        If it is neither ``ipc://PATH`` nor ``tcp://`` with a loopback address and a
        port (0: any free one).
    """
    if of_this_machine(endpoint):
        return endpoint
    raise ConfigError(
        f"control is 'tcp://127.0.0.1:PORT' or 'ipc://PATH', not {endpoint!r:.100}: "
        "it must not be reached from other machines"
    )


def answer(microscope: Microscope, request: bytes) -> dict[str, Any]:
    """Return the answer to one request, whatever it is."""
    try:
        asked = understood(request)
    except _NoRequestError as error:
        return _refusal(microscope, str(error))
    match asked.get("action"):
        case "get_state":
            return _state(microscope, asked)
        case "get_visits":
            return _visits(microscope, asked)
        case "get_dose":
            return _dose(microscope, asked)
    return microscope.command(asked).to_dict()


class _NoRequestError(Exception):
    """What is wrong with it."""


def understood(request: bytes) -> dict[str, Any]:
    """Return the names and values of a request."""
    try:
        asked = msgpack.unpackb(request, raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise _NoRequestError(f"the request is not msgpack: {error!r:.100}") from error
    if not isinstance(asked, dict) or not all(isinstance(key, str) for key in asked):
        raise _NoRequestError("a request is a map of names and values")
    return asked


def _state(microscope: Microscope, asked: dict[str, Any]) -> dict[str, Any]:
    at_ns = asked.get("at_ns")
    if unknown := set(asked) - {"action", "id", "at_ns"}:
        return _refusal(microscope, f"get_state has no field {min(unknown)!r:.60}")
    if at_ns is not None and type(at_ns) is not int:
        return _refusal(microscope, f"at_ns is a whole number, not {at_ns!r:.60}")
    t_ns, state = microscope.reading()
    return {
        "id": _name(asked),
        "ok": True,
        "reason": "",
        "state": asdict(state) if at_ns is None else microscope.readback(at_ns),
        "t_ns": t_ns if at_ns is None else at_ns,
        "session": microscope.session,
        "optics": microscope.optics,
    }


def _visits(microscope: Microscope, asked: dict[str, Any]) -> dict[str, Any]:
    first = asked.get("first", 0)
    if unknown := set(asked) - {"action", "id", "first"}:
        return _refusal(microscope, f"get_visits has no field {min(unknown)!r:.60}")
    if type(first) is not int or first < 0:
        return _refusal(microscope, f"first is 0 or more, not {first!r:.60}")
    begin, total, found = microscope.visits(first)
    return {
        "id": _name(asked),
        "ok": True,
        "reason": "",
        "state": microscope.readback(),
        "first": begin,
        "total": total,
        "visits": [list(visit) for visit in found],
    }


def _dose(microscope: Microscope, asked: dict[str, Any]) -> dict[str, Any]:
    points = asked.get("points", [])
    if unknown := set(asked) - {"action", "id", "points"}:
        return _refusal(microscope, f"get_dose has no field {min(unknown)!r:.60}")
    if not isinstance(points, list) or len(points) > MOST_POINTS:
        reason = f"points is a list of {MOST_POINTS} [y, x] at most, not {points!r:.60}"
        return _refusal(microscope, reason)
    if wrong := [point for point in points if not _is_point(point)]:
        return _refusal(microscope, f"a point is [y, x], not {wrong[0]!r:.60}")
    return {
        "id": _name(asked),
        "ok": True,
        "reason": "",
        "state": microscope.readback(),
        "dose": microscope.dose([(y, x) for y, x in points]),
    }


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(type(one) in (int, float) for one in point)
    )


def _name(asked: dict[str, Any]) -> str | int | None:
    name = asked.get("id")
    return name if type(name) in (str, int) else None


def _refusal(microscope: Microscope, reason: str) -> dict[str, Any]:
    return {"id": None, "ok": False, "reason": reason, "state": microscope.readback()}


@dataclass(order=True, frozen=True, slots=True)
class _Due:
    """A request that is to be carried out, or answered, at a time."""

    at_s: float
    number: int
    route: list[bytes] = field(compare=False)
    request: bytes = field(compare=False)


class ControlServer:
    """Answers requests in a thread of its own while its context is open.

    Parameters
    ----------
    microscope
        Whom the commands are for.
    endpoint
        Where to listen; see `check_endpoint`.
    delay_ms
        By action: how long it takes until it has effect and is answered.
    """

    def __init__(
        self,
        microscope: Microscope,
        endpoint: str,
        delay_ms: Mapping[str, float] | None = None,
    ) -> None:
        self._microscope = microscope
        self._asked_for = check_endpoint(endpoint)
        self._delay_ms = {} if delay_ms is None else dict(delay_ms)
        self._due: list[_Due] = []
        self._taken = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="simulator control", daemon=True
        )

    def __enter__(self) -> Self:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_REQUEST)
        self._socket.setsockopt(zmq.IPV6, "[" in self._asked_for)
        try:
            self._socket.bind(self._asked_for)
        except zmq.ZMQError as error:
            self._context.destroy()
            raise SourceError(
                f"the simulator's control cannot listen at {self._asked_for}: {error}"
            ) from error
        self._endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self._context.term()

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that was found."""
        return self._endpoint

    def _serve(self) -> None:
        with self._socket as socket:
            while not self._closing.is_set():
                if socket.poll(self._wait_ms()):
                    self._take(*_apart(socket.recv_multipart()))
                while self._due and self._due[0].at_s <= time.monotonic():
                    self._do(heapq.heappop(self._due))

    def _wait_ms(self) -> int:
        if not self._due:
            return _POLL_MS
        left_s = self._due[0].at_s - time.monotonic()
        return max(0, min(_POLL_MS, math.ceil(left_s * 1e3)))

    def _take(self, route: list[bytes], request: bytes) -> None:
        """Carry a request out, now or when its delay is over."""
        delay_s = self._delay_s(request)
        if delay_s and len(self._due) >= MOST_WAITING:
            reason = f"{MOST_WAITING} commands are waiting already"
            self._send(route, _refusal(self._microscope, reason))
            return
        self._taken += 1
        due = _Due(time.monotonic() + delay_s, self._taken, route, request)
        if delay_s:
            heapq.heappush(self._due, due)
        else:
            self._do(due)

    def _delay_s(self, request: bytes) -> float:
        if not self._delay_ms:
            return 0.0
        return self._delay_ms.get(_action(request), 0.0) / 1e3

    def _do(self, due: _Due) -> None:
        found = answer(self._microscope, due.request)
        places = _action(due.request) == "place_beam"
        if places and self._microscope.dwells(found["id"]):
            # The answer is another one when the beam has left the last point.
            again = replace(due, at_s=time.monotonic() + _LOOK_S)
            heapq.heappush(self._due, again)
        else:
            self._send(due.route, found)

    def _send(self, route: list[bytes], found: Mapping[str, Any]) -> None:
        self._socket.send_multipart([*route, msgpack.packb(found)])


def _action(request: bytes) -> str:
    """Return what is asked for; empty if it cannot be told."""
    try:
        action = understood(request).get("action")
    except _NoRequestError:
        return ""
    return action if isinstance(action, str) else ""


def _apart(parts: list[bytes]) -> tuple[list[bytes], bytes]:
    """Return the way back and the request; empty if it is not of one part.

    A REQ puts an empty part before the request; a DEALER need not.
    """
    head = parts.index(b"", 1) + 1 if b"" in parts[1:] else 1
    body = parts[head:]
    return parts[:head], body[0] if len(body) == 1 else b""
