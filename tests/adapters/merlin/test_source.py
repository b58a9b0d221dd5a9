"""The merlin detector on real loopback sockets."""

import socket
import threading
import time

import numpy as np
import pytest
from pydantic import ValidationError
from tests.adapters.file.playing import play as play_file
from tests.adapters.merlin.messages import FRAMES, announced, frame, message, series
from tests.adapters.merlin.playing import (
    assert_holds,
    detector,
    played,
    ports,
    running,
    serving,
    simulating,
    until,
)
from tests.doubles import MemorySink

from scopeside.detector import Detector
from scopeside.errors import SlabError, SourceError
from scopeside_adapters.merlin import recording
from scopeside_adapters.merlin.recording import pixel_format
from scopeside_adapters.merlin.simulator import MerlinSimulator

WHOLE = ("complete", "", 20)


def frames_of(simulator, n=20, first=0, step=1):
    made = simulator.recording.frames
    return made[np.arange(first, first + n * step, step) % len(made)]


def said(sink):
    return [(n, cause) for n, cause, _ in sink.rejects]


def listened(data, *, expected=1, capacity=8, **table):
    """Listen to a peer that sends `data` and stays; give the sink."""
    sink = MemorySink(capacity=capacity)
    parts = data if isinstance(data, list) else [data]
    with serving([*parts, None]) as port, running(detector(port=port, **table), sink):
        until(lambda: len(sink.ends) >= expected)
    return sink


def test_it_is_a_detector_that_resumes():
    source: Detector = detector()
    assert source.check() == []
    assert source.resumes


# -- what comes -----------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_what_is_sent_is_what_comes(capacity):
    sink, simulator = played(sink=MemorySink(capacity=capacity))
    assert_holds(sink, frames_of(simulator))
    assert sink.ends == [WHOLE]
    assert sink.rejects == sink.gaps == []


