"""Whole engines that record: what lies on disk is what the detector sent."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

from scopeside.runs.run import Run, open_run

pytestmark = pytest.mark.system

FRAMES = 600


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.npy"
    rng = np.random.default_rng(3)
    np.save(path, rng.poisson(4, (FRAMES, 16, 20)).astype(np.uint16))
    return path


def pipeline(folder: Path, scan: Path, record: dict[str, Any], **tables: Any) -> Path:
    path = folder / "pipeline.toml"
    text = lines(
        detector={
            "kind": "file",
            "path": scan,
            "fps": 3000.0,
            **tables.pop("file", {}),
        },
        acquisition={"scan": [20, 30]},
        slab={"mib": 4, "batch_kib": 16},
        record={"to": "runs", "spool_mib": 16, "keep_free_mib": 0, **record},
        **tables,
        chain=[
            {
                "name": "stem",
                "processor": [{"kind": "sum", "of": ["sum"]}],
            }
        ],
    )
    path.write_text(text)
    return path


def runs_in(folder: Path) -> list[Run]:
    return [open_run(path) for path in sorted((folder / "runs").iterdir())]


def assert_whole(run: Run, frames: np.ndarray) -> None:
    assert run.manifest["state"] == "complete"
    assert run.manifest["ledger"]["closed"]
    assert run.manifest["frames"]["runs"] == [[0, len(frames) - 1]]
    found = np.concatenate([batch.pixels for batch in run.batches()])
    assert found.tobytes() == frames.tobytes()


def test_two_acquisitions_are_two_runs_that_hold_every_byte(tmp_path, scan):
    path = pipeline(tmp_path, scan, {}, file={"loop": True})
    more = ("--acquisitions", 2, "--report", "report.json", "--headless")
    done = scopeside(tmp_path, "run", path, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = runs_in(tmp_path)
    assert len(runs) == 2
    frames = np.load(scan)
    for run in runs:
        assert_whole(run, frames)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["record"]["frames"] == 2 * FRAMES
    assert report["record"]["gaps"] == {}
    assert [run.manifest["results"] for run in runs] == [
        book["results"] for book in report["acquisitions"].values()
    ]
    assert report["ledger"]["record"]["processed"] == 2 * FRAMES
    assert "recorded: 1,200 frames" in done.stdout
    assert nothing_left(tmp_path) == []


def test_a_stop_drains_and_a_disk_without_room_harms_nobody(tmp_path, scan):
    full = {"keep_free_mib": 1 << 24}
    path = pipeline(tmp_path, scan, full, engine={"drain_s": 1.0}, file={"loop": True})
    with running(tmp_path, "run", path, "--report", "report.json") as engine:
        engine.until(lambda s: s["rates"]["frames"] >= FRAMES, "frames")
        engine.process.send_signal(signal.SIGINT)
        engine.wait()
    report = json.loads((tmp_path / "report.json").read_text())
    received = report["rates"]["frames"]
    edges = report["ledger"]
    assert edges["stem"]["processed"] == received
    assert edges["record"]["dropped"] == {"disk_full": received}
    assert report["closed"]
    assert report["exit"]["code"] == 1
    for run in runs_in(tmp_path):
        last = run.manifest["ledger"]["ingest"]["received"] - 1
        assert run.manifest["gaps"] == [[0, last, "disk_full"]]
        assert run.frames == 0
    assert "DISK FULL" in engine.said
    assert "keep_free_mib" in engine.said
