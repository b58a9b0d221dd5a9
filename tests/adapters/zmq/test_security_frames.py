"""Frames from other machines, over real sockets: who may push, and who may not."""

import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest
import zmq
from pydantic import ValidationError
from tests.doubles import MemorySink
from tests.hostile import acquisition

from scopeside.detector import StopRequested
from scopeside.errors import ConfigError
from scopeside.security import entrance, ring
from scopeside.security.keys import read_passport, write_pair
from scopeside.security.ring import admit, remove
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.zmq.receiver import Receiver
from scopeside_adapters.zmq.simulator import Producer
from scopeside_adapters.zmq.source import ZmqDetector

FRAMES = np.random.default_rng(2024).poisson(40, (50, 4, 6)).astype("<u2")
PATIENCE_S = 20.0
NOBODY_MS = 200


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


class Site:
    """A detector that wants keys, and two programs that have some."""

    def __init__(self, folder, stack):
        self.keys = folder / "keys"
        self.stack = stack
        for name, role in [("cam", "ingest"), ("laptop", "observe")]:
            admit(self.keys, name, [role])
        self.sink = MemorySink()
        params = {"bind": "tcp://127.0.0.1:0", "keys": self.keys}
        source = ZmqDetector(
            ZmqDetector.Params.model_validate(params), AcquisitionSettings()
        )
        self.thread = threading.Thread(target=self.run, args=(source,))
        self.thread.start()
        stack.callback(self.stop)
        until(lambda: self.sink.notes)
        self.endpoint = self.sink.notes[0].split()[-1]

    def run(self, source):
        with pytest.raises(StopRequested):
            source.run(self.sink)

    def stop(self):
        self.sink.stopping = True
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()

    def producer(self, name):
        secret = self.keys / f"{name}.key_secret"
        made = Producer(self.endpoint, timeout_s=PATIENCE_S, linger_s=0, keys=secret)
        self.stack.callback(made.close, at_once=True)
        return made

    def push(self):
        """A plain PUSH socket that is not connected yet."""
        context = zmq.Context()
        self.stack.callback(context.destroy, linger=0)
        socket = context.socket(zmq.PUSH)
        socket.immediate = True  # nothing is queued for one that does not let it in
        self.stack.callback(socket.close, linger=0)
        return socket

    def told(self, text):
        until(lambda: any(text in note for note in self.sink.notes))


@pytest.fixture
def site(tmp_path):
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_who_has_the_role_ingest_pushes_frames(site):
    site.producer("cam").play(acquisition(), FRAMES)
    until(lambda: site.sink.ends)
    np.testing.assert_array_equal(site.sink.frames().pixels, FRAMES)
    assert not site.sink.rejects


def test_without_a_key_nothing_is_taken_and_it_is_said(site):
    push = site.push()
    push.connect(site.endpoint)
    # Which of the two ends hangs up first is chance, and so is the rest of the words.
    site.told("frames: a program came")
    site.told("it was not let in")
    assert not push.poll(NOBODY_MS, zmq.POLLOUT)


def test_a_key_of_another_role_is_not_let_in(site):
    push = site.push()
    read_passport(site.keys / "laptop.key_secret").put_on(push)
    push.connect(site.endpoint)
    site.told(f"came with a key that {site.keys} does not name; it was not let in")
    assert not push.poll(NOBODY_MS, zmq.POLLOUT)


def test_a_key_with_the_secret_of_another_is_not_let_in(site, tmp_path):
    push = site.push()
    cam = read_passport(site.keys / "cam.key_secret")
    push.curve_serverkey = cam.server.encode()
    push.curve_publickey = cam.pair.public.encode()
    push.curve_secretkey = write_pair("x", tmp_path)[0].secret.encode()
    push.connect(site.endpoint)
    site.told("it was not let in")
    assert not push.poll(NOBODY_MS, zmq.POLLOUT)