KINDS = [
    {"pixels": "U08"},
    {"pixels": "U16"},
    {"pixels": "U32"},
    {"pixels": "U64"},
    {"pixels": "U16", "layout": "2x2"},
    {"pixels": "U08", "short": True},
    *({"pixels": "R64", "depth": depth} for depth in (1, 6, 12, 24)),
    {"pixels": "R64", "depth": 12, "layout": "2x2"},
    {"pixels": "R64", "depth": 1, "layout": "4x1"},
    {"pixels": "R64", "depth": 24, "layout": "2x2", "short": True},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_of_pixels(kind):
    sink, simulator = played({"rows": 256, "frames": 5, "different": 4, **kind})
    assert_holds(sink, frames_of(simulator, 5))
    assert sink.ends == [("complete", "", 5)]
    format_, _ = pixel_format(
        kind["pixels"], kind.get("layout", "1x1"), 256, kind.get("depth", 12)
    )
    assert sink.acquisitions[0].dtype == format_.dtype


def test_gaps_between_chips_are_empty():
    sink, simulator = played(
        {"depth": 12, "layout": "2x2G", "rows": 256, "frames": 3, "different": 3}
    )
    got, sent = sink.frames().pixels, frames_of(simulator, 3)[:, ::-1]
    assert got.shape == (3, 514, 514)
    assert not got[:, 256:258].any()
    assert not got[:, :, 256:258].any()
    np.testing.assert_array_equal(got[:, 258:, :256], sent[:, 258:, :256])
    np.testing.assert_array_equal(got[:, :256, 258:], sent[:, :256, 258:])


@pytest.mark.parametrize("numbers", [(1, 1, 2, 2, 3, 3), (1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("capacity", [1, 8])
def test_raw_frames_of_24_bit_may_come_in_halves(numbers, capacity):
    shape = (3, 4, 256)
    frames = np.random.default_rng(7).integers(0, 1 << 24, shape, np.uint32)
    halves = np.stack([frames >> 12, frames & 0xFFF], axis=1).reshape(6, 4, 256)
    data = announced(3) + b"".join(
        half_frame(number, half) for number, half in zip(numbers, halves, strict=True)
    )
    sink = listened(data, capacity=capacity)
    assert_holds(sink, frames)
    assert sink.ends == [("complete", "", 3)]


def half_frame(number, image):
    pixels, _ = pixel_format("R64", "1x1", 4, 12)
    head = recording.frame_header(number, pixels, "R64", "1x1", depth=24)
    head = head.replace(b",0512,0004,", b",0256,0004,")
    return message(head + recording.stored(image[None].astype("<u2"), pixels).tobytes())


def test_rows_may_be_left_in_the_order_in_which_they_are_sent():
    sink, simulator = played(flip_y=False)
    np.testing.assert_array_equal(sink.frames().pixels, frames_of(simulator))
    assert sink.acquisitions[0].metadata["rows"] == "as stored, bottom first"


def test_the_time_stamps_are_those_of_the_detector():
    sink, _ = played({"fps": 2000.0})
    before = time.time_ns()
    stamps = sink.frames().timestamp_ns
    assert np.diff(stamps).tolist() == [500_000] * 19
    assert 0 < before - stamps[0] < 60e9


def test_frames_without_a_time_get_that_of_their_arrival():
    before = time.time_ns()
    data = announced(2) + b"".join(frame(k, time="") for k in (1, 2))
    stamps = listened(data).frames().timestamp_ns
    assert before <= stamps.min() <= stamps.max() <= time.time_ns()


def test_the_acquisition_is_what_the_header_says():
    sink, _ = played({"per_trigger": 5})
    about = sink.acquisitions[0]
    assert (about.frames, about.scan_shape, about.kind) == (20, (4, 5), "scan4d")
    assert about.metadata["software"] == "scopeside simulator"


def test_a_scan_that_is_set_comes_before_that_of_the_header():
    sink, simulator = played({"per_trigger": 5}, {"scan": [2, 4], "flyback": 1})
    scan = sink.acquisitions[0].scan
    assert (scan.shape, scan.flyback) == ((2, 4), 1)
    assert "NUMFRAMESTOACQUIRE=10" in simulator.commands


def test_fly_back_frames_are_among_those_of_a_trigger():
    sink = listened(series(frames=8, per_trigger=4))
    assert sink.acquisitions[0].scan_shape == (2, 4)
    with serving([series(frames=8, per_trigger=4), None]) as port:
        skipping = MemorySink()
        source = detector({"flyback": 1}, port=port)
        with running(source, skipping):
            until(lambda: skipping.ends)
    assert skipping.acquisitions[0].scan.shape == (2, 3)


def test_a_file_is_played_as_the_file_detector_plays_it(tmp_path):
    path = tmp_path / "scan.mib"
    payloads = b"".join(frame(k)[15:] for k in range(1, 9))
    path.write_bytes(payloads)
    path.with_suffix(".hdr").write_bytes(announced(8, per_trigger=4)[15:])
    sink, _ = played({"path": path, "frames": 8})
    assert_holds(sink, FRAMES)
    file = play_file(path)
    for name in ("pixels", "index", "timestamp_ns"):
        np.testing.assert_array_equal(
            getattr(sink.frames(), name), getattr(file.frames(), name)
        )
    assert sink.acquisitions[0].scan == file.acquisitions[0].scan


# -- arming ---------------------------------------------------------------------------


def test_several_acquisitions_in_a_row_on_one_connection():
    sink, simulator = played(acquisitions=3)
    assert sink.ends == [WHOLE] * 3
    for k in range(3):
        assert_holds(sink, frames_of(simulator), k)
    assert simulator.commands.count("STARTACQUISITION") == 3


def test_what_is_asked_for_is_set_before_the_start():
    _, simulator = played(
        frames=6,
        frames_per_trigger=3,
        exposure_ms=0.5,
        period_ms=0.75,
        depth=6,
        trigger="soft",
        variables={"HVBIAS": 120, "FILENAME": "a,b"},
    )
    assert simulator.commands == [
        "COUNTERDEPTH=6",
        "ACQUISITIONTIME=0.5",
        "ACQUISITIONPERIOD=0.75",
        "NUMFRAMESTOACQUIRE=6",
        "NUMFRAMESPERTRIGGER=3",
        "TRIGGERSTART=5",
        "HVBIAS=120",
        "FILENAME=a,b",
        "STARTACQUISITION",
        "SOFTTRIGGER",
        "STOPACQUISITION",
    ]


def test_a_stop_in_mid_series_stops_the_detector_and_it_can_be_started_again():
    with simulating(frames=0, fps=2000.0) as simulator:
        first = MemorySink()
        with running(detector(arm=True, **ports(simulator)), first) as outcome:
            until(lambda: len(first.batches) > 3)
        assert outcome == ["stopped"]
        assert first.ends == []
        assert simulator.commands[-1] == "STOPACQUISITION"
        again = MemorySink()
        detector(arm=True, frames=20, **ports(simulator)).run(again)
    assert again.ends == [WHOLE]
    assert_holds(again, frames_of(simulator))


def test_an_armed_acquisition_whose_header_is_lost_is_taken_all_the_same():
    sink, simulator = played({"header": False}, {"scan": [4, 5]})
    assert sink.ends == [WHOLE]
    assert_holds(sink, frames_of(simulator))


def test_a_busy_detector_is_stopped_and_drained_first():
    with simulating(frames=0) as simulator:
        sink = MemorySink()
        with socket.create_connection(("127.0.0.1", simulator.control_port)) as other:
            other.sendall(b"MPX,0000000021,CMD,STARTACQUISITION")
            assert other.recv(99).endswith(b",0")
        detector(arm=True, frames=20, **ports(simulator)).run(sink)
    assert sink.ends == [WHOLE]
    assert_holds(sink, frames_of(simulator))


class Refusing(MerlinSimulator):
    """Finds a value out of range."""

    def _answer(self, request):
        if request.startswith("SET,ACQUISITIONTIME"):
            return "SET,ACQUISITIONTIME,3"
        return super()._answer(request)


def test_a_refused_setting_is_told_in_the_operators_words(monkeypatch):
    monkeypatch.setattr("tests.adapters.merlin.playing.MerlinSimulator", Refusing)
    with pytest.raises(
        SourceError,
        match=r"refused SET,ACQUISITIONTIME,1000000.0: parameter out of range",
    ):
        played(exposure_ms=1e6)


# -- listening ------------------------------------------------------------------------


def test_what_others_start_is_listened_to():
    with simulating(start="connect", pause_s=0.01) as simulator:
        sink = MemorySink()
        source = detector(port=simulator.port, acquisitions=3)
        source.run(sink)
    assert sink.ends == [WHOLE] * 3
    assert_holds(sink, frames_of(simulator), 2)


def test_it_listens_until_it_is_stopped():
    with simulating(start="connect", pause_s=0.01) as simulator:
        sink = MemorySink()
        with running(detector(port=simulator.port), sink) as outcome:
            until(lambda: len(sink.ends) >= 3)
        assert outcome == ["stopped"]


def test_a_client_that_comes_late_goes_on_without_a_scan():
    data = b"".join(frame(number) for number in range(5, 9)) + series(frames=8)
    sink = listened(data, expected=2)
    assert sink.acquisitions[0].frames is None
    assert sink.acquisitions[0].scan is None
    assert_holds(sink, FRAMES[4:8], 0, index=range(4, 8))
    assert sink.gaps == [(0, 3, "joined_late")]
    assert "its header was not heard" in "".join(sink.notes)
    assert sink.ends[1] == ("complete", "", 8)


def test_a_late_client_that_is_told_the_scan_knows_the_end():
    data = b"".join(frame(number) for number in range(5, 9))
    with serving([data, None]) as port:
        sink = MemorySink()
        with running(detector({"scan": [2, 4]}, port=port), sink):
            until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 8)]
    assert sink.acquisitions[0].scan_shape == (2, 4)


def test_a_peer_that_hangs_up_in_mid_series_is_named_and_the_next_is_taken():
    with serving([series(range(1, 6))], [series(), None]) as port:
        sink = MemorySink()
        with running(detector(port=port), sink):
            until(lambda: len(sink.ends) == 2)
    state, reason, total = sink.ends[0]
    assert (state, total) == ("failed", None)
    assert reason == f"Merlin at 127.0.0.1:{port}: it hung up, after 5 of 8 frames"
    assert_holds(sink, FRAMES[:5], 0)
    assert_holds(sink, FRAMES, 1)
    assert sink.ends[1] == ("complete", "", 8)


def test_a_peer_that_falls_silent_in_mid_series_is_named():
    sink = listened(series(range(1, 6)), silence_s=0.1)
    state, reason, _ = sink.ends[0]
    assert state == "failed"
    assert "it has sent nothing for" in reason
    assert "after 5 of 8 frames" in reason
    assert_holds(sink, FRAMES[:5])


def test_a_detector_that_is_silent_but_busy_is_waited_for():
    sink, simulator = played({"faults": {5: "stall"}}, silence_s=0.05)
    assert sink.ends == [WHOLE]
    assert_holds(sink, frames_of(simulator))
    assert "says that it is busy (status 1)" in "".join(sink.notes)


def test_a_detector_that_is_idle_before_the_end_has_failed():
    sink, _ = played({"faults": {19: "drop"}}, silence_s=0.05)
    state, reason, _ = sink.ends[0]
    assert state == "failed"
    assert "it says that it is idle, after 19 of 20 frames" in reason


class Frozen(MerlinSimulator):
    """Does not say any more how it is."""

    def _answer(self, request):
        if request == "GET,DETECTORSTATUS":
            self._stopping.wait(2)
        return super()._answer(request)


def test_a_detector_that_is_silent_on_both_sockets_has_failed(monkeypatch):
    monkeypatch.setattr("tests.adapters.merlin.playing.MerlinSimulator", Frozen)
    with simulating(faults={5: "stall"}, stall_s=2.0) as simulator:
        sink = MemorySink()
        with running(detector(arm=True, silence_s=0.05, **ports(simulator)), sink):
            until(lambda: sink.ends)
            simulator.stop()
    assert sink.ends[0][0] == "failed"
    assert "it has sent nothing for" in sink.ends[0][1]


def test_silence_is_the_end_of_what_has_no_announced_end():
    sink = listened(series(range(1, 6), frames=0), silence_s=0.1)
    assert sink.ends[0][0] == "complete"
    assert sink.ends[0][2] == 5


def test_frames_that_come_after_all_are_an_acquisition_of_their_own():
    sink = MemorySink()
    late = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as client:
            client.sendall(series(range(1, 5), per_trigger=4))
            late.wait(20)
            client.sendall(b"".join(frame(k) for k in range(5, 9)))
            late.wait(0.2)

    thread = threading.Thread(target=serve)
    thread.start()
    source = detector(port=listener.getsockname()[1], silence_s=0.1, acquisitions=2)
    with running(source, sink):
        until(lambda: sink.ends)
        late.set()
        until(lambda: len(sink.ends) == 2)
    thread.join(20)
    assert sink.ends[1] == ("complete", "", 8)
    assert sink.acquisitions[1].scan_shape == (2, 4)
    assert_holds(sink, FRAMES[4:], 1, index=range(4, 8))


def test_a_wait_for_the_first_trigger_is_no_silence():
    with simulating(frames=20) as simulator:
        sink = MemorySink()
        source = detector(
            arm=True, variables={"TRIGGERSTART": 5}, silence_s=0.05, **ports(simulator)
        )
        with running(source, sink):
            until(lambda: "STARTACQUISITION" in simulator.commands)
            time.sleep(0.3)
            assert sink.ends == []
            simulator._triggered.set()
            until(lambda: sink.ends)
    assert sink.ends == [WHOLE]


# -- faults ---------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [3, 64])
def test_a_dropped_frame_is_a_gap(capacity):
    sink, simulator = played(
        {"faults": {5: "drop"}}, sink=MemorySink(capacity=capacity)
    )
    assert sink.gaps == [(5, 5, "lost_by_detector")]
    assert sink.ends == [WHOLE]
    sent = np.delete(frames_of(simulator), 5, axis=0)
    assert_holds(sink, sent, index=np.delete(np.arange(20), 5))


def test_a_repeated_frame_is_named():
    sink, _ = played({"faults": {5: "duplicate"}})
    assert said(sink) == [(0, "out_of_order")]
    assert "frame 6 came after frame 6" in sink.rejects[0][2]
    assert sink.ends == [WHOLE]


def test_a_frame_that_comes_late_is_taken_and_named():
    sink, simulator = played({"faults": {5: "reorder"}})
    assert said(sink) == [(0, "out_of_order")]
    assert sink.gaps == []
    order = [*range(5), 6, 5, *range(7, 20)]
    assert_holds(sink, frames_of(simulator)[order], index=order)


def test_a_frame_that_is_cut_short_is_named_and_lost():
    sink, simulator = played({"faults": {5: "truncate"}})
    assert said(sink) == [(1, "truncated")]
    assert sink.gaps == [(5, 5, "lost_by_detector")]
    assert sink.ends == [WHOLE]
    sent = np.delete(frames_of(simulator), 5, axis=0)
    assert_holds(sink, sent, index=np.delete(np.arange(20), 5))


def test_a_stall_that_is_short_enough_is_waited_for():
    sink, simulator = played({"faults": {5: "stall"}, "stall_s": 0.2})
    assert sink.ends == [WHOLE]
    assert_holds(sink, frames_of(simulator))


def test_a_connection_that_breaks_is_named_and_the_next_acquisition_is_taken():
    with simulating(faults={5: "reset"}, fps=500.0) as simulator:
        sink = MemorySink()
        source = detector(arm=True, acquisitions=2, **ports(simulator))
        with running(source, sink):
            until(lambda: sink.ends)
            simulator._params = simulator._params.model_copy(update={"faults": {}})
            until(lambda: len(sink.ends) == 2)
    assert sink.ends[0][0] == "failed"
    assert "the connection broke" in sink.ends[0][1]
    assert sink.ends[1] == WHOLE
    assert_holds(sink, frames_of(simulator), 1)


def test_a_simulator_that_is_killed_is_named():
    sink = MemorySink()
    with (
        simulating(frames=0, fps=1000.0) as simulator,
        running(detector(arm=True, **ports(simulator)), sink) as outcome,
    ):
        until(lambda: len(sink.batches) > 2)
        simulator.stop()
        until(lambda: sink.ends)
        until(lambda: outcome)
    assert sink.ends[0][0] == "failed"
    assert "Merlin at 127.0.0.1:" in sink.ends[0][1]


def test_nonsense_before_acquisitions_is_passed_over():
    sink, simulator = played({"garbage": 20_000}, acquisitions=2)
    assert sink.ends == [WHOLE] * 2
    assert_holds(sink, frames_of(simulator), 1)
    assert {cause for _, cause in said(sink)} <= {"garbage"}


@pytest.mark.parametrize("same_number", [False, True])
@pytest.mark.parametrize("counter", [0, 1])
@pytest.mark.parametrize("capacity", [1, 64])
def test_of_two_counters_one_is_taken(counter, same_number, capacity):
    sink, simulator = played(
        {"counters": 2, "same_number": same_number},
        sink=MemorySink(capacity=capacity),
        counter=counter,
    )
    assert_holds(sink, frames_of(simulator, 20, first=counter, step=2))
    assert sink.ends == [WHOLE]
    assert sink.acquisitions[0].metadata["counter"] == counter


@pytest.mark.parametrize("counter", [None, 0, 1])
def test_counters_that_take_turns_are_all_taken(counter):
    sink, simulator = played({"alternating": True}, counter=counter)
    assert_holds(sink, frames_of(simulator))
    assert sink.ends == [WHOLE]
    assert sink.acquisitions[0].metadata["active_counters"] == "Alternating"


@pytest.mark.parametrize(
    ("counters", "counter", "taken"),
    [
        ("Both", None, [0, 1]),
        ("Both", 1, [0, 1]),
        ("", 0, [0, 1]),
        ("", None, [0, 1, 2, 3]),
        ("Counter 1", None, [0, 1, 2, 3]),
    ],
)
def test_which_counter_is_taken_depends_on_what_is_said(counters, counter, taken):
    data = announced(0, counters=counters)
    data += b"".join(frame(k + 1, counter=k % 2) for k in range(4))
    sink = listened(data, silence_s=0.1, counter=counter)
    assert sink.frames().index.tolist() == taken


def test_a_count_of_both_counters_is_understood_at_the_end():
    data = announced(8, counters="Both")
    data += b"".join(frame(k + 1, counter=k % 2) for k in range(8))
    sink = listened(data, silence_s=0.1)
    state, _, total = sink.ends[0]
    assert (state, total) == ("complete", 4)
    assert sink.frames().index.tolist() == [0, 1, 2, 3]


def test_a_change_of_the_frame_size_fails_the_acquisition_and_begins_another():
    data = series(range(1, 5)) + b"".join(frame(k, rows=8) for k in range(5, 9))
    sink = listened(data + series(), expected=3)
    assert sink.ends[0][0] == "failed"
    assert (
        "changed from 4×256 uint8, raw 6 bit to 8×256 uint8, raw 6 bit"
        in (sink.ends[0][1])
    )
    assert "after 4 of 8 frames" in sink.ends[0][1]
    assert [a.frame_shape for a in sink.acquisitions] == [(4, 256), (8, 256), (4, 256)]
    assert sink.ends[2] == ("complete", "", 8)


def test_another_acquisition_fails_the_open_one():
    sink = listened(series(range(1, 5)) + series(), expected=2)
    assert sink.ends[0][0] == "failed"
    assert "the detector began another acquisition, after 4 of 8" in sink.ends[0][1]
    assert sink.ends[1] == ("complete", "", 8)
    assert_holds(sink, FRAMES, 1)


def test_numbers_that_begin_again_fail_the_open_acquisition():
    data = series(range(1, 6)) + b"".join(frame(k) for k in range(1, 9))
    sink = listened(data + announced(), expected=2)
    assert sink.ends[0][0] == "failed"
    assert "the frame numbers began again, after 5 of 8 frames" in sink.ends[0][1]
    assert_holds(sink, FRAMES[:5], 0)
    assert_holds(sink, FRAMES, 1)


def test_numbers_that_jump_back_are_named():
    sink = listened(series([1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8]))
    assert set(said(sink)) == {(0, "out_of_order")}
    assert "frame 4 came after frame 6" in sink.rejects[0][2]
    assert sink.ends == [("complete", "", 8)]


def test_frames_beyond_the_announced_number_are_counted_and_named():
    sink = listened(series(range(1, 12)) + series(), expected=2)
    assert sink.ends == [("complete", "", 8)] * 2
    assert said(sink) == [(1, "after_end")] * 3


class SmallSlabSink(MemorySink):
    """Its slab is too small for any frame."""

    def start(self, acquisition, *, batch_frames=None):
        raise SlabError("a frame needs [slab] mib of at least 999")


def test_frames_that_do_not_fit_are_refused_and_the_detector_is_served_on():
    sink = SmallSlabSink()
    with serving([series(), None]) as port, running(detector(port=port), sink):
        until(lambda: len(sink.rejects) == 8)
    assert set(said(sink)) == {(1, "oversized")}


HEADER_BYTES = len(frame(1)) - FRAMES[0].size


@pytest.mark.parametrize("phase", range(8))
def test_a_connection_reset_at_any_byte_of_a_header_harms_nothing(phase):
    cuts = range(phase, HEADER_BYTES + 1, 8)
    parts = [[announced() + frame(1) + frame(2)[:cut]] for cut in cuts]
    with serving(*parts, [series(), None]) as port:
        sink = MemorySink(capacity=4)
        with running(fast_again(detector(port=port)), sink):
            until(lambda: len(sink.ends) == len(parts) + 1)
    for k in range(len(parts)):
        state, reason, _ = sink.ends[k]
        assert state == "failed"
        assert "after 1 of 8 frames" in reason
        assert_holds(sink, FRAMES[:1], k)
    assert sink.ends[-1] == ("complete", "", 8)


def fast_again(source):
    """Have a detector connect again without a pause."""
    source.again_s = 0.0
    return source


@pytest.mark.parametrize("cut", range(0, len(announced()), 40))
def test_a_connection_reset_in_the_acquisition_header_harms_nothing(cut):
    with serving([announced()[:cut]], [series(), None]) as port:
        sink = MemorySink()
        with running(fast_again(detector(port=port)), sink):
            until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 8)]


