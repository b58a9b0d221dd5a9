"""Samples from other machines, over real sockets: who may push, and who may not."""

from contextlib import ExitStack, contextmanager

import pytest
import zmq
from tests.adapters.channels.memory import running, until

from scopeside.errors import ConfigError
from scopeside.security import entrance, ring
from scopeside.security.keys import read_passport
from scopeside.security.ring import admit, remove
from scopeside_adapters.channels.zmq_samples import ZmqSamples, ZmqSamplesParams

SAMPLE = b'{"name": "heat", "t_ns": 5, "value": 1.5}'
NOBODY_MS = 200


@pytest.fixture
def keys(tmp_path):
    for name, role in [("stage", "ingest"), ("laptop", "observe")]:
        admit(tmp_path / "keys", name, [role])
    return tmp_path / "keys"


@contextmanager
def listening(keys):
    params = ZmqSamplesParams(bind="tcp://127.0.0.1:0", key="heat", keys=keys)
    with running(ZmqSamples(params)) as sink:
        until(lambda: sink.notes)
        yield sink, sink.notes[0].split()[-1]


@contextmanager
def pushing(endpoint, secret=None):
    with ExitStack() as stack:
        context = zmq.Context()
        stack.callback(context.destroy, linger=0)
        socket = context.socket(zmq.PUSH)
        socket.immediate = True
        if secret is not None:
            read_passport(secret).put_on(socket)
        socket.connect(endpoint)
        yield socket


def test_who_has_the_role_ingest_pushes_samples(keys):
    with (
        listening(keys) as (sink, endpoint),
        pushing(endpoint, keys / "stage.key_secret") as socket,
    ):
        socket.send(SAMPLE)
        until(lambda: sink.found)
    assert sink.found == [(5, 1.5)]


@pytest.mark.parametrize("name", [None, "laptop"])
def test_nobody_else_does_and_it_is_said(keys, name):
    secret = None if name is None else keys / f"{name}.key_secret"
    with (
        listening(keys) as (sink, endpoint),
        pushing(endpoint, secret) as socket,
    ):
        until(lambda: any("it was not let in" in note for note in sink.notes))
        assert not socket.poll(NOBODY_MS, zmq.POLLOUT)


def test_a_key_that_is_removed_cuts_the_link(keys, monkeypatch):
    monkeypatch.setattr(ring, "LOOK_S", 0.0)
    monkeypatch.setattr(entrance, "MIND_S", 0.0)
    with (
        listening(keys) as (sink, endpoint),
        pushing(endpoint, keys / "stage.key_secret") as socket,
    ):
        socket.send(SAMPLE)
        until(lambda: sink.found)
        remove(keys, "stage")
        said = "samples: the key of stage is withdrawn; its link is cut"
        until(lambda: said in sink.notes)


def test_keys_that_are_of_no_use_are_found_before_and_at_the_run(tmp_path):
    params = ZmqSamplesParams(bind="tcp://127.0.0.1:0", keys=tmp_path / "none")
    (said,) = ZmqSamples(params).check()
    assert said.startswith("keys: cannot read the key folder")
    with running(ZmqSamples(params)) as sink:
        until(lambda: sink.error)
    assert isinstance(sink.error, ConfigError)
    assert "cannot read the key folder" in str(sink.error)
