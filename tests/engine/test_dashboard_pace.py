"""Images come as often as asked for, but not at the cost of frames."""

from __future__ import annotations

from scopeside.dashboard.pace import LOOK_S, SLOWEST_S, Pace, time_of_cores


class Machine:
    """A machine that is idle for a share of its time."""

    def __init__(self, idle):
        self.idle = idle
        self.now = 0.0
        self._spent = (0.0, 0.0)
        self.told = []
        self.pace = Pace(self.told.append, lambda: self._spent, lambda: self.now)

    def every_s_after(self, looks, asked_s=0.1):
        """Let time pass, and return what the pace is then."""
        for _ in range(looks):
            self.now += LOOK_S
            idle, all_of_it = self._spent
            self._spent = (idle + self.idle * 100, all_of_it + 100)
            found = self.pace.every_s(asked_s)
        return found


def _nobody(_stretch):
    raise AssertionError("nothing has changed")


def test_a_machine_with_time_to_spare_gives_what_is_asked_for():
    assert Machine(idle=0.5).every_s_after(20) == 0.1


def test_a_busy_machine_gives_an_image_a_second():
    assert Machine(idle=0.0).every_s_after(20) == SLOWEST_S


def test_whoever_looks_is_told_that_images_are_rarer():
    machine = Machine(idle=0.0)
    machine.every_s_after(3)
    assert machine.told == [2.0, 4.0]


def test_who_asks_for_less_than_that_gets_it():
    assert Machine(idle=0.0).every_s_after(20, asked_s=5.0) == 5.0


def test_one_busy_moment_changes_little():
    assert Machine(idle=0.0).every_s_after(2) == 0.2


def test_when_there_is_time_again_the_pace_is_given_back():
    machine = Machine(idle=0.0)
    machine.every_s_after(20)
    machine.idle = 0.5
    assert machine.every_s_after(30) == 0.1


def test_between_busy_and_free_the_pace_stays_as_it_is():
    machine = Machine(idle=0.0)
    before = machine.every_s_after(3)
    machine.idle = 0.08
    assert machine.every_s_after(10) == before


def test_what_the_machine_did_while_nobody_looked_does_not_count():
    machine = Machine(idle=0.0)
    machine.every_s_after(1)
    machine.now += 60.0
    assert machine.every_s_after(1) == 0.1


def test_a_machine_that_does_not_say_is_not_busy():
    pace = Pace(_nobody, lambda: None)
    assert pace.every_s(0.1) == 0.1


def test_the_time_of_the_cores_goes_on():
    idle, in_all = time_of_cores()
    assert 0 < idle < in_all