def test_who_takes_another_for_the_engine_sends_it_nothing(site, tmp_path):
    push = site.push()
    cam = read_passport(site.keys / "cam.key_secret")
    other = write_pair("other", tmp_path)[0]
    cam._replace(server=other.public).put_on(push)
    push.connect(site.endpoint)
    site.told("a key that was not its own, or for another server; it was not let in")
    assert not push.poll(NOBODY_MS, zmq.POLLOUT)


def test_a_flood_of_garbage_does_not_stop_who_is_in(site):
    stop, context = threading.Event(), zmq.Context()

    def flood():
        while not stop.is_set():
            with context.socket(zmq.STREAM) as socket:
                socket.linger = 0
                socket.connect(site.endpoint)
                socket.send_multipart([socket.recv(), b"\xff" * 4096])

    producer = site.producer("cam")
    producer.start(acquisition())
    until(lambda: site.sink.acquisitions)
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        site.told("when there was no room")
        for first in range(0, len(FRAMES), 5):
            producer.batch(FRAMES[first : first + 5], first)
        producer.end(len(FRAMES))
        until(lambda: site.sink.ends)
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        context.destroy(linger=0)
    np.testing.assert_array_equal(site.sink.frames().pixels, FRAMES)


def test_a_key_that_is_removed_cuts_the_link(site, monkeypatch):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    monkeypatch.setattr(entrance, "MIND_S", 0.0)
    producer = site.producer("cam")
    producer.start(acquisition())
    until(lambda: site.sink.acquisitions)
    remove(site.keys, "cam")
    site.told("frames: the key of cam is withdrawn; its link is cut")


def test_what_comes_by_a_key_that_is_removed_is_counted_and_not_taken(
    tmp_path, monkeypatch
):
    keys = tmp_path / "keys"
    admit(keys, "cam", ["ingest"])
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    monkeypatch.setattr(entrance, "MIND_S", 1e9)
    with ExitStack() as stack:
        receiver = stack.enter_context(
            Receiver("tcp://127.0.0.1:0", rcvhwm=8, largest_part=1 << 20, keys=keys)
        )
        secret = keys / "cam.key_secret"
        producer = Producer(receiver.endpoint, timeout_s=PATIENCE_S, keys=secret)
        stack.callback(producer.close, at_once=True)
        producer.end(0)
        until(lambda: receiver.receive(100))
        remove(keys, "cam")
        producer.end(0)
        until(lambda: receiver.receive(100) or receiver.refused)
        assert receiver.refused == 1


def test_keys_that_are_of_no_use_are_found_before_the_run(tmp_path):
    params = {"bind": "tcp://127.0.0.1:0", "keys": tmp_path / "none"}
    source = ZmqDetector(
        ZmqDetector.Params.model_validate(params), AcquisitionSettings()
    )
    (said,) = source.check()
    assert said.startswith("keys: cannot read the key folder")
    with pytest.raises(ConfigError, match="cannot read the key folder"):
        source.run(MemorySink())


def test_an_address_that_is_open_is_said_loudly_at_the_start(monkeypatch):
    monkeypatch.setattr("scopeside.security.bulk.of_this_machine", lambda _: False)
    params = ZmqDetector.Params.model_validate(
        {"bind": "tcp://127.0.0.1:0", "plaintext": True}
    )
    sink = MemorySink()
    sink.stopping = True
    with pytest.raises(StopRequested):
        ZmqDetector(params, AcquisitionSettings()).run(sink)
    assert sink.notes[0].startswith("PLAINTEXT: frames at tcp://127.0.0.1:")


def test_a_producer_needs_a_file_that_names_its_engine(tmp_path):
    path = write_pair("blue", tmp_path)[2]
    with pytest.raises(ConfigError, match="does not say which engine it is for"):
        Producer("tcp://127.0.0.1:5555", keys=path)


@pytest.mark.parametrize("mib", [0, 4097])
def test_the_size_of_a_message_is_bounded(mib):
    with pytest.raises(ValidationError, match="max_message_mib"):
        ZmqDetector.Params(max_message_mib=mib)
