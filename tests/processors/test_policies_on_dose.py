"""on_dose slows, then blanks, once each."""

import numpy as np
import pytest

from scopeside.acquisition import Acquisition
from scopeside.control.policy import Outcome, Seen
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.plugins import policy_class
from scopeside.result import Result

ACQUISITION = Acquisition("run1", (4, 4), np.dtype("u2"), kind="movie")
OnDose = policy_class("on_dose")


def policy(**params):
    usual = {"budget": 100.0, "slow_e_per_A2_s": 2.0, "again_frames": 5}
    made = OnDose(validate(OnDose.Params, {**usual, **params}))
    made.begin(ACQUISITION)
    return made


def hear(of, dose, frame=0, **others):
    columns = {"columns": ["rate_e_per_A2_s", "cumulative_e_per_A2"]}
    data = np.array([[1.0, dose]])
    result = Result(
        "dose",
        **{"data": data, "kind": "table", "frame": frame, "meta": columns} | others,
    )
    return list(of.hear(Seen(ACQUISITION, 1, "movie", "dose", result, 0), None))


def test_it_slows_at_ninety_percent_and_blanks_at_all():
    it = policy()
    assert hear(it, 89.9) == []
    [slow] = hear(it, 90.0)
    assert (slow.action, slow.fields) == ("set_dose_rate", {"e_per_A2_s": 2.0})
    assert slow.why == "90% of the dose budget are spent: 90 of 100"
    assert hear(it, 95.0) == []
    it.told(Outcome(slow, "done"))
    assert hear(it, 99.9) == []
    [blank] = hear(it, 100.0)
    assert (blank.action, blank.fields) == ("blank", {"on": True})
    it.told(Outcome(blank, "done"))
    assert hear(it, 101.0) == []


def test_blanking_comes_first_when_both_are_due():
    it = policy()
    [blank] = hear(it, 150.0)
    assert blank.action == "blank"
    it.told(Outcome(blank, "done"))
    assert hear(it, 151.0) == []


def test_slowing_may_be_a_shorter_exposure_or_nothing():
    [wish] = hear(policy(slow_e_per_A2_s=None, slow_exposure_s=1e-3), 90.0)
    assert (wish.action, wish.fields) == ("set_exposure", {"exposure_s": 1e-3})
    assert hear(policy(slow_e_per_A2_s=None), 90.0) == []


def test_a_level_counts_anew_when_the_dose_was_well_below_it():
    it = policy(column="rate_e_per_A2_s", budget=1.0, slow_e_per_A2_s=None)
    at = {"columns": ["rate_e_per_A2_s"]}

    def rate(value):
        return hear(it, 0.0, data=np.array([[value]]), meta=at)

    [blank] = rate(1.0)
    it.told(Outcome(blank, "done"))
    assert rate(0.96) == []
    assert rate(1.0) == []
    assert rate(0.94) == []
    assert len(rate(1.0)) == 1


@pytest.mark.parametrize("state", ["refused", "failed"])
def test_what_was_not_done_is_asked_for_again_after_a_while(state):
    it = policy(slow_e_per_A2_s=None)
    [blank] = hear(it, 100.0, frame=10)
    it.told(Outcome(blank, state, "busy"))
    it.told(Outcome(blank, state, "busy"))
    assert hear(it, 100.0, frame=14) == []
    assert hear(it, 100.0, frame=15)[0] == blank


def test_while_a_person_is_asked_it_is_not_asked_again():
    it = policy()
    [blank] = hear(it, 100.0)
    it.told(Outcome(blank, "waiting"))
    [wish] = hear(it, 101.0, frame=100)
    assert wish.action == "set_dose_rate"
    assert hear(it, 101.0, frame=101) == []


def test_a_new_acquisition_begins_anew():
    it = policy()
    hear(it, 100.0)
    it.begin(ACQUISITION)
    assert [wish.action for wish in hear(it, 100.0)] == ["blank"]


@pytest.mark.parametrize(
    "others",
    [
        {"data": np.array([[1.0, np.nan]])},
        {"data": None},
        {"meta": {"columns": ["other"]}},
    ],
)
def test_a_result_that_says_no_dose_asks_for_nothing(others):
    assert hear(policy(), 100.0, **others) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"slow_at": 0.9, "blank_at": 0.8}, "slow_at = 0.9 is above blank_at = 0.8"),
        ({"slow_exposure_s": 1.0}, "not both"),
        ({"budget": None}, "budget"),
        ({"result": "dose"}, "result"),
    ],
)
def test_what_does_not_fit_is_said(params, said):
    with pytest.raises(ConfigError) as caught:
        policy(**params)
    assert said in str(caught.value)
