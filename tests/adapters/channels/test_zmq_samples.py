"""The zmq channel on real sockets."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest
import zmq
from pydantic import ValidationError
from tests.adapters.channels.memory import MemoryChannelSink, running, until

from scopeside.errors import SourceError
from scopeside_adapters.channels import zmq_samples as module
from scopeside_adapters.channels.simulate import SampleSimulator
from scopeside_adapters.channels.zmq_samples import ZmqSamples


@pytest.fixture
def endpoint(tmp_path):
    return f"ipc://{tmp_path}/samples"


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def source(endpoint, **more):
    return ZmqSamples(ZmqSamples.Params.model_validate({"bind": endpoint, **more}))


def packed(value, name="t", **more):
    said = {"name": name, "t_ns": value, "value": value, **more}
    return msgpack.packb(said)


@contextmanager
def pushing(context, endpoint):
    socket = context.socket(zmq.PUSH)
    socket.linger = 1000
    socket.connect(endpoint)
    try:
        yield socket
    finally:
        socket.close()


def test_samples_of_its_name_are_taken(context, endpoint):
    with running(source(endpoint)) as sink, pushing(context, endpoint) as socket:
        for value in range(1, 4):
            socket.send(packed(value))
        until(lambda: len(sink.found) == 3)
    assert sink.found == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert "waits for samples of 't' at ipc://" in sink.notes[0]


def test_channels_of_one_endpoint_share_it_whoever_comes_first(context, endpoint):
    first, second = MemoryChannelSink("a"), MemoryChannelSink("b")
    with running(source(endpoint), first), pushing(context, endpoint) as socket:
        until(lambda: first.notes)
        socket.send(packed(1, "b"))
        socket.send(packed(2, "a"))
        until(lambda: first.found)
        with running(source(endpoint), second):
            until(lambda: second.found)
            socket.send(packed(3, "b"))
            until(lambda: len(second.found) == 2)
    assert first.found == [(2, 2.0)]
    assert second.found == [(1, 1.0), (3, 3.0)]
    assert module._INTAKES == {}


def test_it_subscribes_to_a_publisher(request, context, tmp_path):
    endpoint = f"ipc://{tmp_path}/pub"
    publisher = context.socket(zmq.XPUB)
    request.addfinalizer(publisher.close)
    publisher.bind(endpoint)
    params = {"connect": endpoint, "topic": "lab", "key": "heater"}
    with running(ZmqSamples(ZmqSamples.Params.model_validate(params))) as sink:
        assert publisher.recv() == b"\x01lab"
        publisher.send_multipart([b"kitchen", packed(1, "heater")])
        publisher.send_multipart([b"lab", packed(2, "heater")])
        until(lambda: sink.found)
    assert sink.found == [(2, 2.0)]


def test_what_is_no_sample_is_counted_and_the_next_is_taken(context, endpoint):
    with running(source(endpoint)) as sink, pushing(context, endpoint) as socket:
        for message in (b"garbage", packed("hot"), packed(2)):
            socket.send(message)
        until(lambda: sink.found and len(sink.rejects) == 2)
    assert [cause for _, cause, _ in sink.rejects] == ["wrong_message", "wrong_value"]


def test_another_unit_than_the_pipeline_file_says_is_refused(context, endpoint):
    sink = MemoryChannelSink(unit="K")
    with running(source(endpoint), sink), pushing(context, endpoint) as socket:
        socket.send(packed(1, unit="degC"))
        socket.send(packed(2, unit="K"))
        socket.send(packed(3))
        until(lambda: len(sink.found) == 2)
    assert sink.found == [(2, 2.0), (3, 3.0)]
    ((n, cause, message),) = sink.rejects
    assert (n, cause) == (1, "wrong_unit")
    assert "'degC'; the pipeline file says 'K'" in message


def test_a_name_that_nobody_asked_for_is_told(context, endpoint, monkeypatch):
    monkeypatch.setattr(module, "STRANGE_AFTER_S", 0.0)
    with running(source(endpoint)) as sink, pushing(context, endpoint) as socket:
        until(lambda: sink.notes)
        socket.send(packed(1, "T"))
        socket.send(packed(2, "T"))
        until(lambda: len(sink.notes) == 2)
        socket.send(packed(3))
        until(lambda: sink.found)
    assert sink.notes[1] == "samples of 'T' come; asked for are 't'"


def test_a_message_that_is_too_large_is_not_taken(context, endpoint):
    with running(source(endpoint)) as sink, pushing(context, endpoint) as socket:
        until(lambda: sink.notes)
        socket.send(b"{" + b" " * (2 << 20))
        with pushing(context, endpoint) as other:
            other.send(packed(1))
            until(lambda: sink.found)


def test_an_endpoint_that_is_taken_is_named(request, context):
    socket = context.socket(zmq.PULL)
    request.addfinalizer(socket.close)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    taken = source(f"tcp://127.0.0.1:{port}")
    (problem,) = taken.check()
    assert "Address already in use" in problem
    with running(taken) as sink:
        until(lambda: sink.error)
    assert isinstance(sink.error, SourceError)
    assert f"cannot take samples at tcp://127.0.0.1:{port}" in str(sink.error)


@pytest.mark.parametrize("key", ["bind", "connect"])
@pytest.mark.parametrize("place", ["tcp://0.0.0.0:5556", "tcp://*:5556", "udp://x"])
def test_other_machines_are_refused(key, place):
    with pytest.raises(ValidationError, match=r"127\.0\.0\.1"):
        ZmqSamples.Params.model_validate({key: place})


def test_bind_and_connect_exclude_each_other():
    table = {"bind": "ipc:///tmp/a", "connect": "ipc:///tmp/b"}
    with pytest.raises(ValidationError, match="choose one"):
        ZmqSamples.Params.model_validate(table)
    with pytest.raises(ValidationError, match="topic goes with connect"):
        ZmqSamples.Params.model_validate({"topic": "x"})


@pytest.mark.parametrize("as_json", [False, True])
def test_the_simulator_pushes_a_ramp(endpoint, as_json):
    table = {"to": endpoint, "samples": 5, "period_s": 0.001, "per_s": 1000.0}
    params = SampleSimulator.Params.model_validate(
        {**table, "as_json": as_json, "unit": "K"}
    )
    simulator, said = SampleSimulator(params), []
    sink = MemoryChannelSink("temperature", "K")
    with running(source(endpoint), sink):
        thread = threading.Thread(target=simulator.run, args=(said.append,))
        thread.start()
        until(lambda: len(sink.found) == 5)
        thread.join()
    assert sink.found == simulator.sent
    assert [value for _, value in sink.found] == pytest.approx([20, 21, 22, 23, 24])
    assert said[-1] == "5 samples sent"


def test_the_example_producer_is_understood(endpoint):
    program = Path(__file__).parents[3] / "examples/push_samples.py"
    with (
        subprocess.Popen([sys.executable, str(program), endpoint]) as producer,
        running(source(endpoint), MemoryChannelSink("temperature")) as sink,
    ):
        until(lambda: len(sink.found) >= 2)
        producer.kill()
    assert [value for _, value in sink.found[:2]] == [20.0, 20.1]
    assert sink.rejects == []
