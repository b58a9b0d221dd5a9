"""What will go wrong is said before anything is started."""

import socket
from pathlib import Path

import pytest
from tests.engine.small import raw

from scopeside import preflight
from scopeside.device import choose
from scopeside.errors import ConfigError
from scopeside.pipeline import Pipeline
from scopeside.preflight import problems
from scopeside.settings import ServerSettings
from scopeside.supervise.session import wanted_port


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def checked(device="cpu", **tables):
    values = raw(("stem", {"Counts": {}}, {"device": device}))
    return problems(Pipeline.from_raw({**values, **tables}, folder=Path.cwd()))


def test_nothing_is_wrong_with_a_good_pipeline():
    assert checked() == []


def test_the_detector_is_asked():
    detector = {"kind": "tests.engine.small:Nothing", "complaint": "no beam"}
    assert checked(detector=detector) == ["detector: no beam"]


@pytest.mark.parametrize("key", ["results", "metrics"])
def test_a_port_that_is_taken_is_named(taken, key):
    (problem,) = checked(**{key: {"port": taken}})
    assert problem == f"{key}.port: {taken} on 127.0.0.1 is taken by another program"


def test_one_port_cannot_be_two():
    found = checked(results={"port": 18990}, metrics={"port": 18990})
    assert "metrics.port: 18990 is asked for results as well" in found


def test_too_little_memory_is_told(monkeypatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: 100 << 20)
    (problem,) = checked(slab={"mib": 95})
    assert (
        problem
        == "slab.mib: 95 MiB of shared memory are asked for and 100 MiB are free"
    )


def test_memory_of_which_nothing_is_known_is_no_problem(monkeypatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: None)
    assert checked(slab={"mib": 95}) == []


def warned(device):
    values = raw(("stem", {"Counts": {}}, {"device": device}))
    values["chain"][0]["processor"][0]["kind"] = "tests.engine.on_card:CardCounts"
    pipeline = Pipeline.from_raw(values, folder=Path.cwd())
    assert problems(pipeline) == []
    return preflight.warnings(pipeline)


def test_a_gpu_that_is_not_there_is_named_and_refuses_nothing(monkeypatch):
    monkeypatch.setattr(choose, "gpu_problem", lambda: "this machine has none")
    assert warned("gpu:1") == [
        "chain[0].device: 'gpu:1': this machine has none; the CPU will do its work"
    ]


def test_a_gpu_that_no_processor_of_the_chain_can_use_is_named(monkeypatch):
    monkeypatch.setattr(choose, "gpu_problem", lambda: None)
    values = raw(("stem", {"Counts": {}}, {"device": "gpu"}))
    (found,) = preflight.warnings(Pipeline.from_raw(values, folder=Path.cwd()))
    assert "none of its processors has a GPU version" in found


def test_a_gpu_that_is_there_is_no_matter(monkeypatch):
    monkeypatch.setattr(choose, "gpu_problem", lambda: None)
    assert warned("gpu") == []


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_who_does_not_insist_on_a_gpu_is_not_warned(monkeypatch, device):
    monkeypatch.setattr(choose, "gpu_problem", lambda: "none")
    assert warned(device) == []


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(taken):
    with pytest.raises(
        ConfigError, match=rf"metrics\.port: {taken} .* leave it out to get"
    ):
        wanted_port(ServerSettings(port=taken), 8767, "metrics")


def test_the_usual_port_is_tried_where_none_is_asked_for(taken):
    assert wanted_port(ServerSettings(), taken, "metrics") == taken
