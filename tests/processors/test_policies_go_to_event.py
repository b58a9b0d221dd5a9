"""go_to_event: one event at a time, there and back, by what has been done."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.processors.desk import FRAME_NS, NM, SIDE, Desk, drift

from scopeside.plugins import policy_class
from scopeside.result import Result
from scopeside_processors.policies.go_to_event import GoToEvent, GoToEventParams

START = {"fov_m": 101 * NM, "magnification": 1000.0, "exposure_s": 0.05}


class Scene(Desk):
    """A desk with events; the middle of a frame is pixel (50, 50)."""

    def __init__(self, values=None, **params):
        said = {"fov_m": 25e-9, "stay_s": 1.0, **params}
        said = {key: value for key, value in said.items() if value is not None}
        policy = GoToEvent(GoToEventParams(**said))
        super().__init__(policy, None, **{**START, **(values or {})})

    def event(self, y, x, *, name=1, confidence=0.9, status="confirmed", **about):
        data = {"id": name, "y": y, "x": x, "confidence": confidence, "status": status}
        result = Result("nucleation", data, "event", frame=self.frame, **about)
        return self.hear(result, processor="nucleation")

    def tick(self, frames=1, *, specimen_nm=(0, 0), **meta):
        """Let frames of a specimen pass; return what is asked for in them."""
        return [w for _ in range(frames) for w in self._frame(specimen_nm, **meta)]

    def go(self, frames=1, **about):
        """Let frames pass, and do all that is asked for."""
        found = []
        for _ in range(frames):
            for wish in self.tick(**about):
                self.do(wish)
                found.append(wish)
        return found

    def _frame(self, specimen_nm, **meta):
        """The view moves, and content the other way; magnified it is another."""
        pixel_nm = self.values["fov_m"] / NM / SIDE
        y = specimen_nm[0] - self.values["view_offset_y_m"] / NM
        x = specimen_nm[1] - self.values["view_offset_x_m"] / NM
        about = {"segment": round(1 / pixel_nm), **meta}
        return self.drift([y / pixel_nm, x / pixel_nm], **about)


def names(wishes):
    return [wish.action for wish in wishes]


def view_nm(wish):
    assert wish.action == "set_view_offset"
    return wish.fields["y_m"] / NM, wish.fields["x_m"] / NM


def test_it_is_found_by_its_name():
    assert policy_class("go_to_event") is GoToEvent


def test_an_event_is_put_in_the_middle_magnified_and_left_again():
    at = Scene(values={"view_offset_x_m": 100 * NM}, new_exposure_s=0.02)
    (centre,) = at.event(20, 80)
    # 30 px above the middle and 30 px right of it, from where the view was.
    assert view_nm(centre) == pytest.approx((-30, 130))
    assert centre.confidence == 0.9
    at.do(centre)
    assert names(at.go(2)) == ["set_fov", "set_exposure"]
    assert at.values["fov_m"] == 25e-9
    assert at.policy.state == "going"
    assert at.go(10) == []  # a second begins with the first frame of it
    assert at.policy.state == "there"
    assert names(at.go(3)) == ["set_exposure", "set_fov", "set_view_offset"]
    at.go()
    assert at.policy.state == "home"
    assert at.values["fov_m"] == START["fov_m"]
    assert at.values["exposure_s"] == START["exposure_s"]
    assert at.values["view_offset_x_m"] == pytest.approx(100 * NM)


def test_the_next_step_waits_for_the_one_before():
    at = Scene()
    (centre,) = at.event(20, 80)
    assert at.tick(10) == []
    at.tell(centre, "waiting")  # for a person, who may take long
    assert at.tick(600) == []
    at.do(centre)
    (magnify,) = at.tick()
    assert magnify.action == "set_fov"


def test_magnification_may_be_said_instead():
    at = Scene(fov_m=None, magnification=4000.0)
    at.do(at.event(20, 80)[0])
    (magnify,) = at.tick()
    assert magnify.action == "set_magnification"
    assert magnify.fields == {"value": 4000.0}


def test_events_that_are_not_sure_or_no_nuclei_are_not_gone_to():
    at = Scene(min_confidence=0.8)
    assert at.event(20, 80, confidence=0.79) == []
    assert at.event(20, 80, confidence=math.nan) == []
    assert at.event(20, 80, status="candidate") == []
    assert at.event(20, 80, status="rejected") == []
    assert at.event(math.nan, 80) == []
    assert at.event(20, 80, valid=False) == []
    assert at.tick(3) == []


def test_candidates_are_gone_to_if_they_are_asked_for():
    at = Scene(status="candidate")
    assert at.event(20, 80, status="candidate") != []


def test_the_surest_event_comes_first_and_the_others_after_it():
    at = Scene(fov_m=None, stay_s=0.1)
    (first,) = at.event(50, 50, name=1, confidence=0.85)
    assert at.event(10, 10, name=2, confidence=0.81) == []
    assert at.event(90, 90, name=3, confidence=0.99) == []
    at.do(first)
    seen = [view_nm(wish) for wish in at.go(30)]
    home = pytest.approx((0, 0))
    surest, other = pytest.approx((40, 40)), pytest.approx((-40, -40))
    assert seen == [home, surest, home, other, home]


def test_an_event_near_to_one_that_was_visited_is_left_out():
    at = Scene(fov_m=None, stay_s=0.1, apart_m=20 * NM)
    at.do(at.event(20, 80)[0])
    at.go(10)
    assert at.policy.state == "home"
    assert at.event(30, 85, name=2) == []
    assert at.tick(3) == []
    assert at.event(41, 80, name=3) != []


def test_an_event_that_is_rejected_while_it_waits_is_left_out():
    at = Scene(fov_m=None, stay_s=0.1)
    first = at.event(20, 20, name=1)[0]
    at.event(80, 80, name=2)
    at.event(80, 80, name=2, status="rejected")
    at.do(first)
    assert names(at.go(20)) == ["set_view_offset"]  # home, and nowhere else


def test_an_event_that_waited_too_long_is_left_out():
    at = Scene(fov_m=None, stay_s=2.0, forget_s=1.0)
    first = at.event(20, 20, name=1)[0]
    at.event(80, 80, name=2)
    at.do(first)
    assert names(at.go(40)) == ["set_view_offset"]


def test_what_waits_and_home_move_with_the_specimen():
    at = Scene(fov_m=None, stay_s=0.1)
    at.tick()
    (first,) = at.event(20, 20, name=1)
    at.event(80, 80, name=2)
    drifted = {"specimen_nm": (4, 0)}  # down, while the view stands still
    assert at.tick(**drifted) == []
    at.do(first)
    seen = [view_nm(wish) for wish in at.go(20, **drifted)]
    home = pytest.approx((4, 0))
    assert seen == [home, pytest.approx((34, 30)), home]


def test_what_is_refused_on_the_way_is_undone():
    at = Scene(new_exposure_s=0.02)
    at.do(at.event(20, 80)[0])
    (magnify,) = at.tick()
    at.do(magnify)
    (expose,) = at.tick()
    at.tell(expose, "refused", "no_limits")
    assert names(at.go(4)) == ["set_fov", "set_view_offset"]
    assert at.policy.state == "home"
    assert at.values["fov_m"] == START["fov_m"]
    assert at.event(20, 80) == []  # it is not tried again


def test_if_not_even_the_centring_is_allowed_nothing_is_undone():
    at = Scene()
    (centre,) = at.event(20, 80)
    at.tell(centre, "refused", "step")
    assert at.tick(5) == []
    assert at.policy.state == "home"


def test_a_cause_that_passes_is_waited_for():
    at = Scene()
    (centre,) = at.event(20, 80)
    at.tell(centre, "refused", "busy")
    assert at.tick() == []
    (again,) = at.tick()
    assert again == centre


def test_an_event_that_nobody_let_us_go_to_in_time_is_given_up():
    at = Scene(forget_s=2.0)
    (centre,) = at.event(20, 80)
    at.tell(centre, "waiting")
    at.tick(30)
    at.tell(centre, "refused", "expired")
    assert at.tick(5) == []
    assert at.policy.state == "home"


def test_if_the_way_back_is_refused_a_person_goes_on():
    at = Scene(fov_m=None, stay_s=0.1)
    at.do(at.event(20, 80)[0])
    (home,) = at.tick(4)
    at.tell(home, "failed")
    assert at.tick(5) == []
    assert at.policy.state == "stopped"
    assert at.event(80, 20, name=5) == []


def test_it_waits_for_a_person_if_it_is_told_to():
    at = Scene(then="wait")
    at.do(at.event(20, 80)[0])
    assert names(at.go(30)) == ["set_fov"]
    assert at.policy.state == "stopped"


def test_it_blanks_if_it_is_told_to():
    at = Scene(then="blank", fov_m=None)
    at.do(at.event(20, 80)[0])
    assert names(at.go(30)) == ["blank"]
    assert at.wishes[-1].fields == {"on": True}
    assert at.policy.state == "stopped"


def test_a_setting_that_could_not_be_set_back_is_not_changed():
    at = Scene()
    at.set(**START)
    at.timeline.take(at.t_ns + 2, {"view_offset_x_m": 0.0, "view_offset_y_m": 0.0})
    at.tick()
    assert at.event(20, 80) == []


def test_an_event_in_a_frame_of_two_views_is_nowhere():
    at = Scene()
    at.tick()
    at.timeline.take(at.t_ns - 10_000, {**at.values, "view_offset_x_m": NM})
    assert at.event(20, 80) == []


def test_events_seen_at_another_magnification_are_not_put_in_line():
    at = Scene(stay_s=5.0)
    at.do(at.event(20, 80)[0])
    at.go(3)
    assert at.values["fov_m"] == 25e-9
    at.tick()
    assert at.event(10, 10, name=2) == []
    at.go(60)
    assert at.policy.state == "home"
    assert at.tick(5) == []


def test_time_passes_with_frames_that_show_nothing_but_nothing_is_asked_for_in_them():
    at = Scene(fov_m=None, stay_s=1.0)
    at.do(at.event(20, 80)[0])
    assert at.tick(15, valid=False) == []
    assert at.tick() != []


def test_a_result_after_lost_ones_is_no_evidence():
    at = Scene()
    (centre,) = at.event(20, 80)
    at.do(centre)
    assert at.tick(lost=2) == []
    assert at.tick() != []


def test_in_observe_all_that_would_be_done_is_asked_for():
    at = Scene(stay_s=0.3)
    wishes = at.event(20, 80)
    for _ in range(12):
        for wish in wishes:
            at.tell(wish, "observed")
        wishes = at.tick()
    assert names(at.wishes) == [
        "set_view_offset",
        "set_fov",
        "set_fov",
        "set_view_offset",
    ]


def test_a_new_acquisition_forgets_all():
    at = Scene()
    (centre,) = at.event(20, 80)
    at.policy.begin(at.about)
    at.tell(centre)
    assert at.policy.state == "home"
    assert at.event(20, 80) == [centre]


def test_another_clock_may_tell_the_time():
    at = Scene(clock="dose.dose", fov_m=None, stay_s=0.2)
    assert at.policy.wants == ("nucleation.nucleation", "dose.dose")
    at.do(at.event(20, 80)[0])
    found = []
    for _ in range(5):
        at.frame += 1
        result = Result("dose", 1.0, "scalar", frame=at.frame)
        found += at.hear(result, processor="dose")
    assert [wish.action for wish in found] == ["set_view_offset"]


def test_magnification_and_field_of_view_together_are_refused():
    with pytest.raises(ValidationError, match="not both"):
        GoToEventParams(magnification=1e5, fov_m=1e-7)


_number = st.floats(width=32, allow_nan=True, allow_infinity=True)
_state = st.sampled_from(["done", "refused", "observed", "failed", "waiting"])
_step = st.one_of(
    st.tuples(st.just("event"), _number, _number, _number),
    st.tuples(st.just("drift"), _number, _number, st.just(0.9)),
)


def _played(course):
    at = Scene(stay_s=0.2)
    for (kind, y, x, sure), state, view in course:
        if kind == "event":
            wishes = at.event(y, x, confidence=sure, name=at.frame)
        else:
            wishes = at.drift([y, x], confidence=sure)
        for wish in wishes:
            at.tell(wish, state)
        at.set(after_ns=FRAME_NS // 10, view_offset_x_m=view)
    return [(wish.action, tuple(wish.fields.items())) for wish in at.wishes]


@given(st.lists(st.tuples(_step, _state, _number), max_size=25))
@settings(deadline=None)
def test_whatever_comes_no_wish_is_not_finite_and_equal_courses_give_equal_wishes(
    course,
):
    wishes = _played(course)
    assert wishes == _played(course)
    assert all(math.isfinite(v) for _, fields in wishes for _, v in fields)


def test_a_vector_helps_nobody_who_has_no_use_for_it():
    at = Scene()
    assert at.hear(drift([1, 1], 3)) == []
