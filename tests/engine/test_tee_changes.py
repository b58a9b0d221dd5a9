"""A change of parameters takes effect with the next batch, and is told before it."""

import pytest
from tests.engine.small import acquisition
from tests.engine.test_tee import Rig

from scopeside.changes import Change
from scopeside.edge import Edge
from scopeside.settings import EdgePolicy
from scopeside.wire import Kind


@pytest.fixture
def make(tmp_path):
    rigs = []

    def build(*chains):
        policy = EdgePolicy.parse("lossless")
        edges = [Edge(name, policy, ordered=False) for name in chains]
        rigs.append(Rig(tmp_path, edges))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make):
    return make("free")


def ask(rig, version=2, tried=("a",), chain="free"):
    change = Change(chain, "counts", version, {"gain": version})
    rig.tee.change({"change": change.to_dict(), "tried": list(tried)})


def answers(rig):
    found = [
        (one["answer"], one["version"], one.get("acquisition"), one.get("frame"))
        for one in rig.tee.changes.answers
    ]
    rig.tee.changes.answers.clear()
    return found


TAKEN, HOLDS = ("taken", 2, None, None), ("holds", 2, "", 0)


def test_without_an_acquisition_it_holds_from_the_next_ones_first_frame(rig):
    collector, worker = rig.gather(), rig.worker()
    ask(rig, tried=())
    assert answers(rig) == [TAKEN, HOLDS]
    rig.begin()
    rig.fill(0, 1)
    (start,) = collector.hears(Kind.START)
    (batch,) = worker.hears(Kind.BATCH)
    assert [one["version"] for one in start["changes"]] == [2]
    assert batch["change"] == 1
    kinds = [message.kind for message in worker.heard]
    assert kinds == [Kind.PARAM, Kind.START, Kind.BATCH]
    assert rig.tee._open["a"].to_dict()["params"] == {"free.counts": [[2, 0]]}


def test_in_mid_acquisition_it_holds_from_the_next_batch(rig):
    rig.gather()
    worker = rig.worker()
    rig.begin()
    rig.fill(0, 1)
    rig.turn()
    ask(rig)
    assert answers(rig) == [TAKEN]
    rig.fill(2, 3)
    rig.fill(4, 5)
    batches = worker.hears(Kind.BATCH, 3)
    assert answers(rig) == [("holds", 2, "a", 2)]
    assert [one["change"] for one in batches] == [0, 1, 1]
    kinds = [message.kind for message in worker.heard]
    assert kinds == [Kind.START, Kind.BATCH, Kind.PARAM, Kind.BATCH, Kind.BATCH]
    (told,) = worker.of(Kind.PARAM)
    assert (told["change"]["acquisition"], told["change"]["frame"]) == ("a", 2)
    assert rig.tee._open["a"].to_dict()["params"] == {"free.counts": [[2, 2]]}


def test_two_changes_before_one_batch_begin_with_it(rig):
    rig.gather()
    worker = rig.worker()
    rig.begin()
    ask(rig)
    ask(rig, version=3)
    rig.fill(0)
    (batch,) = worker.hears(Kind.BATCH)
    assert batch["change"] == 2
    assert answers(rig)[2:] == [("holds", 2, "a", 0), ("holds", 3, "a", 0)]


def test_if_no_batch_comes_any_more_it_holds_from_the_next_acquisition(rig):
    rig.gather()
    rig.begin()
    rig.fill(0)
    rig.turn()
    ask(rig)
    rig.sink.end()
    rig.turn()
    assert answers(rig) == [TAKEN, HOLDS]
    assert rig.tee._open["a"].to_dict()["params"] == {}


def test_one_that_has_ended_and_is_not_closed_does_not_run(rig):
    rig.gather()
    rig.begin()
    rig.sink.end()
    rig.turn()
    ask(rig, tried=())
    assert answers(rig) == [TAKEN, HOLDS]


def test_what_was_not_tried_on_the_acquisition_that_runs_is_sent_back(rig):
    rig.gather()
    rig.begin()
    ask(rig, tried=["another"])
    assert answers(rig) == [("untried", 2, acquisition(frames=6).to_dict(), None)]
    ask(rig, tried=["another", "a"])
    assert answers(rig) == [TAKEN]


def test_only_the_workers_of_its_chain_are_told(make):
    rig = make("free", "other")
    rig.gather()
    mine, other = rig.worker("free"), rig.worker("other")
    ask(rig, tried=())
    rig.begin()
    rig.fill(0)
    assert mine.hears(Kind.BATCH)[0]["change"] == 1
    assert other.hears(Kind.BATCH)[0]["change"] == 1
    assert mine.of(Kind.PARAM)
    assert not other.of(Kind.PARAM)


def test_a_batch_keeps_its_parameters_when_its_worker_dies(rig):
    rig.gather()
    first = rig.worker(number=0)
    rig.begin(frames=8)
    rig.fill(0)
    first.hears(Kind.BATCH)
    for version in (2, 3, 4):
        ask(rig, version)
        rig.fill(version)
        first.hears(Kind.BATCH, version)
    rig.acknowledge([2])
    rig.until(lambda: rig.tee.edges["free"].held == 3)
    rig.fence(first)
    second = rig.worker(number=1)
    batches = second.hears(Kind.BATCH, 3)
    assert [one["change"] for one in batches] == [0, 2, 3]
    told = [one["change"]["version"] for one in second.of(Kind.PARAM)]
    assert told == [2, 3, 4]
    assert second.heard[0].kind is Kind.PARAM


@pytest.mark.parametrize("again", [1, 2])
def test_a_collector_that_joins_late_is_told_what_it_began_with(rig, again):
    ask(rig, tried=())
    rig.begin()
    collector = rig.gather(incarnation=again)
    (start,) = collector.hears(Kind.START)
    assert [one["version"] for one in start["changes"]] == [2]
