"""``scopeside calibrate shift`` against the sockets of an engine and its guard."""

import os
import signal
import threading
import time
from contextlib import ExitStack

import msgpack
import numpy as np
import pytest
import zmq

from scopeside.acquisition import Acquisition
from scopeside.cli.main import main
from scopeside.control.calibration import Calibration
from scopeside.link import Link
from scopeside.publication import VERSION, to_header, topic
from scopeside.result import Result
from scopeside.runfolder import RunFolder
from scopeside.wire import Kind

MATRIX = np.array([[0.0, 1.2], [1.0, 0.1]])
START = (2e-7, 0.0)
PIXEL_M = 4e-10
PIPELINE = """
[detector]
kind = "simulator"
mode = "movie"

[[chain]]
name = "movie"

[[chain.processor]]
kind = "drift"

[control]
mode = "advise"
adapter = { kind = "tests.engine.coils:Coils" }

[control.limits.set_image_shift]
every_s = 0.001
x_m = { min = -1e-6, max = 1e-6, step = 2e-8, excursion = 1e-7, tolerance = 1e-9 }
y_m = { min = -1e-6, max = 1e-6, step = 2e-8, excursion = 1e-7, tolerance = 1e-9 }

[control.view.shifter]
by = "image_shift"
calibration = ["shift.json"]
range_m = 1e-6
"""


class Engine(threading.Thread):
    """An engine as seen from outside: three sockets, and a picture that is moved."""

    def __init__(self, folder, source):
        super().__init__(daemon=True)
        self.context = zmq.Context()
        self.control = Link.listen(self.context, f"ipc://{folder}/control")
        self.guard = Link.listen(self.context, f"ipc://{folder}/guard")
        self.stop = Link.listen(self.context, f"ipc://{folder}/stop")
        self.results = self.context.socket(zmq.PUB)
        self.results.bind(f"ipc://{folder}/results")
        self.source, self.mode, self.refuse_from = str(source), "advise", 10**9
        self.noise, self.interrupt_at = 1e-11, 0
        self.shift, self.asked, self.frame = START, [], 0
        self.over_until = 0
        self.closing = threading.Event()

    def run(self):
        rng = np.random.default_rng(0)
        while not self.closing.wait(0.002):
            while found := self.control.receive_from():
                self.control.send(Kind.STATUS, self.status(), to=found[0])
            while found := self.guard.receive_from():
                self.answer(*found)
            self.publish(rng)
        self.context.destroy(linger=0)

    def status(self):
        known = {"pixel_size_m": PIXEL_M, "frame_time_s": 0.002}
        movie = Acquisition("m1", (128, 128), np.dtype("u2"), calibration=known)
        return {
            "pipeline": self.source,
            "open": {"m1": {"acquisition": movie.to_dict()}},
        }

    def answer(self, sender, message):
        if message.kind is Kind.STATUS:
            x, y = self.shift
            values = {"image_shift_x_m": x, "image_shift_y_m": y, "mode": "TEM"}
            status = {"mode": self.mode, "readback": values}
            self.guard.send(Kind.STATUS, status, to=sender)
            return
        request = message.header
        self.asked.append(request)
        if len(self.asked) == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        header = {"id": request["id"], "ok": True, "cause": "", "reason": ""}
        refused = len(self.asked) >= self.refuse_from
        if refused:
            header |= {"ok": False, "cause": "parked", "reason": "someone parked it"}
        else:
            self.guard.send(Kind.ANSWER, {**header, "state": "sent"}, to=sender)
            self.shift = request["fields"]["x_m"], request["fields"]["y_m"]
        state = "refused" if refused else "done"
        self.guard.send(Kind.ANSWER, {**header, "state": state}, to=sender)

    def publish(self, rng):
        self.frame += 1
        place = MATRIX @ np.subtract(self.shift, START)
        seen = (place + rng.normal(0, self.noise, 2))[::-1] / PIXEL_M
        meta = {"covariance": [[0.0, 0.0], [0.0, 0.0]], "segment": 0}
        acquisition = "m0" if self.frame <= self.over_until else "m1"
        own, payload = to_header(Result("drift", seen, "series", self.frame, meta=meta))
        header = {
            **own,
            "v": VERSION,
            "acq": acquisition,
            "chain": "movie",
            "processor": "drift",
            "seq": self.frame,
            "run": "1",
            "t_frame_ns": time.time_ns(),
        }
        name = topic(acquisition, "drift", "drift")
        self.results.send_multipart([name, msgpack.packb(header), *payload])


