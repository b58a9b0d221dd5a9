"""The dectris detector against simulators that other people wrote."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq
from tests.adapters.dectris.detecting import running, until
from tests.doubles import MemorySink

from scopeside.settings import AcquisitionSettings
from scopeside_adapters.dectris.source import DectrisDetector

pytestmark = pytest.mark.peers

HERE = Path(__file__).parent
TICKIT = Path(
    os.environ.get("SCOPESIDE_TICKIT", HERE.parents[1] / ".venv-tickit/bin/tickit")
)
EIGER_SHAPE = (4362, 4148)


def detector(**table):
    params = DectrisDetector.Params.model_validate({"host": "127.0.0.1", **table})
    return DectrisDetector(params, AcquisitionSettings())


@contextmanager
def process(*command, **options):
    """A process group that does not outlive the test."""
    started = subprocess.Popen(
        list(map(str, command)), start_new_session=True, text=True, **options
    )
    try:
        yield started
    finally:
        kill(started)
        if started.stdout:
            started.stdout.close()


def kill(started):
    """Kill a peer with the processes that it has started."""
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


# -- LiberTEM-live: V1 and SIMPLON ----------------------------------------------------


@pytest.fixture
def libertem(request):
    """LiberTEM-live's simulator with 200 frames; its process and our settings."""
    pytest.importorskip("libertem_live", reason="libertem-live is not installed")
    pytest.importorskip("flask", reason="its simulator needs flask")
    microseconds = getattr(request, "param", 0)
    script = (sys.executable, HERE / "dectris_sim.py", 200, microseconds)
    with process(*script, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        api, stream = map(int, started.stdout.readline().split())
        yield started, {"api_port": api, "port": stream, "stream": "v1", "arm": True}


def put(port, path, value=None):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps({} if value is None else {"value": value}).encode(),
        method="PUT",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def test_three_series_of_libertem_live_come_whole(libertem):
    _, table = libertem
    with running(detector(**table), MemorySink(capacity=64)) as sink:
        until(lambda: len(sink.ends) >= 3)
    assert sink.ends[:3] == [("complete", "", 200)] * 3
    assert sink.rejects == sink.gaps == []
    for k in range(3):
        got = sink.frames(k)
        assert got.index.tolist() == list(range(200))
        assert got.pixels.shape == (200, 512, 512)


def test_the_sums_are_those_of_the_same_messages_decoded_otherwise(libertem):
    """The pure-Python way: pyzmq, json, and the library's own function."""
    from dectris.compression import decompress

    _, table = libertem
    with running(detector(**table), MemorySink(capacity=64)) as sink:
        until(lambda: sink.ends)
    # Closed even if this fails: an open socket among garbage would hang the rest.
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.connect(f"tcp://127.0.0.1:{table['port']}")
        time.sleep(0.5)
        put(table["api_port"], "/detector/api/1.8.0/command/arm")
        sums = {}
        while len(sums) < 200 and pull.poll(5000):
            parts = pull.recv_multipart()
            head = json.loads(parts[0])
            if head.get("htype") == "dimage-1.0":
                form = json.loads(parts[1])
                width, height = form["shape"]
                size = (width * height * 2).to_bytes(8, "big")
                # The simulator leaves the header of the blob empty.
                blob = size + (8192).to_bytes(4, "big") + parts[2][12:]
                pixels = np.frombuffer(decompress(blob, "bslz4", elem_size=2), "<u2")
                sums[head["frame"]] = int(pixels.sum())
    got = sink.frames(0)
    ours = got.pixels.sum(axis=(1, 2), dtype=np.int64)
    assert dict(zip(got.index.tolist(), ours.tolist(), strict=True)) == sums


@pytest.mark.parametrize("libertem", [20_000], indirect=True)
def test_libertem_live_that_is_killed_in_mid_series_is_named(libertem):
    peer, table = libertem
    with running(detector(**table)) as sink:
        until(lambda: sink.batches)
        kill(peer)
        until(lambda: sink.ends)
    ((state, reason, _),) = sink.ends
    assert state == "failed"
    assert "was lost in mid-series: its stream at 127.0.0.1" in reason


# -- tickit-devices: V1, V2 and SIMPLON -----------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def tickit(tmp_path_factory):
    """tickit-devices' EIGER 16M; its ports by what they are."""
    if not TICKIT.exists():
        pytest.skip(
            f"tickit-devices is not at {TICKIT}; 'make test' puts it there, "
            "SCOPESIDE_TICKIT names another place"
        )
    folder = tmp_path_factory.mktemp("tickit")
    ports = {"api": free_port(), "v1": free_port(), "v2": free_port()}
    config = folder / "eiger.yaml"
    config.write_text(
        f"""
- type: tickit_devices.eiger.Eiger
  inputs: {{}}
  name: eiger
  host: 127.0.0.1
  port: {ports["api"]}
  stream_host: 127.0.0.1
  stream_legacy_port: {ports["v1"]}
  stream_cbor_port: {ports["v2"]}
"""
    )
    log = (folder / "log").open("w")
    script = (TICKIT.parent / "python", HERE / "tickit_bound.py", config)
    with log, process(*script, stdout=log, stderr=log):
        until(lambda: answers(ports["api"]))
        yield ports


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 0.1):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("stream", ["v2", "v1"])
def test_three_series_of_tickit_come_whole(tickit, stream):
    table = {
        "api_port": tickit["api"],
        "port": tickit[stream],
        "stream": stream,
        "arm": True,
        "initialize": True,
        "trigger_mode": "ints",
        "nimages": 2,
        "ntrigger": 1,
        "frame_time_s": 0.01,
    }
    with running(detector(**table), MemorySink(capacity=4)) as sink:
        until(lambda: len(sink.ends) >= 3)
    assert sink.ends[:3] == [("complete", "", 2)] * 3
    assert sink.rejects == sink.gaps == []
    for k in range(3):
        got = sink.frames(k)
        assert got.pixels.shape == (2, *EIGER_SHAPE)
        assert got.pixels.dtype == np.uint16
        assert got.index.tolist() == [0, 1]
        np.testing.assert_array_equal(got.pixels[0], got.pixels[1])
    assert any("armed for series 2 and sends series" in note for note in sink.notes)


def test_the_pixels_of_tickit_are_those_of_the_message_decoded_otherwise(tickit):
    """The pure-Python way: pyzmq, cbor2, and the library's own function."""
    import cbor2
    from dectris.compression import decompress

    table = {
        "api_port": tickit["api"],
        "port": tickit["v2"],
        "arm": True,
        "initialize": True,
        "trigger_mode": "ints",
        "nimages": 1,
        "ntrigger": 1,
    }
    with running(detector(**table), MemorySink(capacity=4)) as sink:
        until(lambda: sink.ends)
    # Closed even if this fails: an open socket among garbage would hang the rest.
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.connect(f"tcp://127.0.0.1:{tickit['v2']}")
        time.sleep(0.5)
        command = "/detector/api/1.8.0/command"
        put(tickit["api"], f"{command}/arm")
        put(tickit["api"], f"{command}/trigger")
        said = {}
        while said.get("type") != "image" and pull.poll(5000):
            said = cbor2.loads(pull.recv())
    (array,) = said["data"].values()
    name, element, blob = array.value[1].value.value
    pixels = np.frombuffer(decompress(blob, name, elem_size=element), "<u2")
    np.testing.assert_array_equal(
        sink.frames(0).pixels[0], pixels.reshape(array.value[0])
    )
