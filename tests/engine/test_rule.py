"""Rules of the pipeline file: when they fire, what they ask for, what they refuse."""

import math
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback
from scopeside.control.policy import Seen
from scopeside.control.reading import number_in, value_in
from scopeside.control.rule import Rule
from scopeside.control.rule_settings import RuleParams
from scopeside.control.setup import load
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.result import Result, invalid

MOVIE = Acquisition(
    "m1",
    (100, 201),
    np.dtype("u2"),
    calibration={"pixel_size_m": 1e-10, "frame_time_s": 0.04},
)
AT_REST = {"view_offset_x_m": 5e-9, "view_offset_y_m": -2e-9}
T_NS = 1_000_000_000
CONFIRMED = {
    "id": 7,
    "status": "confirmed",
    "y": 59.5,
    "x": 90.0,
    "confidence": 0.95,
    "radius_px": 4.0,
}


class Known:
    """A microscope that stands still, and notes what it was asked for."""

    def __init__(self, values=AT_REST):
        self.now = None if values is None else Readback(0, values)
        self.asked = []

    def during(self, first_ns, last_ns):
        self.asked.append((first_ns, last_ns))
        return self.now


def rule(text):
    return Rule(validate(RuleParams, tomllib.loads(text), where="control.rule[0]"))


def event(data=CONFIRMED, acquisition=MOVIE, **about):
    return seen(Result("nucleation", data, "event", frame=20), acquisition, **about)


def dose(value, **about):
    data = np.array([[0.1, value]])
    meta = {"columns": ["e_per_A2", "cumulative_e_per_A2"]}
    return seen(Result("dose", data, "table", frame=3, meta=meta), **about)


def seen(result, acquisition=MOVIE, **about):
    return Seen(acquisition, 1, "movie", "some", result, T_NS, **about)


def fired(one, values, **about):
    return [bool(list(one.hear(dose(value, **about), Known()))) for value in values]


ZOOM = """
when = "nucleation.nucleation"
where = { status = "confirmed", confidence = { above = 0.9 } }
propose = { action = "set_view_offset", to = "event.position" }
"""
BUDGET = """
when = "dose.dose"
value = "cumulative_e_per_A2"
above = 50.0
until_below = 45.0
propose = { action = "blank", on = true }
"""


def test_an_event_becomes_the_view_offset_of_its_place():
    microscope = Known()
    (wish,) = rule(ZOOM).hear(event(), microscope)
    assert wish.action == "set_view_offset"
    # Row 59.5 lies 10 px below the middle, column 90 lies 10 px left of it.
    assert wish.fields["y_m"] == pytest.approx(-2e-9 + 10e-10)
    assert wish.fields["x_m"] == pytest.approx(5e-9 - 10e-10)
    assert wish.confidence is None  # the adviser takes that of the result
    assert wish.why == ("nucleation.nucleation: status = confirmed, confidence = 0.95")
    assert microscope.asked[-1] == (T_NS - 40_000_000, T_NS)


def test_the_field_of_view_that_is_read_back_outdoes_the_calibration():
    microscope = Known({**AT_REST, "fov_m": 201 * 3e-10})
    (wish,) = rule(ZOOM).hear(event(), microscope)
    assert wish.fields["x_m"] == pytest.approx(5e-9 - 30e-10)
    assert wish.fields["y_m"] == pytest.approx(-2e-9 + 30e-10)


def test_after_a_change_of_magnification_a_place_is_only_known_by_the_field_of_view():
    one, microscope = rule(ZOOM), Known({**AT_REST, "magnification": 1e5})
    assert list(one.hear(event(), microscope))
    closer = Known({**AT_REST, "magnification": 2e5})
    assert not list(one.hear(event(), closer))
    assert list(one.hear(event(), Known({**closer.now.values, "fov_m": 1e-8})))
    one.begin(MOVIE)  # with a calibration of its own
    assert list(one.hear(event(), closer))


@pytest.mark.parametrize(
    "values", [None, {}, {"view_offset_x_m": 1e-9}], ids=["moving", "silent", "half"]
)
def test_a_place_is_not_asked_for_if_the_microscope_does_not_say_where_it_was(values):
    assert not list(rule(ZOOM).hear(event(), Known(values)))


