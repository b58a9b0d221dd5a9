"""The epics detector on a real PVAccess server, over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from pydantic import ValidationError
from tests.adapters.epics.playing import (
    PV,
    causes,
    detector,
    ioc,
    played,
    running,
    until,
    watching,
)
from tests.doubles import MemorySink
from tests.system.engine_runs import environment, scopeside

from scopeside.detector import Detector
from scopeside.errors import SlabError, SourceError
from scopeside_adapters.epics.encode import ntndarray
from scopeside_adapters.epics.simulator import EpicsSimulatorParams, library

pytest.importorskip("p4p", reason="p4p is not installed (extra epics)")

MINUTE_S = 60.0


def frames(shape=(12, 20), n=20, dtype="uint16", seed=0):
    said = {"shape": shape, "frames": n, "dtype": dtype, "seed": seed}
    return library(EpicsSimulatorParams(**said))


def test_it_is_a_detector_that_resumes():
    with ioc() as server:
        source: Detector = detector(server.address)
        assert source.check() == []
        assert source.resumes


@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_what_is_served_is_what_comes(capacity):
    sink = played(capacity=capacity, frames=20)
    got = sink.frames()
    np.testing.assert_array_equal(got.pixels, frames())
    assert got.index.tolist() == list(range(20))
    assert sink.ends == [("complete", "", 20)]
    assert sink.gaps == sink.rejects == []


@pytest.mark.parametrize(
    "codec", ["zlib", "blosc", "lz4", "lz4hdf5", "bslz4", "bslz4-chunk"]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_packed_frames_are_the_same_frames(codec, dtype):
    sink = played({"codec": codec, "dtype": dtype}, frames=20)
    np.testing.assert_array_equal(sink.frames().pixels, frames(dtype=dtype))
    assert sink.acquisitions[0].metadata["codec"] == codec.removesuffix("-chunk")


def test_jpeg_comes_near():
    sink = played({"codec": "jpeg", "dtype": "uint8"}, frames=20)
    error = sink.frames().pixels.astype(int) - frames(dtype="uint8")
    assert np.abs(error).max() <= 8


def test_what_the_ioc_says_is_in_the_acquisition():
    (found,) = played(frames=20).acquisitions
    assert (found.frame_shape, found.dtype, found.frames) == ((12, 20), "<u2", 20)
    assert found.detector.startswith(f"EPICS channel {PV} at 127.0.0.1:")
    assert found.metadata["timestamps"] == "of the IOC"
    assert found.metadata["first_unique_id"] == 1
    assert found.metadata["attributes"]["Camera"] == "simulated"


def test_the_newest_attributes_are_at_hand():
    with ioc() as server:
        source = detector(server.address, frames=20)
        with running(source) as sink:
            until(lambda: source.intake and source.intake.idle)
            server.play()
            until(lambda: sink.ends)
            stamp, attributes = source.intake.latest
    assert attributes["Temperature"] == pytest.approx(20.020)
    assert stamp == sink.frames().timestamp_ns[-1]


def test_frames_without_a_time_get_that_of_their_reception():
    before = time.time_ns()
    sink = played({"timestamps": False}, frames=20)
    stamps = sink.frames().timestamp_ns
    assert before <= stamps.min() <= stamps.max() <= time.time_ns()
    assert sink.acquisitions[0].metadata["timestamps"] == "of reception"


def test_three_acquisitions_on_one_link():
    sink = played(acquisitions=3, frames=20)
    assert sink.ends == [("complete", "", 20)] * 3
    for k in range(3):
        np.testing.assert_array_equal(sink.frames(k).pixels, frames())


def test_without_a_number_silence_is_the_end():
    sink = played(silence_s=0.3)
    assert sink.ends == [("complete", "no frame came for 0.3 s", 20)]


def test_silence_short_of_what_is_expected_is_a_failure():
    sink = played(silence_s=0.3, frames=25)
    assert sink.ends == [
        ("failed", "no frame came for 0.3 s, after 20 of 25 frames", 20)
    ]


def test_a_scan_says_how_many_frames_there_are():
    settings = {"scan": [4, 4], "flyback": 1}
    sink = played({"frames": 20}, settings)
    assert sink.acquisitions[0].scan.shape == (4, 4)
    assert sink.ends == [("complete", "", 20)]


def test_a_scan_and_a_number_must_agree():
    source = detector("127.0.0.1:9", {"scan": [4, 4]}, frames=20)
    assert source.check() == ["frames = 20, and the scan takes 16"]


def test_what_the_channel_held_before_is_left_out():
    with ioc(frames=20) as server:
        server.play()
        with watching(server, frames=20) as sink:
            until(lambda: len(sink.notes) > 1)
            server.play()
            until(lambda: sink.ends)
    assert "held frame 20 when we came" in sink.notes[1]
    np.testing.assert_array_equal(sink.frames().pixels, frames())


def test_what_the_channel_held_before_can_be_taken():
    with ioc(frames=1) as server:
        server.play()
        with watching_at_once(server, frames=1, take_current=True) as sink:
            until(lambda: sink.ends)
    np.testing.assert_array_equal(sink.frames().pixels, frames(n=1))


def watching_at_once(server, **table):
    return running(detector(server.address, **table))


# -- faults -------------------------------------------------------------------------


def test_every_fault_is_counted_and_nothing_else_is_lost():
    faults = {3: "drop", 6: "duplicate", 8: "reorder", 12: "truncate", 15: "stall"}
    sink = played({"faults": faults}, frames=20)
    assert sorted(sink.gaps) == [(3, 3, "id_gap"), (12, 12, "id_gap")]
    assert causes(sink) == [(1, "duplicate"), (1, "truncated")]
    assert sink.ends == [("complete", "", 20)]
    got = sink.frames()
    assert sorted(got.index.tolist()) == [i for i in range(20) if i not in (3, 12)]
    np.testing.assert_array_equal(got.pixels, frames()[got.index])


def test_the_operator_is_told_once_that_frames_are_lost():
    sink = played({"faults": {3: "drop", 7: "drop", 15: "drop"}}, frames=20)
    assert len([note for note in sink.notes if "PVAccess is lossy" in note]) == 1


def test_a_link_that_breaks_fails_the_acquisition_and_the_next_one_works():
    with ioc(faults={9: "reset"}) as server, watching(server, frames=20) as sink:
        server.play()
        until(lambda: sink.ends, "the loss")
        server.watched.wait(30)
        until(lambda: "left out" not in sink.notes[-1])
        server._params = server._params.model_copy(update={"faults": {}})
        wait_for_channel(server)
        server.play()
        until(lambda: len(sink.ends) == 2, "the next one")
    state, reason, total = sink.ends[0]
    assert state == "failed"
    assert "the IOC closed the link or died" in reason
    assert total == len(sink.frames(0))
    assert sink.ends[1] == ("complete", "", 20)
    np.testing.assert_array_equal(sink.frames(1).pixels, frames())


def wait_for_channel(server):
    """Wait until the empty update of a new link has been taken."""
    until(server.watched.is_set, "the link")
    time.sleep(0.1)


def test_damaged_data_are_counted_as_such():
    with ioc(codec="blosc") as server, watching(server, frames=3) as sink:
        for k in range(3):
            value = ntndarray(frames()[k], unique_id=k + 1, codec="blosc")
            if k == 1:
                value["value"] = ("ubyteValue", value["value"] ^ 0x5A)
            server.post(value)
        until(lambda: sink.ends)
    assert causes(sink) == [(1, "bad_data")]
    assert "frame 1: the blosc data of a frame cannot be unpacked" in sink.rejects[0][2]
    assert sink.gaps == [(1, 1, "bad_data")]
    assert sink.frames().index.tolist() == [0, 2]


def test_colour_is_refused_in_words_and_the_next_frame_is_taken():
    with ioc() as server, watching(server, frames=1) as sink:
        server.post(
            ntndarray(
                np.zeros((4, 5, 3), "u1"), unique_id=1, attributes={"ColorMode": 2}
            )
        )
        until(lambda: sink.rejects)
        server.post(ntndarray(frames()[0], unique_id=2))
        until(lambda: sink.ends)
    assert causes(sink) == [(1, "colour")]
    assert "set ColorMode of the driver to Mono" in sink.rejects[0][2]


def test_a_frame_size_that_changes_ends_the_acquisition():
    with ioc() as server, watching(server, frames=9, silence_s=0.3) as sink:
        server.post(ntndarray(frames()[0], unique_id=1))
        server.post(ntndarray(np.zeros((5, 6), "<u2"), unique_id=2))
        until(lambda: len(sink.ends) == 2)
    assert sink.ends[0][0] == "stopped"
    assert "changed from 12×20 uint16 to 5×6 uint16" in sink.ends[0][1]
    assert sink.acquisitions[1].frame_shape == (5, 6)


def test_numbers_that_jump_back_begin_another_acquisition():
    with ioc() as server, watching(server, silence_s=0.5) as sink:
        for unique_id in (5, 6, 7, 1, 2):
            server.post(ntndarray(frames()[0], unique_id=unique_id))
        until(lambda: len(sink.ends) == 2)
    assert [total for *_, total in sink.ends] == [3, 2]


def test_a_frame_larger_than_the_slab_is_refused_and_the_next_one_works():
    class Small(MemorySink):
        def start(self, acquisition, *, batch_frames=None):
            if acquisition.frame_bytes > 1000:
                raise SlabError("one frame is larger than the slab")
            super().start(acquisition, batch_frames=batch_frames)

    with ioc() as server, watching(server, Small(), frames=1) as sink:
        server.post(ntndarray(np.zeros((50, 50), "u1"), unique_id=1))
        server.post(ntndarray(frames()[0], unique_id=1, timestamp_ns=10**18))
        until(lambda: sink.ends)
    assert causes(sink) == [(1, "oversized")]


def test_a_reader_that_is_slow_costs_frames_that_are_counted():
    class Slow(MemorySink):
        def slot(self):
            time.sleep(0.02)
            return super().slot()

    sink = Slow(capacity=1)
    with ioc(frames=200, fps=2000) as server, watching(server, sink, queue=4):
        server.play()
        until(lambda: sink.ends)
    got = sink.frames().index.tolist()
    missed = sum(last - first + 1 for first, last, cause in sink.gaps)
    assert len(got) + missed == sink.ends[0][2] == 200
    assert missed > 0
    assert {cause for *_, cause in sink.gaps} == {"id_gap"}


# -- a peer that is not there, is something else, or goes away ----------------------


def test_a_channel_that_is_not_there_is_told_and_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        source = detector(address, timeout_s=0.5)
        (problem,) = source.check()
        assert f"no IOC answers for EPICS channel {PV} at {address}" in problem
        with running(source) as sink:
            until(lambda: len(sink.notes) > 1)
    assert "is the IOC running" in sink.notes[1]


def test_another_program_on_the_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        source = detector(f"127.0.0.1:{other.getsockname()[1]}", timeout_s=0.5)
        thread = threading.Thread(target=answer_in_html, args=(other,))
        thread.start()
        (problem,) = source.check()
        other.shutdown(socket.SHUT_RDWR)
        thread.join(MINUTE_S)
    assert "no IOC answers" in problem


def answer_in_html(listener):
    while True:
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>")


def test_another_name_at_the_same_ioc_is_told():
    with ioc() as server:
        (problem,) = detector(
            server.address, pv="13SIM1:Pva2:Image", timeout_s=0.5
        ).check()
    assert "no IOC answers for EPICS channel 13SIM1:Pva2:Image" in problem


def test_an_ioc_that_starts_late_is_found():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    late = running(detector(f"127.0.0.1:{port}", frames=20))
    with late as sink, ioc(port=port) as server:
        assert server.port == port
        wait_for_channel(server)
        server.play()
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 20)]


def test_a_record_that_is_no_image_is_refused_in_words():
    with ioc(driver="13SIM1:cam1:") as server:
        source = detector(server.address, pv="13SIM1:cam1:Acquire")
        words = r"13SIM1:cam1:Acquire is epics:nt/NTScalar:1.0 and no image"
        assert words in source.check()[0]
        with pytest.raises(SourceError, match=words), running(source):
            pass


def test_a_stop_is_noticed_while_nothing_comes():
    with ioc() as server, watching(server):
        pass  # leaving asserts that the thread ends


def test_a_stop_in_mid_series_and_a_start_again():
    with ioc(frames=100_000) as server:
        stopped = threading.Thread(target=server.play)
        with watching(server, frames=100_000) as sink:
            stopped.start()
            until(lambda: len(sink.batches) > 3)
        assert sink.ends == []
        with watching_at_once(server) as again:
            until(lambda: len(again.batches) > 3)
        first = again.frames().index
        assert first.tolist() == list(range(len(first)))
        server.halt.set()
        stopped.join(MINUTE_S)
    assert not stopped.is_alive()


@pytest.mark.parametrize("word", ["nowhere:x", "127.0.0.1:0", "a b", "", "a:99999"])
def test_an_address_that_is_none_is_refused(word):
    with pytest.raises(ValidationError, match="HOST"):
        detector(word)


def test_the_environment_is_left_alone():
    before = dict(os.environ)
    played(frames=20)
    assert dict(os.environ) == before


def test_addresses_are_searched_by_udp():
    with ioc() as server:
        address = f"127.0.0.1:{server.udp_port}"
        source = detector(server.address, servers=[], addresses=[address], frames=20)
        assert source.check() == []
        with running(source) as sink:
            until(lambda: source.intake and source.intake.idle)
            server.play()
            until(lambda: sink.ends)
    assert sink.ends == [("complete", "", 20)]


# -- the driver ---------------------------------------------------------------------

DRIVER = "13SIM1:cam1:"


def armed(**table):
    """Acquisitions that we start, played by a simulator in a thread."""
    server = ioc(driver=DRIVER, **table)
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return server


def serve(server):
    while not server.halt.is_set():
        if server.acquire.wait(0.02):
            server.play()


def test_acquisitions_are_started_through_the_driver():
    arm = {"driver": DRIVER, "exposure_s": 0.002, "acquisitions": 3}
    with armed(frames=64) as server:
        source = detector(server.address, frames=20, arm=arm)
        assert source.check() == []
        sink = MemorySink()
        source.run(sink)
        assert server.record("NumImages") == 20
        assert server.record("AcquireTime") == 0.002
        assert server.record("ImageMode") == 1
        until(lambda: not server.acquire.is_set(), "the stop")
    assert sink.ends == [("complete", "", 20)] * 3
    for k in range(3):
        np.testing.assert_array_equal(sink.frames(k).pixels, frames())


def test_a_driver_that_runs_without_end_is_stopped_when_we_are():
    arm = {"driver": DRIVER, "image_mode": "Continuous"}
    with armed() as server:
        with running(detector(server.address, arm=arm)) as sink:
            until(lambda: len(sink.batches) > 5)
            assert server.acquire.is_set()
        until(lambda: not server.acquire.is_set(), "the stop")


def test_records_that_are_not_there_are_named():
    with ioc() as server:
        source = detector(server.address, arm={"driver": "X:"}, timeout_s=0.5)
        assert "no IOC answers for X:Acquire" in source.check()[0]
        with running(source) as sink:
            until(lambda: len(sink.notes) > 1)
    assert "X:Acquire" in sink.notes[1]
    assert "trying again" in sink.notes[1]


# -- whole engines ------------------------------------------------------------------

PIPELINE = """
[detector]
kind = "epics"
pv = "{pv}"
servers = ["{address}"]
silence_s = 1.0

