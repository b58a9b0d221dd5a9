"""A chain goes on with new parameters between two groups of batches."""

import numpy as np
import pytest
from tests.engine.small import IMPOSSIBLE, acquisition, batch, pipeline

from scopeside.changes import Change
from scopeside.collect.master import Master
from scopeside.errors import ChainRefusedError
from scopeside.pipeline import Pipeline
from scopeside.state import unpack
from scopeside.wire import decode_own
from scopeside.work.chain import ChainRun

ALL = {"Counts": {}, "Trail": {}, "Excess": {}}
CHAIN = pipeline(("c", ALL, {})).chain("c")
FREE = pipeline(("c", {"Counts": {}}, {})).chain("c")
STEPS = ("counts", "trail", "excess")


def held(gain, version=2, steps=STEPS, frame=4):
    return {
        step: Change("c", step, version, {"gain": gain}, 1, "a", frame)
        for step in steps
    }


def run(chain=CHAIN, **more):
    return ChainRun(chain, acquisition(), "cpu", **more)


def header(first, n, found, said, held):
    return {
        "runs": [[first, first + n - 1]],
        "failed": [],
        "said": [[one.step, one.header, len(one.payload)] for one in said],
        "t_ns": 0,
        "states": len(found),
        "held": {name: change.to_dict() for name, change in held.items()},
    }


def part(chain_run, first, n, held=None):
    """What a worker sends of a group of one batch."""
    chain_run.process(batch(first, n))
    states, said = chain_run.commit()
    arrays = [array for one in said for array in one.payload]
    return header(first, n, states, said, held or {}), [*states, *arrays]


def shown(master):
    return {
        (step, result.name): (np.asarray(result.data).tolist(), result.meta)
        for step, result in master.results()
    }


def changed_at_4(*, restart=False):
    """A master of 8 frames whose gain is 3 from frame 4 on."""
    master = Master(CHAIN, acquisition(frames=8))
    chain_run = ChainRun(CHAIN, acquisition(frames=8), "cpu")
    for first in (0, 2):
        master.absorb(*part(chain_run, first, 2))
    if restart:
        states = master.state_of_ordered()
        chain_run = ChainRun(CHAIN, acquisition(frames=8), "cpu", states, master.held)
    chain_run.adopt(held(3))
    for first in (4, 6):
        master.absorb(*part(chain_run, first, 2, held(3)))
    return master


@pytest.mark.parametrize("restart", [False, True])
def test_every_order_has_the_new_parameters_from_the_frame_on(restart):
    found = shown(changed_at_4(restart=restart))
    gain = np.where(np.arange(8) < 4, 1, 3)
    counts = 6 * np.arange(8)
    since = {"params": 2, "params_from": 4}
    assert found["counts", "counts"] == ((gain * counts).tolist(), since)
    assert found["trail", "trail"] == ([7, (gain * counts).sum()], since)
    excess = gain * (counts - counts[:3].mean())
    assert found["excess", "excess"] == (excess.tolist(), since)


def test_a_rollback_after_a_change_goes_back_to_the_change():
    chain_run, plain = run(), run()
    for one in (chain_run, plain):
        one.process(batch(0, 4))
        one.commit()
        one.adopt(held(3))
    chain_run.process(batch(4, 2))
    chain_run.rollback()
    for one in (chain_run, plain):
        one.process(batch(6, 2))
    assert chain_run.commit() == plain.commit()


def test_order_free_steps_go_back_to_an_older_version_for_an_older_batch():
    chain_run, found = run(FREE), []
    for first, now in ((1, held(3)), (2, {}), (3, held(5, 3))):
        chain_run.adopt(now)
        chain_run.process(batch(first, 1))
        (state,), _ = chain_run.commit()
        found.append(int(unpack(state)["sums"].sum()))
    assert found == [3 * 6, 1 * 12, 5 * 18]


def test_what_an_ordered_step_said_bears_the_version_of_its_time():
    chain_run = run()
    chain_run.process(batch(0, 1))
    before = chain_run.commit()[1]
    chain_run.adopt(held(3))
    chain_run.process(batch(1, 1))
    after = chain_run.commit()[1]
    assert [one.header["meta"]["params"] for one in (*before, *after)] == [1, 2]


def test_a_change_that_fails_refuses_batches_until_the_next_one():
    chain_run = run()
    chain_run.process(batch(0, 4))
    chain_run.commit()
    chain_run.adopt(held(IMPOSSIBLE))
    with pytest.raises(ChainRefusedError, match="not possible live"):
        chain_run.process(batch(4, 2))
    chain_run.rollback()
    chain_run.commit()
    chain_run.adopt(held(3, version=3))
    chain_run.process(batch(6, 1))
    (counts, trail, _), _ = chain_run.commit()
    assert unpack(counts)["sums"][6] == 3 * 36
    assert unpack(trail)["sum"] == 36 + 3 * 36


# -- the collector's side --------------------------------------------------------------


def parts():
    """Four parts of an order-free chain, the last two with a gain of 3."""
    chain_run = ChainRun(FREE, acquisition(frames=8), "cpu")
    before = [part(chain_run, first, 2) for first in (0, 2)]
    chain_run.adopt(held(3))
    return [*before, *(part(chain_run, first, 2, held(3)) for first in (4, 6))]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0)])
@pytest.mark.parametrize("dies", [None, 1, 3])
def test_older_and_newer_parts_are_merged_in_any_order(order, dies):
    master = Master(FREE, acquisition(frames=8))
    for k, number in enumerate(order):
        if k == dies:
            again = Master(FREE, acquisition(frames=8))
            again.from_record(decode_own(master.to_record()))
            master = again
        assert master.absorb(*parts()[number])
    gain = np.where(np.arange(8) < 4, 1, 3)
    expected = (gain * 6 * np.arange(8)).tolist()
    since = {"params": 2, "params_from": 4}
    assert shown(master)["counts", "counts"] == (expected, since)


def test_results_that_could_not_be_changed_are_invalid_and_say_why():
    master = Master(FREE, acquisition(frames=8))
    master.absorb(*parts()[0])
    said, payload = parts()[1]
    bad = held(IMPOSSIBLE, steps=["counts"])
    said["held"] = {name: change.to_dict() for name, change in bad.items()}
    master.absorb(said, payload)
    ((_, result),) = master.results()
    assert not result.valid
    assert result.reason == "ConfigError: a gain of 9 is not possible live"
    assert master.absorb(*parts()[2]) is True


def test_a_chain_that_was_refused_may_be_mended_live():
    step = {"kind": "virtual", "detectors": {"bf": {"disk": [200, 200, 3]}}}
    raw = {
        "detector": {"kind": "simulator"},
        "chain": [{"name": "c", "processor": [step]}],
    }
    chain = Pipeline.from_raw(raw, folder=CHAIN.steps[0].folder).chain("c")
    master = Master(chain, acquisition())
    assert not next(iter(master.results()))[1].valid
    values = {"detectors": {"bf": {"disk": [0, 0, 9]}}}
    now = {"virtual": Change("c", "virtual", 2, values, 1, "a", 3)}
    chain_run = ChainRun(chain, acquisition(), "cpu", held=now)
    master.absorb(*part(chain_run, 3, 9, now))
    ((_, result),) = master.results()
    assert result.valid
    assert result.data.tolist() == [0, 0, 0, *(6 * k for k in range(3, 12))]