def test_a_frame_of_unknown_duration_has_no_place_unless_the_exposure_is_read_back():
    bare = Acquisition("m1", (100, 201), "u2", calibration={"pixel_size_m": 1e-10})
    assert not list(rule(ZOOM).hear(event(acquisition=bare), Known()))
    told = Known({**AT_REST, "exposure_s": 0.01})
    assert list(rule(ZOOM).hear(event(acquisition=bare), told))
    assert told.asked[-1] == (T_NS - 10_000_000, T_NS)


def test_of_two_exposures_the_longer_one_counts():
    both = {"frame_time_s": 0.04, "exposure_s": 0.02, "pixel_size_m": [1e-10, 1e-10]}
    movie = Acquisition("m1", (100, 201), "u2", calibration=both)
    shorter, longer = (Known({**AT_REST, "exposure_s": s}) for s in (0.01, 0.03))
    assert list(rule(ZOOM).hear(event(acquisition=movie), shorter))
    assert shorter.asked[-1] == (T_NS - 20_000_000, T_NS)
    assert list(rule(ZOOM).hear(event(acquisition=movie), longer))
    assert longer.asked[-1] == (T_NS - 30_000_000, T_NS)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "candidate"},
        {"confidence": 0.9},
        {"confidence": math.nan},
        {"confidence": "high"},
        {"y": None},
    ],
)
def test_an_event_that_is_not_as_where_says_or_has_no_place_is_passed_over(change):
    assert not list(rule(ZOOM).hear(event({**CONFIRMED, **change}), Known()))


def test_one_of_several_words_is_enough():
    one = rule(
        'when = "nucleation.nucleation"\npropose = { action = "pause" }\n'
        'where = { status = ["candidate", "confirmed"] }'
    )
    assert list(one.hear(event(), Known()))
    assert not list(one.hear(event({**CONFIRMED, "status": "rejected"}), Known()))


def test_one_is_not_true_and_true_is_not_one():
    text = 'when = "a.b"\nwhere = {{ id = {} }}\npropose = {{ action = "pause" }}'
    assert list(rule(text.format("7")).hear(event(), Known()))
    assert not list(rule(text.format("true")).hear(event({"id": 1}), Known()))
    assert not list(rule(text.format("1")).hear(event({"id": True}), Known()))


def test_a_threshold_fires_once_until_the_value_has_come_down_again():
    values = [40, 50, 51, 60, 49, 46, 55, 44, 49, 51]
    expected = [False] * 2 + [True] + [False] * 6 + [True]
    assert fired(rule(BUDGET), values) == expected


def test_a_threshold_from_above_is_the_same_upside_down():
    one = rule(
        'when = "dose.dose"\nvalue = "cumulative_e_per_A2"\nbelow = 1.0\n'
        'until_above = 2.0\npropose = { action = "resume" }'
    )
    assert fired(one, [3, 0.5, 0.1, 1.5, 0.5, 2.5, 0.5]) == [
        False, True, False, False, False, False, True,
    ]  # fmt: skip


def test_so_many_results_have_to_agree_and_a_loss_among_them_begins_the_count_anew():
    text = BUDGET + "frames = 3"
    assert fired(rule(text), [60, 60, 60, 60]) == [False, False, True, False]
    assert fired(rule(text), [60, 60, 40, 60, 60]) == [False] * 5
    one = rule(text)
    fired(one, [60, 60])
    assert fired(one, [60], missed=1) == [False]
    assert fired(one, [60, 60]) == [False, True]


@pytest.mark.parametrize("between", [math.nan, math.inf])
def test_a_value_that_is_not_known_neither_fires_nor_counts(between):
    assert fired(rule(BUDGET + "frames = 2"), [60, between, 60, 60]) == [
        False, False, False, True,
    ]  # fmt: skip


def test_an_invalid_result_never_fires():
    bad = invalid("dose", "no beam", frame=3)
    one = rule(BUDGET)
    assert not list(one.hear(seen(bad), Known()))
    data = np.array([[0.1, 60.0]])
    meta = {"columns": ["e_per_A2", "cumulative_e_per_A2"]}
    doubtful = Result("dose", data, "table", valid=False, reason="late", meta=meta)
    assert not list(one.hear(seen(doubtful), Known()))
    unusable = Result("nucleation", CONFIRMED, "event", valid=False, reason="dark")
    assert not list(rule(ZOOM).hear(seen(unusable), Known()))


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 4))
def test_between_two_firings_the_value_was_always_below_the_way_back(values, frames):
    one = rule(BUDGET + f"frames = {frames}")
    at = [k for k, hit in enumerate(fired(one, values)) if hit]
    for k in at:
        assert min(values[k - frames + 1 : k + 1]) > 50
    for a, b in pairwise(at):
        assert min(values[a:b]) < 45


