"""A recording is closed after the guard has written down the decisions on it."""

from dataclasses import dataclass, field

import pytest

from scopeside.supervise import recording
from scopeside.supervise.member import State
from scopeside.supervise.recording import DECIDED_S, Recording
from scopeside.wire import Kind


@dataclass
class Member:
    name: str
    state: State = State.RUNNING


@dataclass
class Book:
    id: str = "a"

    def to_dict(self):
        return {}


@dataclass
class Supervisor:
    now: float = 100.0
    said: list = field(default_factory=list)

    def say(self, name, kind, **header):
        self.said.append((name, kind, header["acq"]))

    def closed(self, adviser):
        one = Recording(
            Member("recorder"), None, self.say, lambda *_: None, 10.0, adviser=adviser
        )
        one.add(Book(), {"account": {}}, "")
        return one


@pytest.fixture
def supervisor(monkeypatch):
    one = Supervisor()
    monkeypatch.setattr(recording.time, "monotonic", lambda: one.now)
    return one


BOOK = [("recorder", Kind.BOOK, "a")]


def test_the_book_is_sent_when_all_is_decided(supervisor):
    found = supervisor.closed(Member("adviser"))
    found.look()
    found.repeat()
    assert supervisor.said == []
    assert found.pending
    assert found.moves
    found.decided("a")
    assert supervisor.said == BOOK


def test_an_adviser_that_says_nothing_is_not_waited_for_long(supervisor):
    found = supervisor.closed(Member("adviser"))
    supervisor.now += DECIDED_S + 0.1
    found.look()
    assert supervisor.said == BOOK
    found.look()
    assert supervisor.said == BOOK


@pytest.mark.parametrize("adviser", [None, Member("adviser", State.DEGRADED)])
def test_without_an_adviser_the_book_is_sent_at_once(supervisor, adviser):
    found = supervisor.closed(adviser)
    assert supervisor.said == BOOK
    found.repeat()
    assert supervisor.said == BOOK * 2
