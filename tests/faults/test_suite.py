"""Five seeds of the fault suite, the same each time; ``make faults`` does a hundred."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.suite.judge import Verdict
from tests.faults.suite.material import stored
from tests.faults.suite.one import run_seed
from tests.faults.suite.schedule import plan_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SEEDS = {
    14: "stop recorder",
    17: "disk full",
    21: "clock jumps",
    22: "zmq peer",
}


@pytest.fixture(scope="module")
def runs():
    """All of them, two at a time, under a path that is short enough for sockets."""
    with (
        tempfile.TemporaryDirectory(prefix="sf-") as store,
        ThreadPoolExecutor(2) as pool,
    ):
        stored(Path(store), "scan")
        yield {seed: pool.submit(run_seed, seed, Path(store)) for seed in SEEDS}


@pytest.mark.parametrize(("seed", "what"), SEEDS.items())
def test_after_a_fault_all_is_as_it_was_or_declared_and_nothing_is_left(
    runs: dict[int, Future[Verdict]], seed: int, what: str
) -> None:
    assert plan_of(seed).fault.what == what
    verdict = runs[seed].result()
    assert verdict.failures == [], plan_of(seed)
