"""The instrument on paper: what is written down can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scopeside.control.actions import ACTIONS, targets
from scopeside.control.instrument import Call
from scopeside.control.trial import check_instrument
from scopeside.errors import InstrumentError
from scopeside.plugins import instrument_class
from scopeside_adapters.microscope.paper import Paper, PaperParams

SOMETHING = {
    "number": 0.25,
    "switch": True,
    "count": 3,
    "points": [(0.5, 0.5)],
}


def opened(**state):
    paper = Paper(PaperParams(state=state))
    paper.open()
    return paper


def test_it_is_found_by_its_name():
    assert instrument_class("paper") is Paper


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_it_can_do_every_action_and_reads_back_what_that_sets(action):
    paper = opened()
    fields = {field.name: SOMETHING[field.kind] for field in ACTIONS[action].fields}
    answer = paper.act(Call(action, fields))
    assert answer == targets(action, fields)
    assert paper.read().values == targets(action, fields)
    assert action in paper.actions


def test_it_keeps_the_laws_of_a_control_adapter():
    values = {
        field.quantity: 0.0
        for action in ACTIONS.values()
        for field in action.fields
        if field.quantity and field.kind == "number"
    }
    params = PaperParams(state={**values, "blanked": False, "paused": False})
    calls = [
        Call(name, {field.name: SOMETHING[field.kind] for field in action.fields})
        for name, action in ACTIONS.items()
    ]
    check_instrument(lambda: Paper(params), calls)


def test_it_begins_as_the_parameters_say():
    values = {"high_tension_V": 300e3, "mode": "STEM", "blanked": False}
    paper = opened(**values)
    assert paper.read().values == values
    paper.act(Call("blank", {"on": True}))
    assert paper.read().values == {**values, "blanked": True}


def test_two_connections_see_the_same_sheet():
    params = PaperParams(state={"blanked": False})
    first, second = Paper(params), Paper(params)
    first.open()
    second.open()
    second.act(Call("blank", {"on": True}))
    assert first.read().values == {"blanked": True}
    assert opened(blanked=False).read().values == {"blanked": False}


def test_what_was_set_outlives_a_connection():
    paper = opened()
    paper.act(Call("pause", {}))
    paper.close()
    paper.close()
    paper.open()
    assert paper.read().values == {"paused": True}


def test_times_of_read_backs_do_not_go_back():
    paper = opened()
    times = [paper.read().t_ns for _ in range(10)]
    assert times == sorted(times)


def test_one_that_is_not_open_does_nothing():
    paper = Paper(PaperParams())
    for ask in (paper.read, lambda: paper.act(Call("pause", {}))):
        with pytest.raises(InstrumentError, match="not open"):
            ask()


def test_an_action_that_there_is_not_is_an_error():
    with pytest.raises(InstrumentError, match="action 'explode'"):
        opened().act(Call("explode", {}))


@pytest.mark.parametrize(
    "state",
    [
        {"blanked": 1.0},
        {"defocus_m": True},
        {"defocus_m": "far"},
        {"defocus_m": float("nan")},
        {"paused": "yes"},
    ],
)
def test_a_state_that_cannot_be_is_refused(state):
    with pytest.raises(ValidationError):
        PaperParams(state=state)


@given(st.lists(st.floats(-1, 1), min_size=1))
def test_the_last_that_was_set_is_read(values):
    paper = opened(defocus_m=0.0)
    for value in values:
        paper.act(Call("set_defocus", {"defocus_m": value}))
    assert paper.read().values["defocus_m"] == values[-1]
