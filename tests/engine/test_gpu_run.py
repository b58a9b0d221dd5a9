"""A chain on a card: what is in flight, what is allocated, and what a failure costs.

The card is `tests.cuda.emulated.EmulatedCard`; its one kernel here is Python.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.cuda.emulated import EmulatedCard
from tests.engine import on_card
from tests.engine.on_card import CardCounts, run_kernel
from tests.engine.small import (
    SHAPE,
    acquisition,
    batch,
    event_batch,
    raw,
)

from scopeside.batch import Batch
from scopeside.board import Board
from scopeside.changes import Change
from scopeside.device import lanes as lanes_module
from scopeside.device.lanes import Lanes, Ring
from scopeside.errors import DeviceFailedError
from scopeside.pipeline import Pipeline
from scopeside.slab import Slab
from scopeside.state import unpack
from scopeside.wire import Kind, Message, decode_own
from scopeside.work.chain import ChainRun, RefusedRun, run_of
from scopeside.work.gpu import PLACES, Gpu, GpuRun
from scopeside.work.worker import Worker

FRAME = SHAPE[0] * SHAPE[1] * 2
BATCH_BYTES = 4 * FRAME


@pytest.fixture(autouse=True)
def ways():
    CardCounts.ways.clear()
    return CardCounts.ways


@pytest.fixture
def card():
    card = EmulatedCard(run=run_kernel)
    yield card
    assert all(memory.margin_is_whole for memory in card.memories)


def chain_of(*steps):
    """A chain; steps are of `small`, or of `on_card` where that has them."""
    values = raw(("c", dict(steps), {}))
    for step in values["chain"][0]["processor"]:
        name = step["kind"].rpartition(":")[2]
        if hasattr(on_card, name):
            step["kind"] = f"tests.engine.on_card:{name}"
    return Pipeline.from_raw(values, folder=Path.cwd()).chain("c")


def gpu_run(card, *steps, frames=12, states=None):
    told = []
    gpu = Gpu(card, BATCH_BYTES, told.append)
    run = GpuRun(chain_of(*steps), acquisition(frames=frames), gpu, states)
    CardCounts.ways.clear()
    return run, gpu, told


def cpu_run(*steps, frames=12):
    return ChainRun(chain_of(*steps), acquisition(frames=frames), "cpu")


def values_of(state):
    return {name: value.tolist() for name, value in unpack(state).items()}


STEPS = [("CardCounts", {"gain": 2}), ("Trail", {})]


def test_a_chain_on_a_card_gives_what_the_cpu_gives(card, ways):
    run, _, told = gpu_run(card, *STEPS)
    plain = cpu_run(*STEPS)
    for first, n in ((0, 3), (3, 1), (4, 4)):
        for one in (run, plain):
            one.process(batch(first, n))
    assert run.commit() == plain.commit()
    assert [way for way in ways if way[0] == "gpu"] == [("gpu", n) for n in (3, 1, 4)]
    assert told == []


def test_copies_run_ahead_of_the_work(card):
    run, _, _ = gpu_run(card, *STEPS)
    batches = [batch(2 * k, 2) for k in range(6)]
    before = card.calls.count("launch")
    assert PLACES - 1 >= 3
    for one in batches[:PLACES]:
        run.ahead(one)
    assert card.calls.count("launch") == before
    assert run._ring.coming == PLACES
    run.process(batches[0])
    assert run._ring.coming == PLACES - 1
    run.ahead(batches[4])
    assert run._ring.coming == PLACES


def test_a_copy_that_was_begun_is_not_begun_again(card):
    run, _, _ = gpu_run(card, *STEPS)
    one = batch(0, 2)
    before = card.calls.count("copy_in")
    run.ahead(one)
    run.ahead(one)
    run.process(one)
    assert card.calls.count("copy_in") == before + 1


def test_without_a_place_nothing_is_copied_ahead(card):
    run, _, _ = gpu_run(card, *STEPS)
    before = card.calls.count("copy_in")
    for k in range(PLACES + 2):
        run.ahead(batch(k, 1))
    assert card.calls.count("copy_in") == before + PLACES


def test_batches_that_were_never_asked_for_make_way(card):
    run, _, _ = gpu_run(card, *STEPS)
    others = [batch(k, 1) for k in range(PLACES)]
    for one in others:
        run.ahead(one)
    run.process(batch(6, 2))
    assert values_of(run.commit()[0][0])["sums"][6:8] == [72, 84]


def test_in_steady_state_nothing_is_allocated(card):
    run, _, _ = gpu_run(card, *STEPS, frames=400)
    made = card.calls.count("memory"), card.calls.count("host_memory")
    for k in range(100):
        if k < 99:
            run.ahead(batch(4 * k + 4, 4))
        run.process(batch(4 * k, 4))
        if k % 7 == 6:
            run.commit()
    assert (card.calls.count("memory"), card.calls.count("host_memory")) == made


def test_only_results_come_back(card):
    run, _, _ = gpu_run(card, ("CardCounts", {}))
    card.copied_in = card.copied_out = 0
    run.process(batch(0, 4))
    run.commit()
    assert card.copied_in == 4 * FRAME
    assert card.copied_out == 4 * 8


def test_a_batch_larger_than_usual_is_taken(card):
    run, _, _ = gpu_run(card, *STEPS)
    plain = cpu_run(*STEPS)
    for one in (run, plain):
        one.process(batch(0, 12))
    assert run.commit() == plain.commit()


def test_frames_that_do_not_fill_whole_chunks_are_set_apart(card):
    run, _, _ = gpu_run(card, *STEPS)
    assert lanes_module.pitch_of(batch(0, 2)) == 16
    run.process(batch(5, 3))
    assert values_of(run.commit()[0][0])["sums"][5:8] == [60, 72, 84]


def test_steps_after_one_that_replaces_the_frames_see_what_it_made(card, ways):
    steps = [("Double", {}), ("CardCounts", {})]
    run, plain = gpu_run(card, *steps)[0], cpu_run(*steps)
    for one in (run, plain):
        one.process(batch(1, 3))
    assert run.commit() == plain.commit()
    assert ("gpu", 3) not in ways


def test_events_go_the_way_of_the_cpu(card):
    run, plain = gpu_run(card, *STEPS)[0], cpu_run(*STEPS)
    for one in (run, plain):
        one.process(event_batch(0, 3))
        one.process(batch(3, 0))
    assert run.commit() == plain.commit()


def test_pixels_of_another_byte_order_go_the_way_of_the_cpu(card, ways):
    run, _, _ = gpu_run(card, *STEPS)
    little = batch(2, 2)
    run.process(replace(little, pixels=little.pixels.astype(">u2")))
    assert list(ways) == [("cpu", 2)]
    assert values_of(run.commit()[0][0])["sums"][2:4] == [24, 36]


def test_a_failing_batch_does_not_spoil_its_neighbours(card):
    run, plain = (
        gpu_run(card, ("CardCounts", {"fail_at": 3}))[0],
        cpu_run(("CardCounts", {})),
    )
    run.process(batch(0, 2))
    with pytest.raises(ValueError, match="this frame cannot be"):
        run.process(batch(2, 2))
    run.rollback()
    for one in (run, plain):
        one.process(batch(0, 2))
        one.process(batch(4, 2))
    assert run.commit() == plain.commit()


@pytest.mark.parametrize("call", ["copy_in", "launch", "copy_out", "passed", "kernel"])
@pytest.mark.parametrize("later", [0, 1, 2, 5])
def test_a_card_that_fails_loses_nothing(card, call, later):
    run, gpu, told = gpu_run(card, *STEPS)
    plain = cpu_run(*STEPS)
    found = []
    for one in (plain, run):
        if one is run:
            card.fails[call] = later
        states = []
        for k in range(6):
            if one is run and k < 5:
                run.ahead(batch(2 * k + 2, 2))
            one.process(batch(2 * k, 2))
            if k == 1:
                states.append(one.commit())
        found.append([*states, one.commit()])
    assert found[0] == found[1]
    assert gpu.lanes is None
    assert len(told) == 1
    assert "has failed, the CPU goes on" in told[0]
    assert gpu.doing == "cpu (gpu:0 (emulated) failed)"


def test_after_a_failure_the_card_is_left_alone(card, ways):
    run, _, _ = gpu_run(card, *STEPS)
    card.fails["launch"] = 0
    run.process(batch(0, 2))
    calls = len(card.calls)
    run.ahead(batch(2, 2))
    run.process(batch(2, 2))
    run.commit()
    assert len(card.calls) == calls
    assert list(ways) == [("cpu", 2), ("cpu", 2)]


def test_a_copy_ahead_that_fails_is_made_again(card):
    run, gpu, _ = gpu_run(card, *STEPS)
    card.fails["copy_in"] = 0
    run.ahead(batch(0, 2))
    del card.fails["copy_in"]
    run.process(batch(0, 2))
    assert gpu.lanes is not None
    assert values_of(run.commit()[0][0])["sums"][:2] == [0, 12]


def test_another_acquisition_leaves_a_card_that_was_lost(card):
    run, gpu, told = gpu_run(card, *STEPS)
    other = GpuRun(chain_of(*STEPS), acquisition("b"), gpu)
    other.process(batch(0, 1))
    card.fails["launch"] = 0
    run.process(batch(0, 2))
    other.process(batch(1, 1))
    plain = cpu_run(*STEPS)
    plain.process(batch(0, 1))
    plain.process(batch(1, 1))
    assert other.commit() == plain.commit()
    assert len(told) == 1


def test_a_card_that_never_answers_has_failed(card, monkeypatch):
    monkeypatch.setattr(lanes_module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(card, "passed", lambda mark: False)
    with pytest.raises(DeviceFailedError, match="has not answered for 0 s"):
        Lanes(card).settle()


def test_a_card_that_cannot_be_warmed_up_is_given_up_at_once(card):
    told = []
    gpu = Gpu(card, BATCH_BYTES, told.append)
    card.fails["launch"] = 0
    run = gpu.run(chain_of(*STEPS), acquisition(), "cpu", None)
    assert type(run) is ChainRun
    assert len(told) == 1


def test_a_chain_that_refuses_its_frames_is_no_failure_of_the_card(card):
    told = []
    gpu = Gpu(card, BATCH_BYTES, told.append)
    run = run_of(chain_of(("Refusing", {})), acquisition(), "cpu", {}, made=gpu.run)
    assert isinstance(run, RefusedRun)
    assert gpu.lanes is not None


def test_a_slab_that_cannot_be_locked_is_told_and_used(card):
    told = []
    gpu = Gpu(card, BATCH_BYTES, told.append)
    slab = Slab(Slab.allocate(1 << 16), 1 << 16, writable=False, lockable=True)
    card.fails["register"] = 0
    gpu.pin(slab)
    assert "cannot be locked" in told[0]
    card.fails.clear()
    gpu.pin(slab)
    assert card.registered == {slab.address: 1 << 16}


def test_a_lockable_slab_shows_its_frames_read_only():
    slab = Slab(Slab.allocate(1 << 16), 1 << 16, writable=False, lockable=True)
    assert not slab.view(0, (4,), np.uint8).flags.writeable


def test_a_place_is_named_by_the_frames_it_holds(card):
    ring = Ring(Lanes(card), 2, BATCH_BYTES)
    one = batch(0, 2)
    ring.ahead(one)
    other = Batch(one.pixels, one.index, one.timestamp_ns, epoch=2)
    ring.ahead(other)
    assert ring.coming == 2


def test_new_parameters_hold_on_the_card_from_the_next_commit_on(card):
    run, _, _ = gpu_run(card, ("CardCounts", {"gain": 2}))
    run.process(batch(1, 1))
    run.commit()
    run.adopt({"cardcounts": Change("c", "cardcounts", 2, {"gain": 3})})
    run.process(batch(2, 1))
    assert values_of(run.commit()[0][0])["sums"][:3] == [0, 0, 36]


# -- the worker ---------------------------------------------------------------------


class Collector:
    """Keeps the parts that a worker sends."""

    def __init__(self):
        self.parts = []

    def forward(self, part):
        self.parts.append(decode_own(part))

    def send(self, *_):
        pass


def worker_on(card, told, slab):
    worker = Worker(
        chain_of(("CardCounts", {})),
        "cpu",
        slab,
        Board(Board.allocate()),
        "w#1",
        gpu=Gpu(card, BATCH_BYTES, told.append),
    )
    worker.collector = Collector()
    worker.begin_epoch(1)
    start = {"acquisition": acquisition().to_dict(), "change": 0}
    worker.hear_tee(Message(Kind.START, start, []))
    return worker


def header_of(slab, k, n):
    """The header of batch number k, whose frames are put into the slab."""
    frames, at = batch(n * k, n), 4096 * k
    whole = Slab(slab.fd, slab.size, writable=True)
    places = at, at + 8 * n, at + 16 * n
    contents = frames.index, frames.timestamp_ns, frames.pixels
    for where, array in zip(places, contents, strict=True):
        whole.view(where, array.shape, array.dtype)[...] = array
    return {
        "acq": "a", "epoch": 1, "seq": k, "n": n, "shape": list(SHAPE),
        "dtype": "<u2", "slab": list(places), "events": None, "received_ns": 0,
        "t_ns": 0, "change": 0, "runs": [[n * k, n * k + n - 1]],
    }  # fmt: skip


@pytest.mark.parametrize("fails_after", [None, 4])
def test_a_worker_copies_ahead_and_hands_over_every_frame(card, fails_after):
    slab = Slab(Slab.allocate(1 << 16), 1 << 16, writable=False, lockable=True)
    told = []
    worker = worker_on(card, told, slab)
    if fails_after is not None:
        card.fails["launch"] = fails_after
    headers = [header_of(slab, k, 2) for k in range(6)]
    for header in headers:
        worker.hear_tee(Message(Kind.BATCH, header, []))
    copies = card.calls.count("copy_in")
    worker.work()
    assert card.calls.count("copy_in") == copies + PLACES
    while worker.ready:
        worker.work()
    worker.commit()
    done = [seq for part in worker.collector.parts for seq in part.header["done"]]
    states = [unpack(part.payload[0]) for part in worker.collector.parts]
    assert sorted(done) == list(range(6))
    assert sum(state["sums"] for state in states).tolist() == [6 * k for k in range(12)]
    assert len(told) == (fails_after is not None)
    assert [part.header["failed"] for part in worker.collector.parts] == [[]] * len(
        states
    )
