"""The loop is closed, with the real drift and the real guard, in frames' time."""

from __future__ import annotations

import numpy as np
import pytest
from tests.processors.drift_gate import Guarded, settings
from tests.processors.drift_loop import Naive, Setting, run, steady

ALLOWED_NM = {0: 1.5, 1: 3.0, 2: 5.0, 4: 8.0}
"""Largest residual rms of a drift of 1 nm a frame, by frames of latency."""


def guarded(setting, *, said=None, arm_in=0, **params):
    gate = Guarded(setting, said, arm_in=arm_in)
    course = run(setting, gate=gate, **params)
    assert gate.guard.status()["parked"] is None
    return course, gate


@pytest.mark.parametrize("late", ["result", "instrument"])
@pytest.mark.parametrize("delay", ALLOWED_NM)
def test_drift_is_held_within_what_the_latency_allows_even_without_lead(delay, late):
    setting = Setting(steady(120), delay=delay, late=late)
    course, _ = guarded(setting, lead_frames=0)
    # It lags by as many frames as a command takes to be seen, and so is no better.
    assert delay < course.rms_nm(40) <= ALLOWED_NM[delay]


@pytest.mark.parametrize("delay", ALLOWED_NM)
def test_drift_that_is_foreseen_leaves_next_to_nothing_for_500_frames(delay):
    course, gate = guarded(Setting(steady(500), delay=delay))
    assert course.rms_nm(40) < 0.3
    assert course.largest_nm(40) < 0.5
    assert set(gate.told) == {"sent", "done"}  # nothing had to be refused


@pytest.mark.parametrize("delay", [1, 2, 4])
def test_a_slow_instrument_leaves_what_drifts_while_it_is_busy(delay):
    course, gate = guarded(Setting(steady(200), delay=delay, late="instrument"))
    assert course.rms_nm(60) < ALLOWED_NM[delay] / 2
    assert set(gate.told) == {"sent", "done"}  # none was asked for while busy


@pytest.mark.parametrize("delay", [2, 4])
def test_relative_corrections_diverge_from_two_frames_of_latency_on(delay):
    setting = Setting(steady(120), delay=delay)
    assert run(setting, Naive).largest_nm() > 100
    assert run(Setting(steady(120)), Naive).largest_nm() < 10


@pytest.mark.parametrize(("dose", "side", "sure"), [(1, 256, 0.2), (3, 128, 0.5)])
def test_few_electrons_are_enough(dose, side, sure):
    setting = Setting(steady(120, still=40), delay=2, dose=dose, side=side)
    course, _ = guarded(setting, min_confidence=sure)
    assert course.rms_nm(70) < 0.6


def test_foreseeing_makes_a_still_specimen_no_less_still():
    setting = Setting(np.zeros((200, 2)), delay=4, dose=2, side=128)
    led, _ = guarded(setting, min_confidence=0.2)
    plain, _ = guarded(setting, min_confidence=0.2, lead_frames=0)
    assert led.rms_nm(50) < 1.2 * plain.rms_nm(50)
    assert len(led.asked) < len(plain.asked)


def test_drift_that_turns_round_is_followed_again():
    there = steady(80)
    setting = Setting(np.concatenate([there, there[::-1]]), delay=2)
    course, _ = guarded(setting)
    # What was foreseen is wrong for as long as a command takes, twice the drift.
    assert course.largest_nm(40) < 3 * 2 * 1.1
    assert course.rms_nm(100) < 0.3


def test_frames_that_show_a_command_taking_effect_are_no_evidence():
    setting = Setting(steady(120), delay=1, mixed=True)
    course, _ = guarded(setting)
    assert course.rms_nm(40) < ALLOWED_NM[1]
    # Every command spoils a frame; so there is one for every second frame at most.
    assert len(course.asked) < 60


def test_lost_results_do_not_matter_but_the_next_one_is_no_evidence():
    lost = frozenset(range(50, 120, 3))
    course, gate = guarded(Setting(steady(120), delay=2, lost=lost))
    assert course.rms_nm(40) < ALLOWED_NM[2]
    assert "gap" not in gate.told


def test_nothing_is_asked_for_while_frames_show_nothing():
    fogged = frozenset(range(60, 70))
    course, _ = guarded(Setting(steady(120), delay=2, fogged=fogged))
    # The result of a frame is known two frames later.
    assert not [frame for frame, _, _ in course.asked if 62 <= frame < 72]
    assert course.rms_nm(90) < 0.5


def test_content_that_another_has_taken_the_place_of_is_not_looked_for():
    away = (np.arange(160) >= 60)[:, None] * np.array([90.0, 90.0])
    course, _ = guarded(Setting(steady(160) / 5 + away, delay=1, reach=2))
    assert course.vectors[-1].meta["segment"] == 1
    settled = course.residual_nm[120:]
    assert np.hypot(*(settled - settled[-1]).T).max() < 0.5
    # The view was never thrown about.
    steps = np.diff([place for _, *place in course.asked], axis=0)
    assert np.hypot(*steps.T).max() * 1e9 < 2


def test_content_that_is_found_again_after_long_is_brought_back():
    fogged = frozenset(range(60, 90))
    course, _ = guarded(Setting(steady(160) / 5, delay=1, fogged=fogged))
    assert course.largest_nm(60, 95) > 5
    assert course.rms_nm(120) < 0.5


def test_a_true_jump_is_taken_back_when_the_third_frame_says_so():
    jump = (np.arange(120) >= 60)[:, None] * np.array([8.0, 6.0])
    course, _ = guarded(Setting(steady(120) + jump, delay=0))
    assert course.largest_nm(40, 60) < 0.5
    assert course.largest_nm(60, 63) > 9  # it is not believed at once
    assert course.rms_nm(66) < 1.0


def test_what_drifted_before_a_person_armed_is_let_go():
    course, gate = guarded(Setting(steady(180) / 5, delay=1), arm_in=100)
    # The first wish waits, and one now and then finds that it still does.
    before = [frame for frame, _, _ in course.asked if frame < 99]
    assert 2 <= len(before) <= 4
    assert gate.told["busy"] == len(before) - 1
    assert min(frame for frame, _, _ in course.asked if frame >= 99) < 135
    assert course.largest_nm(150) > 15
    settled = course.residual_nm[150:]
    assert np.hypot(*(settled - settled[-1]).T).max() < 0.5


def test_a_jump_beyond_the_limits_is_let_go_rather_than_asked_for_for_ever():
    jump = (np.arange(160) >= 60)[:, None] * np.array([16.0, 12.0])
    said = settings(step_m=6e-9)
    course, gate = guarded(Setting(steady(160) + jump), said=said)
    assert 5 <= gate.told["step"] <= 15
    settled = course.residual_nm[130:]
    assert np.hypot(*(settled - settled[-1]).T).max() < 1
    assert np.hypot(*settled[-1]) > 15


def test_a_long_way_is_gone_in_pieces_if_it_is_said_how_long_they_may_be():
    jump = (np.arange(120) >= 60)[:, None] * np.array([16.0, 12.0])
    said = settings(step_m=6e-9)
    course, gate = guarded(Setting(steady(120) + jump), said=said, largest_m=6e-9)
    assert gate.told["step"] == 0
    assert course.rms_nm(80) < 1.0


def test_the_same_frames_give_the_same_wishes():
    setting = Setting(steady(80), delay=2)
    assert guarded(setting)[0].asked == guarded(setting)[0].asked
