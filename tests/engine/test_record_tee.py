"""The tee and a recorder on real sockets: what is released, given up, sent again."""

import pytest
from tests.engine.test_tee import EPOCH, Peer, Rig

from scopeside.edge import Edge
from scopeside.ingest import recording as module
from scopeside.ingest.recording import RecordEdge
from scopeside.ledger import Account
from scopeside.settings import EdgePolicy
from scopeside.wire import Kind

NOTHING = {"upto": {}, "spooled": [], "dropped": []}


@pytest.fixture
def rig(tmp_path):
    free = Edge("free", EdgePolicy(policy="lossless"), ordered=False)
    rig = Rig(tmp_path, [free, RecordEdge()])
    yield rig
    rig.close()


def recorder(rig, incarnation=1, **have):
    peer = Peer(rig, f"recorder#{incarnation}")
    peer.say(Kind.JOIN, chain="record", have={**NOTHING, **have})
    edge = rig.tee.edges["record"]
    rig.until(lambda: peer.identity.encode() in edge.workers, "the join")
    return peer


def answer(peer, **what):
    none = {"done": [], "failed": [], "released": [], "dropped": [], "cut": []}
    peer.say(Kind.ACK, chain="record", **{**none, **what})


def account(rig):
    return rig.tee._open["a"].edges["record"]


def seqs(peer):
    return [header["seq"] for header in peer.of(Kind.BATCH)]


def worked(rig, worker, n):
    """The chain does all, as they come."""
    acknowledged = []
    while len(acknowledged) < n:
        known = len(acknowledged)
        rig.until(lambda known=known: len(seqs(worker)) > known, "batches")
        new = seqs(worker)[len(acknowledged) :]
        acknowledged += new
        rig.acknowledge(new)


def free_slots(rig):
    return rig.sink.free.qsize()


def test_a_released_batch_frees_its_slot_and_stays_in_flight(rig):
    worker, _ = rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(2)
    before = free_slots(rig)
    rig.fill(0, 1)
    (batch,) = peer.hears(Kind.BATCH)
    worked(rig, worker, 1)
    answer(peer, released=[batch["seq"]])
    rig.until(lambda: free_slots(rig) == before, "the slot")
    assert account(rig).in_flight == 2
    answer(peer, released=[batch["seq"]], done=[batch["seq"]])
    rig.until(lambda: account(rig).processed == 2, "the account")
    assert free_slots(rig) == before


def test_what_the_recorder_gives_up_is_dropped_with_its_cause(rig):
    worker, _ = rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(4)
    rig.fill(0, 1)
    rig.fill(2, 3)
    one, two = [header["seq"] for header in peer.hears(Kind.BATCH, 2)]
    worked(rig, worker, 2)
    answer(peer, dropped=[[one, "disk_slow"]], cut=[[two, 1, "no_event"]])
    rig.until(lambda: account(rig).closed, "the account")
    assert account(rig).dropped == {"disk_slow": 2, "no_event": 1}
    assert account(rig).processed == 1


def test_gaps_and_changes_and_the_end_come_in_their_places(rig):
    rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(4)
    rig.fill(0)
    rig.sink.gap(1, 2, "lost_in_detector")
    rig.fill(3)
    rig.sink.end(total=4)
    rig.until(lambda: peer.of(Kind.END), "the end")
    said = [m.kind for m in peer.heard if m.kind is not Kind.SPOOLED]
    assert said == [Kind.START, Kind.BATCH, Kind.GAP, Kind.BATCH, Kind.END]
    (gap,) = peer.of(Kind.GAP)
    assert (gap["first"], gap["last"], gap["cause"]) == (1, 2, "lost_in_detector")
    numbers = [m.header["seq"] for m in peer.heard if "seq" in m.header]
    assert numbers == sorted(numbers)


def test_an_acquisition_is_not_closed_before_the_recorder_has_heard_its_gaps(rig):
    worker, collector = rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(2)
    rig.fill(0)
    rig.sink.end(total=2)
    (batch,) = peer.hears(Kind.BATCH)
    worked(rig, worker, 1)
    gap, end = peer.hears(Kind.GAP)[0], peer.hears(Kind.END)[0]
    answer(peer, done=[batch["seq"], end["seq"]])
    rig.until(lambda: account(rig).closed, "the account")
    assert collector.of(Kind.END) == []
    answer(peer, done=[gap["seq"]])
    (said,) = collector.hears(Kind.END)
    found = Account.from_dict(said["ledger"]["edges"]["record"])
    assert (found.processed, dict(found.dropped)) == (1, {"missing": 1})


