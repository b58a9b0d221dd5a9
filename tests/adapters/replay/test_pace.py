"""Batches are due by their time stamps, at any pace, without drift."""

import pytest

from scopeside_adapters.replay.pace import RecordedPace, factor_of


class FakeClock:
    def __init__(self):
        self.now_s = 50.0
        self.slept = []

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_s += seconds * 1.01  # a sleep is never exact


def never():
    return False


@pytest.mark.parametrize(
    ("pace", "factor"), [("real", 1.0), ("2x", 2.0), ("0.5x", 0.5)]
)
def test_a_batch_waits_for_its_time(pace, factor):
    clock = FakeClock()
    schedule = RecordedPace(factor_of(pace), clock.now, clock.sleep)
    for k in range(200):
        schedule.wait(7_000_000_000 + k * 30_000_000, never)
        late_s = clock.now_s - 50.0 - k * 0.03 / factor
        assert 0 <= late_s + 1e-9 < 0.001
    assert max(clock.slept) <= 0.05


def test_at_the_highest_pace_nothing_waits():
    clock = FakeClock()
    schedule = RecordedPace(factor_of("max"), clock.now, clock.sleep)
    schedule.wait(0, never)
    schedule.wait(10**18, never)
    assert clock.slept == []


def test_what_is_older_than_the_first_is_due_at_once():
    clock = FakeClock()
    schedule = RecordedPace(1.0, clock.now, clock.sleep)
    schedule.wait(2_000_000_000, never)
    schedule.wait(1_000_000_000, never)
    assert clock.slept == []


def test_a_stop_is_seen_within_a_nap():
    clock = FakeClock()
    schedule = RecordedPace(1.0, clock.now, clock.sleep)
    schedule.wait(0, never)
    schedule.wait(10**15, lambda: len(clock.slept) >= 2)
    assert len(clock.slept) == 2
