"""A process through its lives: restarts, complaints, last words."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small import eventually

from scopeside.board import Board
from scopeside.child import Spec
from scopeside.supervise import member as module
from scopeside.supervise.forks import Forks
from scopeside.supervise.member import START_S, Member, RestartBudget, State


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def forks():
    found = Forks(())
    yield found
    found.close()


@pytest.fixture
def make(monkeypatch, forks):
    monkeypatch.setattr(module, "MODULES", {"worker": "tests.engine.mortal"})
    made = []

    def build(how="0", clock=None):
        spec = Spec(
            role="worker",
            name="worker.stem.0",
            incarnation=0,
            run_folder="",
            pipeline={},
            pipeline_folder="",
            pipeline_source="",
            board_fd=Board.allocate(),
            parent=os.getpid(),
            chain=how,
        )
        made.append(Member(spec, RestartBudget(3, 60), forks, clock or Clock()))
        return made[-1]

    yield build
    for member in made:
        member.kill()
        if member.process is not None:
            member.reap()
        os.close(member.spec.board_fd)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("0", "exited with code 0"),
        ("7", "exited with code 7"),
        ("crash", "killed by SIGKILL"),
    ],
)
def test_how_it_ended_is_said_in_words(make, how, said):
    member = make(how)
    member.start()
    assert said in member.reap()
    assert not member.alive


def test_last_words_are_heard_even_after_the_end(make):
    member = make()
    member.start()
    member.reap()
    assert member.read_stderr() == ["I am worker.stem.0 1", "last words"]
    assert member.read_stderr() == []
    assert list(member.last_words) == ["I am worker.stem.0 1", "last words"]


def test_words_are_heard_once(make):
    member = make("wait")
    member.start()
    lines = []
    eventually(lambda: lines, lambda: lines.extend(member.read_stderr()), "its words")
    assert lines == ["I am worker.stem.0 1"]
    member.kill()
    member.reap()
    assert member.read_stderr() == ["last words"]


def test_every_life_has_a_number_of_its_own(make):
    member = make()
    for number in (1, 2):
        member.start()
        assert member.spec.identity == f"worker.stem.0#{number}"
        assert member.state is State.STARTING
        member.reap()
        assert member.read_stderr()[0] == f"I am worker.stem.0 {number}"


def test_one_that_was_never_started_is_not_alive(make):
    member = make()
    assert not member.alive
    member.kill()


def test_one_that_does_not_become_ready_is_complained_of(make):
    clock = Clock()
    member = make("wait", clock)
    member.start()
    clock.now += START_S - 1
    assert member.complaint(1, 1) is None
    clock.now += 2
    assert member.complaint(1, 1) == "did not become ready"


@pytest.fixture
def running(make):
    """A member that runs as far as the supervisor knows, and its board."""
    clock = Clock()
    member = make("wait", clock)
    member.start()
    member.state = State.RUNNING
    board = Board(member.spec.board_fd)
    board.update(incarnation=1)
    clock.now = board.read()["beat_ns"] / 1e9
    return member, board, clock


def test_one_that_does_well_is_left_alone(running):
    member, _, clock = running
    clock.now += 9
    assert member.complaint(10, 60) is None


def test_silence_is_complained_of(running):
    member, _, clock = running
    clock.now += 12
    assert member.complaint(10, 60) == "has been silent for 12 s"


def test_a_batch_that_takes_too_long_is_complained_of(running):
    member, board, clock = running
    board.update(since_ns=int((clock.now - 61) * 1e9))
    assert member.complaint(10, 60) == "has worked on one batch for 61 s"


def test_what_the_process_before_it_wrote_is_not_held_against_it(running):
    member, board, clock = running
    board.update(incarnation=0)
    clock.now += 100
    assert member.complaint(10, 60) is None


def test_a_spec_survives_its_journey(make):
    spec = make().spec
    assert Spec.from_json(spec.to_json()) == spec


TIMES = st.lists(st.floats(0, 100), max_size=30).map(sorted)


@settings(deadline=None, max_examples=100)
@given(TIMES, st.integers(0, 4), st.floats(1, 50))
def test_no_window_holds_more_restarts_than_allowed(times, restarts, window):
    budget = RestartBudget(restarts, window)
    spent = [now for now in times if budget.spend(now)]
    assert budget.total == len(spent)
    assert all(
        sum(end - window <= at <= end for at in spent) <= restarts for end in spent
    )


def test_the_budget_comes_back_with_time():
    budget = RestartBudget(2, 10)
    assert [budget.spend(t) for t in (0, 1, 2, 10, 10.5, 11.5)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]


def test_no_restarts_means_none():
    assert RestartBudget(0, 60).spend(0) is False
