"""Policies are run on results; what they do wrong harms no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scopeside.acquisition import Acquisition
from scopeside.control.adviser import Adviser, answers
from scopeside.control.adviser_process import Backlog
from scopeside.control.policy import Seen
from scopeside.control.proposal import Proposal, Wish
from scopeside.control.settings import ControlSettings
from scopeside.control.setup import Control, Decider
from scopeside.control.timeline import Timeline
from scopeside.errors import ConfigError
from scopeside.params import Params
from scopeside.pipeline import Pipeline
from scopeside.result import Result
from scopeside.wire import Kind, Message

SECOND = 10**9
ACQUISITION = Acquisition(
    id="run1", kind="movie", frame_shape=(4, 4), dtype=np.dtype("u2")
)


class Centre:
    """Asks for one defocus for each result, and once more when that is done."""

    Params = Params

    def __init__(self, params):
        self.begun = []

    @property
    def wants(self):
        return ("level.value",)

    def begin(self, acquisition):
        self.begun.append(acquisition.id)

    def hear(self, seen, microscope):
        yield Wish("set_defocus", {"defocus_m": float(seen.result.data)}, "as said")

    def told(self, outcome):
        if outcome.state == "done":
            yield Wish("acquire", confidence=0.7, valid_for_s=3.0)


class Broken(Centre):
    """Fails on every result, in one of many ways."""

    def hear(self, seen, microscope):
        yield Wish("pause")
        raise ZeroDivisionError("of its own")


class Talkative(Centre):
    def hear(self, seen, microscope):
        return [Wish("pause")] * 1000 + ["no wish"]


def adviser(*classes):
    deciders = tuple(
        Decider(cls.__name__.lower(), cls, Params(), ("level.value",))
        for cls in classes
    )
    control = Control(ControlSettings(valid_for_ms=500.0), None, None, deciders)
    return Adviser(control, Timeline())


def seen(frame=7, value=1.5, **changes):
    meta = {"params": 3, "confidence": 0.9}
    result = Result("value", value, "scalar", frame=frame, first=2, meta=meta)
    said = {"epoch": 1, "chain": "c", "processor": "level", "t_ns": 5 * SECOND}
    return Seen(acquisition=ACQUISITION, result=result, **{**said, **changes})


def test_a_wish_becomes_a_proposal_with_its_evidence():
    (found,) = adviser(Centre).hear(seen(missed=2), 6 * SECOND)
    assert (found.id, found.rule, found.why) == ("run1/centre/7", "centre", "as said")
    assert (found.action, dict(found.fields)) == ("set_defocus", {"defocus_m": 1.5})
    assert (found.created_ns, found.deadline_ns) == (
        6 * SECOND,
        6 * SECOND + SECOND // 2,
    )
    evidence = found.evidence
    assert (evidence.acquisition, evidence.epoch) == ("run1", 1)
    assert (evidence.first, evidence.frame, evidence.t_frame_ns) == (2, 7, 5 * SECOND)
    assert (evidence.confidence, evidence.missed) == (0.9, 2)
    (source,) = evidence.sources
    assert (source.chain, source.processor, source.name) == ("c", "level", "value")
    assert source.params == 3
    assert len(source.digest) == 16
    assert Proposal.from_dict(found.to_dict()) == found


def test_the_same_results_give_the_same_proposals():
    first, second = adviser(Centre), adviser(Centre)
    assert first.hear(seen(), SECOND) == second.hear(seen(), SECOND)


def test_an_outcome_reaches_the_policy_that_asked():
    advised = adviser(Centre)
    (asked,) = advised.hear(seen(), SECOND)
    assert advised.decided(asked.id, "sent", "", "", 2 * SECOND) == []
    (after,) = advised.decided(asked.id, "done", "", "", 3 * SECOND)
    assert (after.id, after.action) == ("run1/centre/7.2", "acquire")
    assert (after.evidence.confidence, after.deadline_ns) == (0.7, 6 * SECOND)
    assert advised.decided(asked.id, "done", "", "", 4 * SECOND) == []


def test_a_policy_that_fails_harms_no_other_and_is_told_of_once():
    advised = adviser(Broken, Centre)
    for frame in range(3):
        found = advised.hear(seen(frame), SECOND)
        assert [one.rule for one in found] == ["centre"]
    (note,) = advised.notes
    assert "policy 'broken' failed: ZeroDivisionError: of its own" in note


def test_what_is_no_wish_or_too_much_is_left_out_and_told():
    advised = adviser(Talkative)
    assert len(advised.hear(seen(), SECOND)) == 64
    assert "policy 'talkative' failed" in advised.notes[0]


def test_a_result_that_nobody_wants_is_given_to_nobody():
    assert adviser(Centre).hear(seen(processor="other"), SECOND) == []


def test_an_event_answers_to_its_name_and_to_event():
    assert answers("p.found", "p", "found", "event")
    assert answers("p.event", "p", "found", "event")
    assert not answers("p.event", "p", "found", "scalar")
    assert not answers("q.found", "p", "found", "event")


def message(number, kind=Kind.HEARD, feed="collector#1"):
    return Message(kind, {"feed": feed, "number": number}, [])


def test_what_is_missing_on_the_way_is_counted():
    backlog = Backlog(100)
    for number in (1, 2, 5):
        backlog.add(message(number))
    backlog.add(message(1, feed="collector#2"))
    assert [backlog.next()[1] for _ in range(4)] == [0, 0, 2, 1]


def test_beyond_its_size_the_oldest_results_are_given_up_and_counted():
    backlog = Backlog(3)
    backlog.add(message(1, Kind.START))
    for number in range(2, 8):
        backlog.add(message(number))
    found = [backlog.next() for _ in range(len(backlog))]
    assert [(m.header["number"], missed) for m, missed in found] == [
        (1, 0),
        (6, 4),
        (7, 0),
    ]


def test_a_policy_that_hears_a_processor_that_is_not_there_is_named():
    raw = {
        "detector": {"kind": "simulator"},
        "chain": [{"name": "c", "processor": [{"kind": "sum"}]}],
        "control": {"policy": [{"kind": "tests.engine.test_adviser:Centre"}]},
    }
    with pytest.raises(ConfigError, match=r"hears 'level.value': processor 'level'"):
        Pipeline.from_raw(raw, folder=Path())
