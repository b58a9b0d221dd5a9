"""The simulator's own count of the dose, against sums worked out by hand."""

import itertools

import msgpack
import pytest

from scopeside_adapters.simulator import dose_truth
from scopeside_adapters.simulator.control import answer
from scopeside_adapters.simulator.dose_truth import DoseTruth
from scopeside_adapters.simulator.microscope import Microscope
from scopeside_adapters.simulator.state import State

S = 1_000_000_000
IDS = itertools.count()


class Clock:
    def __init__(self):
        self.s = 0.0

    def __call__(self):
        return int(self.s * S)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def microscope(clock):
    made = Microscope(State(), now_ns=clock, aspect=0.5)
    made.dose()
    return made


def do(microscope, action, **fields):
    request = {"action": action, "id": next(IDS), **fields}
    assert microscope.command(request).ok


def test_dose_is_rate_times_time_while_the_beam_is_on(microscope, clock):
    clock.s = 2
    do(microscope, "blank", on=True)
    clock.s = 10
    do(microscope, "set_dose_rate", e_per_A2_s=3.0)
    do(microscope, "blank", on=False)
    clock.s = 11
    found = microscope.dose([(0.0, 0.0)])
    assert found["run_e_per_A2"] == pytest.approx(10 * 2 + 3)
    assert found["points_e_per_A2"] == [pytest.approx(23)]
    assert found["t_ns"] == 11 * S


def test_what_is_lit_is_what_the_picture_shows(microscope, clock):
    do(microscope, "set_view_offset", x_m=1e-6, y_m=0.0)
    do(microscope, "move_stage", y_m=2e-6)
    clock.s = 1
    inside = [(-2e-6, 1e-6), (-2e-6 + 49e-9, 1e-6 - 99e-9)]
    outside = [(-2e-6 + 51e-9, 1e-6), (-2e-6, 1e-6 + 101e-9), (0.0, 0.0)]
    found = microscope.dose([*inside, *outside])["points_e_per_A2"]
    assert found == pytest.approx([10, 10, 0, 0, 0])


def test_a_pause_does_not_spare_the_specimen(microscope, clock):
    do(microscope, "pause")
    clock.s = 5
    assert microscope.dose()["run_e_per_A2"] == pytest.approx(50)


def test_more_changes_than_the_history_holds_are_counted(microscope, clock):
    for k in range(5000):
        clock.s = k + 1.0
        do(microscope, "set_dose_rate", e_per_A2_s=10.0 + k % 2)
    found = microscope.dose([(0.0, 0.0)])
    assert found["run_e_per_A2"] == pytest.approx(5000 * 10.5, rel=1e-3)
    assert found["points_e_per_A2"][0] == pytest.approx(found["run_e_per_A2"])


def test_fields_that_are_too_many_are_told(monkeypatch):
    monkeypatch.setattr(dose_truth, "MAX_FIELDS", 2)
    truth = DoseTruth(State(), 0)
    for k in range(1, 5):
        truth.change(State(view_offset_x_m=k * 1e-6), k * S)
    assert (truth.run_e_per_A2, truth.forgotten) == (pytest.approx(40), 2)


def ask(microscope, **request):
    return answer(microscope, msgpack.packb(request))


def test_it_is_told_on_request_only(microscope, clock):
    clock.s = 1
    assert "dose" not in ask(microscope, action="get_state")
    found = ask(microscope, action="get_dose", id=7, points=[[0, 0], [1.0, 1.0]])
    assert (found["ok"], found["id"]) == (True, 7)
    assert found["dose"]["points_e_per_A2"] == pytest.approx([10, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": 3},
        {"points": [[0]]},
        {"points": [["a", 0]]},
        {"point": []},
        {"points": [[0, 0]] * 1001},
        {"points": [[True, 0]]},
    ],
)
def test_what_cannot_be_answered_is_refused(microscope, wrong):
    found = ask(microscope, action="get_dose", **wrong)
    assert not found["ok"]
    assert found["reason"]
