"""The temscript control adapter against servers that hang, lie and talk nonsense.

tests/peers/test_temscript.py runs it against the real one.
"""

import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scopeside.control.instrument import Call
from scopeside.control.trial import opened
from scopeside.errors import ConfigError, InstrumentError
from scopeside.messages import validate
from scopeside.plugins import instrument_class
from scopeside_adapters.microscope.temscript.instrument import Temscript
from scopeside_adapters.microscope.temscript.parameters import TemscriptParams

SHIFT = Call("set_beam_shift", {"x_m": 1e-7, "y_m": 0.0})
STAGE = Call("move_stage", {"x_m": 1e-6})
BLANK = Call("blank", {"on": True})
SAID = object()
"""Returned by what has answered by itself."""
LIMITS = {axis: [-1e-3, 1e-3] for axis in "xyzab"}
SAYS = {
    "version": "2.1.0",
    "instrument_mode": "STEM",
    "illumination_mode": "NANOPROBE",
    "projection_mode": "DIFFRACTION",
    "voltage": 300.0,
    "beam_blanked": False,
    "beam_shift": [0.0, 0.0],
    "image_shift": [0.0, 0.0],
    "stage_position": dict.fromkeys("xyza", 0.0),
    "stage_limits": LIMITS,
    "stage_status": "READY",
    "stem_magnification": 1e6,
    "stem_rotation": 0.5,
}


class Double(BaseHTTPRequestHandler):
    """Answers what `says` holds; takes in nothing: it says 204 and stays as it is."""

    def do_GET(self):
        what = self.path.removeprefix("/v1/")
        answer = self.server.says.get(what)
        if callable(answer):
            answer = answer(self)
        if answer is SAID:
            return
        if answer is None:
            self.send_error(404, f"Unknown endpoint: {what!r}")
        elif isinstance(answer, int) and not isinstance(answer, bool):
            self.send_error(answer, "COM says no")
        else:
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def do_PUT(self):
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.puts.append((self.path.removeprefix("/v1/"), value))
        status = self.server.put_status
        if status == 204:
            self.send_response(204)
            self.end_headers()
        else:
            self.send_error(status, "Error handling request: COM says no")

    def log_message(self, *_):
        pass


@contextmanager
def served(**about):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Double)
    server.daemon_threads = True
    server.says, server.puts, server.put_status = {**SAYS, **about}, [], 204
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def to(server, **more):
    table = {"port": server.server_address[1], "answer_s": 5, "act_s": 5, **more}
    return Temscript(Temscript.Params.model_validate(table))


def test_it_is_found_by_its_kind():
    assert instrument_class("temscript") is Temscript


def test_in_stem_the_scan_tells_optical_states_apart():
    with served() as server, opened(lambda: to(server)) as instrument:
        values = instrument.read().values
    assert values["mode"] == "STEM NANOPROBE DIFFRACTION"
    assert (values["magnification"], values["rotation_rad"]) == (1e6, 0.5)
    assert "stage_beta_rad" not in values
    assert "defocus_m" not in values


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (SHIFT, r"beam_shift_x_m was set to 1e-07 and reads 0\.0: it was clipped"),
        (STAGE, r"stage_x_m was set to 1e-06 and reads 0\.0"),
        (BLANK, "beam_blanked was set to True and reads False"),
    ],
    ids=["shift", "stage", "blank"],
)
def test_a_server_that_says_yes_and_does_nothing_is_found(call, words):
    with (
        served() as server,
        opened(lambda: to(server)) as instrument,
        pytest.raises(InstrumentError, match=words),
    ):
        instrument.act(call)


def test_what_is_within_tolerance_is_no_difference():
    with served() as server:
        loose = {"shift_tolerance_m": 2e-7, "stage_tolerance_m": 1e-6}
        with opened(lambda: to(server, **loose)) as instrument:
            assert instrument.act(SHIFT) == {
                "beam_shift_x_m": 0.0,
                "beam_shift_y_m": 0.0,
            }
            assert instrument.act(STAGE) == {"stage_x_m": 0.0}
    assert server.puts == [
        ("beam_shift", [1e-7, 0.0]),
        ("stage_position?method=GO", {"x": 1e-6}),
    ]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"stage_status": "DISABLED"}, "the stage is DISABLED, not READY; it was not"),
        ({"stage_limits": {}}, "says no limits of the stage's x; it was not moved"),
        ({"stage_limits": {"x": [0, None]}}, "stage_limits is None, no finite number"),
        ({"stage_limits": [1]}, "no table"),
        ({"stage_limits": None}, "does not know GET stage_limits"),
    ],
)
def test_a_stage_that_is_not_ready_or_has_no_limits_is_not_moved(about, words):
    with (
        served(**about) as server,
        opened(lambda: to(server)) as instrument,
    ):
        with pytest.raises(InstrumentError, match=words):
            instrument.act(STAGE)
        assert server.puts == []