@pytest.fixture
def engine(tmp_path, short_path, monkeypatch):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    (tmp_path / "p.toml").write_text(PIPELINE)
    with ExitStack() as opened:
        folder = opened.enter_context(RunFolder())
        one = Engine(folder.path, tmp_path / "p.toml")
        one.start()
        opened.callback(one.join)
        opened.callback(one.closing.set)
        yield one


def code_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "shift", "--frames", "3", *arguments])
    return ended.value.code


def test_a_calibration_is_measured_printed_and_written(engine, tmp_path, capsys):
    assert code_of() == 0
    found = Calibration.load(tmp_path / "shift.json")
    assert found.as_array == pytest.approx(MATRIX, abs=0.01)
    assert found.state == {"mode": "TEM"}
    assert found.instrument == "tests.engine.coils:Coils"
    # 0.1 of the field of 128 px would be 5.1 nm; the limits allow 18 nm.
    assert found.step_m == pytest.approx(5.12e-9)
    assert {(one["ask"], one["action"]) for one in engine.asked} == {
        ("do", "set_image_shift")
    }
    assert all(one["who"] for one in engine.asked)
    assert engine.shift == START
    said = capsys.readouterr().out
    for text in ("17/17", "is back at x = 2e-07", "mirrored", "residuals", "written"):
        assert text in said


def test_results_of_an_acquisition_that_is_over_are_passed_over(engine, tmp_path):
    engine.over_until = engine.frame + 60
    assert code_of("--to", str(tmp_path / "other.json")) == 0
    assert Calibration.load(tmp_path / "other.json").visits == 17


def test_a_bad_fit_is_told_and_not_written(engine, tmp_path, capsys):
    engine.noise = 1e-8
    assert code_of("--repeats", "1") == 1
    assert not (tmp_path / "shift.json").exists()
    said = capsys.readouterr().out
    assert "not good enough: the matrix is uncertain by" in said
    assert "nothing was written" in said


def test_a_refusal_of_the_guard_ends_it_with_the_reason(engine, capsys):
    engine.refuse_from = 3
    assert code_of() == 1
    told = capsys.readouterr()
    assert "someone parked it" in told.err
    assert "could NOT go back to image_shift x = 2e-07 m" in told.out


@pytest.mark.parametrize("at", [1, 6])
def test_ctrl_c_goes_back_to_the_start_and_says_so(engine, at, tmp_path, capsys):
    engine.interrupt_at = at
    # A shell starts what runs in its background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert code_of() == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert engine.shift == START
    assert "image_shift is back at x = 2e-07 m, y = 0 m" in capsys.readouterr().out
    assert not (tmp_path / "shift.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--step", "3e-8"], "more than the limit of x_m.step"),
        (["--actuator", "stage"], "[control.limits.move_stage] is missing"),
    ],
)
def test_what_the_limits_forbid_is_not_begun(engine, arguments, says, capsys):
    assert code_of(*arguments) == 2
    assert says in capsys.readouterr().err
    assert not engine.asked


@pytest.mark.parametrize(
    ("mode", "says"), [("armed", "scopeside advise first"), ("observe", "observe")]
)
def test_a_guard_that_is_armed_or_observes_is_not_asked(engine, mode, says, capsys):
    engine.mode = mode
    assert code_of() == 1
    assert says in capsys.readouterr().err
    assert not engine.asked


@pytest.mark.parametrize(
    ("take_out", "says"),
    [
        ('[[chain.processor]]\nkind = "drift"', "no processor 'drift'"),
        (PIPELINE[PIPELINE.index("[control]") :], "no [control]"),
    ],
)
def test_a_pipeline_without_drift_or_guard_cannot_be_used(
    engine, tmp_path, take_out, says, capsys
):
    other = PIPELINE.replace(take_out, "").replace(
        'name = "movie"\n', 'name = "movie"\n[[chain.processor]]\nkind = "sum"\n'
    )
    (tmp_path / "other.toml").write_text(other)
    assert code_of(str(tmp_path / "other.toml")) == 2
    assert says in capsys.readouterr().err
    assert not engine.asked
