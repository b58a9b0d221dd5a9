"""The dectris detector against its simulator, over HTTP and ZeroMQ."""

import socket

import numpy as np
import pytest
import zmq
from tests.adapters.dectris.detecting import (
    COMPRESSIONS,
    DTYPES,
    STREAMS,
    arming,
    detector_for,
    listening,
    running,
    said,
    simulating,
    until,
)
from tests.doubles import MemorySink

from scopeside.detector import Detector
from scopeside.errors import SlabError, SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.dectris import transfer
from scopeside_adapters.dectris.simulator import Oddities
from scopeside_adapters.dectris.source import DectrisDetector

BOTH = pytest.mark.parametrize("stream", STREAMS)


def assert_whole(sink, simulator, acquisition=0, n=40, channel=""):
    got = sink.frames(acquisition)
    order = np.argsort(got.index)
    assert got.index[order].tolist() == list(range(n))
    expected = simulator.frames(n, channel)
    np.testing.assert_array_equal(got.pixels[order], expected)


def taken(simulator, sink=None, **table):
    """Listen to one series; give the sink at its end."""
    with listening(simulator, sink, **table) as filled:
        simulator.take_series()
        until(lambda: filled.ends)
    return filled


# -- whole series ---------------------------------------------------------------------


def test_it_is_a_detector_that_resumes():
    with simulating() as simulator:
        detector: Detector = detector_for(simulator)
        assert detector.check() == []
        assert detector.resumes


@BOTH
@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_what_the_detector_sends_is_what_comes(stream, capacity):
    with simulating(stream=stream) as simulator:
        sink = taken(simulator, MemorySink(capacity=capacity))
        assert_whole(sink, simulator)
    assert sink.ends == [("complete", "", 40)]
    assert sink.rejects == sink.gaps == []


@BOTH
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_depth_and_compression_comes_through(stream, compression, dtype):
    with simulating(stream=stream, compression=compression, dtype=dtype) as simulator:
        sink = taken(simulator)
        assert_whole(sink, simulator)
    assert sink.acquisitions[0].dtype == np.dtype(dtype).newbyteorder("<")


@BOTH
@pytest.mark.parametrize("detail", ["none", "basic", "all"])
def test_every_detail_of_the_header_and_an_appendix_are_taken(stream, detail):
    with simulating(stream=stream, header_detail=detail, appendix="scan 3") as one:
        sink = taken(one)
        assert_whole(sink, one)
    assert sink.acquisitions[0].frames == 40
    assert sink.rejects == []


def test_the_acquisition_tells_what_the_header_told():
    with simulating(fps=10_000.0) as simulator:
        (acquisition,) = taken(simulator).acquisitions
    assert acquisition.detector == "DECTRIS at 127.0.0.1 (Simulated DECTRIS)"
    assert acquisition.calibration["beam_energy_eV"] == 200e3
    assert acquisition.calibration["frame_time_s"] == 1e-4
    assert acquisition.metadata["masked_value"] == 65535
    assert acquisition.metadata["series"] == 1


@BOTH
def test_time_stamps_follow_the_detectors_clock(stream):
    with simulating(stream=stream, fps=20_000.0) as simulator:
        stamps = taken(simulator).frames().timestamp_ns
    assert (np.diff(stamps) == 50_000).all()


@pytest.mark.parametrize("channel", ["", "threshold_1", "difference"])
def test_the_channel_asked_for_is_taken(channel):
    with simulating(channels=["threshold_1", "difference"]) as simulator:
        sink = taken(simulator, channel=channel)
        assert_whole(sink, simulator, channel=channel)


@pytest.mark.parametrize("links", [2, 3])
def test_several_links_share_the_stream(links):
    with simulating(frames=200) as simulator:
        detector = detector_for(simulator, pullers=links, io_threads=2, **arming(200))
        with running(detector) as sink:
            until(lambda: len(sink.ends) >= 2)
        assert_whole(sink, simulator, 0, 200)
        assert_whole(sink, simulator, 1, 200)


@BOTH
def test_messages_can_be_received_without_zeromqs_own_functions(stream, monkeypatch):
    monkeypatch.setattr(transfer, "zeromq", lambda _: 0)
    with simulating(stream=stream) as simulator:
        assert_whole(taken(simulator), simulator)


