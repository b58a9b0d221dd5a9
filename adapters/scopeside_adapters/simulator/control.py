"""Commands for the simulated microscope over ZeroMQ, from this machine only.

One request, one answer, both msgpack maps (REQ or DEALER to REP)::

    {"action": "set_defocus", "defocus_m": -1e-6, "id": "17"}
    {"id": "17", "ok": true, "reason": "", "state": {"defocus_m": -1e-6, …}}

``get_state`` changes nothing and needs no id; with ``at_ns`` it answers with the state
that was in force at that time, such as the time stamp of a frame. ``get_dose`` with
``points``, a list of [y, x] in metres, answers with what the specimen has really
received since it was asked first (`Microscope.dose`). What is no request gets an answer
with ``ok`` false and the reason.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from typing import Any, Self

import msgpack
import zmq

from scopeside.errors import ConfigError, SourceError
from scopeside_adapters.simulator.microscope import Microscope

LARGEST_REQUEST = 1 << 16
MOST_POINTS = 1000
_POLL_MS = 50
_TCP = re.compile(r"tcp://(\[[0-9a-fA-F:]+\]|[0-9.]+):(\d{1,5})")


def check_endpoint(endpoint: str) -> str:
    """Return `endpoint` if it can be reached from this machine only.

    Raises
    ------
    ConfigError
        If it is neither ``ipc://PATH`` nor ``tcp://`` with a loopback address and a
        port (0: any free one).
    """
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        return endpoint
    found = _TCP.fullmatch(endpoint)
    if found and int(found[2]) <= 65535 and _is_loopback(found[1].strip("[]")):
        return endpoint
    raise ConfigError(
        f"control is 'tcp://127.0.0.1:PORT' or 'ipc://PATH', not {endpoint!r:.100}: "
        "it must not be reached from other machines"
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def answer(microscope: Microscope, request: bytes) -> dict[str, Any]:
    """Return the answer to one request, whatever it is."""
    try:
        asked = msgpack.unpackb(request, raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        return _refusal(microscope, f"the request is not msgpack: {error!r:.100}")
    if not isinstance(asked, dict) or not all(isinstance(key, str) for key in asked):
        return _refusal(microscope, "a request is a map of names and values")
    if asked.get("action") == "get_state":
        return _state(microscope, asked)
    if asked.get("action") == "get_dose":
        return _dose(microscope, asked)
    return microscope.command(asked).to_dict()


def _state(microscope: Microscope, asked: dict[str, Any]) -> dict[str, Any]:
    at_ns = asked.get("at_ns")
    if unknown := set(asked) - {"action", "id", "at_ns"}:
        return _refusal(microscope, f"get_state has no field {min(unknown)!r:.60}")
    if at_ns is not None and type(at_ns) is not int:
        return _refusal(microscope, f"at_ns is a whole number, not {at_ns!r:.60}")
    name = asked.get("id")
    return {
        "id": name if type(name) in (str, int) else None,
        "ok": True,
        "reason": "",
        "state": microscope.readback(at_ns),
    }


def _dose(microscope: Microscope, asked: dict[str, Any]) -> dict[str, Any]:
    if unknown := set(asked) - {"action", "id", "points"}:
        return _refusal(microscope, f"get_dose has no field {min(unknown)!r:.60}")
    points = asked.get("points", [])
    if not isinstance(points, list) or len(points) > MOST_POINTS:
        reason = f"points is a list of {MOST_POINTS} [y, x] at most, not {points!r:.60}"
        return _refusal(microscope, reason)
    for point in points:
        if (
            not isinstance(point, list)
            or len(point) != 2
            or not all(type(one) in (int, float) for one in point)
        ):
            return _refusal(microscope, f"a point is [y, x], not {point!r:.60}")
    name = asked.get("id")
    return {
        "id": name if type(name) in (str, int) else None,
        "ok": True,
        "reason": "",
        "state": microscope.readback(),
        "dose": microscope.dose([(y, x) for y, x in points]),
    }


def _refusal(microscope: Microscope, reason: str) -> dict[str, Any]:
    return {"id": None, "ok": False, "reason": reason, "state": microscope.readback()}


class ControlServer:
    """Answers requests in a thread of its own while its context is open.

    Parameters
    ----------
    microscope
        Whom the commands are for.
    endpoint
        Where to listen; see `check_endpoint`.
    """

    def __init__(self, microscope: Microscope, endpoint: str) -> None:
        self._microscope = microscope
        self._asked_for = check_endpoint(endpoint)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="simulator control", daemon=True
        )

    def __enter__(self) -> Self:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
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
                if socket.poll(_POLL_MS):
                    parts = socket.recv_multipart()
                    request = parts[0] if len(parts) == 1 else b""
                    socket.send(msgpack.packb(answer(self._microscope, request)))
