"""Nion Swift's instrument on the control wire, in a process of its own.

    python -m scopeside_adapters.microscope.nion_server --simulated tcp://127.0.0.1:PORT

Nion Swift is under the GPL: this program loads it, and nothing else of scopeside does.
``--simulated`` makes Swift's simulated microscope, without a window. Beside a real one
`serve` is called in Swift itself (docs/nion.md), where the instrument is registered.

Swift protects nothing: it takes NaN and kilometres, and of an unknown control it says
false. So each value is checked for being finite, set, and read back.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import msgpack
import zmq

LARGEST_REQUEST = 1 << 16
_HERE = re.compile(r"tcp://(127\.0\.0\.1|\[::1\]):(\d{1,5}|\*)|ipc://[^@].*")
_PAIRS = {
    "set_beam_shift": {"x_m": "CSH.x", "y_m": "CSH.y"},
    "move_stage": {"x_m": "stage_position_m.x", "y_m": "stage_position_m.y"},
    "set_defocus": {"defocus_m": "C10"},
}
_READ = {
    "beam_shift_x_m": "CSH.x",
    "beam_shift_y_m": "CSH.y",
    "stage_x_m": "stage_position_m.x",
    "stage_y_m": "stage_position_m.y",
    "defocus_m": "C10",
    "high_tension_V": "EHT",
}


class _NotDone(Exception):  # noqa: N818 - it is an answer, and leaves this file never
    """Why a request is not carried out."""


class Server:
    """Answers requests of the control wire for one instrument of Swift.

    Parameters
    ----------
    instrument
        Swift's ``stem_controller``: it has TryGetVal and SetVal.
    """

    def __init__(self, instrument: Any) -> None:
        self._instrument = instrument
        self._session = uuid.uuid4().hex

    def answer(self, data: bytes) -> bytes:
        """Return the answer to a request, whatever it is."""
        own: Any = None
        try:
            asked = msgpack.unpackb(data, raw=False)
            if not isinstance(asked, dict) or asked.get("v") != 1:
                raise _NotDone("expected a map of the control wire, version 1")
            own = asked.get("id")
            found = self._done(asked)
        except (_NotDone, ValueError, TypeError, msgpack.UnpackException) as error:
            return self._packed(own, {"ok": False, "reason": str(error)[:500]})
        return self._packed(own, {"ok": True, "reason": "", **found})

    def _packed(self, own: Any, found: Mapping[str, Any]) -> bytes:
        head = {"v": 1, "id": own if isinstance(own, str) else ""}
        return bytes(msgpack.packb({**head, "session": self._session, **found}))

    def _done(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        match asked.get("ask"):
            case "hello":
                return {
                    "name": "Nion Swift",
                    "actions": [*_PAIRS, "blank"],
                    "now_ns": time.time_ns(),
                }
            case "read":
                return {"values": self._values()}
            case "command":
                return {"answer": self._command(asked)}
            case other:
                raise _NotDone(f"cannot be asked for: {other!r:.60}")

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            quantity: self._read(control) for quantity, control in _READ.items()
        }
        return {**values, "blanked": self._read("C_Blank") > 0}

    def _command(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if asked.get("session") != self._session:
            raise _NotDone("the command is for another start of this program")
        deadline = asked.get("deadline_ns")
        if type(deadline) is not int or deadline < time.time_ns():
            raise _NotDone("the deadline has passed, or there is none")
        fields, action = asked.get("fields"), asked.get("action")
        if not isinstance(fields, dict):
            raise _NotDone("fields are a map of names and values")
        if action == "blank":
            return self._blank(fields)
        controls = _PAIRS.get(action) if isinstance(action, str) else None
        if controls is None:
            raise _NotDone(f"action {action!r:.60} is not offered")
        if not fields or set(fields) - set(controls):
            raise _NotDone(f"{action} has the fields {', '.join(controls)}")
        if action != "move_stage" and set(fields) != set(controls):
            raise _NotDone(f"{action} needs all of {', '.join(controls)}")
        for name, value in fields.items():
            if type(value) not in (int, float) or not math.isfinite(value):
                raise _NotDone(f"{name} is a finite number, not {value!r:.60}")
        return {
            name: self._set(controls[name], float(value))
            for name, value in fields.items()
        }

    def _blank(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        on = fields.get("on")
        if set(fields) != {"on"} or type(on) is not bool:
            raise _NotDone("blank has the field on, true or false")
        return {"on": self._set("C_Blank", float(on)) > 0}

    def _set(self, control: str, value: float) -> float:
        if not self._instrument.SetVal(control, value):
            raise _NotDone(f"Swift did not set {control}")
        read = self._read(control)
        if not math.isclose(read, value, rel_tol=1e-9, abs_tol=1e-18):
            raise _NotDone(f"{control} reads {read!r}, not {value!r}")
        return read

    def _read(self, control: str) -> float:
        known, value = self._instrument.TryGetVal(control)
        if not known or value is None:
            raise _NotDone(f"Swift knows no control {control!r}")
        return float(value)


def serve(
    instrument: Any, endpoint: str, going_on: Callable[[], bool] = lambda: True
) -> None:
    """Answer requests at `endpoint` until `going_on` says no; call it in a thread.

    Raises
    ------
    ValueError
        If others than programs of this machine could reach it: there are no keys.
    """
    if not _HERE.fullmatch(endpoint):
        raise ValueError(
            f"{endpoint} is not tcp://127.0.0.1:PORT or ipc:///PATH: commands do not "
            "come in the clear from other machines; take a tunnel (ssh -L)"
        )
    server = Server(instrument)
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        socket = stack.enter_context(context.socket(zmq.ROUTER))
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_REQUEST)
        socket.bind(endpoint)
        print("serving at", socket.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)  # noqa: T201
        while going_on():
            if socket.poll(100):
                *sender, data = socket.recv_multipart()
                socket.send_multipart([*sender, server.answer(data)])


def simulated_instrument() -> Any:
    """Return Swift's simulated microscope.

    Swift empties a folder test_data where it is started, so it is started elsewhere.
    """
    os.chdir(tempfile.mkdtemp(prefix="nion-"))
    from nion.usim_device import DeviceConfiguration  # noqa: PLC0415 - under the GPL

    return DeviceConfiguration.AcquisitionContextConfiguration().instrument


def main(arguments: list[str] | None = None) -> int:
    """Serve the simulated microscope until the parent closes our standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("endpoint", help="tcp://127.0.0.1:PORT or ipc://PATH")
    parser.add_argument("--simulated", action="store_true", required=True)
    said = parser.parse_args(arguments)
    try:
        instrument = simulated_instrument()
    except ImportError as error:
        print(f"Nion Swift is not installed: {error}", file=sys.stderr)  # noqa: T201
        print("pip install 'scopeside[nion]'", file=sys.stderr)  # noqa: T201
        return 2
    try:
        serve(instrument, said.endpoint)
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    # Swift leaves threads behind that would keep the process alive.
    code = main()
    sys.stdout.flush()
    os._exit(code)
