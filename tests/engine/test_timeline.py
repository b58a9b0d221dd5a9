"""What the microscope was set to, and when."""

from __future__ import annotations

from scopeside.control.timeline import REMEMBERED, Timeline


def of(timeline, first, last):
    found = timeline.during(first, last)
    return None if found is None else found.values["x"]


def test_what_was_read_back_holds_until_it_changes():
    timeline = Timeline()
    timeline.take(100, {"x": 1.0})
    timeline.take(200, None)
    timeline.take(210, {"x": 2.0})
    assert of(timeline, 100, 199) == 1.0
    assert of(timeline, 210, 10**9) == 2.0


def test_a_frame_that_saw_a_change_has_no_one_setting():
    timeline = Timeline()
    timeline.take(100, {"x": 1.0})
    timeline.take(200, None)
    timeline.take(210, {"x": 2.0})
    assert of(timeline, 150, 205) is None
    assert of(timeline, 150, 250) is None
    assert of(timeline, 202, 208) is None
    assert of(timeline, 205, 300) is None


def test_what_was_before_the_first_read_back_is_unknown():
    timeline = Timeline()
    assert timeline.now is None
    timeline.take(100, {"x": 1.0})
    assert of(timeline, 50, 60) is None
    assert of(timeline, 50, 150) is None


def test_of_a_recording_the_first_read_back_holds_always():
    timeline = Timeline(always=True)
    timeline.take(10**18, {"x": 1.0})
    timeline.take(10**18 + 5, {"x": 2.0})
    assert of(timeline, 5, 10**19) == 1.0


def test_what_is_said_late_changes_nothing():
    timeline = Timeline()
    timeline.take(100, {"x": 1.0})
    timeline.take(50, {"x": 3.0})
    assert of(timeline, 120, 130) == 1.0


def test_memory_is_bounded():
    timeline = Timeline()
    for t in range(2 * REMEMBERED):
        timeline.take(t, {"x": float(t)})
    assert of(timeline, 10, 10) is None
    assert of(timeline, 2 * REMEMBERED - 5, 2 * REMEMBERED - 5) == 2 * REMEMBERED - 5
