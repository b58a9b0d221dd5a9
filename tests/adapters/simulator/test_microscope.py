"""The simulated instrument: commands are carried out exactly, or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside_adapters.simulator.commands import ACTIONS, ENVELOPE
from scopeside_adapters.simulator.microscope import (
    REMEMBERED_IDS,
    Microscope,
)
from scopeside_adapters.simulator.state import State

GOOD = {
    "set_beam_shift": {"x_m": 1e-9, "y_m": -2e-9},
    "set_image_shift": {"x_m": 1e-9, "y_m": -2e-9},
    "set_view_offset": {"x_m": 1e-9, "y_m": -2e-9},
    "move_stage": {"z_m": 1e-6},
    "set_defocus": {"defocus_m": -1e-6},
    "set_magnification": {"value": 2e5},
    "set_fov": {"width_m": 1e-7},
    "set_exposure": {"exposure_s": 0.5},
    "set_dose_rate": {"e_per_A2_s": 3.0},
    "blank": {"on": True},
    "pause": {},
}
TEXT = st.text("ab_ é\n", max_size=5)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
ANYTHING = PLAIN | st.lists(PLAIN, max_size=2)
FIELDS = sorted({f.name for action in ACTIONS.values() for f in action.fields})
REQUESTS = st.dictionaries(
    st.sampled_from([*FIELDS, *sorted(ENVELOPE), "on"]) | TEXT,
    ANYTHING | st.floats(-1e-6, 1e-6),
    max_size=4,
).flatmap(
    lambda more: st.sampled_from(sorted(ACTIONS)).map(
        lambda action: {"action": action, "id": str(more), **more}
    )
)


def ask(microscope, action, name="1", **fields):
    return microscope.command({"action": action, "id": name, **fields})


@pytest.mark.parametrize("action", GOOD)
def test_a_good_command_changes_the_state(action):
    microscope = Microscope()
    answer = ask(microscope, action, **GOOD[action])
    assert (answer.ok, answer.reason, answer.state.epoch) == (True, "", 1)
    assert microscope.state == answer.state


def test_every_action_but_resume_is_tried_above():
    assert set(GOOD) | {"resume"} == set(ACTIONS)


def test_set_points_are_absolute():
    microscope = Microscope()
    ask(microscope, "set_image_shift", "a", x_m=1e-9, y_m=0)
    ask(microscope, "set_image_shift", "b", x_m=1e-9, y_m=0)
    assert microscope.state.image_shift_x_m == 1e-9
    assert microscope.state.epoch == 1


def test_the_stage_moves_only_along_the_axes_named():
    microscope = Microscope(State(stage_x_m=1e-6, stage_beta_rad=0.1))
    ask(microscope, "move_stage", y_m=2e-6, alpha_rad=0.3)
    state = microscope.state
    assert (state.stage_x_m, state.stage_y_m) == (1e-6, 2e-6)
    assert (state.stage_alpha_rad, state.stage_beta_rad) == (0.3, 0.1)


def test_field_of_view_and_magnification_go_together():
    microscope = Microscope(State(magnification=1e5, fov_m=2e-7))
    ask(microscope, "set_magnification", "a", value=2e5)
    assert microscope.state.fov_m == pytest.approx(1e-7)
    ask(microscope, "set_fov", "b", width_m=4e-7)
    assert microscope.state.magnification == pytest.approx(5e4)


@pytest.mark.parametrize(
    ("action", "fields", "reason"),
    [
        ("set_defokus", {}, "unknown to"),
        ("place_beam", {"points": [], "dwell_s": 1.0}, "not offered"),
        ("set_defocus", {}, "missing: defocus_m"),
        ("set_beam_shift", {"x_m": 0.0}, "missing: y_m"),
        ("move_stage", {}, "missing: x_m, y_m, z_m"),
        ("set_defocus", {"defocus_m": 0.0, "dx": 1}, "unknown field 'dx'"),
        ("set_defocus", {"defocus_m": float("nan")}, "nan is outside"),
        ("set_defocus", {"defocus_m": float("inf")}, "inf is outside"),
        ("set_defocus", {"defocus_m": 1.0}, "outside -0.0001 … 0.0001"),
        ("set_defocus", {"defocus_m": True}, "is a number, not True"),
        ("set_defocus", {"defocus_m": "1e-6"}, "is a number, not '1e-6'"),
        ("set_defocus", {"defocus_m": 10**400}, "is outside"),
        ("blank", {"on": 1}, "true or false, not 1"),
        ("blank", {}, "missing: on"),
        ("pause", {"on": True}, "unknown field 'on'"),
        ("set_dose_rate", {"e_per_A2_s": -1.0}, "outside 0"),
        ("set_defocus", {"defocus_m": 0.0, "deadline": 1}, "deadline passed"),
        ("set_defocus", {"defocus_m": 0.0, "deadline": "soon"}, "is a time in ns"),
    ],
)
def test_what_cannot_be_done_as_asked_is_refused(action, fields, reason):
    microscope = Microscope()
    answer = ask(microscope, action, **fields)
    assert not answer.ok
    assert reason in answer.reason
    assert microscope.state == State()


def test_no_exposure_outlasts_a_frame():
    microscope = Microscope(longest_exposure_s=0.1)
    assert ask(microscope, "set_exposure", "a", exposure_s=0.1).ok
    answer = ask(microscope, "set_exposure", "b", exposure_s=0.2)
    assert "longer than the frame time of 0.1 s" in answer.reason


@pytest.mark.parametrize("name", [None, "", 1.5, True, ["a"]])
def test_a_command_needs_an_id(name):
    answer = ask(Microscope(), "blank", name, on=True)
    assert (answer.ok, answer.id) == (False, None)


def test_the_envelope_of_a_command_is_no_field():
    envelope = {"created": 1, "deadline": 1 << 63, "frame": 3, "epoch": 0}
    assert ask(Microscope(), "blank", on=True, **envelope).ok


def test_a_repeated_id_gets_the_stored_answer_and_does_not_act():
    microscope = Microscope()
    first = ask(microscope, "blank", "x", on=True)
    ask(microscope, "blank", "y", on=False)
    assert ask(microscope, "blank", "x", on=True) is first
    assert microscope.state.blanked is False


def test_a_refusal_is_stored_as_well():
    microscope = Microscope()
    first = ask(microscope, "blank", "x")
    assert ask(microscope, "blank", "x", on=True) is first


def test_only_so_many_ids_are_remembered():
    microscope = Microscope()
    for name in range(REMEMBERED_IDS + 10):
        ask(microscope, "blank", name, on=name % 2 == 0)
    assert len(microscope._answers) == REMEMBERED_IDS
    newest = REMEMBERED_IDS + 9
    assert ask(microscope, "blank", newest, on=True).state.blanked is False


def test_a_frame_finds_the_state_of_its_own_time():
    clock = iter([100, 200, 200, 50])
    microscope = Microscope(now_ns=lambda: next(clock))
    for name in range(4):
        ask(microscope, "set_defocus", name, defocus_m=(name + 1) * 1e-6)
    times = np.array([0, 99, 100, 150, 199, 200, 300])
    runs = [
        (first, end, state.epoch) for first, end, state in microscope.states_at(times)
    ]
    # Of what was set at 200 and, the clock set back, at 50, only the last counts.
    assert runs == [(0, 2, 0), (2, 5, 1), (5, 7, 4)]
    assert microscope.readback(150)["defocus_m"] == 1e-6
    assert microscope.readback()["epoch"] == 4


@given(st.lists(REQUESTS, max_size=5))
def test_no_request_crashes_the_microscope_or_makes_its_state_impossible(requests):
    microscope = Microscope()
    for request in requests:
        before = microscope.state
        answer = microscope.command(request)
        assert answer.ok == (answer.reason == "")
        assert microscope.state == before or microscope.state.epoch == before.epoch + 1
    numbers = [v for v in microscope.readback().values() if isinstance(v, float)]
    assert np.isfinite(numbers).all()


@given(st.lists(st.sampled_from(sorted(GOOD)), max_size=12))
def test_repeating_every_command_changes_nothing(actions):
    once, twice = (Microscope(now_ns=lambda: 7) for _ in range(2))
    for name, action in enumerate(actions):
        ask(once, action, name, **GOOD[action])
        ask(twice, action, name, **GOOD[action])
        ask(twice, action, name, **GOOD[action])
    assert once.state == twice.state


# -- the beam is placed ---------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now_ns = 1_000_000_000

    def __call__(self):
        return self.now_ns


POINTS = [[0.0, 0.25], [1.0, 0.5], [0.5, 0.75]]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scanning(clock):
    return Microscope(scans=True, now_ns=clock)


def place(microscope, name="p", points=POINTS, dwell_s=0.1):
    return ask(microscope, "place_beam", name, points=points, dwell_s=dwell_s)


def test_the_beam_stays_on_each_point_and_then_scans_again(clock, scanning):
    assert place(scanning).ok
    assert scanning.dwells("p")
    times = clock.now_ns + np.array([-1, 0, 99, 100, 250, 299, 300]) * 1_000_000
    probes = [(a, b, s.probe) for a, b, s in scanning.states_at(times)]
    assert probes == [
        (0, 1, None),
        (1, 3, (0.0, 0.25)),
        (3, 4, (1.0, 0.5)),
        (4, 6, (0.5, 0.75)),
        (6, 7, None),
    ]
    assert scanning.state.probe == (0.0, 0.25)
    clock.now_ns += 300_000_000
    assert not scanning.dwells("p")
    assert scanning.state.probe is None
    answer = place(scanning)
    assert (answer.ok, answer.more) == (True, {"visited": 3})
    assert answer.state == scanning.state


def test_epochs_ascend_from_point_to_point(clock, scanning):
    place(scanning)
    times = clock.now_ns + np.array([-1, 0, 100, 200, 300]) * 1_000_000
    epochs = [state.epoch for _, _, state in scanning.states_at(times)]
    assert epochs == [0, 1, 2, 3, 4]


def test_where_the_beam_was_is_remembered(clock, scanning):
    start = clock.now_ns
    place(scanning)
    assert scanning.visits() == (0, 0, [])
    clock.now_ns += 300_000_000
    begin, total, visits = scanning.visits()
    assert (begin, total) == (0, 3)
    assert visits[1] == (start + 100_000_000, 1.0, 0.5, 0.1)
    assert scanning.visits(2) == (2, 3, visits[2:])


def test_while_the_beam_is_placed_nothing_is_done_but_a_blank(clock, scanning):
    place(scanning)
    clock.now_ns += 150_000_000
    for action, fields in GOOD.items():
        if action != "blank":
            answer = ask(scanning, action, action, **fields)
            assert "the beam is placed on points, for another 0.15 s" in answer.reason
    assert "is placed" in ask(scanning, "blank", "on", on=False).reason
    assert "is placed" in place(scanning, "again").reason
    assert ask(scanning, "blank", "b", on=True).ok
    state = scanning.state
    assert (state.blanked, state.probe) == (True, None)
    answer = place(scanning)
    assert (answer.ok, answer.more) == (False, {"visited": 2})
    assert "a blank put an end to it on point 2 of 3" in answer.reason
    assert [visit.dwell_s for visit in scanning.visits()[2]] == [0.1, 0.05]


def test_after_a_blank_the_beam_does_not_come_back_by_itself(clock, scanning):
    place(scanning)
    ask(scanning, "blank", "b", on=True)
    clock.now_ns += 1_000_000_000
    assert scanning.state.blanked
    times = np.array([clock.now_ns - 1, clock.now_ns])
    assert [s.blanked for _, _, s in scanning.states_at(times)] == [True]


def test_a_blanked_beam_and_one_that_does_not_scan_are_not_placed(scanning):
    assert "not offered" in place(Microscope()).reason
    ask(scanning, "blank", "b", on=True)
    assert "the beam is blanked" in place(scanning).reason


@pytest.mark.parametrize(
    ("points", "dwell_s", "words"),
    [
        ([], 0.1, "a list of 1 to"),
        ("ab", 0.1, "a list of 1 to"),
        ([[0.5]], 0.1, "a point is"),
        ([[0.5, 1.5]], 0.1, "outside 0 … 1"),
        ([[0.5, float("nan")]], 0.1, "outside 0 … 1"),
        ([[True, 0.5]], 0.1, "is a number"),
        ([[0.5, 0.5]], 0.0, "outside 1e-06 … 60"),
        ([[0.5, 0.5]] * 100, 10.0, "take longer than"),
        ([[0.5, 0.5]] * 10_001, 1e-6, "a list of 1 to"),
    ],
)
def test_points_that_cannot_be_visited_are_refused(scanning, points, dwell_s, words):
    answer = place(scanning, points=points, dwell_s=dwell_s)
    assert not answer.ok
    assert words in answer.reason
    assert scanning.state.epoch == 0


def test_a_command_for_another_session_is_refused_unless_it_blanks():
    microscope = Microscope()
    assert ask(microscope, "pause", "a", session=microscope.session).ok
    answer = ask(microscope, "resume", "b", session="yesterday")
    assert "started anew" in answer.reason
    assert not ask(microscope, "blank", "c", on=False, session="yesterday").ok
    assert ask(microscope, "blank", "d", on=True, session="yesterday").ok
    assert Microscope().session != microscope.session


def test_a_clock_that_is_set_back_does_not_bring_back_what_was_before():
    clock = Clock()
    microscope = Microscope(scans=True, now_ns=clock)
    assert ask(microscope, "blank", "a", on=True).ok
    clock.now_ns += 1_000_000
    assert ask(microscope, "blank", "b", on=False).ok
    placed = place(microscope)
    assert placed.ok
    clock.now_ns -= 1_000_000
    assert microscope.state == placed.state


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place_beam", "blank", "unblank", "set_defocus", "wait"]),
        st.integers(-50, 400),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_comes_the_history_is_in_order_and_a_blank_stays(steps):
    clock = Clock()
    microscope = Microscope(scans=True, now_ns=clock)
    blanked = False
    for number, (action, ms) in enumerate(steps):
        match action:
            case "place_beam":
                place(microscope, number, dwell_s=0.05)
            case "blank":
                blanked = True
                assert ask(microscope, "blank", number, on=True).ok
            case "unblank":
                blanked &= not ask(microscope, "blank", number, on=False).ok
            case "set_defocus":
                ask(microscope, action, number, defocus_m=ms * 1e-9)
            case "wait":
                clock.now_ns += ms * 1_000_000  # the wall clock may be set back
        assert microscope.state.blanked is blanked
    times = 1_000_000_000 + np.arange(0, 13_000, 7) * 1_000_000
    epochs = [state.epoch for _, _, state in microscope.states_at(times)]
    assert epochs == sorted(epochs)
    visits = [visit.t_ns for visit in microscope.visits()[2]]
    assert visits == sorted(visits)
