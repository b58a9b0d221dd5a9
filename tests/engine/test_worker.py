"""A worker: what it sends of its batches, with parameters that change between them."""

import numpy as np
import pytest
from tests.engine.small import SHAPE, acquisition, batch, pipeline

from scopeside.changes import Change
from scopeside.collect.master import Master
from scopeside.wire import Kind, Message, decode_own
from scopeside.work import worker as module
from scopeside.work.worker import Worker

CHAINS = pipeline(
    ("free", {"Counts": {}}, {}), ("ordered", {"Trail": {}, "Excess": {}}, {})
)


class Board:
    def update(self, **values):
        pass


class Collector:
    """Keeps what a worker sends, and answers a recall with what a master has."""

    def __init__(self):
        self.parts, self.recalls = [], []

    def forward(self, part):
        self.parts.append(decode_own(part))

    def send(self, kind, header):
        self.recalls.append(header)


@pytest.fixture(autouse=True)
def without_a_slab(monkeypatch):
    monkeypatch.setattr(
        module, "batch_at", lambda _slab, header: batch(header["first"], header["n"])
    )


def started(chain, master=None, number=0):
    """A worker that has heard of an acquisition, after what a master has."""
    worker = Worker(CHAINS.chain(chain), "cpu", None, Board(), f"worker.{chain}.0#1")
    worker.collector = Collector()
    about = acquisition().to_dict()
    worker.hear_tee(Message(Kind.START, {"acquisition": about, "change": number}, []))
    if worker.collector.recalls:
        master = master or Master(CHAINS.chain(chain), acquisition())
        states = master.state_of_ordered()
        held = {name: change.to_dict() for name, change in master.held.items()}
        header = {"acq": "a", "steps": list(states), "held": held}
        worker.hear_collector(Message(Kind.STATE, header, list(states.values())))
    return worker


def tell(worker, chain, number, gain, frame, *steps):
    for step in steps:
        change = Change(chain, step, number + 1, {"gain": gain}, number, "a", frame)
        header = {"change": change.to_dict(), "oldest": 0}
        worker.hear_tee(Message(Kind.PARAM, header, []))


def give(worker, first, n, change):
    header = {
        "acq": "a", "epoch": 1, "seq": first, "change": change, "first": first,
        "n": n, "shape": SHAPE, "dtype": "<u2", "events": None, "t_ns": 0,
        "received_ns": 0, "runs": [[first, first + n - 1]],
    }  # fmt: skip
    worker.hear_tee(Message(Kind.BATCH, header, []))


def work(worker):
    """Work on all that is there, and commit."""
    while worker.ready:
        worker.work()
    worker.commit()


@pytest.fixture
def patient(monkeypatch):
    """Commits are not due by themselves."""
    monkeypatch.setattr(Worker, "commit_if_due", lambda self: 1)


def merged(chain, *workers):
    master = Master(CHAINS.chain(chain), acquisition())
    for worker in workers:
        for part in worker.collector.parts:
            master.absorb(part.header, part.payload)
    return {name: result.data.tolist() for name, result in master.results()}


@pytest.mark.usefixtures("patient")
def test_a_part_never_mixes_parameters():
    worker = started("free")
    for first, number in ((0, 0), (2, 0), (4, 1), (6, 1), (8, 2)):
        if number:
            tell(worker, "free", number, 1 + number, first, "counts")
        give(worker, first, 2, number)
    work(worker)
    runs = [part.header["runs"] for part in worker.collector.parts]
    assert runs == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]
    versions = [
        [change["version"] for change in part.header["held"].values()]
        for part in worker.collector.parts
    ]
    assert versions == [[], [2], [3]]


@pytest.mark.usefixtures("patient")
def test_batches_of_a_dead_worker_keep_their_older_parameters():
    other = started("free")
    tell(other, "free", 1, 5, 2, "counts")
    give(other, 2, 2, 1)
    work(other)
    give(other, 0, 2, 0)  # these were with one that has died
    give(other, 4, 2, 1)
    work(other)
    master = Master(CHAINS.chain("free"), acquisition())
    for part in other.collector.parts:
        master.absorb(part.header, part.payload)
    (data,) = [r.data.tolist() for _, r in master.results() if r.name == "counts"]
    assert data[:6] == [0, 6, 5 * 12, 5 * 18, 5 * 24, 5 * 30]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("sent", [0, 1, 2, 3])
def test_a_new_worker_of_an_ordered_chain_goes_on_across_a_change(sent):
    batches = [(0, 0), (2, 0), (4, 1), (6, 1)]
    whole, dead = started("ordered"), started("ordered")
    for worker in (whole, dead):
        tell(worker, "ordered", 1, 3, 4, "trail", "excess")
        for first, number in batches:
            give(worker, first, 2, number)
            work(worker)
    master = Master(CHAINS.chain("ordered"), acquisition())
    for part in dead.collector.parts[:sent]:
        master.absorb(part.header, part.payload)
    new = started("ordered", master)
    tell(new, "ordered", 1, 3, 4, "trail", "excess")
    for first, number in batches[sent:]:
        give(new, first, 2, number)
        work(new)
    del dead.collector.parts[sent:]
    assert merged("ordered", dead, new) == merged("ordered", whole)


