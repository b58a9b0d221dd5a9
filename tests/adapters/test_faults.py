"""The faults that simulated detectors have on request."""

import pytest

from scopeside_adapters import faults as module
from scopeside_adapters.faults import Faults, ResetRequested

MESSAGES = [(number, f"m{number}") for number in range(5)]


def sent(**faults):
    of = {int(name[1:]): fault for name, fault in faults.items()}
    return list(Faults(of).apply(MESSAGES, lambda m: m[:1]))


def test_without_faults_everything_is_sent_in_order():
    assert sent() == ["m0", "m1", "m2", "m3", "m4"]


def test_a_dropped_message_is_not_sent():
    assert sent(_2="drop") == ["m0", "m1", "m3", "m4"]


def test_a_duplicate_is_sent_twice():
    assert sent(_2="duplicate") == ["m0", "m1", "m2", "m2", "m3", "m4"]


def test_a_reordered_message_changes_places_with_the_next():
    assert sent(_2="reorder") == ["m0", "m1", "m3", "m2", "m4"]


def test_the_last_message_cannot_change_places_and_is_sent():
    assert sent(_4="reorder") == ["m0", "m1", "m2", "m3", "m4"]


def test_reordered_messages_in_a_row_come_after_the_next_that_is_not():
    assert sent(_1="reorder", _2="reorder") == ["m0", "m3", "m1", "m2", "m4"]


def test_a_dropped_message_lets_the_reordered_one_before_it_go():
    assert sent(_1="reorder", _2="drop") == ["m0", "m1", "m3", "m4"]


def test_a_truncated_message_is_cut_as_its_detector_cuts_it():
    assert sent(_2="truncate") == ["m0", "m1", "m", "m3", "m4"]


def test_a_stall_is_slept_through_once(monkeypatch):
    slept = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    faults = Faults({1: "stall"}, stall_s=0.25)
    assert list(faults.apply(MESSAGES, lambda m: m)) == ["m0", "m1", "m2", "m3", "m4"]
    assert slept == [0.25]


def test_a_reset_comes_in_place_of_its_message():
    found = []
    with pytest.raises(ResetRequested):
        found.extend(Faults({2: "reset"}).apply(MESSAGES, lambda m: m))
    messages = Faults({2: "reset"}).apply(MESSAGES, lambda m: m)
    assert [next(messages), next(messages)] == ["m0", "m1"]


def test_several_faults_do_not_disturb_each_other():
    assert sent(_0="drop", _1="duplicate", _3="truncate") == [
        "m1",
        "m1",
        "m2",
        "m",
        "m4",
    ]


def test_messages_are_drawn_only_as_they_are_sent():
    drawn = []

    def messages():
        for number in range(3):
            drawn.append(number)
            yield number, number

    first = next(Faults().apply(messages(), lambda m: m))
    assert (first, drawn) == (0, [0])
