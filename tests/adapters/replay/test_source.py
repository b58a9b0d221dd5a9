"""A recording comes as it was received: batch by batch, gap by gap, to its end."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.replay.recording import Recording
from tests.doubles import MemorySink

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.events import EventBatch, pack_events
from scopeside.packed import pack_frames
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.replay.source import ReplayDetector, ReplayParams

SIZES = (3, 1, 7, 2)
T0 = 1_700_000_000_000_000_000
SHAPE = (8, 10)
RNG = np.random.default_rng(6)


def acquisition(encoding="frames"):
    return Acquisition(
        "a", SHAPE, np.dtype("<u2"), frames=sum(SIZES), encoding=encoding
    )


def times(index):
    return T0 + index * 100_000_000


def made(encoding, index):
    frames = RNG.poisson(0.3, (len(index), *SHAPE)).astype("<u2")
    if encoding == "frames":
        return Batch(frames, index, times(index))
    if encoding == "packed":
        return pack_frames(frames, index, times(index))
    place, y, x = np.nonzero(frames)
    words = pack_events(place, frames[place, y, x], y * SHAPE[1] + x)
    return EventBatch(words, index, times(index), SHAPE, frames.dtype)


def batches(encoding="frames", sizes=SIZES):
    firsts = np.cumsum([0, *sizes])
    return [
        made(encoding, np.arange(first, first + n))
        for first, n in zip(firsts, sizes, strict=False)
    ]


def recorded(folder, sent, encoding="frames"):
    recording = Recording(folder / "a", acquisition(encoding))
    for batch in sent:
        recording.batch(batch)
    return recording.end(sum(map(len, sent)))


def played(path, sink=None, **params):
    sink = sink or MemorySink(capacity=2, words=4)
    asked = ReplayParams.model_validate({"path": path, "pace": "max", **params})
    ReplayDetector(asked, AcquisitionSettings()).run(sink)
    return sink


def payload(batch):
    return batch.pixels if isinstance(batch, Batch) else batch.words


def assert_same(found, sent):
    assert [len(batch) for batch in found] == [len(batch) for batch in sent]
    for one, other in zip(found, sent, strict=True):
        np.testing.assert_array_equal(one.index, other.index)
        np.testing.assert_array_equal(one.timestamp_ns, other.timestamp_ns)
        np.testing.assert_array_equal(payload(one), payload(other))


@pytest.mark.parametrize("encoding", ["frames", "events", "packed"])
def test_batches_have_the_boundaries_that_they_had(tmp_path, encoding):
    sent = batches(encoding)
    sink = played(recorded(tmp_path, sent, encoding))
    assert_same(sink.batches, sent)
    assert sink.acquisitions == [acquisition(encoding)]
    assert sink.ends == [("complete", "", sum(SIZES))]
    assert sink.gaps == []


PIECES = st.lists(
    st.lists(st.integers(0, 40), min_size=1, max_size=5), min_size=1, max_size=5
)


@settings(max_examples=40, deadline=None)
@given(pieces=PIECES, gap=st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_whatever_came_comes_and_no_gap_takes_a_frame_that_does(pieces, gap):
    seen, sent = set(), []
    for piece in pieces:
        fresh = list(dict.fromkeys(k for k in piece if k not in seen))
        seen.update(fresh)
        if fresh:
            sent.append(made("frames", np.array(fresh)))
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder) / "a", acquisition())
        for batch in sent:
            recording.batch(batch)
        recording.gap(min(gap), max(gap), "disk_slow")
        sink = played(recording.end(41))
    assert_same(sink.batches, sent)
    lost = [k for a, b, _ in sink.gaps for k in range(a, b + 1)]
    assert lost == [k for k in range(min(gap), max(gap) + 1) if k not in seen]


def test_frames_out_of_order_stay_so(tmp_path):
    sent = [made("frames", np.array([4, 5])), made("frames", np.array([2, 0]))]
    assert_same(played(recorded(tmp_path, sent)).batches, sent)


def test_gaps_are_declared_where_they_were_and_those_of_the_recorder_by_its_name(
    tmp_path,
):
    recording = Recording(tmp_path / "a", acquisition())
    first, _, third, _ = batches()
    recording.batch(first)
    recording.gap(3, 3, "lost_by_camera")
    recording.batch(third)
    recording.gap(11, 12, "disk_slow")
    sink = played(recording.end(13, "incomplete"))
    assert_same(sink.batches, [first, third])
    assert sink.gaps == [(3, 3, "lost_by_camera"), (11, 12, "not_recorded")]
    assert sink.ends == [("complete", "", 13)]


def test_a_gap_does_not_swallow_frames_that_come_after_it(tmp_path):
    recording = Recording(tmp_path / "a", acquisition())
    first, _, third, _ = batches()
    recording.batch(first)
    recording.gap(3, 12, "disk_slow")
    recording.batch(third)
    sink = played(recording.end(13))
    assert_same(sink.batches, [first, third])
    assert sink.gaps == [(3, 3, "not_recorded"), (11, 12, "not_recorded")]


CHANGE = {"chain": "c", "step": "s", "version": 2, "values": {"gain": 3}}


@pytest.mark.parametrize(("script", "times"), [("none", 0), ("changes", 1), ("all", 1)])
def test_parameters_change_before_the_batch_that_they_changed_before(
    tmp_path, script, times
):
    recording = Recording(tmp_path / "a", acquisition())
    sent = batches()
    for batch in sent[:2]:
        recording.batch(batch)
    recording.change(**CHANGE)
    recording.batch(sent[2])
    sink = played(recording.end(11), script=script)
    assert sink.changes == [(2, CHANGE)] * times


def test_what_held_from_the_start_is_changed_before_it(tmp_path):
    recording = Recording(tmp_path / "a", acquisition(), changes=[CHANGE])
    sink = played(recording.end(0), script="changes")
    assert sink.changes == [(0, CHANGE)]


def test_a_damaged_batch_is_named_and_counted_as_lost_and_the_rest_comes(tmp_path):
    sent = batches()
    path = recorded(tmp_path, sent)
    segment = path / "000000.seg"
    data = bytearray(segment.read_bytes())
    at = data.index(payload(sent[1]).tobytes())
    data[at] ^= 1
    segment.write_bytes(data)
    sink = played(path)
    assert_same(sink.batches, [sent[0], *sent[2:]])
    assert sink.gaps == [(3, 3, "damaged")]
    (note,) = sink.notes
    assert " 3): record 2 is damaged" in note
    assert sink.ends == [("complete", "", 13)]


def test_a_recording_that_was_cut_off_ends_as_failed(tmp_path):
    recording = Recording(tmp_path / "a", acquisition())
    recording.batch(batches()[0])
    sink = played(recording.close(state="recovered"))
    ((state, reason, total),) = sink.ends
    assert (state, total) == ("failed", None)
    assert "no end" in reason


@pytest.mark.parametrize(
    ("since", "until", "which"),
    [(None, 0.25, [0]), (0.35, None, [2, 3]), (0.3, 0.3, [1]), (0.9, 1.15, [2, 3])],
)
def test_a_part_is_played_in_whole_batches(tmp_path, since, until, which):
    sent = batches()
    sink = played(recorded(tmp_path, sent), since=since, until=until)
    assert_same(sink.batches, [sent[k] for k in which])
    ((state, _, total),) = sink.ends
    assert (state, total) == ("stopped", None)
    first = int(sent[which[0]].index[0])
    assert sink.gaps == ([(0, first - 1, "not_replayed")] if first else [])


def test_a_part_begins_with_the_parameters_that_held_there(tmp_path):
    recording = Recording(tmp_path / "a", acquisition())
    sent = batches()
    recording.batch(sent[0])
    recording.change(**CHANGE)
    for batch in sent[1:]:
        recording.batch(batch)
    sink = played(recording.end(13), script="changes", since=0.5)
    assert sink.changes == [(0, CHANGE)]


def test_a_part_may_begin_with_an_event(tmp_path):
    recording = Recording(tmp_path / "a", acquisition())
    sent = batches()
    for batch in sent:
        recording.batch(batch)
    windows = [[T0, T0 + 1, []], [T0 + 350_000_000, T0 + 500_000_000, ["x.y here"]]]
    path = recording.end(13, windows=windows)
    assert_same(played(path, since="event:1").batches, sent[2:])


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"since": 5.0}, "no frame lies between 5.0 and the end: .* lasts 1.200 s"),
        ({"since": "event:1"}, "event:1: the recording has no events"),
    ],
)
def test_what_is_not_there_is_told_beforehand(tmp_path, asked, why):
    path = recorded(tmp_path, batches())
    params = ReplayParams.model_validate({"path": path, **asked})
    with pytest.raises(AssertionError, match=why):
        assert not ReplayDetector(params, AcquisitionSettings()).check()


@pytest.mark.parametrize(
    "wrong",
    [{"pace": "fast"}, {"pace": "0x"}, {"since": -1.0}, {"until": "event"}],
)
def test_paces_and_places_that_are_none_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        ReplayParams.model_validate({"path": tmp_path, **wrong})


def test_a_folder_without_a_recording_is_told(tmp_path):
    params = ReplayParams(path=tmp_path)
    (why,) = ReplayDetector(params, AcquisitionSettings()).check()
    assert "is no recorded run" in why


def test_the_frames_of_a_chain_are_those_that_it_processed(tmp_path):
    recording = Recording(tmp_path / "a", acquisition())
    path = recording.end(0, processed={"c": [[0, 3], [5, 9]]})
    found = {
        (script, chain): ReplayDetector(
            ReplayParams(path=path, script=script), AcquisitionSettings()
        ).frames_of(chain)
        for script, chain in [("all", "c"), ("all", "d"), ("changes", "c")]
    }
    assert found[("all", "c")].runs() == [[0, 3], [5, 9]]
    assert found[("all", "d")] is found[("changes", "c")] is None


def test_a_stop_ends_it_at_once(tmp_path):
    from scopeside.detector import StopRequested

    path = recorded(tmp_path, batches())
    with pytest.raises(StopRequested):
        played(path, MemorySink(stop_after_batches=1), pace="0.001x")