def test_a_threshold_goes_on_over_acquisitions_as_scans_give_one_result_each():
    one = rule(BUDGET)
    assert fired(one, [60]) == [True]
    one.begin(MOVIE)
    assert fired(one, [61]) == [False]


def test_once_is_once():
    one = rule(BUDGET + "once = true")
    assert fired(one, [60, 40, 60]) == [True, False, False]


def test_once_per_id_fires_for_each_nucleus_when_its_place_is_first_known():
    one = rule(ZOOM + 'once_per = "id"')
    assert not list(one.hear(event(), Known(None)))
    assert list(one.hear(event(), Known()))
    assert not list(one.hear(event(), Known()))
    assert list(one.hear(event({**CONFIRMED, "id": 8}), Known()))
    assert not list(one.hear(event({**CONFIRMED, "id": None}), Known()))
    one.begin(MOVIE)
    assert list(one.hear(event(), Known()))


def test_fields_are_values_and_numbers_of_the_result():
    one = rule(
        'when = "a.b"\npropose = { action = "set_scan", rows = 64, columns = 64, '
        'dwell_s = { from = "radius_px", times = 1e-6, plus = 2e-6 }, '
        'rotation_rad = "result.confidence", why = "look closer" }'
    )
    (wish,) = one.hear(event(), Known())
    assert wish.fields == {
        "rows": 64,
        "columns": 64,
        "dwell_s": pytest.approx(6e-6),
        "rotation_rad": 0.95,
    }
    assert wish.why == "a.b; look closer"
    assert not list(one.hear(event({"radius_px": 4.0}), Known()))


def test_the_wish_of_a_threshold_says_what_went_above_what():
    (wish,) = rule(BUDGET).hear(dose(50.5), Known())
    assert wish.why == "dose.dose: cumulative_e_per_A2 = 50.5 above 50"
    assert wish.fields == {"on": True}


@pytest.mark.parametrize(
    ("result", "key", "value"),
    [
        (Result("n", 3, "scalar"), "", 3.0),
        (Result("n", np.float32(0.5), "scalar"), "", 0.5),
        (Result("n", math.nan, "scalar"), "", None),
        (Result("drift", np.array([3.0, -4.0]), "series"), "1", -4.0),
        (Result("drift", np.array([3.0, -4.0]), "series"), "length", 5.0),
        (Result("drift", np.array([3.0, math.nan]), "series"), "length", None),
        (Result("adf", np.array([[1, 2], [3, 6]])), "mean", 3.0),
        (Result("adf", np.array([[1, 2], [3, 6]])), "max", 6.0),
        (Result("adf", np.array([[1, 2], [3, 6]])), "1.0", 3.0),
        (Result("adf", np.array([[1.0, math.nan]])), "min", 1.0),
        (Result("adf", np.array([[math.nan]])), "mean", None),
        (Result("adf", np.array([7.0])), "", 7.0),
        (
            Result("adf", np.array([[1, 9]]), mask=np.array([[True, False]])),
            "max",
            1.0,
        ),
        (
            Result("adf", np.array([[1, 9]]), mask=np.array([[True, False]])),
            "0.1",
            None,
        ),
        (Result("n", 0, "scalar", meta={"rate": [1, 2.5]}), "meta.rate.1", 2.5),
        (Result("n", 0, "scalar", meta={"rate": [1]}), "meta.rate.1", None),
        (Result("n", {"at": {"y": 2}, "ok": True}, "event"), "at.y", 2.0),
        (Result("n", {"at": {"y": 2}, "ok": True}, "event"), "ok", True),
        (Result("n", {"at": {"y": 2}}, "event"), "at.z", None),
        (Result("t", np.zeros((0, 1)), "table", meta={"columns": ["a"]}), "a", None),
        (
            Result("t", np.array([[1.0], [5.0]]), "table", meta={"columns": ["a"]}),
            "a.max",
            5.0,
        ),
    ],
)
def test_what_a_result_has_under_a_name(result, key, value):
    assert value_in(result, key) == value


def test_a_word_is_no_number():
    assert number_in(Result("n", {"status": "3"}, "event"), "status") is None
    assert number_in(Result("n", {"ok": True}, "event"), "ok") is None


