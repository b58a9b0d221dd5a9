"""The edge against a model: every ticket ends in one place, whatever happens."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scopeside.edge import MAX_KILLS, Edge, Ticket
from scopeside.settings import EdgePolicy

POLICIES = ["lossless", "latest", "sample:3", "bounded:2", "bounded:1", "sample:1"]


def ticket(seq, first=None, n=1, acquisition="a"):
    first = seq if first is None else first
    return Ticket(seq, acquisition, 0, n, ((first, first + n - 1),), [])


def edge(policy="lossless", *, ordered=False):
    return Edge("stem", EdgePolicy.parse(policy), ordered=ordered)


class EdgeModel(RuleBasedStateMachine):
    """What the tee does with an edge, in any order."""

    @initialize(policy=st.sampled_from(POLICIES), ordered=st.booleans())
    def begin(self, policy, ordered):
        self.policy = EdgePolicy.parse(policy)
        self.ordered = ordered
        self.edge = Edge("stem", self.policy, ordered=ordered)
        self.seq = 0
        self.workers = 0
        self.ended = {}
        self.with_worker = {}
        self.kills = {}
        self.sampled = []
        self.newest = -1
        self.next_assigned = -1

    def end(self, seq, how):
        assert seq not in self.ended, f"{seq} ended as {self.ended[seq]} and {how}"
        self.ended[seq] = how

    @rule(first=st.integers(0, 40), n=st.integers(1, 3))
    def offer(self, first, n):
        self.seq += 1
        cause = self.edge.offer(ticket(self.seq, first, n))
        self.sampled.append(cause != "sampled_out")
        if self.ordered and cause is None:
            assert first > self.newest
            self.newest = first + n - 1
        if cause == "late":
            assert self.ordered
            assert first <= self.newest
        if cause is not None:
            self.end(self.seq, cause)

    @precondition(lambda self: not (self.ordered and self.edge.workers))
    @rule()
    def join(self):
        self.workers += 1
        self.edge.join(b"worker.%d" % self.workers)

    @rule()
    def pump(self):
        for worker, given in self.edge.assign():
            assert given.seq not in self.with_worker, "given to two workers at once"
            assert given.seq not in self.ended, "given after it had ended"
            self.with_worker[given.seq] = worker
        for dropped, cause in self.edge.overflow():
            self.end(dropped.seq, cause)
        room = {"bounded": self.policy.number, "latest": 1, "sample": 1}
        assert self.edge.queued <= room.get(self.policy.policy, self.seq)

    @precondition(lambda self: self.with_worker)
    @rule(data=st.data())
    def settle_one(self, data):
        seq = data.draw(st.sampled_from(sorted(self.with_worker)))
        assert self.edge.settle(seq).seq == seq
        assert self.edge.settle(seq) is None
        del self.with_worker[seq]
        self.end(seq, "settled")

    @precondition(lambda self: self.edge.workers)
    @rule(data=st.data(), guilty=st.booleans())
    def a_worker_dies(self, data, guilty):
        worker = data.draw(st.sampled_from(self.edge.workers))
        held = sorted(s for s, w in self.with_worker.items() if w == worker)
        culprit = data.draw(st.sampled_from(held)) if held and guilty else None
        condemned = self.edge.leave(worker, culprit)
        for seq in held:
            del self.with_worker[seq]
        if culprit is not None:
            self.kills[culprit] = self.kills.get(culprit, 0) + 1
        if condemned is None:
            assert self.kills.get(culprit, 0) < MAX_KILLS
        else:
            assert condemned.seq == culprit
            assert self.kills[culprit] == MAX_KILLS
            self.end(condemned.seq, "condemned")
        if self.edge.degraded:
            self.give_up()

    @rule()
    def shed(self):
        shed = self.edge.shed()
        if shed is not None:
            self.end(shed.seq, "stalled")

    @precondition(lambda self: self.seq > 25)
    @rule()
    def give_up(self):
        for dropped in self.edge.degrade():
            self.end(dropped.seq, "degraded")

    @invariant()
    def every_ticket_is_in_one_place(self):
        if not hasattr(self, "edge"):
            return
        out = [t.seq for t in self.edge.outstanding()]
        assert len(out) == len(set(out))
        assert set(out) | set(self.ended) == set(range(1, self.seq + 1))
        assert not set(out) & set(self.ended)
        assert self.edge.held == len(self.with_worker)
        assert self.edge.queued + self.edge.held == len(out)

    def teardown(self):
        if not hasattr(self, "edge"):
            return
        lossless = {"settled", "condemned", "stalled", "degraded", "late"}
        if self.policy.policy == "lossless":
            assert set(self.ended.values()) <= lossless
        if self.policy.policy == "sample" and not self.edge.degraded:
            taken = [k % self.policy.number == 0 for k in range(len(self.sampled))]
            assert self.sampled == taken


def test_every_ticket_ends_in_exactly_one_place():
    run_state_machine_as_test(
        EdgeModel,
        settings=settings(deadline=None, max_examples=60, stateful_step_count=50),
    )


def fed(policy, tickets, *, workers=1, ordered=False):
    """An edge with so many tickets and workers, pumped after each offer."""
    found = edge(policy, ordered=ordered)
    for k in range(workers):
        found.join(b"worker.%d" % k)
    dropped = {}
    for seq in range(1, tickets + 1):
        cause = found.offer(ticket(seq))
        if cause:
            dropped[seq] = cause
        list(found.assign())
        dropped |= {lost.seq: why for lost, why in found.overflow()}
    return found, dropped


def test_lossless_keeps_all_that_no_worker_has_credit_for():
    found, dropped = fed("lossless", 500)
    assert dropped == {}
    assert found.held + found.queued == 500


def test_latest_keeps_the_newest_and_says_that_others_are_superseded():
    found, dropped = fed("latest", 10)
    assert [t.seq for t in found.outstanding()] == [1, 10]
    assert set(dropped.values()) == {"superseded"}


def test_bounded_keeps_so_many_and_drops_the_oldest():
    found, dropped = fed("bounded:3", 10)
    assert [t.seq for t in found.outstanding()] == [1, 2, 8, 9, 10]
    assert set(dropped.values()) == {"queue_full"}


def test_sample_takes_one_of_so_many():
    found, dropped = fed("sample:4", 9, workers=3)
    assert [t.seq for t in found.outstanding()] == [1, 5, 9]
    assert set(dropped.values()) == {"sampled_out"}


def test_an_ordered_edge_drops_what_comes_late():
    found = edge(ordered=True)
    assert found.offer(ticket(1, first=0, n=4)) is None
    assert found.offer(ticket(2, first=3, n=4)) == "late"
    assert found.offer(ticket(3, first=4, n=4)) is None


def test_lateness_is_forgotten_with_the_acquisition():
    found = edge(ordered=True)
    found.offer(ticket(1, first=9))
    found.forget("a")
    assert found.offer(ticket(2, first=0)) is None


def test_each_acquisition_has_its_own_order():
    found = edge(ordered=True)
    found.offer(ticket(1, first=9))
    assert found.offer(ticket(2, first=0, acquisition="b")) is None


def test_what_a_dead_worker_held_goes_first_and_in_order():
    found, _ = fed("lossless", 70)
    found.leave(b"worker.0", None)
    found.join(b"worker.new")
    assert [t.seq for _, t in found.assign()] == list(range(1, 33))


def test_work_goes_to_whoever_holds_least():
    found, _ = fed("lossless", 20, workers=4)
    assert {len(w.held) for w in found._workers.values()} == {5}


def test_a_batch_that_kills_two_workers_is_condemned():
    found, _ = fed("lossless", 3)
    assert found.leave(b"worker.0", 2) is None
    found.join(b"worker.1")
    list(found.assign())
    assert found.leave(b"worker.1", 2).seq == 2
    assert [t.seq for t in found.outstanding()] == [1, 3]


def test_kills_on_another_edge_do_not_count():
    shared = ticket(1)
    shared.kills["other"] = 1
    found = edge()
    found.offer(shared)
    found.join(b"worker.0")
    list(found.assign())
    assert found.leave(b"worker.0", 1) is None


@pytest.mark.parametrize("culprit", [None, 99])
def test_a_worker_that_died_of_something_else_condemns_nothing(culprit):
    found, _ = fed("lossless", 2)
    assert found.leave(b"worker.0", culprit) is None
    assert found.queued == 2


def test_a_worker_that_is_not_known_may_leave():
    assert edge().leave(b"nobody", 1) is None


def test_a_degraded_edge_takes_nothing_more():
    found, _ = fed("lossless", 3, workers=0)
    assert [t.seq for t in found.degrade()] == [1, 2, 3]
    assert found.offer(ticket(4)) == "degraded"
    assert found.queued == 0