def test_the_scan_of_the_pipeline_file_is_the_scan():
    with simulating() as simulator:
        detector = DectrisDetector(
            detector_for(simulator)._params, AcquisitionSettings(scan=(5, 8))
        )
        with running(detector) as sink:
            until(lambda: simulator.is_connected)
            simulator.take_series()
            until(lambda: sink.ends)
    assert sink.acquisitions[0].kind == "scan4d"
    assert sink.acquisitions[0].scan_shape == (5, 8)


# -- armed ---------------------------------------------------------------------------


@BOTH
def test_three_series_in_a_row_are_armed_and_taken(stream):
    with simulating(stream=stream) as simulator:
        with running(detector_for(simulator, **arming())) as sink:
            until(lambda: len(sink.ends) >= 3)
        for k in range(3):
            assert_whole(sink, simulator, k)
    assert sink.ends[:3] == [("complete", "", 40)] * 3


@pytest.mark.parametrize(
    ("mode", "nimages", "ntrigger"),
    [("ints", 10, 4), ("inte", 1, 6), ("exts", 8, 5), ("exte", 1, 40)],
)
def test_every_trigger_mode_gives_the_images_it_promises(mode, nimages, ntrigger):
    asked = {"trigger_mode": mode, "nimages": nimages, "ntrigger": ntrigger}
    expected = nimages * ntrigger
    with simulating() as simulator:
        with running(detector_for(simulator, **arming(**asked))) as sink:
            until(lambda: sink.ends)
        assert_whole(sink, simulator, 0, expected)
    assert sink.ends[0] == ("complete", "", expected)


def test_what_is_set_here_is_set_there():
    asked = {
        "count_time_s": 9e-5,
        "frame_time_s": 1e-4,
        "compression": "lz4",
        "header_detail": "all",
        "incident_energy_eV": 3e5,
        "roi_mode": "lines",
    }
    with simulating(stream="v1") as simulator:
        with running(detector_for(simulator, **arming(**asked))) as sink:
            until(lambda: sink.ends)
        config = simulator.keys.all("detector/config")
        assert simulator.keys.get("stream/config", "header_detail") == "all"
    assert (config["count_time"], config["frame_time"]) == (9e-5, 1e-4)
    assert (config["compression"], config["roi_mode"]) == ("lz4", "lines")
    assert sink.acquisitions[0].calibration["beam_energy_eV"] == 3e5


def test_the_format_is_switched_to_the_stream_asked_for():
    with simulating(stream="v1") as simulator:
        with running(detector_for(simulator, **arming(stream="v2"))) as sink:
            until(lambda: sink.ends)
        assert_whole(sink, simulator)


def test_a_detector_that_is_not_initialised_is_left_alone_and_named():
    with simulating(state="na") as simulator:
        detector = detector_for(simulator, **arming())
        assert "is in state 'na'" in detector.check()[0]
        with pytest.raises(SourceError, match="initialize = true, which resets"):
            detector.run(MemorySink())
        assert simulator.keys.get("detector/status", "state") == "na"


@pytest.mark.parametrize("state", ["na", "error"])
def test_with_consent_it_is_initialised(state):
    with simulating(state=state) as simulator:
        detector = detector_for(simulator, **arming(initialize=True))
        with running(detector) as sink:
            until(lambda: sink.ends)
        assert_whole(sink, simulator)


def test_a_setting_that_the_model_does_not_know_is_named():
    with simulating() as simulator:
        detector = detector_for(simulator, **arming(binning_mode="2x2"))
        with pytest.raises(SourceError, match=r"no setting 'binning_mode'.*leave"):
            detector.run(MemorySink())


def test_a_value_that_is_refused_is_named_with_what_is_allowed():
    asked = arming(others={"roi_mode_": 3})
    with simulating() as simulator:
        simulator.keys.set("detector/config", "roi_mode_", "disabled")
        detector = detector_for(simulator, **asked)
        with pytest.raises(SourceError, match=r"refuses roi_mode_ = 3.*disabled"):
            detector.run(MemorySink())