@pytest.mark.usefixtures("patient")
def test_a_new_epoch_forgets_the_changes_of_the_last():
    worker = started("free")
    tell(worker, "free", 1, 5, 0, "counts")
    worker.begin_epoch(2)
    about = acquisition("b").to_dict()
    worker.hear_tee(Message(Kind.START, {"acquisition": about, "change": 0}, []))
    assert worker._recalled["b"].held == {}


# -- much state behind the results ---------------------------------------------------


@pytest.fixture
def heavy(monkeypatch):
    """Every ordered chain has much state."""
    monkeypatch.setattr(module, "HEAVY_BYTES", 0)


def said(part):
    return [header["name"] for _, header, _ in part.header["said"]]


def frames_said(worker):
    return [
        header["frames"][1]
        for part in worker.collector.parts
        for _, header, _ in part.header["said"]
        if header["name"] == "trail"
    ]


@pytest.mark.usefixtures("patient", "heavy")
def test_results_do_not_wait_for_the_state_behind_them():
    worker = started("ordered")
    for first in (0, 2):
        give(worker, first, 2, 0)
        worker.work()
    told = worker.collector.parts
    assert [part.kind for part in told] == [Kind.SAID, Kind.SAID]
    assert [part.header["runs"] for part in told] == [[[0, 1]], [[2, 3]]]
    worker.commit()
    part = worker.collector.parts[-1]
    assert (part.kind, said(part), part.header["ages"]) == (Kind.PART, [], [])
    assert part.header["runs"] == [[0, 1], [2, 3]]
    assert not worker.drained
    for sent in worker.collector.parts:
        worker.hear_collector(Message(Kind.PART_OK, sent.header, []))
    assert worker.drained


@pytest.mark.usefixtures("patient", "heavy")
def test_a_batch_that_fails_has_nothing_said_twice():
    chain = pipeline(("ordered", {"Trail": {"fail_at": 4}}, {})).chain("ordered")
    worker = Worker(chain, "cpu", None, Board(), "worker.ordered.0#1")
    worker.collector = Collector()
    header = {"acquisition": acquisition().to_dict(), "change": 0}
    worker.hear_tee(Message(Kind.START, header, []))
    worker.hear_collector(
        Message(Kind.STATE, {"acq": "a", "steps": [], "held": {}}, [])
    )
    for first in (0, 2, 4, 6):
        give(worker, first, 2, 0)
    work(worker)
    assert frames_said(worker) == [0, 1, 2, 3, 6, 7]


@pytest.mark.usefixtures("patient", "heavy")
@pytest.mark.parametrize("heard", [1, 2, 3])
def test_a_master_hears_results_once_though_a_worker_died_after_saying_them(heard):
    whole, dead = started("ordered"), started("ordered")
    for worker in (whole, dead):
        for first in (0, 2, 4):
            give(worker, first, 2, 0)
            worker.work()
    whole.commit()
    new = started("ordered")  # nothing was committed: it begins anew
    for first in (0, 2, 4):
        give(new, first, 2, 0)
        new.work()
    new.commit()
    master, undisturbed = (Master(CHAINS.chain("ordered"), acquisition()) for _ in "ab")
    for part in whole.collector.parts:
        take(undisturbed, part)
    for part in (*dead.collector.parts[:heard], *new.collector.parts):
        take(master, part)
    heard_once = [(s, r.name, r.frame) for s, r in master.fresh]
    assert heard_once == [(s, r.name, r.frame) for s, r in undisturbed.fresh]
    assert master.state_of_ordered() == undisturbed.state_of_ordered()


def take(master, part):
    return (master.hear if part.kind is Kind.SAID else master.absorb)(
        part.header, part.payload
    )


class Slab:
    """Has nothing but the place of what is asked for."""

    size = 1 << 20

    def view(self, at, shape, dtype):
        return np.full(shape, at, dtype)


def test_a_part_says_when_frames_were_taken_also_those_that_failed(monkeypatch):
    monkeypatch.setattr(Worker, "commit_if_due", lambda self: 1)
    failing = pipeline(("free", {"Counts": {"fail_at": 3}}, {}))
    worker = Worker(
        failing.chain("free"), "cpu", Slab(), Board(), "worker.free.0#1", stamped=True
    )
    worker.collector = Collector()
    about = {"acquisition": acquisition().to_dict(), "change": 0}
    worker.hear_tee(Message(Kind.START, about, []))
    for first in (0, 2, 4):
        give(worker, first, 2, 0)
        worker.inbox[-1]["slab"] = [first, 10 + first, 0]
    work(worker)
    (part,) = worker.collector.parts
    assert [runs for _, runs, _ in part.header["failed"]] == [[[2, 3]]]
    times = [np.frombuffer(times, "<i8")[0] for _, times in part.header["stamps"]]
    assert sorted(times) == [10, 12, 14]
