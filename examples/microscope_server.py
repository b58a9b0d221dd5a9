"""Runs on the microscope's computer and lets scopeside's guard command a microscope.

It needs Python, pyzmq and msgpack, and speaks the control wire (docs/control_wire.md,
which also says how another machine is served: with keys, never without).

As it stands it drives a dummy: replace what is between the dashes by the calls of your
instrument, in SI units. Raise an error for what cannot be done exactly as asked; never
clamp a value. The instrument's own limits and interlocks stay as they are.
"""

import threading
import time

import msgpack
import zmq

# -------------------------------------------------------------------------------------
dummy = {"beam_shift_x_m": 0.0, "beam_shift_y_m": 0.0, "blanked": False, "mode": "TEM"}


def read():
    """Ask the instrument what it is set to; do not repeat what it was asked for."""
    return dict(dummy)


def set_beam_shift(x_m, y_m):
    """Return when the beam is where it has to be, or raise an error."""
    time.sleep(0.5)
    dummy.update(beam_shift_x_m=x_m, beam_shift_y_m=y_m)


def blank(on):
    """Blank or unblank; blanking comes at any time, also while another action runs."""
    dummy.update(blanked=on)


ACTIONS = {"set_beam_shift": set_beam_shift, "blank": blank}
# -------------------------------------------------------------------------------------

# The session is another one at each start: scopeside has to know of it.
SESSION, turn, outbox = str(time.time_ns()), threading.Lock(), []


def answer(asked):
    """Do what is asked, and return what is to be said of it."""
    if asked["ask"] in {"hello", "read"}:  # each takes from this what it needs
        who = {"name": "dummy", "actions": [*ACTIONS], "now_ns": time.time_ns()}
        return {**who, "values": read()}
    if (asked["action"], asked["fields"]) == ("blank", {"on": True}):
        return blank(on=True) or {}  # it waits for nobody, and always works
    with turn:  # one action at a time
        if asked["session"] != SESSION or time.time_ns() > asked["deadline_ns"]:
            raise ValueError("the command is of another session, or came too late")
        return ACTIONS[asked["action"]](**asked["fields"]) or {}


def serve(*parts):
    """Answer one request; the parts before it say whom."""
    said = {"v": 1, "id": None, "session": SESSION, "ok": True}
    try:
        asked = msgpack.unpackb(parts[-1])
        said["id"] = asked["id"]
        said.update(answer(asked))
    except Exception as error:  # noqa: BLE001 - whatever it is, scopeside is told
        said.update(ok=False, reason=repr(error)[:500])
    outbox.append([*parts[:-1], msgpack.packb(said)])


requests = zmq.Context().socket(zmq.ROUTER)
requests.bind("tcp://127.0.0.1:5700")
while True:
    if requests.poll(2):  # a thread for each request, so that a blank waits for nobody
        threading.Thread(target=serve, args=requests.recv_multipart()).start()
    while outbox:
        requests.send_multipart(outbox.pop(0))
