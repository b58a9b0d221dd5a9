"""Channels in the collector: joined to frames, kept over a crash, waited for."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from tests.engine.parts import LEDGER, collector, part_of
from tests.engine.small import acquisition, raw, scan

from scopeside.collect import channels as channels_module
from scopeside.collect import collector as module
from scopeside.collect import joined as joined_module
from scopeside.collect.closing import Closings
from scopeside.collect.journal import Journal
from scopeside.pipeline import Pipeline
from scopeside.publication import digest
from scopeside.wire import Kind, decode_own, encode
from scopeside.work.chain import ChainRun

T0 = 1_700_000_000_000_000_000
STEP = 1_000_000
"""Frame k is taken at T0 + k * STEP."""


def pipeline(*tables):
    table = raw(("free", {"Counts": {}}, {}))
    table["channel"] = [
        {"kind": "tests.engine.small:Mute", "tolerance_s": 0.002, **more}
        for more in tables
    ]
    return Pipeline.from_raw(table, folder=Path.cwd())


PIPELINE = pipeline({"name": "heat", "unit": "K"}, {"name": "bias", "join": "nearest"})


@pytest.fixture
def fds():
    fds = Journal.allocate()
    yield fds
    for fd in fds:
        os.close(fd)


def samples(number, sender="channels#1", **groups):
    """A SAMPLES message; each group is a list of (frame, value)."""
    payload = []
    for pairs in groups.values():
        payload.append(
            np.array([T0 + int(k * STEP) for k, _ in pairs], np.int64).tobytes()
        )
        payload.append(np.array([v for _, v in pairs], np.float64).tobytes())
    header = {"sender": sender, "number": number, "channels": list(groups)}
    return decode_own(encode(Kind.SAMPLES, header, payload))


def timed_parts(shot, groups, chain=PIPELINE.chains[0]):
    run = ChainRun(chain, shot, "cpu")
    for number, (first, n) in enumerate(groups, 1):
        part = part_of(run, chain.name, shot.id, number, [(first, n)])
        index = np.arange(first, first + n)
        times = T0 + index * STEP
        part.header["times"] = [[index.tobytes(), times.tobytes()]]
        yield part


def results(it, name="a"):
    return {
        (processor, result.name): result
        for chain, processor, result in it.results(it.held[name])
        if chain == "channels"
    }


def steps():
    shot = scan(3, 4)
    first, second, third = timed_parts(shot, [(0, 4), (4, 4), (8, 4)])
    return [
        lambda it: it.sample(samples(1, heat=[(-50, 1), (-1, 2)])),
        lambda it: it.start(shot.to_dict()),
        lambda it: it.absorb(first),
        lambda it: it.sample(samples(2, heat=[(2, 3)], bias=[(3.5, 7)])),
        lambda it: it.absorb(second),
        lambda it: it.absorb(third),
        lambda it: it.sample(samples(3, heat=[(6, 4), (7, 5)])),
        lambda it: it.close("a", LEDGER),
        lambda it: it.sample(samples(4, heat=[(9, 9)])),
    ]


def seen(it):
    return (
        {
            name: {key: digest(result) for key, result in results(it, name).items()}
            for name in it.held
        },
        {name: held.closed for name, held in it.held.items()},
        it.channels.received,
        it.channels.at(T0 + 9 * STEP),
    )


def test_frames_get_the_samples_of_before_during_and_late(fds):
    it = collector(PIPELINE, fds)
    for step in steps():
        step(it)
    found = results(it)
    heat = found["channels", "heat"]
    expected = [2, 2, 3, 3, 3, np.nan, 4, 5, 5, 5, np.nan, np.nan]
    np.testing.assert_array_equal(heat.data, expected)
    np.testing.assert_array_equal(heat.mask, ~np.isnan(expected))
    assert (heat.units, heat.axes, heat.kind) == ("K", ("frame",), "series")
    assert (heat.first, heat.frame, heat.used, heat.expected) == (0, 9, 9, 12)
    assert heat.meta["without_sample"] == 3
    bias = found["channels", "bias"].data
    np.testing.assert_array_equal(np.flatnonzero(bias == 7), [2, 3, 4, 5])


def test_a_scan_gets_a_map_of_its_shape(fds):
    it = collector(PIPELINE, fds)
    for step in steps():
        step(it)
    found = results(it)
    image = found["map", "heat"]
    assert (image.kind, image.axes) == ("image", ("scan_y", "scan_x"))
    series = found["channels", "heat"].data
    np.testing.assert_array_equal(image.data, series.reshape(3, 4))


def test_the_samples_themselves_are_kept_with_exact_times(fds):
    it = collector(PIPELINE, fds)
    for step in steps():
        step(it)
    table = results(it)["samples", "heat"]
    times = table.meta["t0_ns"] + table.data[:, 0].astype(np.int64)
    assert ((times - T0) / STEP).tolist() == [-1, 2, 6, 7]
    assert table.data[:, 1].tolist() == [2, 3, 4, 5]


def test_the_account_says_what_was_joined_and_what_was_not(fds):
    it = collector(PIPELINE, fds)
    for step in steps():
        step(it)
    assert it.held["a"].closed["channels"] == {
        "heat": {"samples": 4, "dropped": 0, "joined": 9, "without_sample": 3},
        "bias": {"samples": 1, "dropped": 0, "joined": 4, "without_sample": 8},
    }
    assert "channels.channels.heat" in it.held["a"].closed["results"]


def test_a_channel_that_never_speaks_is_invalid_with_a_reason(fds):
    it = collector(PIPELINE, fds)
    for step in (steps()[k] for k in (1, 2, 6, 7)):
        step(it)
    silent = results(it)["channels", "bias"]
    assert (silent.valid, silent.reason) == (False, "no sample came")
    far = results(it)["channels", "heat"]
    assert far.reason == "none of 2 samples lies within 0.002 s of a frame"


def test_a_live_frame_gets_the_sample_that_is_there_or_none(fds):
    it = collector(PIPELINE, fds)
    it.sample(samples(1, heat=[(2, 3.5)], bias=[(9, 1)]))
    assert it.channels.at(T0 + 3 * STEP) == {
        "heat": {"value": 3.5, "t_ns": T0 + 2 * STEP, "unit": "K", "age_s": 0.001}
    }
    assert it.channels.at(T0 + 8 * STEP)["bias"]["age_s"] == -0.001
    assert it.channels.at(T0) == {}


@pytest.mark.parametrize("compact", [1 << 30, 1], ids=["whole", "compacted"])
@pytest.mark.parametrize("died_after", range(len(steps()) + 1))
def test_a_collector_that_dies_at_any_point_knows_the_same(
    fds, monkeypatch, died_after, compact
):
    monkeypatch.setattr(module, "COMPACT_BYTES", compact)
    first = collector(PIPELINE, fds)
    for step in steps()[:died_after]:
        step(first)
    second = collector(PIPELINE, fds)
    assert seen(second) == seen(first)
    for step in steps()[max(0, died_after - 2) :]:  # some of it comes again
        step(second)
    other = Journal.allocate()
    undisturbed = collector(PIPELINE, other)
    for step in steps():
        step(undisturbed)
    assert seen(second) == seen(undisturbed)
    for fd in other:
        os.close(fd)


def test_a_group_that_comes_again_changes_nothing(fds):
    it = collector(PIPELINE, fds)
    it.sample(samples(1, heat=[(0, 1)]))
    length = it._journal.length
    it.sample(samples(1, heat=[(0, 1)]))
    assert it.channels.received["heat"] == 1
    assert it._journal.length == length


def test_a_gap_behind_a_restart_is_told(fds):
    it = collector(PIPELINE, fds)
    it.sample(samples(1, heat=[(0, 1)]))
    it.sample(samples(1, sender="channels#2", heat=[(1500, 1)]))
    (note,) = it.channels.notes
    assert "channel 'heat': the channels process was restarted" in note
    assert "no sample for 1.500 s" in note


def test_a_closed_acquisition_takes_no_more_samples(fds):
    it = collector(PIPELINE, fds)
    for step in steps()[:-1]:
        step(it)
    before = seen(it)[:2]
    steps()[-1](it)
    assert seen(it)[:2] == before


def test_what_an_acquisition_keeps_is_bounded_and_says_so(fds, monkeypatch):
    monkeypatch.setattr(joined_module, "MAX_SAMPLES", 8)
    monkeypatch.setattr(channels_module, "RING", 8)
    it = collector(PIPELINE, fds)
    it.start(acquisition(frames=4).to_dict())
    (part,) = timed_parts(acquisition(frames=4), [(0, 4)])
    it.absorb(part)
    for k in range(20):
        it.sample(samples(k + 1, heat=[(k * 0.1, k)]))
    account = it.channels.account("a")["heat"]
    assert account["dropped"] + account["samples"] == 20
    assert account["samples"] <= 8


def test_frames_beyond_the_end_of_a_scan_are_in_the_series_and_not_in_the_map(fds):
    shot = scan(1, 3)
    it = collector(PIPELINE, fds)
    it.start(shot.to_dict())
    it.sample(samples(1, heat=[(3, 6), (4, 7)]))
    it.channels.frames(
        {
            "acq": "a",
            "times": [
                [np.array([3, 4]).tobytes(), np.array([T0 + 3 * STEP] * 2).tobytes()]
            ],
        }
    )
    found = results(it)
    np.testing.assert_array_equal(found["channels", "heat"].data[3:], [6, 6])
    assert not found["map", "heat"].valid


# -- the end of an acquisition ---------------------------------------------------


def ended(it, *groups):
    """An acquisition that has all its frames, and has just ended."""
    shot = acquisition(frames=4)
    it.start(shot.to_dict())
    for part in timed_parts(shot, [(0, 4)]):
        it.absorb(part)
    for number, group in enumerate(groups, 1):
        it.sample(samples(number, **group))
    closings = Closings(it.channels)
    closings.add("a", LEDGER)
    return closings


def test_an_acquisition_waits_for_a_sample_behind_its_last_frame(fds):
    it = collector(PIPELINE, fds)
    closings = ended(it, {"heat": [(2, 1)]})
    assert closings.due() == []
    it.sample(samples(2, heat=[(3, 1)]))
    assert closings.due() == [("a", LEDGER)]
    assert not closings


def test_it_does_not_wait_for_a_channel_that_never_spoke(fds):
    assert ended(collector(PIPELINE, fds)).due() == [("a", LEDGER)]


def test_it_does_not_wait_for_a_channel_that_has_fallen_silent(fds, monkeypatch):
    it = collector(PIPELINE, fds)
    closings = ended(it, {"heat": [(2, 1)]})
    it.channels._heard["heat"].arrived = time.monotonic() - 1.5
    assert closings.due() == [("a", LEDGER)]


def test_it_does_not_wait_longer_than_it_may(fds):
    it = collector(pipeline({"name": "heat", "wait_s": 0.0}), fds)
    assert ended(it, {"heat": [(2, 1)]}).due() == [("a", LEDGER)]


def test_at_the_end_of_the_run_it_waits_for_nothing(fds):
    closings = ended(collector(PIPELINE, fds), {"heat": [(2, 1)]})
    assert closings.due(all_of_them=True) == [("a", LEDGER)]


def test_the_first_word_on_an_end_counts(fds):
    closings = ended(collector(PIPELINE, fds), {"heat": [(2, 1)]})
    closings.add("a", {**LEDGER, "state": "failed"})
    assert closings.due(all_of_them=True) == [("a", LEDGER)]
