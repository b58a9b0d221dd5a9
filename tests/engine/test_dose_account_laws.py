"""Whatever happens, the account is never below the truth, nor the truth above a budget.

The truth is the simulator's own count (`dose_truth`), which knows no cells.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dose_hour import REGION_M, SAID, Hour, work
from tests.dose_hour import settings as dose

from scopeside.control.dose import DoseAccount
from scopeside_adapters.simulator.state import State

PLACES = st.sampled_from([-400e-9, -130e-9, 0.0, 55e-9, 130e-9, 400e-9])
OFFSETS = [y * 1e-9 for y in (-520, -333, -88, 0, 49, 131, 222, 507)]
POINTS = [(y, x) for y in OFFSETS for x in OFFSETS]
RATES = st.sampled_from([0.0, 1.0, 10.0, 80.0])
PAIRS = st.tuples(
    st.sampled_from(
        ["set_view_offset", "set_beam_shift", "set_image_shift", "move_stage"]
    ),
    st.fixed_dictionaries({"x_m": PLACES, "y_m": PLACES}),
)
COMMANDS = st.one_of(
    PAIRS,
    st.tuples(st.just("set_dose_rate"), st.fixed_dictionaries({"e_per_A2_s": RATES})),
    st.tuples(
        st.just("set_fov"),
        st.fixed_dictionaries({"width_m": st.sampled_from([100e-9, 200e-9, 350e-9])}),
    ),
    st.tuples(st.just("blank"), st.fixed_dictionaries({"on": st.booleans()})),
)
OURS = st.tuples(st.just("ours"), COMMANDS, st.floats(0.0, 0.4))
THEIRS = st.tuples(st.just("theirs"), COMMANDS, st.floats(0.0, 0.15))
WAIT = st.tuples(st.just("wait"), st.just(None), st.floats(0.01, 3.0))
DOWN = st.tuples(st.just("down"), st.just(None), st.floats(0.01, 2.0))
SCALES = st.sampled_from([0.92, 1.0, 1.07])  # true rates lie within two uncertainties


def play(hour, script, again):
    for what, command, seconds in script:
        if what == "ours":
            action, fields = command
            hour.propose(action, takes_s=seconds, **fields)
        elif what == "theirs":
            action, fields = command
            hour.go(seconds)
            hour.obey(action, fields)
            hour.go(0.22)
        elif what == "wait":
            hour.go(seconds)
        else:
            hour.die(seconds, again)
            hour.go(0.5)
    hour.go(0.5)
    hour.read()


def begun(scale, takes_s, **budgets):
    table = dose(calibration={**SAID, "scale": scale}, **budgets)
    hour = Hour(DoseAccount(table), takes_s, initial=State(blanked=True))
    hour.read()
    return hour, table


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(OURS, THEIRS, WAIT, DOWN), max_size=14), SCALES)
def test_no_place_has_got_more_than_the_upper_dose(script, scale):
    hour, table = begun(scale, 0.05)
    play(hour, [("ours", ("blank", {"on": False}), 0.0), *script], table)
    truth = hour.truth(POINTS)
    for point, got in zip(POINTS, truth["points_e_per_A2"], strict=True):
        assert hour.account.at(*point)[1] >= got * (1 - 1e-9)
    run = hour.account.status(hour.now_ns)["run_e_per_A2"]
    assert run[1] >= truth["run_e_per_A2"] * (1 - 1e-9)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(OURS, WAIT, DOWN), max_size=20),
    SCALES,
    st.floats(0.001, 0.1),
    st.sampled_from([50.0, 100.0, 300.0]),
)
def test_no_budget_is_passed_however_slow_the_blank_is_up_to_blank_s(
    script, scale, takes_s, budget
):
    budgets = {"budget_e_per_A2": budget, "run_budget_e_per_A2": 2 * budget}
    budgets["down_s"] = 2.5
    hour, table = begun(scale, takes_s, **budgets)
    play(hour, [("ours", ("blank", {"on": False}), 0.0), *script], table)
    truth = hour.truth(POINTS)
    assert max(truth["points_e_per_A2"]) <= budget
    assert truth["run_e_per_A2"] <= 2 * budget


@pytest.mark.parametrize("takes_s", [0.02, 0.1])
def test_a_budget_is_used_up_and_not_passed(takes_s):
    hour, _ = begun(1.0, takes_s, budget_e_per_A2=100.0)
    hour.propose("blank", on=False)
    hour.go(60)
    got = hour.truth([(0.0, 0.0)])["points_e_per_A2"][0]
    assert 85 <= got <= 100


@pytest.mark.parametrize("scale", [1.0, 0.96])
def test_ten_minutes_of_work_are_counted_within_the_uncertainty(scale):
    hour, table = begun(scale, 0.02)
    moves = work(hour, 600, table, regions=2)
    hour.read()
    side = np.arange(-78.75e-9, 80e-9, 2.5e-9).tolist()
    for k in range(2):
        points = [(y, k * REGION_M + x) for y in side for x in side]
        truth = np.array(hour.truth(points)["points_e_per_A2"])
        nominal, upper = np.array([hour.account.at(*point) for point in points]).T
        assert nominal.mean() == pytest.approx(truth.mean(), rel=0.05)
        assert nominal.mean() == pytest.approx(scale * truth.mean(), rel=0.01)
        assert (upper >= truth).all()
    run = hour.account.status(hour.now_ns)["run_e_per_A2"]
    assert run[0] == pytest.approx(scale * hour.truth()["run_e_per_A2"], rel=2e-3)
    assert moves > 30
