"""The zmq detector on real loopback sockets."""

import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from pydantic import ValidationError
from tests.doubles import MemorySink
from tests.hostile import BATCHES, STARTS, acquisition, batch, end, start

from scopeside.detector import Detector, StopRequested
from scopeside.errors import ConfigError, SlabError, SourceError, SourceLostError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.zmq import simulate
from scopeside_adapters.zmq.simulator import Faults, Producer
from scopeside_adapters.zmq.source import ZmqDetector

FRAMES = np.random.default_rng(2024).poisson(40, (50, 4, 6)).astype("<u2")
ANYWHERE = "tcp://127.0.0.1:0"
PATIENCE_S = 20.0


def detector(**table):
    params = ZmqDetector.Params.model_validate({"bind": ANYWHERE, **table})
    return ZmqDetector(params, AcquisitionSettings())


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def run_until_stopped(source, sink):
    with pytest.raises(StopRequested):
        source.run(sink)


@contextmanager
def listening(sink=None, **table):
    """Run the detector in a thread; give its sink, and a producer for it."""
    sink = sink or MemorySink()
    thread = threading.Thread(target=run_until_stopped, args=(detector(**table), sink))
    thread.start()
    try:
        until(lambda: sink.notes)
        endpoint = sink.notes[0].split()[-1]
        with Producer(endpoint, timeout_s=PATIENCE_S) as producer:
            yield sink, producer
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def played(faults=None, frames=FRAMES, **options):
    """Send an acquisition of batches of ten, and give what the sink has at its end."""
    with listening(**options) as (sink, producer):
        producer.play(
            acquisition(), frames, batch_frames=10, faults=Faults(faults or {})
        )
        until(lambda: sink.ends)
    return sink


def said(sink):
    return [(n, cause) for n, cause, _ in sink.rejects]


def test_it_is_a_detector_that_resumes():
    source: Detector = detector()
    assert source.check() == []
    assert source.resumes


@pytest.mark.parametrize("capacity", [1, 7, 10, 64])
def test_what_is_pushed_is_what_comes(capacity):
    sink = played(sink=MemorySink(capacity=capacity))
    got = sink.frames()
    np.testing.assert_array_equal(got.pixels, FRAMES)
    assert got.index.tolist() == list(range(50))
    assert sink.acquisitions == [acquisition()]
    assert sink.ends == [("complete", "", 50)]
    assert sink.rejects == sink.gaps == []


def test_a_large_batch_is_split_over_slots():
    with listening(MemorySink(capacity=8)) as (sink, producer):
        producer.play(acquisition(), FRAMES, batch_frames=50)
        until(lambda: sink.ends)
    assert [len(b) for b in sink.batches] == [8, 8, 8, 8, 8, 8, 2]
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES)


def test_small_batches_that_wait_share_a_slot():
    sink = SlowSink(capacity=50)
    with listening(sink) as (_, producer):
        producer.play(acquisition(), FRAMES, batch_frames=1)
        producer.close()
        sink.go.set()
        until(lambda: sink.ends)
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES)
    assert len(sink.batches) < 25


class SlowSink(MemorySink):
    """It begins an acquisition only when it is told to."""

    def __init__(self, **options):
        super().__init__(**options)
        self.go = threading.Event()

    def start(self, acquisition, *, batch_frames=None):
        self.go.wait(PATIENCE_S)
        super().start(acquisition, batch_frames=batch_frames)


def test_indices_and_time_stamps_of_the_producer_are_kept():
    index, t_ns = np.array([[9, 2, 5], [10, 20, 30]], "<i8")
    parts = batch(0, 3, index.tobytes(), t_ns.tobytes(), index=True, t_ns=True)
    with listening(MemorySink(capacity=2)) as (sink, producer):
        for message in (start(), parts, batch(20, t_ns=100, dt_ns=7), end(23)):
            producer.send(message)
        until(lambda: sink.ends)
    got = sink.frames()
    assert got.index.tolist() == [9, 2, 5, 20, 21, 22]
    assert got.timestamp_ns.tolist() == [10, 20, 30, 100, 107, 114]


def test_frames_without_a_time_get_that_of_their_arrival():
    before = time.time_ns()
    stamps = played().frames().timestamp_ns
    assert before <= stamps.min() <= stamps.max() <= time.time_ns()


def test_acquisitions_follow_each_other():
    with listening() as (sink, producer):
        for name in ("a", "b", "c"):
            producer.play(acquisition(name), FRAMES[:20])
        until(lambda: len(sink.ends) == 3)
    assert [a.id for a in sink.acquisitions] == ["a", "b", "c"]
    np.testing.assert_array_equal(sink.frames(2).pixels, FRAMES[:20])


