"""Results for those who look at them: not as often as can be, events at once."""

import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import zmq
from tests.engine.parts import LEDGER, collector, parts_of
from tests.engine.small import acquisition, pipeline

from scopeside.collect import paced as module
from scopeside.collect.journal import Journal
from scopeside.collect.paced import EVERY_S, SHARE, Paced
from scopeside.collect.publisher import Publisher
from scopeside.collect.publishing import Publishing
from scopeside.result import Result, invalid
from scopeside.subscribe import subscribe

PATIENCE_S = 20.0
IMAGE = ("virtual", Result("bf", np.ones((2, 3))))
EVENT = ("find", Result("event", {"at": [1, 2]}, "event"))


class Clock:
    """Time passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def held(*results, name="a"):
    master = SimpleNamespace(results=lambda: iter(results))
    return SimpleNamespace(
        acquisition=SimpleNamespace(id=name), masters={"stem": master, "view": master}
    )


class Bench:
    """A `Paced`, and what it has published."""

    def __init__(self, clock, took_s=0.0):
        self.said, self._clock, self._took_s = [], clock, took_s
        self.paced = Paced(self._publish)

    def _publish(self, held, chain, results):
        found = [(chain, result.name) for _, result in results]
        self.said += found
        self._clock.now += self._took_s

    def turn(self, one, fresh=()):
        self.paced.add(one, "stem", fresh)
        self.paced.publish_if_due({one.acquisition.id: one})


def test_what_is_new_comes_ten_times_a_second_however_often_it_is_new(clock):
    bench, one = Bench(clock), held(IMAGE)
    for _ in range(1000):
        bench.turn(one)
        clock.now += 0.001
    assert 10 <= len(bench.said) <= 1 + 1 / EVERY_S


def test_why_there_is_no_value_is_said_like_a_value(clock):
    bench, one = Bench(clock), held(("com", invalid("icom", "needs scan_step_m")))
    bench.turn(one)
    assert bench.said == [("stem", "icom")]


def test_events_come_at_once_and_each_once(clock):
    bench, one = Bench(clock), held(IMAGE, EVENT)
    bench.turn(one)
    for _ in range(3):
        clock.now += 0.001
        bench.turn(one, [EVENT, IMAGE])
    assert bench.said == [("stem", "bf")] + 3 * [("stem", "event")]


def test_what_takes_long_to_publish_is_published_less_often(clock):
    bench, one = Bench(clock, took_s=1.0), held(IMAGE)
    bench.turn(one)
    clock.now += SHARE - 0.01
    bench.turn(one)
    assert len(bench.said) == 1
    clock.now += 0.02
    bench.turn(one)
    assert len(bench.said) == 2


def test_only_the_chains_that_have_something_new_are_asked(clock):
    bench, one = Bench(clock), held(IMAGE)
    bench.paced.add(one, "view", ())
    bench.paced.publish({"a": one})
    assert bench.said == [("view", "bf")]
    assert bench.paced.wait_s() is None


def test_the_next_time_is_known_while_there_is_something_new(clock):
    bench, one = Bench(clock), held(IMAGE)
    assert bench.paced.wait_s() is None
    bench.turn(one)
    clock.now += 0.01
    bench.paced.add(one, "stem", ())
    assert bench.paced.wait_s() == pytest.approx(EVERY_S - 0.01)


def test_an_acquisition_that_is_not_held_any_more_is_left_out(clock):
    bench = Bench(clock)
    bench.paced.add(held(IMAGE), "stem", ())
    bench.paced.publish({})
    assert bench.said == []


# -- on the wire -----------------------------------------------------------------------

PIPELINE = pipeline(("free", {"Counts": {}}, {}))


class Engine:
    """A collector that publishes, and the parts of an acquisition of ten frames."""

    def __init__(self, context, fds):
        self.collector = collector(PIPELINE, fds)
        self.publisher = Publisher(context, ["tcp://127.0.0.1:*"], "collector#1")
        self.publishing = Publishing(self.collector, self.publisher)
        shot = acquisition("a")
        self.collector.start(shot.to_dict())
        groups = [[(k, 1)] for k in range(10)]
        self.parts = parts_of(PIPELINE.chains[0], shot, groups)

    @property
    def endpoint(self):
        return self.publisher.socket.last_endpoint.decode()

    def until_heard(self, n=1):
        """Turn until `n` subscriptions are known."""
        ends = time.monotonic() + PATIENCE_S
        while len(self.publisher._subscriptions) < n:
            assert time.monotonic() < ends, "nobody subscribed"
            self.publisher.socket.poll(50)
            self.publishing.look()


@pytest.fixture
def engine():
    fds = Journal.allocate()
    with zmq.Context() as context:
        one = Engine(context, fds)
        yield one
        one.publisher.socket.close(0)
    for fd in fds:
        os.close(fd)


@contextmanager
def looking(engine, **how):
    with subscribe(engine.endpoint, "", PATIENCE_S, **how) as results:
        yield results


def taken(engine, results, name):
    """Turn until a result of that name comes, and return it."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        engine.publishing.look()
        while results._socket.poll(5):
            found = results._take(results._socket.recv_multipart())
            if found is not None and found.name == name:
                return found
    raise AssertionError(f"{name} never came")


def test_who_comes_late_gets_the_last_value(engine):
    for part in engine.parts[:4]:
        engine.collector.absorb(part)
    engine.publishing.look()
    with looking(engine, paced=True) as results:
        assert taken(engine, results, "total").used == 4


def test_the_last_one_says_that_it_is_final_and_nothing_was_missed(engine):
    with looking(engine, paced=True) as results:
        engine.until_heard()
        for part in engine.parts:
            engine.collector.absorb(part)
            engine.publishing.look()
        engine.collector.close("a", LEDGER)
        engine.publishing.end()
        found = [taken(engine, results, "counts")]
        while not found[-1].meta["final"]:
            found.append(taken(engine, results, "counts"))
    assert found[-1].used == 10
    assert results.missed == 0
    assert len(found) < 10


def test_who_asks_for_everything_does_not_get_it_twice(engine):
    with looking(engine, paced=True), looking(engine) as plain:
        engine.until_heard(n=3)
        for part in engine.parts[:5]:
            engine.collector.absorb(part)
            engine.publishing.end()
        found = [taken(engine, plain, "total").meta["seq"] for _ in range(5)]
        assert found == [0, 1, 2, 3, 4]


def test_a_collector_at_whom_nobody_looks_does_nothing_for_them(engine, monkeypatch):
    monkeypatch.setattr(Paced, "add", lambda *_: pytest.fail("nobody asked for it"))
    with looking(engine) as plain:
        engine.until_heard(n=2)
        engine.collector.absorb(engine.parts[0])
        engine.publishing.end()
        assert taken(engine, plain, "total").used == 0
        assert taken(engine, plain, "total").used == 1
        assert not engine.publisher.wants(b"a/", module.MARK)


def test_a_topic_is_paced_as_well(engine):
    with subscribe(engine.endpoint, "a/counts/total", PATIENCE_S, paced=True) as found:
        engine.until_heard()
        engine.collector.absorb(engine.parts[0])
        engine.publishing.end()
        assert next(found).name == "total"
