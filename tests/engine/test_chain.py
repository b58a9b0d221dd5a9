"""A chain between commits: one bad batch does not spoil its neighbours."""

from pathlib import Path

import numpy as np
import pytest
from tests.engine.small import acquisition, batch, event_batch, pipeline

from scopeside.collect.master import Master
from scopeside.errors import ChainRefusedError
from scopeside.events import EventBatch
from scopeside.pipeline import Pipeline
from scopeside.state import unpack
from scopeside.work.chain import ChainRun, cause_of, run_of


def run(*steps, states=None):
    chain = pipeline(("c", dict(steps), {})).chain("c")
    return ChainRun(chain, acquisition(), "cpu", states)


def trail_of(said):
    return [int(np.frombuffer(one.payload[0], "<i8")[1]) for one in said]


def test_a_part_holds_what_came_since_the_last_one():
    chain = run(("Counts", {}))
    chain.process(batch(0, 2))
    chain.commit()
    chain.process(batch(4, 2))
    states, said = chain.commit()
    assert np.flatnonzero(unpack(states[0])["seen"]).tolist() == [4, 5]
    assert said == []


def test_an_ordered_step_goes_on_over_commits():
    chain = run(("Trail", {}))
    chain.process(batch(1, 1))
    chain.commit()
    chain.process(batch(2, 1))
    states, said = chain.commit()
    assert unpack(states[0]) == {"sum": 6 * 1 + 6 * 2, "last": 2}
    assert trail_of(said) == [18]


def test_every_batch_of_a_group_has_its_results():
    chain = run(("Trail", {}))
    chain.process(batch(0, 2))
    chain.process(batch(2, 1))
    assert trail_of(chain.commit()[1]) == [0, 6, 18]


def test_a_rollback_is_as_if_the_group_had_never_been():
    chain, plain = (
        run(("Counts", {}), ("Trail", {}), ("Excess", {})),
        run(("Counts", {}), ("Trail", {}), ("Excess", {})),
    )
    for one in (chain, plain):
        one.process(batch(0, 2))
        one.commit()
    chain.process(batch(2, 2))
    chain.rollback()
    for one in (chain, plain):
        one.process(batch(4, 2))
    assert chain.commit() == plain.commit()


@pytest.mark.parametrize("kind", ["Counts", "Trail", "Excess"])
def test_a_failing_batch_does_not_spoil_its_neighbours(kind):
    chain, plain = run((kind, {"fail_at": 3})), run((kind, {}))
    chain.process(batch(0, 2))
    with pytest.raises(ValueError, match="this frame cannot be"):
        chain.process(batch(2, 2))
    chain.rollback()
    for one in (chain, plain):
        one.process(batch(0, 2))
        one.process(batch(4, 2))
    assert chain.commit() == plain.commit()


def test_a_rollback_before_the_first_commit_begins_anew():
    chain = run(("Trail", {}))
    chain.process(batch(5, 1))
    chain.rollback()
    chain.process(batch(1, 1))
    assert trail_of(chain.commit()[1]) == [6]


def test_another_worker_goes_on_from_a_committed_state():
    first = run(("Trail", {}))
    first.process(batch(1, 2))
    states, _ = first.commit()
    second = run(("Trail", {}), states={"trail": states[0]})
    second.process(batch(3, 1))
    assert trail_of(second.commit()[1]) == [6 * (1 + 2 + 3)]


def excess_of(states):
    """What parts of a keyed step come to, merged in order."""
    master = Master(pipeline(("c", {"Excess": {}}, {})).chain("c"), acquisition())
    for number, state in enumerate(states):
        header = {"runs": [[number, number]], "failed": [], "said": [], "t_ns": 0}
        master.absorb({**header, "states": 1}, [state])
    ((_, result),) = master.results()
    return result.data.tolist(), result.used


@pytest.mark.parametrize("commits", [[], [1], [2, 5], [1, 2, 3, 4, 5]])
def test_a_keyed_step_goes_on_from_what_it_has_learnt(commits):
    chain, states = run(("Excess", {})), []
    for first in range(6):
        chain.process(batch(first, 1))
        if first + 1 in commits:
            states += chain.commit()[0]
    states += chain.commit()[0]
    values = [6 * first - 6 for first in range(6)]
    assert excess_of(states) == ([*values, *[0] * 6], 6)


def test_a_part_of_a_keyed_step_holds_only_what_came_since_the_last():
    chain = run(("Excess", {}))
    chain.process(batch(0, 4))
    chain.commit()
    chain.process(batch(4, 2))
    (state,), said = chain.commit()
    assert np.flatnonzero(unpack(state)["seen"]).tolist() == [4, 5]
    assert said == []


def test_another_worker_goes_on_from_a_committed_context():
    first = run(("Excess", {}))
    first.process(batch(0, 2))
    states, _ = first.commit()
    kept = unpack(states[0])["context"]
    second = run(("Excess", {}), states={"excess": kept})
    second.process(batch(2, 2))
    assert excess_of([*states, *second.commit()[0]])[0][:4] == [-6, 0, 6, 12]