def test_another_start_fails_the_open_acquisition():
    with listening() as (sink, producer):
        producer.send(start("a"))
        producer.send(batch())
        producer.play(acquisition("b"), FRAMES[:20])
        until(lambda: len(sink.ends) == 2)
    assert sink.ends[0][:2] == (
        "failed",
        "the producer began another acquisition (b) before the end of this one",
    )
    assert sink.ends[1] == ("complete", "", 20)


def test_a_producer_that_falls_silent_fails_the_acquisition_and_the_next_is_taken():
    with listening(silence_s=0.1) as (sink, producer):
        producer.send(start("a"))
        producer.send(batch())
        until(lambda: sink.ends)
        producer.send(batch(3))
        producer.play(acquisition("b"), FRAMES)
        until(lambda: len(sink.ends) == 2)
    assert sink.ends[0] == (
        "failed",
        "the producer was lost: nothing came for 0.1 s",
        None,
    )
    assert said(sink) == [(3, "after_end")]
    assert sink.ends[1] == ("complete", "", 50)


def test_a_stall_that_is_short_enough_is_waited_for():
    assert played({2: "stall"}).ends == [("complete", "", 50)]


def test_gaps_and_ends_of_the_producer_are_passed_on():
    with listening() as (sink, producer):
        producer.start(acquisition())
        producer.gap(3, 5, "shutter")
        producer.end(9, "stopped", "beam lost")
        until(lambda: sink.ends)
    assert sink.gaps == [(3, 5, "shutter")]
    assert sink.ends == [("stopped", "beam lost", 9)]


def test_a_restarted_producer_goes_on():
    with listening() as (sink, producer):
        producer.send(start())
        producer.send(batch(0, seq=0))
        producer.send(start(epoch=1))
        producer.send(batch(3, seq=0, epoch=1))
        producer.send(end(6, epoch=1))
        until(lambda: sink.ends)
    assert sink.frames().index.tolist() == [0, 1, 2, 3, 4, 5]
    assert sink.notes[1:] == ["the producer of a was restarted (epoch 1)"]


@pytest.mark.parametrize(
    ("fault", "rejects", "frames"),
    [
        ("drop", [(0, "missing_batches")], 40),
        ("duplicate", [(10, "duplicate")], 50),
        ("reorder", [(0, "missing_batches"), (0, "out_of_order")], 50),
        ("truncate", [(10, "truncated"), (0, "missing_batches")], 40),
        ("wrong_magic", [(1, "wrong_magic"), (0, "missing_batches")], 40),
        ("wrong_dtype", [(10, "wrong_dtype"), (0, "missing_batches")], 40),
        ("wrong_digest", [(10, "wrong_digest"), (0, "missing_batches")], 40),
        ("oversize", [(10, "oversized"), (0, "missing_batches")], 40),
    ],
)
def test_a_fault_is_counted_by_its_cause_and_the_rest_is_taken(fault, rejects, frames):
    sink = played({2: fault}, max_message_mib=4)
    assert said(sink) == rejects
    assert sorted(sink.frames().index) == sorted(set(sink.frames().index))
    assert len(sink.frames()) == frames
    assert sink.ends == [("complete", "", 50)]


def test_a_part_beyond_the_limit_closes_the_link_and_the_producer_comes_back():
    with listening(max_message_mib=1) as (sink, producer):
        producer.start(acquisition())
        producer.send([*batch()[:2], bytes(2 << 20)])
        until(lambda: sink.rejects)
        producer.send(batch(3))
        producer.end(6)
        until(lambda: sink.ends)
    assert said(sink) == [(1, "broken_link")]
    assert sink.frames().index.tolist() == [3, 4, 5]


def test_a_producer_that_hangs_up_after_the_end_has_broken_nothing():
    with listening() as (sink, producer):
        producer.play(acquisition("a"), FRAMES)
        producer.close()
        until(lambda: sink.ends)
        with Producer(producer.endpoint) as other:
            other.play(acquisition("b"), FRAMES)
        until(lambda: len(sink.ends) == 2)
    assert sink.rejects == []


def test_the_whole_hostile_corpus_leaves_the_acquisition_as_it_was():
    corpus = [*BATCHES.values(), *STARTS.values()]
    sendable = [parts for parts, _ in corpus if parts and parts != start()]
    with listening() as (sink, producer):
        producer.send(start("open"))
        for parts in sendable:
            producer.send(parts)
        producer.send(batch(acq="open"))
        producer.send(end(3, "open"))
        until(lambda: sink.ends)
    assert len(sink.rejects) == len(sendable)
    assert sink.ends == [("complete", "", 3)]
    assert sink.frames().index.tolist() == [0, 1, 2]