# -- the wrong peer -------------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_a_detector_that_is_not_there_is_told():
    port = free_port()
    with pytest.raises(
        SourceError, match=rf"Merlin at 127.0.0.1:{port} cannot be reached: .*; is the"
    ):
        detector(port=port).run(MemorySink())
    assert "cannot be reached" in detector(arm=True, control_port=port).check()[0]


def test_a_host_that_is_not_known_is_found_before():
    assert "no address" in detector(host="merlin.invalid").check()[0]


def test_another_program_at_the_data_port_is_told():
    sink = MemorySink()
    web = b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"
    with serving([web, None]) as port, running(detector(port=port), sink):
        until(lambda: sink.rejects)
    [(n, cause, message)] = sink.rejects
    assert (n, cause) == (0, "garbage")
    assert "bytes that are no message: b'HTTP/1.1 400" in message


def test_another_program_at_the_control_port_is_found_before():
    with serving([b"<html>", None]) as port:
        [problem] = detector(arm=True, control_port=port).check()
    assert "expected a reply b'MPX,…', got b'<html>'; another program" in problem


def test_a_detector_that_answers_passes_the_check():
    with simulating() as simulator:
        assert detector(arm=True, **ports(simulator)).check() == []


def test_another_program_at_the_control_port_is_told():
    with (
        serving([b"HTTP/1.1 400 Bad Request\r\n\r\n", None]) as port,
        pytest.raises(SourceError, match="another program listens there: check"),
    ):
        detector(arm=True, port=port, control_port=port, frames=1).run(MemorySink())


