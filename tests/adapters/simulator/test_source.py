"""The simulator as a detector: acquisitions that are whole, paced and true."""

import threading

import msgpack
import numpy as np
import pytest
import zmq
from pydantic import ValidationError
from tests.doubles import MemorySink

from scopeside.acquisition import Scan
from scopeside.detector import Detector, StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.simulator.schedule import Schedule
from scopeside_adapters.simulator.source import SimulatorDetector

SCAN = {"scan": [4, 6], "shape": [64, 64], "seed": 9}
MOVIE = {"mode": "movie", "frames": 10, "shape": [48, 64]}


def detector(settings=None, **table):
    params = SimulatorDetector.Params.model_validate(table)
    return SimulatorDetector(params, AcquisitionSettings.model_validate(settings or {}))


def delivered(source, **sink):
    sink = MemorySink(**sink)
    source.run(sink)
    return sink


class Clock:
    """A clock that a test turns."""

    def __init__(self):
        self.now_ns = 1_000

    def __call__(self):
        return self.now_ns


def test_it_is_a_detector():
    source: Detector = detector()
    assert source.check() == []


def test_a_scan_is_delivered_whole_and_in_order():
    sink = delivered(detector(**SCAN), capacity=5)
    frames = sink.frames()
    assert frames.index.tolist() == list(range(24))
    assert [len(batch) for batch in sink.batches] == [5, 5, 5, 5, 4]
    assert sink.ends == [("complete", "", 24)]
    assert sink.gaps == sink.rejects == []
    assert np.all(np.diff(frames.timestamp_ns) >= 0)


def test_the_frames_do_not_depend_on_the_slots():
    a, b = (delivered(detector(**SCAN), capacity=n).frames() for n in (1, 24))
    np.testing.assert_array_equal(a.pixels, b.pixels)


def test_the_frames_are_those_of_the_model():
    source = detector(**SCAN)
    drawn = np.empty((24, 64, 64), np.uint16)
    source.model.render(np.arange(24), drawn, source.microscope.state)
    np.testing.assert_array_equal(delivered(source).frames().pixels, drawn)


def test_the_acquisition_says_what_is_true():
    source = detector(**SCAN, fps=2000.0, electrons_per_frame=800.0)
    said = source.acquisition("a1")
    assert (said.kind, said.frames, said.scan) == ("scan4d", 24, Scan((4, 6)))
    assert said.frame_shape == (64, 64)
    assert said.calibration == {
        "beam_energy_eV": 300e3,
        "semi_angle_rad": 4e-3,
        "detector_rad_per_px": 0.5e-3,
        "centre_px": [31.5, 31.5],
        "scan_step_m": pytest.approx(0.5e-9),
        "scan_rotation_rad": 0.0,
        "frame_time_s": 0.0005,
        "exposure_s": 0.0005,
        "dose_e_per_frame": pytest.approx(800.0),
    }
    assert said.metadata["simulated"] is True
    assert said.metadata["seed"] == 9
    assert said.metadata["microscope"] == source.microscope.readback()
    assert said.to_dict()["metadata"] == said.metadata


def test_what_is_not_known_is_not_said():
    assert "frame_time_s" not in detector(**SCAN).acquisition("a1").calibration


def test_a_movie_says_its_pixel_and_its_dose():
    said = detector(**MOVIE, dose_e_per_px=7.0).acquisition("a1")
    assert (said.kind, said.frames, said.scan) == ("movie", 10, None)
    assert said.calibration["pixel_size_m"] == pytest.approx(0.4e-9)
    assert said.calibration["dose_e_per_px"] == pytest.approx(7.0)
    assert said.calibration["counts_per_electron"] == 1


def test_a_dose_rate_gives_the_dose_of_a_pixel():
    source = detector(**MOVIE, dose_rate_e_per_A2_s=50.0, fps=100.0)
    # 50 e⁻/Å²/s × 16 Å² × 0.01 s
    assert source.acquisition("a1").calibration["dose_e_per_px"] == pytest.approx(8.0)


def test_the_acquisition_table_sets_the_scan_and_the_model_follows():
    settings = {"scan": [3, 5], "pattern": "snake", "flyback": 1}
    source = detector(settings, **SCAN)
    sink = delivered(source)
    assert sink.acquisitions[0].scan == Scan((3, 5), "snake", 1)
    assert len(sink.frames()) == 18
    assert source.model.truth().shift.shape == (3, 5, 2)


def test_the_acquisition_table_overrides_the_calibration():
    source = detector({"calibration": {"beam_energy_eV": 80e3}}, **SCAN)
    assert source.acquisition("a1").calibration["beam_energy_eV"] == 80e3


def test_several_acquisitions_have_the_same_frames():
    sink = delivered(detector(**MOVIE, acquisitions=3, pause_s=0.001))
    assert len(sink.ends) == 3
    assert len({acquisition.id for acquisition in sink.acquisitions}) == 3
    np.testing.assert_array_equal(sink.frames(0).pixels, sink.frames(2).pixels)


@pytest.mark.parametrize("table", [SCAN, MOVIE, {**SCAN, "fps": 1.0}])
def test_it_ends_when_the_engine_asks_for_it(table):
    sink = MemorySink(capacity=2, stop_after_batches=1)
    with pytest.raises(StopRequested):
        detector(**{**table, "fps": 1000.0}, acquisitions=0).run(sink)
    assert len(sink.batches) == 1
    assert sink.ends == []


