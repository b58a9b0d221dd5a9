"""hold_still: absolute set-points from the read-back of the very frame, or none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.processors.desk import FRAME_NS, NM, Desk, acquisition, drift

from scopeside.control.checks import CAUSES
from scopeside.errors import ConfigError
from scopeside.plugins import policy_class
from scopeside_processors.policies.asked import PASSING, Asked
from scopeside_processors.policies.hold_still import HoldStill, HoldStillParams
from scopeside_processors.policies.motion import Line, Motion, Place

BY_STAGE = {"steer": "stage", "stage": {"x": [1.0, 0.0], "y": [0.0, 1.0]}}


def desk(about=None, values=None, **params):
    return Desk(HoldStill(HoldStillParams(**params)), about, **(values or {}))


def where(wishes):
    """(y, x) of the one wish, nm."""
    (wish,) = wishes
    assert wish.action == "set_view_offset"
    return wish.fields["y_m"] / NM, wish.fields["x_m"] / NM


def test_it_is_found_by_its_name():
    assert policy_class("hold_still") is HoldStill


def test_the_set_point_is_the_read_back_of_the_frame_and_its_drift():
    at = desk(values={"view_offset_x_m": 100 * NM, "view_offset_y_m": -50 * NM})
    assert at.drift([0, 0]) == []  # it holds what the first good frame shows
    assert where(at.drift([2, -3])) == pytest.approx((-48, 97))


def test_a_command_that_is_not_seen_yet_is_not_given_twice():
    at = desk()
    at.drift([0, 0])
    first = at.drift([2, 0])
    assert where(first) == pytest.approx((2, 0))
    at.tell(first[0])
    assert at.drift([2, 0]) == []  # the same set-point again


def test_once_it_is_seen_what_is_left_is_added_to_it():
    at = desk()
    at.drift([0, 0])
    (first,) = at.drift([2, 0])
    at.do(first)
    assert where(at.drift([0.5, 0])) == pytest.approx((2.5, 0))


def test_a_frame_during_which_the_view_changed_brings_no_wish():
    at = desk()
    at.drift([0, 0])
    at.set(after_ns=FRAME_NS - 10_000, view_offset_x_m=NM)  # while the next is exposed
    assert at.drift([2, 0]) == []
    assert at.drift([2, 0]) != []


def test_the_exposure_that_is_read_back_counts_if_it_is_longer():
    at = desk(values={"exposure_s": 0.095})
    at.drift([0, 0])
    # Between two exposures of 50 ms, but not of 95 ms.
    at.set(after_ns=FRAME_NS // 4, view_offset_x_m=0.0)
    assert at.drift([2, 0]) == []


def test_gain_takes_back_a_part():
    at = desk(gain=0.5)
    at.drift([0, 0])
    assert where(at.drift([2, 4])) == pytest.approx((1, 2))


def test_what_is_within_the_dead_band_is_left():
    at = desk(dead_band_m=3 * NM)
    at.drift([0, 0])
    assert at.drift([2, 2]) == []
    assert where(at.drift([4, 0])) == pytest.approx((4, 0))


def test_what_is_within_the_noise_is_left():
    at = desk(dead_band_sigmas=2.0)
    wide = [[1.0, 0.0], [0.0, 1.0]]
    at.drift([0, 0], covariance=wide)
    assert at.drift([1.9, 0], covariance=wide) == []
    assert at.drift([2.1, 0], covariance=wide) != []


def test_vectors_that_are_not_sure_are_left_out():
    at = desk()
    at.drift([0, 0])
    assert at.drift([5, 0], confidence=0.49) == []
    assert at.drift([5, 0], confidence=None) == []
    assert at.drift([5, 0], confidence=math.nan) == []
    assert at.drift([5, 0], valid=False) == []
    assert at.drift([math.nan, 0]) == []
    assert at.drift([5, 0], confidence=0.5) != []


def test_a_result_after_lost_ones_is_no_evidence():
    at = desk()
    at.drift([0, 0])
    assert at.drift([2, 0], lost=1) == []
    assert at.drift([2, 0]) != []


def test_a_jump_is_believed_when_the_third_frame_says_so():
    at = desk(max_step_px=10)
    at.drift([0, 0])
    assert at.drift([30, 0]) == []
    assert at.drift([30, 0]) == []
    assert where(at.drift([30, 0])) == pytest.approx((30, 0))


def test_far_vectors_that_do_not_agree_are_never_believed():
    at = desk(max_step_px=10)
    at.drift([0, 0])
    for k in range(20):
        assert at.drift([50 + 30 * (-1) ** k, 0]) == []
    assert where(at.drift([3, 0])) == pytest.approx((3, 0))


def test_a_drift_that_is_foreseen_may_go_far_while_no_frame_is_good():
    at = desk(max_step_px=2)
    for k in range(20):
        for wish in at.drift([k, 0]):
            at.tell(wish, "observed")
    at.frame += 30
    assert at.drift([50, 0]) != []  # where the line leads


def test_a_new_segment_is_held_where_it_is_found():
    at = desk()
    at.drift([0, 0])
    assert at.drift([7, 0], segment=1, first=2) == []
    assert where(at.drift([8, 0], segment=1, first=2)) == pytest.approx((1, 0))


def test_a_new_acquisition_is_held_where_it_begins():
    at = desk()
    at.frame = 1000
    at.drift([0, 0])
    (wish,) = at.drift([2, 0])
    at.about, at.frame = acquisition("a2"), 0
    at.policy.begin(at.about)
    at.tell(wish, "refused", "other_acquisition")
    assert at.drift([0, 0]) == []
    assert where(at.drift([0, 3])) == pytest.approx((0, 3))


def test_a_detector_that_counts_anew_is_followed_at_once():
    at = desk()
    at.frame = 1000
    at.drift([0, 0])
    at.drift([2, 0])
    at.frame = 0
    assert where(at.drift([3, 0])) == pytest.approx((3, 0))


def test_results_of_another_acquisition_are_not_heard():
    at = desk()
    at.drift([0, 0])
    at.about = acquisition("a0")
    assert at.drift([5, 0]) == []


def test_after_a_change_of_magnification_it_waits_for_a_new_segment():
    at = desk(values={"fov_m": 101 * NM, "magnification": 1000.0})
    at.drift([0, 0])
    at.set(fov_m=50.5 * NM, magnification=2000.0)
    assert at.drift([4, 0]) == []
    assert at.drift([4, 0], segment=1, first=3) == []
    # A pixel is half as large now.
    assert where(at.drift([8, 0], segment=1, first=3)) == pytest.approx((2, 0))


def test_another_magnification_without_a_field_of_view_leaves_pixels_unknown():
    at = desk(values={"magnification": 1000.0})
    at.drift([0, 0])
    at.set(magnification=2000.0)
    at.drift([0, 0], segment=1, first=3)
    assert at.drift([4, 0], segment=1, first=3) == []


def test_a_view_that_somebody_else_has_chosen_is_held_there():
    at = desk()
    at.drift([0, 0])
    at.drift([0, 0])
    at.set(view_offset_x_m=200 * NM)  # content goes the other way, and is found there
    assert at.drift([0, -200]) == []
    assert where(at.drift([0, -199])) == pytest.approx((0, 201))


def test_a_frame_from_before_another_moved_the_view_brings_no_wish():
    at = desk()
    at.drift([0, 0])
    at.timeline.take(3 * FRAME_NS + 1, {**at.values, "view_offset_x_m": 200 * NM})
    assert at.drift([2, 0]) == []


def test_a_stage_move_by_a_wish_of_ours_is_measured_anew():
    at = desk(values={"stage_x_m": 0.0, "stage_y_m": 0.0})
    at.drift([0, 0])
    (wish,) = at.drift([4, 0])
    # Handed over: the shifters are centred, the stage has gone 4 nm and 6 nm too far.
    at.set(view_offset_y_m=4 * NM, stage_y_m=-4 * NM)
    at.tell(wish)
    assert where(at.drift([-6, 0])) == pytest.approx((-2, 0))


def test_a_stage_that_somebody_else_moves_is_not_called_back():
    at = desk(values={"stage_x_m": 0.0, "stage_y_m": 0.0})
    at.drift([0, 0])
    at.drift([0, 0])
    at.set(stage_x_m=5 * NM)
    assert at.drift([0, 5]) == []
    assert where(at.drift([0, 6])) == pytest.approx((0, 1))


def test_it_waits_for_what_is_under_way():
    at = desk(lead_frames=0)
    at.drift([0, 0])
    (wish,) = at.drift([2, 0])
    assert at.drift([4, 0]) == []
    at.tell(wish)
    assert where(at.drift([6, 0])) == pytest.approx((6, 0))


def test_of_an_outcome_that_never_comes_it_despairs():
    at = desk(fit_frames=3)
    at.drift([0, 0])
    assert at.drift([2, 0]) != []
    asked = [frame for frame in range(600) if at.drift([4, 0])]
    assert asked
    assert asked[0] == 500  # the first more than 500 frames after it


def test_what_waits_for_a_person_is_let_go_and_tried_again_now_and_then():
    at = desk()
    at.drift([0, 0])
    (wish,) = at.drift([2, 0])
    at.tell(wish, "waiting")
    asked = []
    for k in range(70):  # it drifts by 1 nm a frame
        for wish in at.drift([3 + k, 0]):
            asked.append((k, *where([wish])))
            at.tell(wish, "refused", "busy")  # one like it waits already
    assert [k for k, _, _ in asked] == [32, 65]
    assert max(y - k - 2 for k, y, _ in asked) < 20  # only what is new
    (wish,) = [w for k in range(70, 100) for w in at.drift([3 + k, 0])]
    at.tell(wish)  # a person has armed; the first one is accepted too late to matter
    assert at.drift([105, 0]) != []


def test_refusals_are_answered_with_longer_and_longer_pauses():
    at = desk(let_go_after=1000)
    at.drift([0, 0])
    asked = []
    for frame in range(105):
        for wish in at.drift([5, 0]):
            asked.append(frame)
            at.tell(wish, "refused", "out_of_range")
    assert np.diff(asked).tolist() == [2, 3, 5, 9, 17, 33, 33]


def test_what_is_refused_again_and_again_is_let_go():
    at = desk(let_go_after=3)
    at.drift([0, 0])
    for _ in range(40):
        for wish in at.drift([5, 0]):
            at.tell(wish, "refused", "step")
    assert len(at.wishes) == 3
    assert where(at.drift([6, 0])) == pytest.approx((1, 0))


def test_a_cause_that_passes_lets_nothing_go():
    at = desk(let_go_after=3)
    at.drift([0, 0])
    for _ in range(200):
        for wish in at.drift([5, 0]):
            at.tell(wish, "refused", "busy")
    assert len(at.wishes) > 5
    assert all(where([wish]) == pytest.approx((5, 0)) for wish in at.wishes)


def test_the_causes_that_pass_are_causes_of_the_guard():
    assert set(CAUSES) >= PASSING


def test_a_long_way_is_gone_in_pieces():
    at = desk(largest_m=4 * NM, lead_frames=0)
    at.drift([0, 0])
    (first,) = at.drift([6, 8])
    assert where([first]) == pytest.approx((2.4, 3.2))
    at.do(first)
    assert where(at.drift([3.6, 4.8])) == pytest.approx((4.8, 6.4))


def test_wishes_keep_their_distance():
    at = desk(every_frames=4)
    at.drift([0, 0])
    frames = []
    for k in range(1, 12):
        for wish in at.drift([2 * k, 0]):
            frames.append(k)
            at.tell(wish, "observed")
    assert frames == [1, 5, 9]


def test_a_steady_drift_is_foreseen_by_what_a_command_takes_to_be_seen():
    at = desk(lead_frames=3)
    for k in range(16):
        for wish in at.drift([k, 0]):
            at.tell(wish, "observed")
    # 16 places on a line, the last at 15 px: 18 px is within what noise allows.
    assert where([at.wishes[-1]]) == pytest.approx((18, 0))


def test_how_long_a_command_takes_is_seen_from_the_read_backs():
    asked = Asked(5)
    assert asked.age == 1
    for k in range(5):
        asked.look(10 * k, np.array([float(k), 0.0]), 1e-3)
        asked.ask(10 * k, np.array([k + 1.0, 0.0]), wish := object())
        asked.told(type("Told", (), {"wish": wish, "state": "done", "cause": ""})())
        asked.look(10 * k + 3, np.array([k + 1.0, 0.0]), 1e-3)
    assert asked.age == 3


def test_the_stage_goes_against_the_content():
    start = {"stage_x_m": 10 * NM, "stage_y_m": 20 * NM}
    at = desk(values=start, **BY_STAGE)
    at.drift([0, 0])
    (wish,) = at.drift([2, -3])
    assert wish.action == "move_stage"
    assert wish.why == "content lies 2 nm down, 3 nm left of where it is held"
    assert wish.fields["x_m"] == pytest.approx(13 * NM)
    assert wish.fields["y_m"] == pytest.approx(18 * NM)


def test_the_axes_of_a_stage_may_lie_across_the_picture():
    across = {"x": [0.0, 2.0], "y": [-1.0, 0.0]}
    at = desk(values={"stage_x_m": 0.0, "stage_y_m": 0.0}, steer="stage", stage=across)
    at.drift([0, 0])
    (wish,) = at.drift([2, -3])
    # Content is to go by (y, x) = (-2, +3): stage x by 2 · (-2), stage y by -3.
    assert wish.fields["x_m"] == pytest.approx(-4 * NM)
    assert wish.fields["y_m"] == pytest.approx(-3 * NM)


@pytest.mark.parametrize(
    "wrong",
    [
        {"gain": 0},
        {"gain": 1.5},
        {"steer": "stage"},
        {"stage": {"x": [1, 0], "y": [0, 1]}},
        {"steer": "stage", "stage": {"x": [1, 0], "y": [2, 0]}},
        {"max_step_px": math.nan},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        HoldStillParams(**wrong)


def test_an_exposure_that_nobody_knows_is_told_and_nothing_is_asked_for():
    unknown = {"exposure_s": None, "frame_time_s": None}
    policy = HoldStill(HoldStillParams())
    with pytest.raises(ConfigError, match="how long is a frame exposed"):
        policy.begin(acquisition(calibration=unknown))
    at = desk()
    at.policy = policy
    assert at.drift([0, 0]) == at.drift([5, 0]) == []
    said = desk(acquisition(calibration=unknown), exposure_s=0.05)
    said.drift([0, 0])
    assert said.drift([5, 0]) != []


@pytest.mark.parametrize("values", [{"view_offset_x_m": "far"}, {"fov_m": -1.0}])
def test_a_read_back_that_says_nothing_of_use_brings_no_wish(values):
    at = desk(values=values)
    at.drift([0, 0])
    assert at.drift([5, 0]) == []


@st.composite
def _courses(draw):
    """Vectors and read-backs as they must never be, and may well come."""
    number = st.floats(width=32, allow_nan=True, allow_infinity=True)
    vector = st.tuples(number, number)
    meta = st.fixed_dictionaries(
        {
            "confidence": st.one_of(number, st.none(), st.just("sure")),
            "covariance": st.one_of(
                st.none(), st.just([[0.0, 0.0], [0.0, 0.0]]), st.tuples(vector, vector)
            ),
            "segment": st.integers(0, 2),
        }
    )
    state = st.sampled_from(["done", "refused", "observed", "failed", "waiting"])
    return draw(st.lists(st.tuples(vector, meta, number, state), max_size=20))


def _played(course):
    at = desk()
    for px, meta, view, state in course:
        for wish in at.drift(px, **meta):
            at.tell(wish, state)
        at.set(view_offset_x_m=view)
    return [(wish.action, tuple(wish.fields.items())) for wish in at.wishes]


@given(_courses())
@settings(deadline=None)
def test_whatever_comes_no_wish_is_not_finite_and_equal_courses_give_equal_wishes(
    course,
):
    wishes = _played(course)
    assert wishes == _played(course)
    assert all(math.isfinite(v) for _, fields in wishes for _, v in fields)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=15), st.floats(0, 16))
@settings(deadline=None)
def test_what_is_foreseen_is_no_noisier_than_a_single_place(gaps, lead):
    frames = np.cumsum([0, *gaps]).tolist()
    zero = Line.through([Place(k, np.zeros(2), 1.0) for k in frames])
    reach = min(frames[-1] + lead, max(zero.furthest, frames[-1]))
    # A line is linear in its places: each one's weight is what it makes of a 1 there.
    weights = [_line(frames, at).at(reach)[0] for at in frames]
    assert np.sum(np.square(weights)) <= 1 + 1e-9


def _line(frames, one):
    places = [Place(k, np.array([float(k == one), 0.0]), 1.0) for k in frames]
    line = Line.through(places)
    assert line is not None
    return line


def test_places_off_a_line_are_not_foreseen():
    motion = Motion(16)
    for k in range(8):
        motion.take(Place(k, np.array([k % 2 * 1.0, 0.0]), 1e-3), 10.0)
    assert motion.rate is None
    assert motion.ahead(3).tolist() == [1.0, 0.0]


def test_after_a_bend_only_the_places_behind_it_count():
    motion = Motion(16)
    for k in range(20):
        motion.take(Place(k, np.array([float(max(0, 10 - k)), 0.0]), 1e-6), 10.0)
    assert motion.rate == pytest.approx([0, 0])


def test_a_table_that_is_no_vector_is_not_heard():
    at = desk()
    assert at.hear(drift([[1, 2], [3, 4]], 0)) == []
