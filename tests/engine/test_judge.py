"""Is it allowed: every check by itself, and all of them at once."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.guarded import ACTIONS, T0, VALUES, Desk, FakeDose, control
from tests.hostile_commands import MS, S

from scopeside.control.case import Asked, Rules, Situation
from scopeside.control.evidence import AHEAD_NS, Engine
from scopeside.control.instrument import Call, Readback
from scopeside.control.judge import MAX_CALLS, judge
from scopeside.control.limits import differs
from scopeside.control.proposal import Proposal
from scopeside.control.settings import ControlSettings
from scopeside.errors import RefusedError

START = {name: value for name, value in VALUES.items() if type(value) is float}


def situation(**changes):
    known = {
        "now_ns": T0,
        "engine": Engine(epoch=1, heard_ns=T0),
        "readback": Readback(T0, VALUES),
        "start": START,
    }
    return Situation(**{**known, **changes})


def asked(**changes):
    proposal = Proposal.from_dict(Desk().proposal(**changes))
    return Asked(proposal.action, proposal.fields, "rule", proposal)


def person(action="set_beam_shift", **fields):
    return Asked(action, fields, "person")


def rules(*, plan=None, dose=None, **settings):
    return Rules(control(**settings), ACTIONS, plan, dose)


def causes(what, now=None, by=None):
    verdict = judge(what, now or situation(), by or rules())
    return [check.cause for check in verdict.checks if check.cause]


def test_a_good_proposal_passes_every_check_and_gives_its_call():
    verdict = judge(asked(), situation(), rules())
    assert verdict.calls == (Call("set_beam_shift", {"x_m": 1e-8, "y_m": 0.0}),)
    assert (verdict.cause, verdict.reason) == ("", "")
    names = {check.name for check in verdict.checks}
    assert names == {
        *("engine", "epoch", "acquisition", "t_frame", "created", "valid"),
        *("confidence", "gap", "age", "deadline", "action", "readback", "offered"),
        *("limits", "range", "step", "excursion", "rate"),
    }


def test_all_checks_are_made_and_the_first_that_fails_is_the_reason():
    hopeless = asked(
        fields={"x_m": 3e-3, "y_m": -3e-3},
        deadline_ns=T0 - 1,
        evidence={"epoch": 0, "valid": False, "missed": 2, "confidence": 0.1},
    )
    now = situation(
        parked="held: anna", busy="a stage move", sent_ns={"set_beam_shift": T0}
    )
    found = causes(hopeless, now)
    assert found == [
        *("parked", "busy", "old_epoch", "invalid_evidence", "low_confidence", "gap"),
        *("expired", "out_of_range", "step", "excursion"),
        *("out_of_range", "step", "excursion", "rate"),
    ]
    assert judge(hopeless, now, rules()).cause == "parked"
    assert judge(hopeless, now, rules()).calls == ()


def test_the_reason_says_what_was_found_and_what_is_allowed():
    verdict = judge(person(x_m=2e-6, y_m=0.0), situation(), rules())
    assert verdict.reason == "set_beam_shift.x_m = 2e-06 is above max = 1e-06"


def test_the_same_case_gives_the_same_verdict_and_nothing_is_changed():
    case, now, by = asked(), situation(), rules()
    first = judge(case, now, by)
    assert judge(case, now, by) == first
    assert now == situation()


# -- edges --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"t_frame_ns": T0 - 1000 * MS}, []),
        ({"t_frame_ns": T0 - 1000 * MS - 1}, ["stale"]),
        ({"t_frame_ns": T0 + AHEAD_NS}, []),
        ({"t_frame_ns": T0 + AHEAD_NS + 1}, ["from_future"]),
        ({"confidence": 0.5}, []),
        ({"confidence": math.nextafter(0.5, 0)}, ["low_confidence"]),
        ({"confidence": None}, []),
        ({"missed": 1}, ["gap"]),
        ({"epoch": 2}, ["from_future"]),
    ],
)
def test_evidence_at_its_edges(values, cause):
    assert causes(asked(evidence=values)) == cause


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"deadline_ns": T0}, []),
        ({"deadline_ns": T0 - 1}, ["expired"]),
        ({"created_ns": T0 + AHEAD_NS}, []),
        ({"created_ns": T0 + AHEAD_NS + 1}, ["from_future"]),
    ],
)
def test_times_at_their_edges(changes, cause):
    assert causes(asked(**changes)) == cause


@pytest.mark.parametrize(
    ("x_m", "cause"),
    [
        (2e-7, []),
        (-2e-7, []),
        (math.nextafter(2e-7, 1), ["step"]),
        (math.nextafter(-2e-7, -1), ["step"]),
        (6e-7, ["step", "excursion"]),
        (1.1e-6, ["out_of_range", "step", "excursion"]),
    ],
)
def test_limits_at_their_edges(x_m, cause):
    assert causes(person(x_m=x_m, y_m=0.0)) == cause


def test_every_s_at_its_edge():
    at = T0 - 100 * MS
    assert causes(asked(), situation(sent_ns={"set_beam_shift": at})) == []
    assert causes(asked(), situation(sent_ns={"set_beam_shift": at + 1})) == ["rate"]
    assert causes(asked(), situation(sent_ns={"set_exposure": T0})) == []


def test_a_frame_of_another_acquisition_may_only_be_newer():
    engine = Engine(1, (), T0, "a0", T0 - 10 * MS)
    assert causes(asked(), situation(engine=engine)) == []
    engine = Engine(1, (), T0, "a0", T0 - 10 * MS + 1)
    assert causes(asked(), situation(engine=engine)) == ["other_acquisition"]
    engine = Engine(1, (), T0, "a1", T0 - 10 * MS + 1)
    assert causes(asked(), situation(engine=engine)) == []


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.0"])
def test_without_a_number_read_back_a_step_cannot_be_checked(value):
    values = {**VALUES, "beam_shift_x_m": value}
    assert causes(asked(), situation(readback=Readback(T0, values))) == ["no_readback"]


def test_without_a_value_at_arming_an_excursion_cannot_be_checked():
    assert causes(asked(), situation(start={})) == ["no_readback", "no_readback"]


def test_an_engine_that_is_not_whole_refuses():
    for engine in (
        Engine(),
        Engine(1, ("worker.0",), T0),
        Engine(1, (), T0 - 501 * MS),
    ):
        assert causes(asked(), situation(engine=engine)) == ["engine_restarting"]


def test_a_person_needs_no_evidence_but_a_read_back():
    assert causes(person(x_m=0.0, y_m=0.0), situation(engine=Engine())) == []
    lost = situation(readback=None, unreadable="no route")
    assert "no_readback" in causes(person(x_m=0.0, y_m=0.0), lost)


def test_a_person_who_accepts_stands_for_the_age_and_nothing_else():
    old = asked(evidence={"t_frame_ns": T0 - 50 * S}, deadline_ns=T0 - 40 * S)
    accepted = Asked(old.action, old.fields, "accepted", old.proposal)
    assert causes(old) == ["stale", "expired"]
    assert causes(accepted) == []
    assert causes(accepted, situation(engine=Engine(2, (), T0))) == ["old_epoch"]


# -- fields and limits ----------------------------------------------------------------


def test_an_optional_field_without_limits_is_refused():
    stage = {"every_s": 1.0, "x_m": control().limits["set_beam_shift"].fields["x_m"]}
    by = Rules(control(limits={"move_stage": stage}), frozenset({"move_stage"}))
    now = situation(readback=Readback(T0, {"stage_x_m": 0.0, "stage_z_m": 0.0}))
    now = situation(readback=now.readback, start={"stage_x_m": 0.0})
    assert causes(person("move_stage", x_m=1e-8), now, by) == []
    assert causes(person("move_stage", x_m=1e-8, z_m=0.0), now, by) == ["no_limits"]


def test_every_point_is_held_against_the_limits():
    settings = ControlSettings(
        mode="armed",
        adapter={"kind": "paper"},
        limits={
            "place_beam": {
                "every_s": 0.1,
                "points": {"min": 0.1, "max": 0.9},
                "dwell_s": {"min": 1e-6, "max": 1e-3},
            }
        },
    )
    by = Rules(settings, frozenset({"place_beam"}))
    good = person("place_beam", points=[[0.1, 0.9], [0.5, 0.5]], dwell_s=1e-4)
    assert causes(good, None, by) == []
    bad = person("place_beam", points=[[0.1, 0.9], [0.5, 0.91]], dwell_s=1e-4)
    assert causes(bad, None, by) == ["out_of_range"]


# -- blanking -------------------------------------------------------------------------


def test_blanking_needs_no_limits_no_read_back_and_waits_for_nothing():
    now = situation(readback=None, unreadable="no route", busy="a stage move")
    blank = asked(action="blank", fields={"on": True})
    assert causes(blank, now, rules(limits={})) == []
    assert causes(blank, situation(parked="held: anna")) == ["parked"]


def test_unblanking_is_refused_unless_a_person_asks_for_just_that():
    lets_on = {"on": False}
    for by in (rules(), rules(may_unblank=True)):
        assert causes(person("blank", **lets_on), None, by) == ["unblank_forbidden"]
    assert causes(Asked("blank", lets_on, "unblank")) == []
    assert causes(Asked("blank", lets_on, "unblank"), situation(parked="held")) == []
    rule = asked(action="blank", fields=lets_on)
    assert causes(rule) == ["unblank_forbidden"]
    assert causes(rule, None, rules(may_unblank=True)) == []
    assert causes(rule, None, rules(may_unblank=True, limits={})) == ["no_limits"]


# -- plans and dose -------------------------------------------------------------------


def test_a_plan_that_cannot_be_is_refused():
    def refuses(call, now):
        raise RefusedError("the shifter's range is spent", "spent")

    def breaks(call, now):
        raise ZeroDivisionError

    for plan in (refuses, breaks, lambda *_: (), lambda c, _: (c,) * (MAX_CALLS + 1)):
        assert causes(asked(), None, rules(plan=plan)) == ["plan"]


def test_a_plan_that_is_nonsense_is_refused():
    nonsense = (Call("set_beam_shift", {"x_m": math.nan, "y_m": 0.0}),)
    assert causes(asked(), None, rules(plan=lambda *_: nonsense)) == ["plan"]


def test_a_plan_does_each_action_once_and_unblanks_no_more_than_a_rule():
    twice = lambda call, _: (call, call)  # noqa: E731
    assert causes(asked(), None, rules(plan=twice)) == ["rate"]
    on = lambda call, _: (call, Call("blank", {"on": False}))  # noqa: E731
    assert causes(asked(), None, rules(plan=on)) == ["unblank_forbidden"]


def test_the_dose_account_is_asked_about_the_calls_of_the_plan():
    dose = FakeDose()
    asked_about = []
    dose.may = lambda calls, now_ns: asked_about.append(tuple(calls)) or "spent"
    planned = (Call("set_exposure", {"exposure_s": 0.2}),)
    by = rules(plan=lambda *_: planned, dose=dose)
    assert causes(asked(), None, by) == ["budget"]
    assert asked_about == [planned]
    dose.lacking = "no calibration"
    assert causes(asked(), None, by) == ["no_dose_calibration"]


# -- read-backs -----------------------------------------------------------------------


def test_what_is_read_back_is_compared_within_the_tolerance_and_switches_exactly():
    want = {"x": (1.0, 0.25), "n": (3, 0.0), "blanked": (True, 0.0)}
    good = {"x": 1.25, "n": 3, "blanked": True}
    assert differs(want, Readback(0, good)) == ""
    assert "tolerance" in differs(want, Readback(0, {**good, "x": 1.26}))
    assert differs(want, Readback(0, {**good, "x": math.nan})) != ""
    assert differs(want, Readback(0, {**good, "n": 4})) != ""
    assert differs(want, Readback(0, {**good, "blanked": False})) != ""
    assert differs(want, Readback(0, {"n": 3})).endswith("not read back any more")
    assert differs({"n": (3, 0.0)}, Readback(0, {})) == ""


numbers = st.floats(width=64) | st.floats(-2e-6, 2e-6) | st.integers()


@given(x=numbers, y=numbers, at=st.floats(-1e-6, 1e-6), start=st.floats(-1e-6, 1e-6))
def test_what_passes_is_within_all_limits_whatever_the_numbers(x, y, at, start):
    values = {"beam_shift_x_m": at, "beam_shift_y_m": at}
    now = situation(readback=Readback(T0, values), start=dict.fromkeys(values, start))
    verdict = judge(person(x_m=x, y_m=y), now, rules())
    within = all(
        -1e-6 <= v <= 1e-6 and abs(v - at) <= 2e-7 and abs(v - start) <= 5e-7
        for v in (x, y)
    )
    assert bool(verdict.calls) == within
    assert bool(verdict.cause) != within
