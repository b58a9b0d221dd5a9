"""View offsets made from shifters and stage, by a calibration of one optical state."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from scopeside.control.calibration import Calibration, state_of, valid_for
from scopeside.control.instrument import Call, Plans, Readback
from scopeside.control.settings import ActionLimits, ControlSettings
from scopeside.control.setup import Control
from scopeside.control.view import Mover, View
from scopeside.control.view_settings import ViewSettings
from scopeside.control.with_view import WithView
from scopeside.errors import ConfigError, InstrumentError, RefusedError
from scopeside.messages import validate
from scopeside.pipeline import Pipeline
from scopeside.preflight import warnings

STATE = {
    "high_tension_V": 300e3,
    "mode": "TEM",
    "magnification": 1e5,
    "rotation_rad": 0.1,
}
# Turned by 30°, mirrored, and 2 % larger along x.
TURNED = [[0.883, 0.5], [0.51, -0.866]]
STAGE = [[0.0, -1.0], [1.0, 0.0]]
NOTHING = [[0.0] * 4] * 4


def calibration(matrix=TURNED, actuator="image_shift", state=STATE, day=1, **more):
    values = {
        "actuator": actuator,
        "matrix": matrix,
        "covariance": NOTHING,
        "state": state,
        "measured_on": datetime(2026, 11, day, tzinfo=UTC).isoformat(),
        "instrument": "some",
        "step_m": 2e-8,
        "residual_m": 1e-10,
        "visits": 17,
        **more,
    }
    return validate(Calibration, values)


def readback(shift=(0.0, 0.0), stage=(0.0, 0.0), **state):
    places = {"image_shift": shift, "stage": stage}
    values = {
        f"{name}_{axis}_m": place[k]
        for name, place in places.items()
        for k, axis in enumerate("xy")
    }
    return Readback(1, {**values, **STATE, **state})


def view(*, stage=True, range_m=1e-6, zero=(0.0, 0.0)):
    return View(
        Mover("image_shift", (calibration(),), np.array(zero)),
        Mover("stage", (calibration(STAGE, "stage"),), np.zeros(2)) if stage else None,
        range_m,
    )


def after(calls, before):
    """The read-back once the calls have been done."""
    values = dict(before.values)
    for call in calls:
        name = {"set_image_shift": "image_shift", "move_stage": "stage"}[call.action]
        values |= {f"{name}_{key}": value for key, value in call.fields.items()}
    return Readback(2, values)


small = st.tuples(st.floats(-3e-6, 3e-6), st.floats(-3e-6, 3e-6))


@given(small, small, small)
def test_what_is_planned_is_read_back_whether_the_stage_takes_over_or_not(
    wanted, shift, stage
):
    one, now = view(), readback(shift, stage)
    then = after(one.plan(*wanted, now), now)
    assert one.offset(then) == pytest.approx(wanted, abs=1e-15)


@given(small, small)
def test_content_moves_by_minus_the_change_of_the_offset(wanted, shift):
    one, now = view(stage=False, range_m=1.0), readback(shift)
    (call,) = one.plan(*wanted, now)
    moved = np.array([call.fields["x_m"], call.fields["y_m"]]) - shift
    content = np.array(TURNED) @ moved
    assert content == pytest.approx(one.offset(now) - wanted, abs=1e-15)


def test_a_shifter_whose_range_is_spent_hands_over_and_goes_to_its_middle():
    one = view(zero=(3e-7, 0.0))
    now = readback(shift=(1.2e-6, 0.0), stage=(5e-6, 5e-6))
    there = one.offset(now)
    nearer = one.plan(*(there - np.array(TURNED) @ [1e-8, 0]), now)
    assert [call.action for call in nearer] == ["set_image_shift"]
    beyond = one.plan(*(there - np.array(TURNED) @ [2e-7, 0]), now)
    assert [call.action for call in beyond] == ["move_stage", "set_image_shift"]
    assert beyond[1].fields == {"x_m": 3e-7, "y_m": 0.0}


def test_a_hand_over_that_stopped_half_way_is_completed_by_asking_again():
    one, now = view(), readback(shift=(9e-7, 0.0))
    wanted = one.offset(now) - np.array(TURNED) @ [3e-7, 0]
    calls = one.plan(*wanted, now)
    half = after(calls[:1], now)
    again = one.plan(*wanted, half)
    assert [call.action for call in again] == ["set_image_shift"]
    assert one.offset(after(again, half)) == pytest.approx(wanted, abs=1e-15)


def test_what_the_stage_missed_by_is_mended_by_the_shifter():
    one, now = view(), readback(shift=(9e-7, 0.0))
    wanted = one.offset(now) - np.array(TURNED) @ [3e-7, 0]
    landed = after(one.plan(*wanted, now), now)
    values = dict(landed.values)
    values["stage_x_m"] = float(values["stage_x_m"]) + 8e-8
    off = Readback(3, values)
    assert np.linalg.norm(one.offset(off) - wanted) == pytest.approx(8e-8)
    (call,) = one.plan(*wanted, off)
    assert call.action == "set_image_shift"
    assert one.offset(after([call], off)) == pytest.approx(wanted, abs=1e-15)


def test_without_a_stage_a_spent_range_is_refused():
    with pytest.raises(RefusedError, match="its range is 1e-06 m") as refused:
        view(stage=False).plan(5e-6, 0.0, readback())
    assert refused.value.cause == "plan"


def test_a_stage_alone_makes_every_offset():
    alone = View(
        None,
        Mover("stage", (calibration(STAGE, "stage"),), np.array([1e-5, 0.0])),
        0.0,
    )
    now = readback(stage=(1e-5, 0.0))
    assert alone.offset(now) == pytest.approx([0, 0])
    (call,) = alone.plan(1e-9, 0.0, now)
    assert call.fields == {"x_m": 1e-5, "y_m": pytest.approx(1e-9)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"high_tension_V": 200e3}, "high_tension_V is 200000, and was 300000 then"),
        ({"mode": "STEM"}, "mode is STEM, and was TEM then"),
        ({"magnification": 1.01e5}, "magnification is 101000, and was 100000 then"),
        ({"rotation_rad": 0.2}, "rotation_rad is 0.2, and was 0.1 then"),
        ({"rotation_rad": "0.1"}, "rotation_rad is 0.1"),
        ({"mode": 1.0}, "mode is 1, and was TEM then"),
    ],
)
def test_another_optical_state_is_refused_and_what_differs_is_named(change, says):
    with pytest.raises(RefusedError, match=says) as refused:
        view().plan(1e-9, 0.0, readback(**change))
    assert refused.value.cause == "plan"


def test_a_state_that_is_not_said_is_another():
    values = dict(readback().values)
    del values["high_tension_V"]
    with pytest.raises(RefusedError, match="does not say high_tension_V"):
        view().plan(1e-9, 0.0, Readback(1, values))


def test_a_place_that_is_not_said_is_not_guessed():
    values = dict(readback().values)
    del values["image_shift_y_m"]
    with pytest.raises(RefusedError, match="does not say image_shift_y_m") as refused:
        view().plan(1e-9, 0.0, Readback(1, values))
    assert refused.value.cause == "no_readback"


def test_a_full_turn_and_the_noise_of_a_read_back_are_the_same_state():
    turned = readback(rotation_rad=0.1 + 2 * np.pi, magnification=1.0005e5)
    assert view().plan(1e-9, 0.0, turned)


def test_of_several_calibrations_the_newest_of_this_state_counts():
    other = {**STATE, "magnification": 2e5}
    old, new, foreign = (
        calibration(day=1),
        calibration(STAGE, day=2),
        calibration(state=other, day=3),
    )
    assert valid_for((old, new, foreign), readback())[0] is new
    assert valid_for((old, foreign), readback(magnification=2e5))[0] is foreign
    found, reason = valid_for((old, new, foreign), readback(mode="STEM"))
    assert found is None
    assert "2026-11-03" in reason


def test_the_tilt_of_the_stage_is_part_of_the_state_for_the_stage_only():
    now = readback(stage_alpha_rad=0.3)
    assert "stage_alpha_rad" in state_of("stage", now)
    assert "stage_alpha_rad" not in state_of("image_shift", now)


# -- the file -----------------------------------------------------------------------


def test_a_calibration_survives_its_file(tmp_path):
    one = calibration()
    one.save(tmp_path / "shift.json")
    assert Calibration.load(tmp_path / "shift.json") == one
    assert [path.name for path in tmp_path.iterdir()] == ["shift.json"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"matrix": [[1.0, 1.0], [1.0, 1.0]]}, "hardly at all in one direction"),
        ({"matrix": [[1.0, 0.0], [0.0, 0.01]]}, "condition number 100"),
        ({"matrix": [[0.0, 0.0], [0.0, 0.0]]}, "hardly at all"),
        ({"covariance": [[0.0] * 4] * 3}, "covariance"),
        ({"covariance": np.triu(np.ones((4, 4))).tolist()}, "symmetric"),
        ({"covariance": (-np.eye(4)).tolist()}, "its diagonal 0 or more"),
        ({"actuator": "beam"}, "actuator"),
        ({"measured_on": "2026-11-01T00:00:00"}, "measured_on"),
        ({"stat": {}}, "did you mean 'state'"),
        ({"version": 2}, "version"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_key(tmp_path, change, says):
    values = json.loads(calibration().model_dump_json()) | change
    (tmp_path / "shift.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=says):
        Calibration.load(tmp_path / "shift.json")


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_what_is_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "shift.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"shift\.json"):
        Calibration.load(tmp_path / "shift.json")


# -- around an instrument -----------------------------------------------------------


class Coils(BaseModel):
    pass


class Instrument:
    """Does what it is told, at once."""

    Params = Coils

    def __init__(self, params=None, actions=("set_image_shift", "move_stage")):
        self.actions = frozenset({*actions, "set_view_offset"})
        self.done = []
        self.now = readback(view_offset_x_m=1.0)

    def check(self):
        return ["the door is open"]

    def open(self):
        self.done.append("opened")

    def close(self):
        self.done.append("closed")

    def read(self):
        return self.now

    def act(self, call):
        self.done.append(call)
        self.now = after([call], self.now)
        return {"ok": True}


@pytest.fixture
def settings(tmp_path):
    calibration().save(tmp_path / "shift.json")
    calibration(STAGE, "stage").save(tmp_path / "stage.json")
    values = {
        "shifter": {
            "by": "image_shift",
            "calibration": ["shift.json"],
            "range_m": 1e-6,
        },
        "stage": {"calibration": ["stage.json"], "settle_s": 0.5},
    }
    return validate(ViewSettings, values, folder=tmp_path)


def test_an_instrument_with_a_view_does_what_is_planned_and_reads_it_back(settings):
    slept = []
    one = WithView(Instrument(), settings, "some", sleep=slept.append)
    assert isinstance(one, Plans)
    one.open()
    assert "set_view_offset" in one.actions
    wanted = Call("set_view_offset", {"x_m": 2e-6, "y_m": 1e-6})
    for call in one.plan(wanted, one.read()):
        assert one.act(call) == {"ok": True}
    found = one.read()
    assert found.number("view_offset_x_m") == pytest.approx(2e-6)
    assert found.number("view_offset_y_m") == pytest.approx(1e-6)
    assert slept == [0.5]


FIELD = {"min": -1e-5, "max": 1e-5, "step": 3e-6, "excursion": 1e-5, "tolerance": 1e-7}


@pytest.fixture
def approaching(settings):
    stage = settings.stage.model_copy(update={"approach_m": (2e-7, 0.0)})
    both = {"every_s": 1.0, "x_m": FIELD, "y_m": FIELD}
    limits = {"move_stage": validate(ActionLimits, both)}
    view = settings.model_copy(update={"stage": stage})
    one = WithView(Instrument(), view, "some", limits, sleep=lambda _: None)
    one.open()
    return one


def move(x_m, **more):
    return Call("move_stage", {"x_m": x_m, **more})


def test_the_stage_ends_each_move_in_the_same_direction(approaching):
    inner = approaching._inner
    for call in (move(1e-6, y_m=5e-7), move(0.0), move(0.0, z_m=1e-6)):
        assert approaching.plan(call, inner.now) == (call,)
        approaching.act(call)
    approaching.act(Call("move_stage", {"z_m": 0.0}))
    assert inner.done[1:] == [
        move(1e-6 - 2e-7, y_m=5e-7),
        move(1e-6, y_m=5e-7),
        move(-2e-7),
        move(0.0),
        move(-2e-7, z_m=1e-6),
        move(0.0, z_m=1e-6),
        Call("move_stage", {"z_m": 0.0}),
    ]


@pytest.mark.parametrize(
    ("at", "to", "says"),
    [
        (-9e-6, -9.9e-6, "begin at x_m = -1.01e-05, outside of"),
        (0.0, -2.9e-6, "more than a step of 3e-06 m from 0"),
    ],
)
def test_an_approach_that_the_limits_forbid_is_refused(approaching, at, to, says):
    with pytest.raises(RefusedError, match=says) as refused:
        approaching.plan(move(to), readback(stage=(at, 0.0)))
    assert refused.value.cause == "plan"


def test_limits_that_would_keep_the_shifter_from_its_middle_are_told(settings):
    narrow = {"every_s": 1.0, "x_m": {**FIELD, "step": 1e-8}, "y_m": FIELD}
    limits = {"set_image_shift": validate(ActionLimits, narrow)}
    (_, said) = WithView(Instrument(), settings, "some", limits).check()
    assert "x_m.step = 1e-08 is less than range_m = 1e-06" in said


def test_in_another_optical_state_the_view_offset_is_not_read_back(settings):
    inner = Instrument()
    one = WithView(inner, settings)
    one.open()
    assert one.read().number("view_offset_x_m") == 0.0
    inner.now = readback(magnification=5e4, view_offset_x_m=1.0)
    assert one.read().number("view_offset_x_m") is None


def test_other_actions_pass_through_and_the_view_offset_itself_is_never_sent(settings):
    inner = Instrument()
    one = WithView(inner, settings)
    other = Call("set_image_shift", {"x_m": 0.0, "y_m": 0.0})
    assert one.plan(other, inner.now) == (other,)
    with pytest.raises(InstrumentError, match="plan"):
        one.act(Call("set_view_offset", {"x_m": 0.0, "y_m": 0.0}))
    one.close()
    assert inner.done == ["closed"]


def test_an_instrument_that_cannot_move_the_picture_is_not_said_to(settings):
    one = WithView(Instrument(actions=["set_image_shift"]), settings)
    assert one.actions == {"set_image_shift"}
    assert "needs move_stage" in one.check()[1]


def test_a_calibration_that_is_to_be_measured_yet_refuses_view_offsets_only(settings):
    settings.shifter.calibration[0].unlink()
    one = WithView(Instrument(), settings, "some")
    assert one.check() == ["the door is open"]
    one.open()
    wanted = Call("set_view_offset", {"x_m": 0.0, "y_m": 0.0})
    with pytest.raises(RefusedError, match="there is no calibration"):
        one.plan(wanted, one.read())


def test_check_warns_of_a_calibration_that_is_to_be_measured_yet(tmp_path):
    table = {
        "detector": {"kind": "simulator", "mode": "movie"},
        "chain": [{"name": "movie", "processor": [{"kind": "drift"}]}],
        "control": {"view": {"stage": {"calibration": ["stage.json"]}}},
    }
    found = warnings(Pipeline.from_raw(table, folder=tmp_path))
    assert len(found) == 1
    assert "stage.json is not there; view offsets are refused until" in found[0]
    assert "calibrate shift --actuator stage" in found[0]
    calibration(STAGE, "stage").save(tmp_path / "stage.json")
    assert not warnings(Pipeline.from_raw(table, folder=tmp_path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"instrument": "another"}, "was measured with 'another'; this is 'some'"),
        ({"actuator": "beam_shift"}, "is one of beam_shift, not of image_shift"),
        ({"matrix": [[1.0, 1.0], [1.0, 1.0]]}, "hardly at all"),
    ],
)
def test_a_calibration_of_something_else_is_not_used(settings, change, says):
    path = settings.shifter.calibration[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    one = WithView(Instrument(), settings, "some")
    assert any(says in sentence for sentence in one.check())
    with pytest.raises(InstrumentError, match=says):
        one.open()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "a shifter, a stage, or both"),
        ({"shifter": {"by": "image_shift", "calibration": ["a"]}}, "range_m: missing"),
        (
            {"shifter": {"by": "image_shift", "calibration": [], "range_m": 1.0}},
            "1 or more entries",
        ),
        ({"shifter": {"by": "lens", "calibration": ["a"], "range_m": 1.0}}, "by"),
    ],
)
def test_a_view_that_cannot_be_is_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        validate(ViewSettings, values)


def test_the_pipeline_file_wraps_its_instrument(settings):
    table = ControlSettings(adapter={"kind": "some"}, view=settings)
    made = Control(table, Instrument, None, ()).instrument()
    assert isinstance(made, WithView)
    bare = Control(ControlSettings(adapter={"kind": "some"}), Instrument, None, ())
    assert isinstance(bare.instrument(), Instrument)
    assert Control(ControlSettings(view=settings), None, None, ()).instrument() is None


def test_a_file_lies_beside_the_pipeline_file(settings, tmp_path):
    assert settings.shifter.calibration == (Path(tmp_path) / "shift.json",)
