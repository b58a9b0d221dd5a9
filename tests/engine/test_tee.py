"""The tee on real sockets, with workers and a collector that do as they are told."""

import os
from functools import partial

import numpy as np
import pytest
import zmq
from tests.engine.small import SHAPE, acquisition, eventually

from scopeside.board import Board
from scopeside.edge import Edge
from scopeside.errors import EngineError
from scopeside.events import pack_events
from scopeside.ingest.sink import SlabSink
from scopeside.ingest.tee import Tee
from scopeside.ledger import Account
from scopeside.link import Link
from scopeside.settings import AcquisitionSettings, EdgePolicy, SlabSettings
from scopeside.slab import Slab, batch_at
from scopeside.wire import Kind

MIB = 1 << 20
EPOCH = 3


class Peer:
    """A worker or collector: keeps all it hears, says what it is told to."""

    def __init__(self, rig, identity):
        self.link = Link.dial(rig.context, rig.endpoint, identity)
        self.identity = identity
        self.heard = []
        self._rig = rig
        rig.peers.append(self)

    def say(self, kind, **header):
        self.link.send(kind, {"epoch": EPOCH, **header})

    def listen(self):
        while (message := self.link.receive()) is not None:
            self.heard.append(message)

    def of(self, kind):
        return [message.header for message in self.heard if message.kind is kind]

    def hears(self, kind, times=1):
        self._rig.until(lambda: len(self.of(kind)) >= times, f"{times} {kind.name}")
        return self.of(kind)

    def frames(self):
        return [
            k
            for h in self.of(Kind.BATCH)
            for a, b in h["runs"]
            for k in range(a, b + 1)
        ]


class Rig:
    """A tee with a real slab, sink, board and router."""

    def __init__(self, folder, edges, wait_s=1000.0):
        self.context = zmq.Context()
        self.endpoint = f"ipc://{folder}/tee"
        self.folder = folder / "quarantine"
        slab_fd, self.board_fd = Slab.allocate(MIB), Board.allocate()
        slab = Slab(slab_fd, MIB, writable=True)
        os.close(slab_fd)
        kept = SlabSettings(mib=1, batch_kib=4)
        self.slab = slab
        self.sink = SlabSink(slab, kept, AcquisitionSettings(), EPOCH, None)
        self.tee = Tee(
            router=Link.listen(self.context, self.endpoint),
            sink=self.sink,
            slab=slab,
            edges=edges,
            board=Board(self.board_fd),
            epoch=EPOCH,
            wait_s=wait_s,
            quarantine_folder=self.folder,
        )
        self.peers = []
        self.collector = None

    def turn(self):
        self.tee.router.socket.poll(5)
        self.tee.turn()
        for peer in self.peers:
            peer.listen()

    def until(self, happens, what="it"):
        eventually(happens, self.turn, what)

    def begin(self, frames=6):
        self.sink.start(acquisition(frames=frames))
        self.tee.turn()

    def fill(self, *index):
        with self.sink.slot() as slot:
            slot.index[: len(index)] = index
            slot.timestamp_ns[: len(index)] = 7
            slot.pixels[: len(index)] = np.array(index)[:, None, None]
            slot.commit(len(index))

    def worker(self, chain="free", number=0, incarnation=1):
        peer = Peer(self, f"worker.{chain}.{number}#{incarnation}")
        peer.say(Kind.JOIN, chain=chain)
        edge = self.tee.edges[chain]
        self.until(lambda: peer.identity.encode() in edge.workers, "the join")
        return peer

    def gather(self, incarnation=1, merged=None):
        self.collector = Peer(self, f"collector#{incarnation}")
        self.collector.say(Kind.MERGED, merged=merged or {})
        name = self.collector.identity.encode()
        self.until(lambda: self.tee._listeners.collector == name, "the collector")
        return self.collector

    def acknowledge(self, done=(), failed=(), chain="free"):
        self.collector.say(Kind.ACK, chain=chain, acq="a", done=done, failed=failed)

    def fence(self, worker, culprit=None, chain="free"):
        self.collector.say(
            Kind.FENCED, worker=worker.identity, chain=chain, culprit=culprit
        )
        name = worker.identity.encode()
        self.until(lambda: name not in self.tee.edges[chain].workers, "the fence")

    def account(self, chain="free"):
        ledger = Board(self.board_fd).read()["open"]["a"]
        return Account.from_dict(ledger["edges"][chain])

    def close(self):
        for peer in self.peers:
            peer.link.close()
        self.tee.router.close()
        self.context.destroy(linger=0)
        os.close(self.sink.wake)
        os.close(self.board_fd)