def test_a_stage_that_is_still_going_is_waited_for_but_not_for_ever():
    def status(handler):
        return "GOING" if handler.server.puts else "READY"

    with (
        served(stage_status=status) as server,
        opened(lambda: to(server, act_s=0.2)) as instrument,
        pytest.raises(InstrumentError, match=r"the stage is still GOING after 0\.2 s"),
    ):
        instrument.act(STAGE)


@pytest.mark.parametrize(
    ("what", "answer", "words"),
    [
        ("voltage", None, "does not know GET voltage .*Unknown endpoint.*version 2"),
        ("voltage", 500, "refused GET voltage: 500 COM says no"),
        ("voltage", b"garbage", "what is not JSON: b'garbage'"),
        ("voltage", b"[" * 5000, "what is not JSON"),
        ("voltage", b"\xff\xfe", "what is not JSON"),
        ("voltage", b"", "what is not JSON"),
        ("voltage", "200", "voltage is '200', no finite number"),
        ("voltage", True, "voltage is True, no finite number"),
        ("voltage", b"1e999", "voltage is inf, no finite number"),
        ("voltage", b"1" + b"0" * 400, "no finite number"),
        ("beam_shift", [0.0], "no pair"),
        ("beam_shift", [0.0, None], "beam_shift is None"),
        ("stage_position", {"x": "far"}, "stage_position x is 'far'"),
        ("beam_blanked", "yes", "no switch"),
        ("instrument_mode", {}, "no word"),
        ("voltage", b" " * (2 << 20), "more than 1048576 bytes"),
    ],
)
def test_nonsense_is_an_error_in_words(what, answer, words):
    with (
        served(**{what: answer}) as server,
        opened(lambda: to(server)) as instrument,
        pytest.raises(InstrumentError, match=words),
    ):
        instrument.read()


def test_what_the_server_refuses_is_told_in_its_words():
    with served() as server, opened(lambda: to(server)) as instrument:
        server.put_status = 500
        with pytest.raises(
            InstrumentError, match="refused PUT beam_blanked: 500 Error h"
        ):
            instrument.act(BLANK)
        assert server.puts == [("beam_blanked", True)]


def test_a_server_that_hangs_is_not_asked_again():
    release = threading.Event()

    def hang(handler):
        release.wait(10)
        return 300.0

    with (
        served(voltage=hang) as server,
        opened(lambda: to(server, answer_s=0.1)) as instrument,
    ):
        with pytest.raises(
            InstrumentError, match=r"GET voltage within 0\.1 s; .*still"
        ):
            instrument.read()
        release.set()


def test_a_server_that_answers_drop_by_drop_is_given_up():
    release = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):  # until we are hung up on
            while not release.wait(0.02):
                handler.wfile.write(b" ")
        return SAID

    with (
        served(voltage=drip) as server,
        opened(lambda: to(server, answer_s=0.2)) as instrument,
    ):
        with pytest.raises(InstrumentError, match=r"did not answer .* within 0\.2 s"):
            instrument.read()
        release.set()


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.0.10", "is of version '1.0.10'"),
        ("new", "is of version 'new'"),
        (b"<html>", "JSON"),
    ],
)
def test_a_server_of_another_kind_is_not_opened(version, words):
    with served(version=version) as server:
        with pytest.raises(InstrumentError, match=words):
            to(server).open()
        assert words in to(server).check()[0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"host": "192.168.0.20"}, "not of this machine, and temscript speaks in the"),
        ({"host": "em-pc"}, "a tunnel"),
        ({"port": 0}, "port"),
        ({"defocus_unit_m": 0}, "defocus_unit_m"),
        ({"magnifications": [[1, 2.0], [1, 3.0]]}, "twice"),
        ({"magnifications": [[1, 2.0], [2, 2.0]]}, "twice"),
        ({"stage_method": "JUMP"}, "stage_method"),
    ],
)
def test_what_cannot_be_is_refused_by_name(table, words):
    with pytest.raises(ConfigError, match=words):
        validate(TemscriptParams, table)