@pytest.mark.parametrize(
    ("result", "key", "says"),
    [
        (
            Result("dose", np.zeros((1, 1)), "table", meta={"columns": ["rate"]}),
            "rat",
            "column 'rat' is not known; did you mean 'rate'",
        ),
        (
            Result("n", np.zeros((2, 1)), "table", meta={"columns": ["a"]}),
            "a",
            "n has 2 rows; choose: a.mean, a.max, a.min, a.length",
        ),
        (Result("adf", np.zeros((2, 2))), "", "value '' is not known"),
        (Result("adf", np.zeros((2, 2))), "3.0", r"shape \(2, 2\) has no element 3.0"),
        (Result("n", 3, "scalar"), "mean", "n is a scalar without 'mean'"),
    ],
)
def test_what_no_such_result_can_have_is_an_error(result, key, says):
    with pytest.raises(ConfigError, match=says):
        value_in(result, key)


PAUSE = 'propose = { action = "pause" }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('when = "dose"\n' + PAUSE, r"control\.rule\[0\]\.when: found 'dose'"),
        (PAUSE, r"control\.rule\[0\]\.when: missing"),
        ('when = "a.b"', r"control\.rule\[0\]\.propose: missing"),
        ('when = "a.b"\nwher = {}\n' + PAUSE, "did you mean 'where'"),
        ('when = "a.b"\npropose = { action = "blnk" }', "did you mean 'blank'"),
        (
            'when = "a.b"\npropose = { action = "blank", off = true }',
            "field 'off' is not known",
        ),
        ('when = "a.b"\npropose = { action = "blank" }', "missing: on"),
        (
            'when = "a.b"\npropose = { action = "blank", on = 1 }',
            "true or false, not 1",
        ),
        (
            'when = "a.b"\npropose = { action = "blank", on = "result.on" }',
            "on is a switch; a result gives numbers only",
        ),
        (
            'when = "a.b"\npropose = { action = "set_defocus", defocus_m = "1e-6" }',
            r"defocus_m = '1e-6': a text is 'result\.KEY'",
        ),
        (
            'when = "a.b"\npropose = { action = "set_defocus", '
            'defocus_m = { from = "z", time = 2 } }',
            "did you mean 'times'",
        ),
        (
            'when = "a.b"\npropose = { action = "set_defocus", defocus_m = nan }',
            "not finite",
        ),
        (
            'when = "a.b"\npropose = { action = "move_stage", to = "event.position" }',
            "set_view_offset only has it",
        ),
        (
            'when = "a.b"\npropose = { action = "set_view_offset", '
            'to = "event.position", x_m = 0.0 }',
            "gives both",
        ),
        ('when = "a.b"\nabove = 1.0\n' + PAUSE, r"above = 1 needs until_below"),
        (
            'when = "a.b"\nabove = 1.0\nuntil_below = 2.0\n' + PAUSE,
            "until_below = 2; expected 1 or less",
        ),
        (
            'when = "a.b"\nbelow = 1.0\nuntil_above = 0.5\n' + PAUSE,
            "until_above = 0.5; expected 1 or more",
        ),
        (
            'when = "a.b"\nbelow = 1.0\nuntil_below = 0.5\n' + PAUSE,
            "until_below goes with above",
        ),
        ('when = "a.b"\nabove = nan\nuntil_below = 0.5\n' + PAUSE, "finite number"),
        ('when = "a.b"\nvalue = "mean"\n' + PAUSE, "value goes with above or below"),
        ('when = "a.b"\nframes = 2\n' + PAUSE, "frames goes with above or below"),
        (
            'when = "a.b"\nabove = 1.0\nuntil_below = 1.0\nonce_per = "id"\n' + PAUSE,
            "once_per goes with events",
        ),
        (
            'when = "a.b"\nwhere = { c = { abov = 1 } }\n' + PAUSE,
            "did you mean 'above'",
        ),
        (
            'when = "a.b"\nwhere = { c = {} }\n' + PAUSE,
            "expected above, below, or both",
        ),
        ('when = "a.b"\nwhere = { c = nan }\n' + PAUSE, "c: found nan"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_when_the_file_is_loaded(text, says):
    table = {"rule": [tomllib.loads(text)]}
    with pytest.raises(ConfigError, match=says):
        load(table, Path())


def test_a_pipeline_file_makes_rules_of_its_tables():
    control = load(tomllib.loads(f"[[rule]]\n{ZOOM}\n[[rule]]\n{BUDGET}"), Path())
    assert [one.name for one in control.deciders] == ["rule0", "rule1"]
    first = control.deciders[0].policy()
    assert first.wants == ("nucleation.nucleation",)
    assert list(first.hear(event(), Known()))