@pytest.fixture
def make(tmp_path):
    rigs = []

    def build(*policies, **more):
        edges = [
            Edge(name, EdgePolicy.parse(policy), ordered=False)
            for name, policy in policies or [("free", "lossless")]
        ]
        rigs.append(Rig(tmp_path, edges, **more))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make):
    return make()


def test_frames_go_to_a_worker_and_the_account_closes(rig):
    collector, worker = rig.gather(), rig.worker()
    rig.begin()
    rig.fill(0, 1, 2)
    rig.fill(3, 4, 5)
    rig.sink.end()
    batches = worker.hears(Kind.BATCH, 2)
    rig.acknowledge([b["seq"] for b in batches])
    (end,) = collector.hears(Kind.END)
    assert worker.of(Kind.START)[0]["acquisition"]["id"] == "a"
    assert collector.of(Kind.START)[0]["epoch"] == EPOCH
    assert worker.frames() == [0, 1, 2, 3, 4, 5]
    assert end["ledger"]["edges"]["free"]["processed"] == 6
    assert end["ledger"]["edges"]["free"]["closed"]
    assert end["ledger"]["state"] == "complete"


def test_a_batch_says_where_its_frames_lie(rig):
    rig.gather()
    worker = rig.worker()
    rig.begin()
    rig.fill(3, 1, 2)
    (header,) = worker.hears(Kind.BATCH)
    index_at, timestamp_at, pixels_at = header["slab"]
    assert (header["n"], header["runs"], header["shape"]) == (3, [[1, 3]], list(SHAPE))
    assert rig.slab.view(index_at, (3,), "<i8").tolist() == [3, 1, 2]
    assert rig.slab.view(timestamp_at, (3,), "<i8").tolist() == [7, 7, 7]
    pixels = rig.slab.view(pixels_at, (3, *SHAPE), header["dtype"])
    assert pixels[:, 1, 2].tolist() == [3, 1, 2]


def test_a_closed_acquisition_is_over_for_everybody(rig):
    collector, worker = rig.gather(), rig.worker()
    rig.begin(0)
    rig.sink.end()
    rig.sink.finish("complete", "")
    collector.hears(Kind.END)
    assert not rig.tee.done
    collector.say(Kind.CLOSED, acq="a")
    worker.hears(Kind.END)
    assert rig.tee.done


def test_the_slot_comes_back_when_all_edges_are_done(make):
    rig = make(("one", "lossless"), ("two", "lossless"))
    rig.gather()
    first, second = rig.worker("one"), rig.worker("two")
    rig.begin()
    free = rig.sink.free.qsize()
    rig.fill(0)
    seq = first.hears(Kind.BATCH)[0]["seq"]
    second.hears(Kind.BATCH)
    rig.acknowledge([seq], chain="one")
    rig.until(lambda: rig.tee.edges["one"].held == 0)
    assert rig.sink.free.qsize() == free - 1
    rig.acknowledge(failed=[[seq, "ValueError"]], chain="two")
    rig.until(lambda: rig.sink.free.qsize() == free)
    rig.turn()
    assert rig.account("two").failed == {"ValueError": 1}


def test_the_board_knows_of_a_batch_before_anybody_else(rig, monkeypatch):
    rig.gather()
    rig.worker()
    rig.begin()
    rig.fill(0, 1)
    announced = []
    forward = rig.tee.router.forward

    def watched(parts, *, to=None):
        announced.append(rig.account().announced)
        forward(parts, to=to)

    monkeypatch.setattr(rig.tee.router, "forward", watched)
    rig.until(lambda: announced)
    assert announced == [2]