def test_a_new_recorder_gets_what_the_dead_one_had_not_brought_to_disk(rig):
    worker, _ = rig.worker(), rig.gather()
    first = recorder(rig)
    rig.begin(6)
    for k in range(6):
        rig.fill(k)
    first.hears(Kind.BATCH, 6)
    worked(rig, worker, 6)
    done, torn, aside, lost, *rest = seqs(first)
    answer(first, released=[aside])
    rig.until(lambda: len(rig.tee.edges["record"].spooled) == 1, "the release")
    rig.tee.fence_recorder(first.identity)
    second = recorder(
        rig, 2, upto={"a": done}, spooled=[aside], dropped=[[lost, lost, "disk_full"]]
    )
    assert second.hears(Kind.SPOOLED) == [{"epoch": EPOCH, "again": [torn]}]
    second.hears(Kind.BATCH, 3)
    assert seqs(second) == [torn, *rest]
    assert (account(rig).processed, account(rig).dropped) == (1, {"disk_full": 1})
    answer(second, done=[torn, aside, *rest])
    rig.until(lambda: account(rig).closed, "the account")
    assert account(rig).processed == 5


def test_what_was_copied_aside_and_is_nowhere_is_counted_as_failed(rig):
    worker, _ = rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(1)
    rig.fill(0)
    peer.hears(Kind.BATCH)
    worked(rig, worker, 1)
    answer(peer, released=seqs(peer))
    rig.until(lambda: rig.tee.edges["record"].spooled, "the release")
    recorder(rig, 2)
    assert account(rig).failed == {"recorder_died": 1}


def test_a_recorder_that_does_not_move_does_not_hold_up_the_others(rig, monkeypatch):
    monkeypatch.setattr(module, "SILENT_S", 0.0)
    worker, _ = rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(None)
    slots = rig.tee._sink.free.qsize()
    for k in range(slots):
        rig.fill(k)
        rig.turn()
    rig.sink.waiting = True
    rig.turn()
    assert account(rig).dropped == {}  # it would free no slot: the chain has them all
    worked(rig, worker, slots)
    rig.until(lambda: free_slots(rig) >= slots // 4, "free slots")
    gone = account(rig).dropped["stalled"]
    assert gone == slots // 4
    held = len(seqs(peer))
    assert any(f"frames from {held} on are not recorded" in n for n in rig.tee.notes)
    answer(peer, done=seqs(peer))
    rig.until(lambda: account(rig).processed == held, "the rest")
    assert any(f"({gone} frames, stalled)" in note for note in rig.tee.notes)


def test_a_recorder_that_is_given_up_takes_nothing_with_it(rig):
    worker, _ = rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(3)
    rig.fill(0)
    rig.fill(1)
    peer.hears(Kind.BATCH, 2)
    answer(peer, released=seqs(peer)[:1])
    rig.until(lambda: rig.tee.edges["record"].spooled, "the release")
    rig.tee.fence_recorder(peer.identity)
    rig.tee.degrade("record")
    rig.fill(2)
    worked(rig, worker, 3)
    rig.until(lambda: account(rig).announced == 3, "the last")
    assert account(rig).dropped == {"degraded": 3}
    assert account(rig).closed


def test_a_stop_that_takes_too_long_leaves_the_recorder_its_time(rig):
    rig.worker(), rig.gather()
    peer = recorder(rig)
    rig.begin(1)
    rig.fill(0)
    peer.hears(Kind.BATCH)
    rig.tee.abandon()
    assert account(rig).in_flight == 1
    rig.tee.abandon(recording=True)
    assert account(rig).failed == {"not_drained": 1}


def test_one_that_died_is_waited_for_until_the_next_is_there():
    edge = module.RecordEdge()
    edge.join(b"recorder#1")
    assert edge.patience_s == module.SILENT_S
    edge.leave(b"recorder#1", None)
    assert edge.patience_s == module.RESTART_S > module.SILENT_S
