"""The push clients for other people's programs, run against doubles of those."""

import importlib.util
import sys
import threading
import time
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.zmq.source import ZmqDetector

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 20.0
FRAMES = np.random.default_rng(2024).poisson(40, (12, 6, 8)).astype("<u2")


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


@contextmanager
def engine():
    """A zmq detector; gives its sink and its endpoint."""
    params = ZmqDetector.Params.model_validate({"bind": "tcp://127.0.0.1:0"})
    sink = MemorySink()

    def run():
        with pytest.raises(StopRequested):
            ZmqDetector(params, AcquisitionSettings()).run(sink)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: sink.notes)
        yield sink, sink.notes[0].split()[-1]
        until(lambda: sink.ends)
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


class SwiftCamera:
    """A hardware source as Swift's scripts see it; nothing but what is used."""

    def __init__(self, frames):
        self._frames = list(frames)
        self.closed = False

    def create_view_task(self, buffer_size):
        return self

    def grab_earliest(self):
        return [types.SimpleNamespace(data=self._frames.pop(0))]

    def close(self):
        self.closed = True


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<f4"])
def test_swift_pushes_what_its_camera_takes(dtype):
    camera = SwiftCamera(FRAMES.astype(dtype))
    with engine() as (sink, endpoint):
        name = load("nion_swift_push").push(camera, endpoint, len(FRAMES))
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES)
    assert sink.acquisitions[0].id == name
    assert sink.ends == [("complete", "", 12)]
    assert camera.closed


class LiveImage:
    """An image of DigitalMicrograph that a camera writes into from another thread."""

    def __init__(self):
        self._pixels = np.zeros((6, 8), ">u2")

    def GetNumArray(self):
        return self._pixels

    def show(self, frame):
        self._pixels[...] = frame


@pytest.fixture
def dm(monkeypatch):
    module = types.ModuleType("DigitalMicrograph")
    monkeypatch.setitem(sys.modules, "DigitalMicrograph", module)
    script = load("gatan_dm_push")
    monkeypatch.setattr(script, "SILENCE_S", 0.5)
    return script


@pytest.mark.parametrize(("asked", "state"), [(12, "complete"), (20, "stopped")])
def test_dm_pushes_each_change_of_the_live_image(dm, asked, state):
    image = LiveImage()
    image.show(FRAMES[0])
    with engine() as (sink, endpoint):
        pushing = threading.Thread(target=dm.push, args=(image, endpoint, asked))
        pushing.start()
        for number, frame in enumerate(FRAMES):
            image.show(frame)
            until(lambda n=number: sum(len(b.index) for b in sink.batches) > n)
        pushing.join(PATIENCE_S)
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES)
    assert sink.ends == [(state, "", 12)]


def test_the_clients_need_nothing_of_scopeside():
    for name in ("nion_swift_push", "gatan_dm_push"):
        text = (EXAMPLES / f"{name}.py").read_text()
        assert "import scopeside" not in text
        assert len(text.splitlines()) < 80