[acquisition]
scan = [4, 5]

[[chain]]
name = "stem"
[[chain.processor]]
kind = "virtual"
detectors = {{ all = {{ rectangle = [0, 0, 12, 20] }} }}

[[chain]]
name = "pattern"
[[chain.processor]]
kind = "sum"
"""


@pytest.mark.system
def test_a_whole_engine_computes_what_numpy_does(tmp_path):
    with armed(codec="bslz4") as server:
        text = PIPELINE.format(pv=PV, address=server.address)
        arm = f'arm = {{ driver = "{DRIVER}", acquisitions = 2 }}'
        text = text.replace("silence_s", f"{arm}\nsilence_s")
        (tmp_path / "epics.toml").write_text(text, encoding="utf-8")
        done = scopeside(
            tmp_path, "run", "epics.toml",
            "--report", "report.json", "--results", "results",
        )  # fmt: skip
        server.halt.set()
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [a["state"] for a in report["acquisitions"].values()] == ["complete"] * 2
    every = np.load(tmp_path / "results" / "stem.virtual.all.npz")["data"]
    np.testing.assert_array_equal(every.reshape(-1), frames().sum((1, 2)))
    total = np.load(tmp_path / "results" / "pattern.sum.sum.npz")["data"]
    np.testing.assert_array_equal(total, frames().sum(0, dtype=np.int64))


@pytest.mark.system
def test_the_simulator_is_played_from_the_command_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    simulator = subprocess.Popen(
        [
            sys.executable, "-m", "scopeside.cli.main", "simulate", "epics",
            f"port={port}", "shape=[12, 20]", "frames=20", "fps=500", "pause_s=0.3",
            "acquisitions=2",
        ],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        with running(detector(f"127.0.0.1:{port}", frames=20)) as sink:
            until(lambda: len(sink.ends) == 2)
            said, _ = simulator.communicate(timeout=MINUTE_S)
    finally:
        simulator.kill()
    assert "all acquisitions are played" in said
    assert sink.ends == [("complete", "", 20)] * 2
    np.testing.assert_array_equal(sink.frames(1).pixels, frames())


@pytest.mark.system
def test_an_ioc_that_is_killed_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    simulator = subprocess.Popen(
        [
            sys.executable, "-m", "scopeside.cli.main", "simulate", "epics",
            f"port={port}", "shape=[12, 20]", "frames=100000", "pause_s=0.2",
        ],
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with running(detector(f"127.0.0.1:{port}", silence_s=60)) as sink:
            until(lambda: len(sink.batches) > 3)
            simulator.send_signal(signal.SIGKILL)
            simulator.wait()
            until(lambda: sink.ends)
    finally:
        simulator.kill()
    assert sink.ends[0][0] == "failed"
    assert "the IOC closed the link or died" in sink.ends[0][1]
