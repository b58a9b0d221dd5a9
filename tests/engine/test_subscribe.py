"""Results as they are published, and what was missed."""

import threading
import time
from contextlib import contextmanager

import msgpack
import numpy as np
import pytest
import zmq

from scopeside import runfolder
from scopeside.collect.publisher import Publisher
from scopeside.errors import ConfigError, EngineNotFoundError, ProtocolError
from scopeside.publication import VERSION
from scopeside.result import Result
from scopeside.runfolder import RunFolder
from scopeside.subscribe import subscribe

IMAGE = np.arange(6, dtype=np.int64).reshape(2, 3)
PATIENCE_S = 20.0


@contextmanager
def publishing(endpoint="tcp://127.0.0.1:*", run="collector#1"):
    with zmq.Context() as context:
        publisher = Publisher(context, [endpoint], run)
        yield publisher
        publisher.socket.close()


def endpoint_of(publisher):
    return publisher.socket.last_endpoint.decode()


def heard(publisher):
    """Wait for a subscription and return its topic."""
    deadline = time.monotonic() + PATIENCE_S
    while not (fresh := publisher.new_subscriptions()):
        assert time.monotonic() < deadline, "nobody subscribed"
        publisher.socket.poll(100)
    return fresh[0]


def publish(publisher, *values, chain="stem", name="bf", final=False):
    for value in values:
        publisher.publish(
            Result(name, value, frame=4, first=0, used=5, expected=9),
            acquisition="a1",
            chain=chain,
            processor="virtual",
            t_frame_ns=17,
            final=final,
        )


@contextmanager
def subscribed(*, topic="", timeout=PATIENCE_S):
    with (
        publishing() as publisher,
        subscribe(endpoint_of(publisher), topic, timeout) as results,
    ):
        heard(publisher)
        yield publisher, results


def test_a_result_comes_with_the_samples_of_its_last_frame():
    sample = {"value": 21.5, "t_ns": 16, "unit": "K", "age_s": 1e-9}
    with subscribed() as (publisher, results):
        for channels in ({"heat": sample}, {}, None):
            publisher.publish(
                Result("bf", 1),
                acquisition="a1",
                chain="stem",
                processor="virtual",
                t_frame_ns=17,
                final=False,
                channels=channels,
            )
        first, second, third = (next(results) for _ in range(3))
    assert first.meta["channels"] == {"heat": sample}
    assert second.meta["channels"] == {}
    assert "channels" not in third.meta


def test_a_result_comes_with_its_array_and_all_that_is_known_of_it():
    with subscribed() as (publisher, results):
        publish(publisher, IMAGE, final=True)
        result = next(results)
    np.testing.assert_array_equal(result.data, IMAGE)
    assert (result.name, result.kind, result.valid) == ("bf", "image", True)
    assert (result.first, result.frame, result.used, result.expected) == (0, 4, 5, 9)
    assert result.meta["t_published_ns"] > 0
    assert {key: result.meta[key] for key in ("acq", "chain", "processor", "seq")} == {
        "acq": "a1",
        "chain": "stem",
        "processor": "virtual",
        "seq": 0,
    }
    assert (result.meta["final"], result.meta["t_frame_ns"]) == (True, 17)


def test_numbers_come_as_numbers():
    with subscribed() as (publisher, results):
        publish(publisher, 2.5)
        assert next(results).data == 2.5


def test_only_the_topic_that_was_asked_for_comes():
    with subscribed(topic="a1/virtual/adf") as (publisher, results):
        publish(publisher, 1, name="bf")
        publish(publisher, 2, name="adf")
        assert next(results).name == "adf"


def test_the_iteration_ends_after_a_time_without_results():
    with subscribed(timeout=0.05) as (publisher, results):
        publish(publisher, 1, 2)
        assert [result.data for result in results] == [1, 2]
        publish(publisher, 3)
        assert [result.data for result in results] == [3]


def test_a_closed_subscription_has_ended():
    with publishing() as publisher:
        results = subscribe(endpoint_of(publisher))
        results.close()
        results.close()
        assert list(results) == []


def test_missed_results_are_counted_for_each_chain_and_topic():
    with subscribed(timeout=0.05) as (publisher, results):
        publish(publisher, 0, chain="a")
        skip(publisher, chain="a", n=3)
        publish(publisher, 4, chain="a")
        publish(publisher, 0, 1, chain="b")
        assert [result.meta["seq"] for result in results] == [0, 4, 0, 1]
        assert results.missed == 3


def skip(publisher, *, chain, n):
    """Count as published what a slow subscriber does not get."""
    publisher._sequence[(chain, b"a1/virtual/bf")] += n


def test_who_comes_late_has_missed_nothing():
    with subscribed() as (publisher, results):
        publisher._sequence[("stem", b"a1/virtual/bf")] = 41
        publish(publisher, 1)
        assert next(results).meta["seq"] == 42
        assert results.missed == 0


def test_a_restarted_collector_counts_anew():
    with subscribed() as (publisher, results):
        publish(publisher, 0)
        publisher._sequence.clear()
        publisher._run = "collector#2"
        publisher._sequence[("stem", b"a1/virtual/bf")] = 6
        publish(publisher, 7)
        assert [next(results).data, next(results).data] == [0, 7]
        assert results.missed == 0


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([b"a1/virtual/bf"], "wrong_header"),
        ([b"a1/virtual/bf", b"\xc1"], "wrong_header"),
        ([b"a1/virtual/bf", msgpack.packb([1])], "wrong_header"),
        ([b"a1/virtual/bf", msgpack.packb({"v": VERSION})], "wrong_header"),
        ([b"a1/virtual/bf", msgpack.packb({"v": 99})], "wrong_version"),
    ],
)
def test_what_is_no_result_is_a_protocol_error(parts, cause):
    with subscribed() as (publisher, results):
        publisher.socket.send_multipart(parts)
        with pytest.raises(ProtocolError) as refused:
            next(results)
    assert refused.value.cause == cause


def test_the_running_engine_is_found_and_its_end_ends_the_iteration(
    short_path, monkeypatch
):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    got = []

    def listen(results):
        got.extend(result.data for result in results)

    with RunFolder() as folder, publishing(f"ipc://{folder.path}/results") as publisher:
        listening = threading.Thread(target=listen, args=(subscribe(),))
        listening.start()
        heard(publisher)
        publish(publisher, 1, 2)
    listening.join(PATIENCE_S)
    assert not listening.is_alive()
    assert got == [1, 2]


def test_without_an_engine_there_is_nothing_to_subscribe_to(short_path, monkeypatch):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    assert not list(runfolder.running())
    with pytest.raises(EngineNotFoundError):
        subscribe()


def test_an_endpoint_that_is_none_is_refused_by_name():
    with pytest.raises(ConfigError, match="cannot subscribe to 'somewhere'"):
        subscribe("somewhere")


def test_ctrl_c_in_the_loop_closes_the_socket():
    with publishing() as publisher:
        results = subscribe(endpoint_of(publisher))
        heard(publisher)
        publish(publisher, 1)
        with pytest.raises(KeyboardInterrupt):
            interrupted_in_the_loop(results)
        assert results._socket.closed


def interrupted_in_the_loop(results):
    with results:
        for _ in results:
            raise KeyboardInterrupt