def test_a_pause_that_is_never_resumed_ends_when_the_engine_asks_for_it():
    source = detector(**SCAN)
    source.microscope.command({"action": "pause", "id": 1})
    sink = MemorySink()
    asking = threading.Timer(0.05, lambda: setattr(sink, "stopping", True))
    asking.start()
    with pytest.raises(StopRequested):
        source.run(sink)
    asking.join()
    assert sink.batches == []


def test_a_resumed_acquisition_is_complete():
    source = detector(**SCAN, fps=5000.0)
    source.microscope.command({"action": "pause", "id": 1})
    resume = {"action": "resume", "id": 2}
    resuming = threading.Timer(0.05, lambda: source.microscope.command(resume))
    resuming.start()
    sink = delivered(source)
    resuming.join()
    assert sink.ends == [("complete", "", 24)]


def test_a_blanked_microscope_gives_dark_frames():
    source = detector(**SCAN)
    source.microscope.command({"action": "blank", "on": True, "id": 1})
    sink = delivered(source)
    assert not sink.frames().pixels.any()
    assert sink.acquisitions[0].metadata["microscope"]["blanked"] is True


def test_commands_reach_the_microscope_while_it_runs():
    source = detector(**SCAN, control="tcp://127.0.0.1:0", acquisitions=0)
    sink = MemorySink()
    running = threading.Thread(target=run_until_stopped, args=(source, sink))
    running.start()
    try:
        got = ask(endpoint_of(sink), action="blank", on=True, id=1)
    finally:
        sink.stopping = True
        running.join()
    assert got["ok"] is True
    assert source.microscope.state.blanked is True


def run_until_stopped(source, sink):
    with pytest.raises(StopRequested):
        source.run(sink)


def endpoint_of(sink):
    noted = threading.Event()
    while not sink.notes:
        noted.wait(0.005)
    return sink.notes[0].split()[-1]


def ask(endpoint, **request):
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.connect(endpoint)
        client.send(msgpack.packb(request))
        return msgpack.unpackb(client.recv())


def test_check_finds_a_control_port_that_is_taken():
    with zmq.Context() as context, context.socket(zmq.REP) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        problems = detector(**SCAN, control=f"tcp://127.0.0.1:{port}").check()
    assert len(problems) == 1
    assert str(port) in problems[0]


def test_check_finds_a_movie_that_is_called_a_scan():
    assert len(detector({"kind": "scan4d"}, **MOVIE).check()) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"shape": [16, 128]}, r"shape = \[16, 128\] is smaller than"),
        ({"control": "tcp://0.0.0.0:1"}, "must not be reached from other machines"),
        ({"fps": 100.0, "exposure_s": 0.1}, "longer than a frame"),
        ({"dose_e_per_px": 1.0, "dose_rate_e_per_A2_s": 1.0}, "not both"),
        ({"fps": 0.0}, "fps"),
        ({"dtype": "float32"}, "dtype"),
        ({"speed": 1}, "speed"),
        ({"control_delay_ms": {"blnk": 1}}, "did you mean 'blank'"),
        ({"control_delay_ms": {"blank": -1}}, "control_delay_ms"),
    ],
)
def test_what_cannot_be_is_refused_by_name(table, message):
    with pytest.raises(ValidationError, match=message):
        SimulatorDetector.Params.model_validate(table)


def test_every_parameter_says_what_it_means():
    fields = SimulatorDetector.Params.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_frames_are_due_at_their_rate_without_drift():
    clock = Clock()
    schedule = Schedule(300.0, monotonic_ns=clock, wall_ns=lambda: 5_000_000_000)
    clock.now_ns += 1_000_000_000
    assert schedule.wait_s(299, 1000) == pytest.approx(0.0, abs=1e-9)
    assert schedule.wait_s(300, 1000) == pytest.approx(1 / 300, abs=1e-8)
    assert schedule.due(200, 1000) == 100
    stamps = schedule.timestamps_ns(297, 3)
    np.testing.assert_allclose(stamps - 6_000_000_000, [-6666666, -3333333, 0], atol=2)


def test_a_batch_is_what_comes_due_in_two_milliseconds_or_what_is_left():
    clock = Clock()
    schedule = Schedule(5000.0, monotonic_ns=clock)
    assert schedule.wait_s(0, 1000) == pytest.approx(0.002)
    assert schedule.wait_s(0, 3) == pytest.approx(0.0006)


def test_a_postponed_schedule_is_late_by_as_much():
    clock = Clock()
    schedule = Schedule(10.0, monotonic_ns=clock)
    schedule.postpone(2.0)
    assert schedule.wait_s(0, 10) == pytest.approx(2.1)


def test_without_a_rate_time_stamps_fill_the_time_since_the_last_batch():
    clock = Clock()
    schedule = Schedule(None, monotonic_ns=clock, wall_ns=lambda: 1_000)
    clock.now_ns = 1_400
    assert schedule.wait_s(0, 100) == 0
    assert schedule.due(0, 7) == 7
    assert schedule.timestamps_ns(0, 4).tolist() == [1100, 1200, 1300, 1400]
    clock.now_ns = 1_500
    assert schedule.timestamps_ns(4, 2).tolist() == [1450, 1500]


def test_frames_taken_while_the_beam_is_placed_show_the_point_it_stands_on():
    source = detector(**SCAN)
    point = {"points": [[1.0, 0.0]], "dwell_s": 60.0}
    assert source.microscope.command({"action": "place_beam", "id": 1, **point}).ok
    placed = source.microscope.state
    assert placed.probe == (1.0, 0.0)
    drawn = np.empty((24, 64, 64), np.uint16)
    source.model.render(np.arange(24), drawn, placed)
    np.testing.assert_array_equal(delivered(source).frames().pixels, drawn)