def test_a_replaced_batch_is_what_the_steps_after_it_see():
    chain = run(("Double", {}), ("Counts", {}))
    chain.process(batch(0, 3))
    states, _ = chain.commit()
    assert unpack(states[1])["sums"][:3].tolist() == [0, 12, 24]


def test_the_steps_before_a_filter_see_the_frames_as_they_came():
    chain = run(("Counts", {}), ("Double", {}))
    chain.process(batch(0, 3))
    assert unpack(chain.commit()[0][0])["sums"][:3].tolist() == [0, 6, 12]


def of_events(*steps):
    chain = pipeline(("c", dict(steps), {})).chain("c")
    return ChainRun(chain, acquisition(encoding="events"), "cpu")


def fed(chain, number):
    return chain._processors[number].seen


@pytest.fixture
def few(monkeypatch):
    """Two frames in a portion."""
    plain = EventBatch.portions
    monkeypatch.setattr(EventBatch, "portions", lambda self: plain(self, 2 * 12))


@pytest.mark.parametrize(
    "steps",
    [
        (("Hits", {}),),
        (("Trail", {}),),
        (("Counts", {}), ("Hits", {}), ("Trail", {})),
        (("Hits", {}), ("Double", {}), ("Counts", {})),
        (("Brighter", {}), ("Counts", {}), ("Trail", {})),
        (("Counts", {}), ("Brighter", {}), ("Trail", {}), ("Hits", {})),
    ],
)
@pytest.mark.usefixtures("few")
def test_events_bring_what_frames_bring(steps):
    of_frames, chain = run(*steps), of_events(*steps)
    for first, n in ((0, 5), (5, 1), (7, 4)):
        of_frames.process(batch(first, n))
        chain.process(event_batch(first, n))
    assert chain.commit() == of_frames.commit()


@pytest.mark.usefixtures("few")
def test_events_go_whole_to_those_that_take_them():
    chain = of_events(("Hits", {}), ("Counts", {}))
    chain.process(event_batch(0, 5))
    assert fed(chain, 0) == [("events", 5)]


@pytest.mark.usefixtures("few")
def test_behind_one_that_wants_frames_they_come_in_portions():
    chain = of_events(("Counts", {}), ("Hits", {}))
    chain.process(event_batch(0, 5))
    assert fed(chain, 1) == [("events", 2), ("events", 2), ("events", 1)]


@pytest.mark.usefixtures("few")
def test_behind_one_that_replaces_frames_there_are_frames():
    chain = of_events(("Double", {}), ("Hits", {}))
    chain.process(event_batch(0, 5))
    assert fed(chain, 1) == [("frames", 2), ("frames", 2), ("frames", 1)]


@pytest.mark.usefixtures("few")
def test_frames_are_made_once_for_all(monkeypatch):
    chain, given = of_events(("Counts", {}), ("Hits", {}), ("Trail", {})), []
    for number in (0, 2):
        monkeypatch.setattr(chain._processors[number], "process", given.append)
    chain.process(event_batch(0, 2))
    one, other = given
    assert one is other


def test_failing_events_do_not_spoil_their_neighbours():
    chain, plain = of_events(("Hits", {"fail_at": 3})), of_events(("Hits", {}))
    chain.process(event_batch(0, 2))
    with pytest.raises(ValueError, match="this frame cannot be"):
        chain.process(event_batch(2, 2))
    chain.rollback()
    for one in (chain, plain):
        one.process(event_batch(0, 2))
        one.process(event_batch(4, 2))
    assert chain.commit() == plain.commit()


def test_a_failure_is_named_by_its_type():
    assert cause_of(ZeroDivisionError("x")) == "ZeroDivisionError"


@pytest.fixture
def outside():
    """A chain whose virtual detector lies outside of the frames."""
    step = {"kind": "virtual", "detectors": {"bf": {"disk": [200, 200, 3]}}}
    raw = {
        "detector": {"kind": "simulator"},
        "chain": [{"name": "c", "processor": [step]}],
    }
    return Pipeline.from_raw(raw, folder=Path()).chain("c")


def test_a_chain_that_cannot_take_an_acquisition_refuses_every_batch(outside):
    found = run_of(outside, acquisition(), "cpu", {})
    for first in (0, 2):
        with pytest.raises(ChainRefusedError, match="holds no pixel") as error:
            found.process(batch(first, 2))
    assert cause_of(error.value) == "refused"
    found.rollback()
    assert found.commit() == ([], [])


def test_the_results_of_such_a_chain_are_invalid_and_say_why(outside):
    ((step, result),) = Master(outside, acquisition()).results()
    assert (step, result.valid, result.data) == ("virtual", False, None)
    assert "holds no pixel" in result.reason