def test_bytes_that_are_no_zeromq_are_left_alone():
    with listening() as (sink, producer):
        address, port = producer.endpoint.removeprefix("tcp://").split(":")
        with socket.create_connection((address, int(port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        producer.play(acquisition(), FRAMES)
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 50)]


class SmallSlabSink(MemorySink):
    """Its slab is too small for the frames of one acquisition."""

    def start(self, acquisition, *, batch_frames=None):
        if acquisition.id == "large":
            raise SlabError("a frame needs [slab] mib of at least 999")
        super().start(acquisition, batch_frames=batch_frames)


def test_an_acquisition_that_does_not_fit_is_refused_and_the_next_is_taken():
    with listening(SmallSlabSink()) as (sink, producer):
        producer.play(acquisition("large"), FRAMES, batch_frames=50)
        producer.play(acquisition("small"), FRAMES)
        until(lambda: sink.ends)
    assert said(sink) == [(1, "oversized"), (50, "after_end"), (1, "after_end")]
    assert sink.acquisitions == [acquisition("small")]


def test_a_stop_is_heard_while_nothing_comes():
    with listening() as (sink, producer):
        producer.send(start())
        until(lambda: sink.acquisitions)
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    assert sink.ends == []


@pytest.mark.parametrize(
    "bind",
    [
        "tcp://0.0.0.0:5555",
        "tcp://*:5555",
        "tcp://192.168.0.4:5555",
        "tcp://[::]:5555",
        "tcp://localhost:5555",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:70000",
        "udp://127.0.0.1:5555",
        "ipc://",
        "ipc://" + "x" * 200,
        "",
    ],
)
def test_nobody_from_outside_can_push(bind):
    with pytest.raises(ValidationError):
        detector(bind=bind)


def test_an_open_bind_is_told_that_it_needs_keys():
    said = r"bind = 'tcp://192\.168\.0\.4:5555'.*needs keys = 'FOLDER'.*--role ingest"
    with pytest.raises(ValidationError, match=said):
        detector(bind="tcp://192.168.0.4:5555")


def test_a_port_that_is_taken_is_found_before_and_at_the_run():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        source = detector(bind=f"tcp://127.0.0.1:{other.getsockname()[1]}")
        assert "in use" in source.check()[0]
        with pytest.raises(SourceError, match="cannot take frames at tcp://"):
            source.run(MemorySink())


def test_an_ipc_path_is_not_taken_away_from_others(tmp_path):
    bind = f"ipc://{tmp_path}/frames"
    with listening(bind=bind) as (sink, producer):
        assert detector(bind=bind).check() == [
            f"bind: {bind}: another program listens there"
        ]
        producer.play(acquisition(), FRAMES)
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 50)]


def test_an_ipc_path_in_no_folder_is_found(tmp_path):
    assert "no folder" in detector(bind=f"ipc://{tmp_path}/none/frames").check()[0]


def test_every_parameter_says_what_it_means():
    fields = ZmqDetector.Params.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_a_producer_says_that_it_waits_and_gives_up():
    waited = []
    with zmq.Context() as context, context.socket(zmq.PULL) as nobody:
        port = nobody.bind_to_random_port("tcp://127.0.0.1")
    with (
        pytest.raises(SourceLostError, match="no engine took a frame at tcp://"),
        Producer(
            f"tcp://127.0.0.1:{port}",
            on_wait=lambda: waited.append(1),
            wait_s=0.05,
            timeout_s=0.2,
        ) as producer,
    ):
        producer.start(acquisition())
    assert waited == [1]


def test_a_producer_refuses_what_is_no_address():
    with pytest.raises(ConfigError, match="cannot push to 'somewhere'"):
        Producer("somewhere")


SERIES_OF_12 = {False: {"scan": (3, 4)}, True: {"mode": "movie", "frames": 12}}


@pytest.mark.parametrize("movie", [False, True])
def test_the_simulated_microscope_can_be_pushed(movie):
    lines = []
    with listening() as (sink, producer):
        params = simulate.WireSimulatorParams(
            to=producer.endpoint, acquisitions=2, seed=5, **SERIES_OF_12[movie]
        )
        simulate.WireSimulator(params).run(lines.append)
        until(lambda: len(sink.ends) == 2)
    assert sink.ends == [("complete", "", 12)] * 2
    assert sink.rejects == []
    np.testing.assert_array_equal(sink.frames(0).pixels, sink.frames(1).pixels)
    assert sink.acquisitions[0].metadata["simulated"] is True
    assert [line.split(":")[0] for line in lines[1::2]] == ["complete", "complete"]
