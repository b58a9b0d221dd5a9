"""Recorded samples are delivered all at once, and waited for."""

import time

import numpy as np
import pytest
from tests.adapters.channels.memory import MemoryChannelSink
from tests.adapters.replay.test_source import T0, acquisition

from scopeside.channels.feed import Feed
from scopeside.collect.channels import RING, Channels
from scopeside.errors import SourceError
from scopeside.pipeline import Channel
from scopeside.settings import ChannelSettings
from scopeside.wire import Kind, Message
from scopeside_adapters.channels.recorded import RecordedSamples, RecordedSamplesParams

TIMES, VALUES = T0 + np.arange(5) * 1000, np.linspace(1.0, 2.0, 5)


def saved(path, times=TIMES, values=VALUES):
    np.savez(path, times_ns=times, values=values)
    return RecordedSamplesParams(path=path)


def test_all_samples_come_with_their_times(tmp_path):
    params = saved(tmp_path / "heat.npz")
    sink = MemoryChannelSink()
    assert RecordedSamples(params).check() == []
    RecordedSamples(params).run(sink)
    assert sink.found == list(zip(TIMES.tolist(), VALUES.tolist(), strict=True))
    assert RecordedSamples.expects(params) == 5


def test_a_channel_may_have_had_none(tmp_path):
    params = saved(tmp_path / "heat.npz", np.empty(0, np.int64), np.empty(0))
    sink = MemoryChannelSink()
    RecordedSamples(params).run(sink)
    assert sink.found == []


def test_what_is_no_file_of_samples_is_told(tmp_path):
    path = tmp_path / "heat.npz"
    bad = RecordedSamplesParams(path=path)
    assert "cannot be read as samples" in RecordedSamples(bad).check()[0]
    path.write_bytes(b"PK no")
    assert "cannot be read as samples" in RecordedSamples(bad).check()[0]
    saved(path, TIMES, VALUES[:3])
    with pytest.raises(SourceError, match=r"has times \(5,\) and values \(3,\)"):
        RecordedSamples.expects(bad)


def channels(params):
    settings = ChannelSettings(name="heat", kind="replay", tolerance_s=1.0)
    return Channels([Channel(settings, RecordedSamples, params)])


def come(it, times, values, number=1):
    header = {"sender": "channels#1", "number": number, "channels": ["heat"]}
    parts = [memoryview(times.tobytes()), memoryview(values.tobytes())]
    it.absorb(Message(Kind.SAMPLES, header, parts))


def test_an_acquisition_is_not_closed_before_its_samples_are_there(tmp_path):
    it = channels(saved(tmp_path / "heat.npz"))
    it.open(acquisition())
    now = time.monotonic()
    assert it.awaited("a", now)
    come(it, TIMES[:3], VALUES[:3])
    assert it.awaited("a", now)
    come(it, TIMES[3:], VALUES[3:], number=2)
    assert not it.awaited("a", now)


def test_they_are_not_waited_for_without_end(tmp_path):
    it = channels(saved(tmp_path / "heat.npz"))
    it.open(acquisition())
    assert not it.awaited("a", time.monotonic() - 3600)


def test_samples_that_come_before_the_acquisition_are_all_kept(tmp_path):
    n = RING + 10
    times, values = T0 + np.arange(n), np.zeros(n)
    it = channels(saved(tmp_path / "heat.npz", times, values))
    come(it, times, values)
    it.open(acquisition())
    it.frames({"acq": "a", "times": [[np.arange(1).tobytes(), times[:1].tobytes()]]})
    (account,) = it.account("a").values()
    assert (account["samples"], account["dropped"]) == (n, 0)


def test_a_feed_takes_them(tmp_path):
    import os

    wake = os.eventfd(0, os.EFD_NONBLOCK)
    settings = ChannelSettings(name="heat", kind="replay", tolerance_s=1.0)
    feed = Feed(settings, wake)
    RecordedSamples(saved(tmp_path / "heat.npz")).run(feed)
    os.close(wake)
    assert feed.received == 5
    assert not feed.rejected