def test_frames_that_were_promised_and_never_came_are_missing(rig):
    collector, worker = rig.gather(), rig.worker()
    rig.begin(frames=10)
    rig.fill(0, 1)
    rig.sink.gap(2, 3, "lost_on_wire")
    rig.sink.end(total=8)
    rig.acknowledge([worker.hears(Kind.BATCH)[0]["seq"]])
    ledger = collector.hears(Kind.END)[0]["ledger"]
    assert ledger["state"] == "incomplete"
    # Ten were promised at the start: that the end speaks of eight does not undo it.
    assert ledger["edges"]["free"]["dropped"] == {"lost_on_wire": 2, "missing": 6}
    assert ledger["ingest"]["missing_runs"] == [[2, 9]]
    assert ledger["edges"]["free"]["closed"]


def test_what_a_dead_worker_held_goes_to_another_in_order(rig):
    rig.gather()
    first = rig.worker(number=0)
    rig.begin()
    for k in range(6):
        rig.fill(k)
    first.hears(Kind.BATCH, 6)
    second = rig.worker(number=1)
    rig.fence(first)
    batches = second.hears(Kind.BATCH, 6)
    assert second.frames() == [0, 1, 2, 3, 4, 5]
    assert [b["seq"] for b in batches] == [b["seq"] for b in first.of(Kind.BATCH)]
    assert second.of(Kind.START)


def test_a_worker_whose_death_was_faster_than_its_word_gets_nothing(rig):
    rig.gather()
    ghost = Peer(rig, "worker.free.0#1")
    rig.collector.say(Kind.FENCED, worker=ghost.identity, chain="free", culprit=None)
    rig.until(lambda: rig.tee._listeners._fenced_off)
    ghost.say(Kind.JOIN, chain="free")
    alive = rig.worker(incarnation=2)
    rig.begin()
    rig.fill(0)
    alive.hears(Kind.BATCH)
    assert rig.tee.edges["free"].workers == [alive.identity.encode()]


def test_a_join_said_twice_loses_nothing(rig):
    rig.gather()
    worker = rig.worker()
    rig.begin()
    rig.fill(0)
    worker.hears(Kind.BATCH)
    worker.say(Kind.JOIN, chain="free")
    rig.acknowledge([1])
    rig.until(lambda: rig.tee.edges["free"].held == 0)
    rig.turn()
    assert rig.account().processed == 1


def test_a_batch_that_kills_two_workers_is_kept_aside(rig):
    collector = rig.gather()
    rig.begin(frames=4)
    rig.fill(0, 1)
    rig.fill(2, 3)
    rig.sink.end()
    for number in range(2):
        victim = rig.worker(number=number)
        victim.hears(Kind.BATCH, 2)
        rig.fence(victim, culprit=1)
    last = rig.worker(number=2)
    assert [b["seq"] for b in last.hears(Kind.BATCH)] == [2]
    rig.acknowledge([2])
    ledger = collector.hears(Kind.END)[0]["ledger"]
    assert ledger["edges"]["free"]["failed"] == {"killed_worker": 2}
    assert ledger["edges"]["free"]["closed"]
    (path,) = rig.folder.iterdir()
    with np.load(path) as kept:
        assert kept["index"].tolist() == [0, 1]
        assert kept["pixels"][:, 0, 0].tolist() == [0, 1]
        assert kept["timestamp_ns"].tolist() == [7, 7]
    assert f"quarantined, kept in {path}" in rig.tee.notes[-1]


def test_events_are_sent_with_their_number_and_kept_aside_as_they_came(rig):
    rig.gather()
    rig.sink.start(acquisition(encoding="events"))
    words = pack_events([1, 0, 1], 1, [5, 0, 3])
    with rig.sink.slot() as slot:
        slot.index[:2], slot.timestamp_ns[:2], slot.words[:3] = [4, 5], 7, words
        slot.commit(2, words=3)
    rig.tee.turn()
    for number in range(2):
        victim = rig.worker(number=number)
        (header,) = victim.hears(Kind.BATCH)
        assert (header["n"], header["events"], header["runs"]) == (2, 3, [[4, 5]])
        found = batch_at(rig.slab, header)
        assert (found.words.tolist(), found.epoch) == (words.tolist(), EPOCH)
        rig.fence(victim, culprit=1)
    assert rig.account().failed == {"killed_worker": 2}
    (path,) = rig.folder.iterdir()
    with np.load(path) as kept:
        assert kept["words"].tolist() == words.tolist()
        assert kept["index"].tolist() == [4, 5]


