"""Processes are killed at random moments; the results must not show it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.engine_runs import (
    PATIENCE_S,
    Running,
    nothing_left,
    running,
    scopeside,
)
from tests.system.plugins import lines

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SCAN = (64, 48)
FRAMES = SCAN[0] * SCAN[1]
FPS = 2000.0
NAMES = ("stem.virtual.bf", "stem.virtual.adf", "stem.sum.sum", "stem.sum.max")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan as a file."""
    path = tmp_path_factory.mktemp("recorded") / "scan.npy"
    rng = np.random.default_rng(7)
    np.save(path, rng.poisson(4, (FRAMES, 32, 40)).astype(np.uint16))
    return path


@pytest.fixture
def pipeline(tmp_path: Path, recorded: Path) -> Path:
    path = tmp_path / "pipeline.toml"
    detectors = "{ bf = { disk = [16, 20, 5] }, adf = { annulus = [16, 20, 5, 15] } }"
    text = lines(
        detector={"kind": "file", "path": recorded, "fps": FPS},
        acquisition={"scan": list(SCAN)},
        slab={"mib": 8, "batch_kib": 64},
        chain=[
            {
                "name": "stem",
                "processor": [{"kind": "virtual", "detectors": 0}, {"kind": "sum"}],
            },
            {
                "name": "trail",
                "processor": [{"kind": "tests.system.plugins:Trail"}],
            },
            {
                "name": "heavy",
                "processor": [
                    {"kind": "tests.system.plugins:Trail", "ballast": 1 << 20}
                ],
            },
            {
                "name": "learn",
                "processor": [{"kind": "tests.engine.small:Excess"}],
            },
        ],
    )
    path.write_text(text.replace("detectors = 0", f"detectors = {detectors}"))
    return path


@pytest.fixture(scope="session")
def undisturbed(recorded: Path) -> dict[str, Any]:
    """What the results must be, computed from the file."""
    frames = np.load(recorded).astype(np.int64)
    y, x = np.mgrid[:32, :40]
    distance2 = (y - 16) ** 2 + (x - 20) ** 2
    bf, adf = distance2 <= 25, (distance2 > 25) & (distance2 <= 225)
    total = frames.sum((1, 2))
    trail = np.zeros((32, 40))
    for frame in frames:
        trail += 0.1 * (frame - trail)
    return {
        "stem.virtual.bf": frames[:, bf].sum(1).reshape(SCAN),
        "stem.virtual.adf": frames[:, adf].sum(1).reshape(SCAN),
        "stem.sum.sum": frames.sum(0),
        "stem.sum.max": frames.max(0),
        "trail.trail.mean": trail,
        "heavy.trail.mean": trail,
        "learn.excess.excess": total - total[:3].sum() / 3,
    }


def assert_undisturbed(folder: Path, expected: dict[str, Any]) -> None:
    for name, data in expected.items():
        with np.load(folder / "results" / f"{name}.npz") as found:
            np.testing.assert_array_equal(found["data"], data, err_msg=name)
            assert "mask" not in found, name


def start(folder: Path, pipeline: Path, *more: object) -> Any:
    return running(
        folder,
        "run",
        pipeline,
        "--report",
        "report.json",
        "--results",
        "results",
        *more,
    )


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def in_mid_scan(rng: random.Random) -> Callable[[dict[str, Any]], bool]:
    """A condition that holds from a random moment of the scan on."""
    frame = rng.randrange(1, FRAMES * 3 // 4)
    return lambda status: status["rates"]["frames"] >= frame


def kill_at_random(engine: Running, name: str, seed: int) -> None:
    rng = random.Random(seed)
    engine.until(in_mid_scan(rng), "in mid-scan")
    time.sleep(rng.random() * 0.02)  # anywhere within a batch
    engine.kill(name)


@pytest.mark.parametrize(
    "name",
    [
        "worker.stem.0", "worker.trail.0", "worker.heavy.0", "worker.learn.0",
        "collector",
    ],
)  # fmt: skip
def test_a_killed_process_leaves_no_trace_in_the_results(
    tmp_path, pipeline, undisturbed, name, kill
):
    with start(tmp_path, pipeline) as engine:
        kill_at_random(engine, name, seed=1000 + kill)
        code = engine.wait()
    report = report_of(tmp_path)
    assert code == 0, engine.said
    assert report["restarts"][name] == 1
    assert report["closed"]
    for edge in report["ledger"].values():
        assert edge["processed"] == edge["announced"] == FRAMES
    assert_undisturbed(tmp_path, undisturbed)
    assert nothing_left(tmp_path) == []


def test_a_killed_adapter_ends_the_acquisition_as_failed(tmp_path, pipeline, kill):
    with start(tmp_path, pipeline) as engine:
        kill_at_random(engine, "adapter", seed=2000 + kill)
        code = engine.wait()
    report = report_of(tmp_path)
    assert code == 1
    assert "the adapter process died" in engine.said
    (book,) = report["acquisitions"].values()
    assert book["state"] == "failed"
    received = book["ingest"]["received_runs"]
    assert received == [[0, book["ingest"]["received"] - 1]]
    for name, account in book["edges"].items():
        assert account["closed"], name
        assert account["announced"] == book["ingest"]["received"]
        done = sum(b - a + 1 for a, b in book["processed_runs"][name])
        assert done == account["processed"]
    assert nothing_left(tmp_path) == []


def test_results_of_a_failed_acquisition_say_which_positions_they_stand_on(
    tmp_path, pipeline, undisturbed
):
    with start(tmp_path, pipeline) as engine:
        kill_at_random(engine, "adapter", seed=3)
        engine.wait()
    (book,) = report_of(tmp_path)["acquisitions"].values()
    with np.load(tmp_path / "results" / "stem.virtual.bf.npz") as found:
        data, mask = found["data"], found["mask"]
    assert mask.sum() == book["edges"]["stem"]["processed"]
    np.testing.assert_array_equal(data[mask], undisturbed["stem.virtual.bf"][mask])


def test_a_killed_supervisor_takes_everything_with_it(tmp_path, pipeline):
    with start(tmp_path, pipeline) as engine:
        engine.until(lambda s: s["rates"]["frames"] > 0, "running")
        engine.process.kill()
        engine.process.wait(PATIENCE_S)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [what for what in nothing_left(tmp_path) if "process" in what]
        if not left:
            break
    assert left == []
    # The folder of sockets is cleared away by the next engine that starts.
    scopeside(tmp_path, "run", pipeline, "--seconds", "0.5")
    assert nothing_left(tmp_path) == []


def test_a_stopped_worker_is_replaced(tmp_path, pipeline, undisturbed):
    text = pipeline.read_text() + "[engine]\nsilent_s = 2.0\n"
    pipeline.write_text(text)
    with start(tmp_path, pipeline) as engine:
        engine.until(lambda s: s["rates"]["frames"] > 100, "running")
        os.kill(engine.pid("worker.stem.0"), signal.SIGSTOP)
        code = engine.wait()
    assert code == 0, engine.said
    assert "has been silent" in engine.said
    assert_undisturbed(tmp_path, undisturbed)
