"""How processes end: group after group, and who hangs is killed in its time."""

from types import SimpleNamespace

import pytest

from scopeside.supervise import ending as module
from scopeside.supervise.ending import GRACE_S, GRACES_S, Ending
from scopeside.supervise.processes import ENDING


class Clock:
    """Time passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class Some:
    """Processes that end when they are told to, or not."""

    def __init__(self, *roles):
        self.members = {role: SimpleNamespace(name=role, alive=True) for role in roles}
        self.asked, self.killed = [], []

    def stop(self):
        for roles in ENDING:
            now = {r for r in roles if r in self.members and self.members[r].alive}
            if now:
                new = now - set(self.asked)
                self.asked += sorted(new)
                return new
        return set()

    def kill_loudly(self, member, why):
        assert "did not end" in why
        self.killed.append(member.name)
        member.alive = False


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("role", "grace_s"), [("worker", GRACE_S), ("guard", 70.0), ("page", 2.0)]
)
def test_who_hangs_is_killed_when_its_time_is_over(clock, role, grace_s):
    some = Some(role)
    ending = Ending(some)
    ending.ask()
    clock.now += grace_s - 0.1
    assert not ending.look()
    assert some.killed == []
    clock.now += 0.2
    ending.look()
    assert some.killed == [role]
    assert ending.look()


def test_the_guard_has_its_time_also_where_recorder_and_page_wait_behind_it(clock):
    some = Some("guard", "recorder", "page")
    ending = Ending(some)
    ending.ask()
    clock.now += GRACES_S["guard"] - 1
    assert not ending.look()
    assert some.killed == []


def test_the_page_is_asked_last(clock):
    some = Some("page", "recorder", "worker")
    ending = Ending(some)
    ending.ask()
    for role in ("worker", "recorder", "page"):
        assert some.asked[-1] == role
        some.members[role].alive = False
        ending.look()
    assert ending.look()


def test_one_that_nobody_asks_is_killed_as_well(clock):
    some = Some("adapter")
    ending = Ending(some)
    ending.ask()
    clock.now += GRACE_S + 1
    ending.look()
    assert some.killed == ["adapter"]