def test_a_batch_that_cannot_be_kept_aside_is_counted_and_told(rig):
    rig.folder.write_text("in the way")
    rig.gather()
    rig.begin()
    rig.fill(0)
    for number in range(2):
        victim = rig.worker(number=number)
        victim.hears(Kind.BATCH)
        rig.fence(victim, culprit=1)
    rig.turn()
    assert rig.account().failed == {"killed_worker": 1}
    assert "could not be kept" in rig.tee.notes[-1]


def test_a_new_collector_settles_what_the_old_one_had_merged(rig):
    rig.gather()
    worker = rig.worker()
    rig.begin(frames=4)
    for k in range(4):
        rig.fill(k)
    worker.hears(Kind.BATCH, 4)
    rig.sink.end()
    merged = {"merged": [[0, 1]], "failed": {"ValueError": [[3, 3]]}}
    new = rig.gather(2, {"a": {"free": merged}})
    assert [t.seq for t in rig.tee.edges["free"].outstanding()] == [3]
    rig.acknowledge([1, 3])  # the first was settled already: nothing happens twice
    ledger = new.hears(Kind.END)[0]["ledger"]
    assert ledger["edges"]["free"]["processed"] == 3
    assert ledger["edges"]["free"]["failed"] == {"ValueError": 1}
    assert new.of(Kind.START)


def test_a_new_collector_is_told_of_the_end_again(rig):
    rig.gather()
    rig.begin(frames=0)
    rig.sink.end()
    rig.collector.hears(Kind.END)
    assert rig.gather(2).hears(Kind.END)[0]["acq"] == "a"


def test_a_degraded_edge_drops_what_it_has_and_will_get(rig):
    collector = rig.gather()
    worker = rig.worker()
    rig.begin(frames=40)
    for k in range(35):
        rig.fill(k)
    worker.hears(Kind.BATCH, 32)
    rig.tee.degrade("free")
    rig.fence(worker)
    for k in range(35, 40):
        rig.fill(k)
    rig.sink.end()
    ledger = collector.hears(Kind.END)[0]["ledger"]
    assert ledger["edges"]["free"]["dropped"] == {"degraded": 40}
    assert rig.tee.complete({"free": 1})


def test_a_slow_edge_that_may_lose_frames_does_not_hold_up_the_other(make):
    rig = make(("fast", "lossless"), ("slow", "latest"))
    collector = rig.gather()
    fast, slow = rig.worker("fast"), rig.worker("slow")
    rig.begin(frames=5)
    for k in range(5):
        rig.fill(k)
        rig.turn()
    rig.sink.end()
    rig.acknowledge([b["seq"] for b in fast.hears(Kind.BATCH, 5)], chain="fast")
    rig.acknowledge([slow.hears(Kind.BATCH)[0]["seq"]], chain="slow")
    rig.acknowledge([slow.hears(Kind.BATCH, 2)[1]["seq"]], chain="slow")
    edges = collector.hears(Kind.END)[0]["ledger"]["edges"]
    assert edges["fast"]["processed"] == 5
    assert slow.frames() == [0, 4]
    assert edges["slow"]["dropped"] == {"superseded": 3}


def test_rejects_are_counted_and_told(rig):
    rig.begin()
    rig.sink.reject(3, "malformed", "three of them")
    rig.turn()
    ingest = Board(rig.board_fd).read()["open"]["a"]["ingest"]
    assert ingest["rejected"] == {"malformed": 3}
    assert rig.tee.notes == ["rejected (malformed): three of them"]


def test_what_is_not_drained_in_time_has_failed(rig):
    collector, worker = rig.gather(), rig.worker()
    rig.begin(frames=40)
    for k in range(40):
        rig.fill(k)
    worker.hears(Kind.BATCH, 32)
    rig.sink.end("stopped")
    rig.tee.abandon()
    ledger = collector.hears(Kind.END)[0]["ledger"]
    assert ledger["state"] == "stopped"
    assert ledger["edges"]["free"]["failed"] == {"not_drained": 40}