def test_a_series_number_that_arm_did_not_say_is_taken_and_told():
    with simulating(oddities=Oddities(arm_says=99)) as simulator:
        with running(detector_for(simulator, **arming())) as sink:
            until(lambda: sink.ends)
        assert_whole(sink, simulator)
    assert "armed for series 99 and sends series 1" in sink.notes[0]


@BOTH
@pytest.mark.parametrize("seen", [1, 20])
def test_a_stop_in_mid_series_aborts_it_and_the_next_start_works(stream, seen):
    with simulating(stream=stream, fps=500.0, frames=5000) as simulator:
        for _ in range(2):
            with running(detector_for(simulator, **arming(5000))) as sink:
                until(lambda: sum(map(len, sink.batches)) >= seen)
            assert sink.ends == []  # the engine ends it
            assert simulator.keys.get("detector/status", "state") == "idle"
        with running(detector_for(simulator, **arming(40))) as sink:
            until(lambda: sink.ends)
        assert sink.ends[0] == ("complete", "", 40)


def test_a_listener_that_stops_leaves_the_series_alone():
    with simulating(fps=200.0, frames=1000) as simulator:
        simulator.keys.set("detector/config", "trigger_mode", "exts")
        with listening(simulator) as sink:
            simulator.take_series()
            until(lambda: sink.batches)
        assert simulator.keys.get("detector/status", "state") == "acquire"


# -- what goes wrong -----------------------------------------------------------------


@BOTH
def test_images_that_the_detector_dropped_are_declared_with_the_cause(stream):
    faults = dict.fromkeys((3, 4, 20, 39), "drop")
    with simulating(stream=stream, faults=faults) as simulator:
        sink = taken(simulator)
    cause = "dropped_by_detector"
    assert sink.gaps == [(3, 4, cause), (20, 20, cause), (39, 39, cause)]
    assert sink.ends == [("complete", "the detector dropped 4 images", 40)]
    assert len(sink.frames()) == 36


def test_images_that_nobody_has_dropped_are_missing():
    odd = Oddities(counted=False)
    with simulating(faults={5: "drop"}, oddities=odd) as simulator:
        sink = taken(simulator)
    assert sink.gaps == [(5, 5, "missing")]
    assert sink.ends == [("complete", "", 40)]


def test_a_hole_that_is_too_old_is_declared_while_the_series_runs():
    odd = Oddities(counted=False)
    shape = {"shape": (2, 2), "frames": 6000, "compression": "none"}
    with (
        simulating(faults={5: "drop"}, oddities=odd, **shape) as simulator,
        listening(simulator, MemorySink(capacity=64)) as sink,
    ):
        simulator.take_series()
        until(lambda: sink.gaps)
        assert sink.ends == [] or len(sink.frames()) == 5999
        until(lambda: sink.ends)
    assert sink.gaps == [(5, 5, "missing")]


@BOTH
def test_images_out_of_order_are_placed_by_their_number(stream):
    faults = dict.fromkeys((3, 10, 39), "reorder")
    with simulating(stream=stream, faults=faults) as simulator:
        sink = taken(simulator)
        assert_whole(sink, simulator)
    assert sink.ends == [("complete", "", 40)]
    assert sink.gaps == []


@BOTH
@pytest.mark.parametrize(
    ("oddity", "cause"),
    [
        ("wrong_series", "other_series"),
        ("corrupt", "undecodable"),
        ("wrong_shape", "wrong_shape"),
    ],
)
def test_a_bad_image_is_counted_by_its_cause_and_the_rest_is_taken(
    stream, oddity, cause
):
    odd = Oddities(**{oddity: frozenset({2, 3, 17})})
    with (
        simulating(stream=stream, oddities=odd) as simulator,
        listening(simulator) as sink,
    ):
        for k in range(2):
            simulator.take_series()
            until(lambda k=k: len(sink.ends) > k)
    assert said(sink) == {cause: 6}
    gone = "missing" if cause == "other_series" else cause
    assert {found for _, _, found in sink.gaps} == {gone}
    for k in range(2):
        left = [k for k in range(40) if k not in (2, 3, 17)]
        got = sink.frames(k)
        assert got.index.tolist() == left
        np.testing.assert_array_equal(got.pixels, simulator.frames(40)[left])
    assert [end[0] for end in sink.ends] == ["complete", "complete"]