def test_a_control_port_that_is_silent_is_told(monkeypatch):
    monkeypatch.setattr(
        "scopeside_adapters.merlin.controller.REPLY_S", 0.1, raising=True
    )
    with simulating() as simulator, serving([None]) as silent:
        source = detector(arm=True, port=simulator.port, control_port=silent, frames=1)
        with pytest.raises(
            SourceError, match=r"did not answer SET,NUMFRAMESTOACQUIRE,1"
        ):
            source.run(MemorySink())


def test_a_stop_is_heard_while_nothing_comes():
    with serving([announced(), None]) as port:
        sink = MemorySink()
        with running(detector(port=port), sink) as outcome:
            until(lambda: sink.notes)
        assert outcome == ["stopped"]


@pytest.mark.parametrize(
    "table",
    [
        {"port": 0},
        {"counter": 2},
        {"variables": {"lower": 1}},
        {"variables": {"NAME": "two\nlines"}},
        {"trigger": "sometimes"},
        {"depth": 8},
        {"silence_s": 0},
    ],
)
def test_parameters_that_cannot_be_are_refused(table):
    with pytest.raises(ValidationError):
        detector(**table)


def test_every_parameter_says_what_it_means():
    for model in (type(detector()).Params, MerlinSimulator.Params):
        fields = model.model_fields
        assert [name for name, field in fields.items() if not field.description] == []