def test_a_lossless_edge_that_stalls_gives_up_its_oldest_batch(make):
    rig = make(wait_s=0.0)
    rig.gather()
    rig.begin()
    rig.fill(0)
    rig.fill(1)
    rig.turn()
    rig.sink.waiting = True
    rig.turn()
    assert "edge 'free' made no progress for 0 s" in rig.tee.notes[-1]
    assert "gives up frames 0 to 0" in rig.tee.notes[0]
    assert rig.account().dropped["stalled"] >= 1


def test_an_edge_that_had_nothing_to_do_has_not_stalled(make):
    rig = make(wait_s=100.0)
    rig.gather()
    rig.begin()
    rig.tee._progress["free"] -= 1000.0  # a long rest between two acquisitions
    rig.fill(0)
    rig.sink.waiting = True
    rig.turn()
    assert rig.tee.edges["free"].queued == 1
    assert rig.tee.notes == []


def test_words_of_another_epoch_are_not_heard(rig):
    rig.gather()
    worker = rig.worker()
    rig.begin()
    rig.fill(0)
    worker.hears(Kind.BATCH)
    rig.collector.say(Kind.ACK, epoch=EPOCH - 1, chain="free", done=[1], failed=[])
    rig.acknowledge()
    before = rig.tee._progress["free"]
    rig.until(lambda: rig.tee._progress["free"] > before)
    assert rig.tee.edges["free"].held == 1


def test_a_message_that_makes_no_sense_ends_the_process(rig):
    peer = Peer(rig, "worker.free.0#1")
    peer.say(Kind.PARAM)
    with pytest.raises(EngineError, match="sent a PARAM by b'worker"):
        rig.until(partial(bool, 0))


def test_the_tee_is_complete_when_all_have_joined(rig):
    assert not rig.tee.complete({"free": 1})
    rig.gather()
    assert not rig.tee.complete({"free": 1})
    rig.worker()
    assert rig.tee.complete({"free": 1})


@pytest.mark.parametrize("restarted", [False, True])
def test_the_collector_is_told_when_only_the_recorder_has_frames_left(make, restarted):
    rig = make(("free", "lossless"), ("record", "lossless"))
    collector, worker, recorder = rig.gather(), rig.worker(), rig.worker("record")
    rig.begin(2)
    rig.fill(0, 1)
    (batch,) = worker.hears(Kind.BATCH)
    recorder.hears(Kind.BATCH)
    rig.acknowledge([batch["seq"]])
    rig.until(lambda: rig.tee.edges["free"].held == 0)
    rig.turn()
    assert not collector.of(Kind.DRAINED)  # frames may still come
    rig.sink.end()
    assert collector.hears(Kind.DRAINED) == [{"acq": "a", "epoch": EPOCH}]
    if restarted:
        collector = rig.gather(incarnation=2)
        collector.hears(Kind.DRAINED)
    assert not collector.of(Kind.END)
    rig.acknowledge([batch["seq"]], chain="record")
    collector.hears(Kind.END)
    assert len(collector.of(Kind.DRAINED)) == 1


def test_the_board_counts_no_frame_that_is_in_no_ledger_yet(rig, monkeypatch):
    rig.gather()
    rig.worker()
    rig.begin()

    def look(_collector):
        rig.fill(0, 1)  # by the detector's thread, in the middle of a turn
        return True  # so that the board is written

    monkeypatch.setattr(rig.tee._closing, "look", look)
    rig.tee.turn()
    said = Board(rig.board_fd).read()
    assert said["frames"] == said["open"]["a"]["ingest"]["received"] == 0


def test_the_newest_time_stamp_of_each_open_acquisition_is_on_the_board(rig):
    rig.gather()
    rig.worker()
    rig.begin()
    assert Board(rig.board_fd).read()["newest"] == {"a": None}
    rig.fill(0, 1)
    rig.turn()
    assert Board(rig.board_fd).read()["newest"] == {"a": 7}