@BOTH
def test_a_message_that_is_cut_short_is_counted(stream):
    with simulating(stream=stream, faults={6: "truncate"}) as simulator:
        sink = taken(simulator)
    cause = "undecodable" if stream == "v1" else "malformed"
    assert said(sink) == {cause: 1}
    assert len(sink.frames()) == 39
    assert [gap[:2] for gap in sink.gaps] == [(6, 6)]


def test_a_second_copy_of_an_image_is_passed_on_for_the_sink_to_refuse():
    with simulating(faults={6: "duplicate"}) as simulator:
        sink = taken(simulator)
    assert sink.ends == [("complete", "", 40)]
    assert sorted(sink.frames().index)[6:8] == [6, 6]


@BOTH
def test_a_series_whose_header_was_missed_is_taken_from_its_images(stream):
    with simulating(stream=stream, oddities=Oddities(no_header=True)) as simulator:
        sink = taken(simulator)
        assert_whole(sink, simulator)
    assert "series 1 was running already; it is taken from image 0 on" in sink.notes[-1]


@BOTH
def test_an_end_that_comes_late_is_waited_for(stream):
    with simulating(stream=stream, oddities=Oddities(late_end_s=0.5)) as simulator:
        sink = taken(simulator)
    assert sink.ends == [("complete", "", 40)]


@BOTH
def test_a_series_that_never_ends_is_over_when_the_detector_is_idle(stream):
    odd = Oddities(no_end=True)
    faults = {39: "drop"}
    with simulating(stream=stream, oddities=odd, faults=faults) as simulator:
        sink = taken(simulator)
    ((state, reason, total),) = sink.ends
    assert (state, total) == ("failed", 40)
    assert "is in state 'idle' but has not said that the series is over" in reason
    assert sink.gaps == [(39, 39, "dropped_by_detector")]


def test_without_the_interface_a_silent_series_fails_and_the_next_is_taken():
    with (
        simulating(oddities=Oddities(no_end=True), faults={39: "drop"}) as simulator,
        listening(simulator, api_port=0, silence_s=0.3) as sink,
    ):
        for k in range(2):
            simulator.take_series()
            until(lambda k=k: len(sink.ends) > k)
    assert [end[0] for end in sink.ends] == ["failed", "failed"]
    assert "nothing came from DECTRIS at 127.0.0.1 for 0.3 s" in sink.ends[0][1]


def test_a_series_that_the_detector_ends_early_was_stopped():
    with simulating(fps=200.0, frames=1000) as simulator:
        simulator.keys.set("detector/config", "trigger_mode", "exts")
        with listening(simulator) as sink:
            simulator.take_series()
            until(lambda: sink.batches)
            simulator._command("abort", None)
            until(lambda: sink.ends)
    ((state, reason, total),) = sink.ends
    assert state == "stopped"
    assert reason == f"the detector ended series 1 after {total} of 1000 images"
    assert sink.gaps == []


@BOTH
def test_a_sender_that_dies_in_mid_series_is_named_and_the_next_works(stream):
    with simulating(stream=stream, fps=200.0, frames=1000) as simulator:
        simulator.keys.set("detector/config", "trigger_mode", "exts")
        with listening(simulator) as sink:
            simulator.take_series()
            until(lambda: sink.batches)
            ports = {"port": simulator.port, "api_port": simulator.api_port}
            simulator.close()
            until(lambda: sink.ends)
            with simulating(stream=stream, **ports) as again:
                until(lambda: again.is_connected)
                again.series = 1
                again.take_series()
                until(lambda: len(sink.ends) == 2)
                assert_whole(sink, again, 1)
    assert sink.ends[0][0] == "failed"
    assert "was lost in mid-series: its stream at 127.0.0.1" in sink.ends[0][1]
    assert sink.ends[1] == ("complete", "", 40)


