"""What a source of samples sees, and what becomes of what it says."""

import os
import threading

import numpy as np
import pytest
from tests.engine.small import eventually

from scopeside.channels import feed as module
from scopeside.channels.feed import Feed
from scopeside.channels.process import serve
from scopeside.detector import StopRequested
from scopeside.errors import SourceError
from scopeside.settings import ChannelSettings

NOW = 1_700_000_000_000_000_000


def settings(**more):
    table = {"name": "t", "kind": "x", "tolerance_s": 1e7, **more}
    return ChannelSettings.model_validate(table)


@pytest.fixture
def wake():
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def taken(feed):
    found = feed.take()
    return [] if found is None else list(zip(*(x.tolist() for x in found), strict=True))


def test_samples_are_taken_once_in_the_order_they_came(wake):
    feed = Feed(settings(), wake)
    feed.sample(NOW, 1.5)
    feed.samples(np.array([NOW + 2, NOW + 1]), np.array([3, 2]))
    assert taken(feed) == [(NOW, 1.5), (NOW + 2, 3.0), (NOW + 1, 2.0)]
    assert feed.take() is None
    assert (feed.received, feed.last) == (3, (NOW + 2, 3.0))
    assert os.eventfd_read(wake) == 2


def test_the_offset_is_added_and_taken_off_what_is_kept(wake):
    feed = Feed(settings(offset_s=-2.5), wake, kept_ns=NOW)
    feed.sample(NOW, 1)
    assert taken(feed) == [(NOW - 2_500_000_000, 1.0)]
    assert feed.since_ns == NOW + 2_500_000_000


def test_what_cannot_be_a_sample_is_counted_and_told_once(wake):
    feed = Feed(settings(), wake)
    feed.samples(np.array([1, 2, -3]), np.array([np.nan, 5.0, 6.0]))
    feed.sample(1 << 63, 1.0)
    feed.sample(4, float("inf"))
    assert taken(feed) == [(2, 5.0)]
    assert feed.rejected == {"wrong_value": 3, "wrong_time": 1}
    rejects = [note for note in feed.take_notes() if "rejected" in note]
    assert len(rejects) == 2
    assert feed.take_notes() == []


@pytest.mark.parametrize(
    ("times", "values"),
    [(np.array([1]), np.array([1.0, 2.0])), (np.array([1.0]), np.array([1.0]))],
)
def test_arrays_that_do_not_fit_are_an_error_of_the_source(wake, times, values):
    with pytest.raises(SourceError, match="times whole numbers"):
        Feed(settings(), wake).samples(times, values)


def test_what_cannot_be_sent_on_is_bounded(wake, monkeypatch):
    monkeypatch.setattr(module, "MAX_PENDING", 10)
    feed = Feed(settings(), wake)
    for k in range(25):
        feed.sample(NOW + k, k)
    assert [value for _, value in taken(feed)] == list(range(15, 25))
    assert feed.rejected["overrun"] == 15


def test_a_stop_is_felt_at_the_next_call(wake):
    feed = Feed(settings(), wake)
    feed.stop()
    with pytest.raises(StopRequested):
        feed.sample(NOW, 1.0)


def test_a_clock_that_stays_off_is_told_once(wake, monkeypatch):
    monkeypatch.setattr(module, "CLOCK_OFF_S", 0.0)
    feed = Feed(settings(tolerance_s=1), wake)
    feed.sample(NOW, 1.0)
    feed.sample(NOW + 1, 1.0)
    (note,) = feed.take_notes()
    assert "before the time of this machine" in note
    assert "set offset_s" in note


class Script:
    """A source that does one thing after another."""

    def __init__(self, *acts):
        self.acts = list(acts)

    def run(self, sink):
        act = self.acts.pop(0)
        if isinstance(act, Exception):
            raise act
        sink.sample(NOW, act)
        if self.acts:
            raise SourceError("the line is dead")


def test_a_source_that_fails_is_tried_again_and_is_back(wake):
    feed = Feed(settings(), wake)
    serve(Script(SourceError("no"), ValueError("bug"), 1.0, 2.0), feed, (0.0, 0.0))
    notes = [note for note in feed.take_notes() if "clock" not in note]
    assert [note.removeprefix("channel 't': ") for note in notes] == [
        "lost: no; it is tried again",
        "lost: ValueError: bug; it is tried again",
        "is back",
        "lost: the line is dead; it is tried again",
        "is back",
        "has ended: there will be no more samples",
    ]
    assert (feed.state, feed.received) == ("ended", 2)


def test_the_same_trouble_is_told_once(wake):
    feed = Feed(settings(), wake)
    serve(Script(*[SourceError("no")] * 5, 1.0), feed, (0.0, 0.0))
    assert sum("lost: no" in note for note in feed.take_notes()) == 1


def test_a_stop_ends_the_pause_between_two_tries(wake):
    feed = Feed(settings(), wake)
    thread = threading.Thread(
        target=serve, args=(Script(SourceError("no"), 1.0), feed, (100.0, 100.0))
    )
    thread.start()
    eventually(lambda: feed.state == "lost", lambda: None)
    feed.stop()
    thread.join(10)
    assert not thread.is_alive()
