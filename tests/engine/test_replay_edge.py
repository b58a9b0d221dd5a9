"""What a replay has of its own in the engine: its edges, changes, and room."""

import os

import numpy as np
import pytest
from tests.engine.small import SHAPE, acquisition
from tests.engine.test_edge import ticket
from tests.engine.test_parameters import Rig as ParametersRig
from tests.engine.test_tee import Rig

from scopeside.acquisition import Acquisition
from scopeside.changes import Change
from scopeside.edge import POLICY_CAUSES, Edge
from scopeside.errors import SourceError
from scopeside.ingest.news import Filled
from scopeside.ingest.sink import SlabSink
from scopeside.ledger import FrameRanges
from scopeside.packed import pack_frames
from scopeside.replay.edge import RecordedEdge
from scopeside.settings import AcquisitionSettings, EdgePolicy, SlabSettings
from scopeside.slab import Slab
from scopeside.wire import Kind

CHANGE = Change("free", "counts", 2, {"gain": 3}, 7, "another", 40).to_dict()


def test_an_edge_lets_go_what_its_chain_had_not_processed():
    edge = RecordedEdge("c", FrameRanges([(0, 3), (8, 9)]), ordered=True)
    assert edge.lossless
    offered = [(0, 2), (2, 2), (4, 4), (8, 2)]
    causes = [edge.offer(ticket(k, *one)) for k, one in enumerate(offered)]
    assert causes == [None, None, "as_recorded", None]
    assert edge.queued == 3
    assert "as_recorded" in POLICY_CAUSES


@pytest.fixture
def rig(tmp_path):
    edge = Edge("free", EdgePolicy.parse("lossless"), ordered=False)
    rig = Rig(tmp_path, [edge])
    yield rig
    rig.close()


def test_a_recorded_change_holds_from_the_batch_that_follows_it(rig):
    collector, worker = rig.gather(), rig.worker()
    rig.begin()
    rig.fill(0, 1)
    rig.sink.change(CHANGE)
    rig.fill(2, 3)
    batches = worker.hears(Kind.BATCH, 2)
    assert [batch["change"] for batch in batches] == [0, 1]
    (told,) = worker.of(Kind.PARAM)
    held = told["change"]
    assert (held["version"], held["acquisition"], held["frame"]) == (2, "a", 2)
    answers = [one["answer"] for one in rig.tee.changes.answers]
    assert answers == ["replayed", "holds"]
    assert collector.of(Kind.START)


def test_what_held_before_the_recording_holds_from_its_first_frame(rig):
    collector, worker = rig.gather(), rig.worker()
    rig.sink.change(CHANGE)
    rig.begin()
    rig.fill(0, 1)
    (batch,) = worker.hears(Kind.BATCH)
    (start,) = collector.hears(Kind.START)
    assert batch["change"] == 1
    assert [one["version"] for one in start["changes"]] == [2]


def test_a_change_of_a_chain_that_is_not_here_is_left_out(rig):
    rig.gather()
    rig.sink.change({**CHANGE, "chain": "other"})
    rig.begin()
    assert rig.tee.changes.answers == []


def test_the_supervisor_knows_the_recorded_parameters_and_answers_nobody():
    rig = ParametersRig()
    recorded = {**CHANGE, "chain": "c"}
    rig.hear("replayed", recorded=recorded)
    assert rig.state() == (2, {"gain": 3}, True)
    rig.hear("holds", acquisition="a", frame=4)
    assert rig.state() == (2, {"gain": 3}, False)
    assert [one["frame"] for one in rig.it.log] == [4]
    assert rig.answers == []


@pytest.mark.parametrize("wrong", [{"step": "nobody"}, {"values": {"gain": "much"}}])
def test_a_recorded_change_that_is_none_here_is_told(wrong):
    rig = ParametersRig()
    rig.hear("replayed", recorded={**CHANGE, "chain": "c", **wrong})
    rig.it.end()
    assert "a recorded change is not known here" in rig.notes[0]
    assert rig.answers == []


@pytest.fixture
def sink():
    fd = Slab.allocate(1 << 20)
    slab = Slab(fd, 1 << 20, writable=True)
    os.close(fd)
    sink = SlabSink(
        slab, SlabSettings(mib=1, batch_kib=4), AcquisitionSettings(), 1, None
    )
    yield sink
    os.close(sink.wake)


def filled(sink):
    found = []
    while not sink.events.empty():
        found.append(sink.events.get())
    return [one for one in found if isinstance(one, Filled)]


def test_a_batch_that_was_larger_than_ours_has_room_as_it_is(sink):
    shot = acquisition(frames=100)
    sink.start(shot, batch_frames=100, batch_bytes=100 * shot.frame_bytes)
    with sink.slot() as slot:
        assert slot.capacity == 100
        slot.index[:] = np.arange(100)
        slot.pixels[:] = 1
        slot.commit(100)
    assert [(one.n, one.runs) for one in filled(sink)] == [(100, ((0, 99),))]


@pytest.mark.parametrize("encoding", ["events", "packed"])
def test_so_have_words(sink, encoding):
    shot = Acquisition("a", SHAPE, np.dtype("<u2"), frames=90, encoding=encoding)
    packed = pack_frames(
        np.arange(90 * SHAPE[0] * SHAPE[1], dtype="<u2").reshape(90, *SHAPE)
    )
    words = packed.words if encoding == "packed" else np.zeros(9000, np.uint64)
    sink.start(shot, batch_frames=90, batch_bytes=words.nbytes + 100)
    with sink.slot() as slot:
        slot.index[:90] = np.arange(90)
        slot.words[: len(words)] = words
        slot.commit(90, words=len(words))
    (one,) = filled(sink)
    assert (one.n, one.events) == (90, len(words))


def test_a_slab_that_is_too_small_for_it_is_told(sink, tmp_path):
    from tests.adapters.replay.test_source import batches, played, recorded

    path = recorded(tmp_path, batches(sizes=(3, 3000)))
    with pytest.raises(SourceError, match=r"of 3000 frames .* larger \[slab\] mib"):
        played(path, sink)