def test_an_armed_detector_that_dies_is_waited_for_and_armed_again():
    with simulating(fps=200.0, frames=1000) as simulator:
        detector = detector_for(simulator, **arming(1000))
        with running(detector) as sink:
            until(lambda: sink.batches)
            ports = {"port": simulator.port, "api_port": simulator.api_port}
            simulator.close()
            until(lambda: sink.ends)
            until(lambda: any("tried again" in note for note in sink.notes))
            with simulating(**ports):
                until(lambda: len(sink.ends) == 2)
    assert sink.ends[0][0] == "failed"
    assert sink.ends[1] == ("complete", "", 1000)


def test_a_link_that_breaks_and_returns_costs_what_was_under_way():
    with simulating(faults={20: "reset"}, fps=200.0) as simulator:
        with listening(simulator) as sink:
            simulator.take_series()
            until(lambda: sink.ends)
            simulator.faults.of.clear()
            until(lambda: simulator.is_connected)
            simulator.take_series()
            until(lambda: len(sink.ends) == 2)
        assert_whole(sink, simulator, 1)
    assert sink.ends[0][0] == "failed"
    assert sink.ends[1] == ("complete", "", 40)


def test_a_start_ends_the_series_before_it():
    with (
        simulating(oddities=Oddities(no_end=True), faults={39: "drop"}) as simulator,
        listening(simulator) as sink,
    ):
        simulator.take_series()
        until(lambda: simulator._state() == "idle")
        simulator.take_series()
        until(lambda: sink.ends)
    assert sink.ends[0][0] == "failed"
    assert sink.ends[0][1].startswith("series 2 began before the end of this one")


def test_the_other_stream_is_counted_and_named():
    with (
        simulating(stream="v1") as simulator,
        listening(simulator, stream="v2") as sink,
    ):
        simulator.take_series()
        until(lambda: said(sink).get("wrong_stream", 0) >= 42)
    assert 'set stream = "v1"' in sink.rejects[0][2]
    assert sink.acquisitions == []


class SmallSlabSink(MemorySink):
    """Its slab is too small for the first series."""

    def start(self, acquisition, *, batch_frames=None):
        if acquisition.metadata["series"] == 1:
            raise SlabError("a frame needs [slab] mib of at least 999")
        super().start(acquisition, batch_frames=batch_frames)


@BOTH
def test_frames_that_do_not_fit_are_refused_and_the_next_series_is_taken(stream):
    with simulating(stream=stream) as simulator:
        with listening(simulator, SmallSlabSink(capacity=8)) as sink:
            simulator.take_series()
            until(lambda: said(sink).get("oversized"))
            until(lambda: simulator._state() == "idle")
            simulator.take_series()
            until(lambda: sink.ends)
        assert_whole(sink, simulator)
    assert sink.acquisitions[0].metadata["series"] == 2


def test_a_wrong_program_on_the_port_is_named():
    with zmq.Context() as context, context.socket(zmq.REP) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        params = DectrisDetector.Params(host="127.0.0.1", api_port=0, port=port)
        with running(DectrisDetector(params, AcquisitionSettings())) as sink:
            until(lambda: len(sink.notes) == 2)
    assert f"at 127.0.0.1:{port}" in sink.notes[1]


def test_garbage_on_the_stream_is_counted_and_bounded():
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = 0
        port = push.bind_to_random_port("tcp://127.0.0.1")
        params = DectrisDetector.Params(host="127.0.0.1", api_port=0, port=port)
        rng = np.random.default_rng(3)
        with running(DectrisDetector(params, AcquisitionSettings())) as sink:
            for _ in range(500):
                push.send(rng.bytes(1000))
            push.send_multipart([b"x"] * 100)
            until(lambda: len(sink.rejects) == 501)
    assert {cause for _, cause, _ in sink.rejects} <= {"malformed", "wrong_stream"}


def test_an_interface_that_does_not_answer_does_not_keep_a_listener_away():
    with simulating() as simulator, socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        table = {"api_port": port, "api_timeout_s": 0.2}
        with listening(simulator, **table) as sink:
            simulator.take_series()
            until(lambda: sink.ends)
        assert_whole(sink, simulator)
    assert "did not answer" in sink.notes[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nimages": 3}, "nimages: only with arm = true"),
        ({"arm": True, "api_port": 0}, "needs the SIMPLON interface"),
        ({"channel": "x", "stream": "v1"}, "leave channel out"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        DectrisDetector.Params(host="x", **table)
