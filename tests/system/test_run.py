"""Whole runs as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SUM = [{"kind": "sum"}]
COUNT = "tests.system.plugins:Count"


def write_pipeline(folder: Path, **tables) -> Path:
    path = folder / "pipeline.toml"
    path.write_text(lines(**tables))
    return path


def movie(folder: Path, n: int = 60, shape=(24, 32)) -> Path:
    path = folder / "movie.npy"
    rng = np.random.default_rng(n)
    np.save(path, rng.poisson(3, (n, *shape)).astype(np.uint16))
    return path


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def endless(fps: float = 500.0, **more) -> dict:
    return {
        "kind": "simulator", "mode": "scan4d", "fps": fps, "scan": [200, 200],
        "shape": [32, 32], "acquisitions": 0, **more,
    }  # fmt: skip


def test_the_demo_runs_headless_and_closes_its_ledger(tmp_path):
    found = scopeside(
        tmp_path, "demo", "--headless", "--seconds", "3", "--report", "report.json"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    report = report_of(tmp_path)
    assert report["closed"]
    assert report["ledger"]["stem"]["processed"] > 1000
    assert report["exit"]["code"] == 0
    assert nothing_left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_cleanly(tmp_path, number):
    pipeline = write_pipeline(
        tmp_path, detector=endless(), chain=[{"name": "a", "processor": SUM}]
    )
    with running(tmp_path, "run", pipeline, "--report", "report.json") as engine:
        engine.until(lambda s: s["rates"]["frames"] > 100, "running")
        engine.process.send_signal(number)
        code = engine.wait()
    assert code == 128 + number, engine.said
    (book,) = report_of(tmp_path)["acquisitions"].values()
    assert book["state"] == "stopped"
    assert book["closed"]
    assert book["edges"]["a"]["processed"] == book["ingest"]["received"] > 100
    assert nothing_left(tmp_path) == []


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.8, 1.6])
def test_a_signal_during_start_up_leaves_nothing_behind(tmp_path, after_s):
    pipeline = write_pipeline(
        tmp_path, detector=endless(), chain=[{"name": "a", "processor": SUM}]
    )
    with running(tmp_path, "run", pipeline) as engine:
        time.sleep(after_s)
        engine.process.send_signal(signal.SIGINT)
        code = engine.wait()
    # At once after the start even Python itself may not listen yet.
    assert code in (130, -signal.SIGINT), engine.said
    assert nothing_left(tmp_path) == []


def test_a_slow_lossless_chain_slows_ingest_and_loses_nothing(tmp_path):
    path = movie(tmp_path, n=800)
    pipeline = write_pipeline(
        tmp_path,
        detector={"kind": "file", "path": path},
        slab={"mib": 1, "batch_kib": 4},
        chain=[
            {"name": "slow", "processor": [{"kind": COUNT, "sleep_s": 0.01}]},
            {"name": "quick", "processor": SUM},
        ],
    )
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    assert found.returncode == 0, found.stdout + found.stderr
    report = report_of(tmp_path)
    for edge in ("slow", "quick"):
        assert report["ledger"][edge]["processed"] == 800
    assert report["stages"]["adapter"]["blocked_s"] > 0.3


@pytest.mark.parametrize(
    ("policy", "cause"),
    [("latest", "superseded"), ("bounded:2", "queue_full"), ("sample:4", None)],
)
def test_a_slow_chain_on_another_edge_misses_frames_and_knows_how_many(
    tmp_path, policy, cause
):
    pipeline = write_pipeline(
        tmp_path,
        detector=endless(fps=1000.0, scan=[40, 50], acquisitions=1),
        slab={"mib": 4, "batch_kib": 16},
        chain=[
            {"name": "all", "processor": SUM},
            {
                "name": "slow",
                "edge": policy,
                "processor": [{"kind": COUNT, "sleep_s": 0.05}],
            },
        ],
    )
    found = scopeside(
        tmp_path, "run", pipeline, "--report", "report.json", "--results", "results"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    ledger = report_of(tmp_path)["ledger"]
    assert ledger["all"]["processed"] == 2000
    slow = ledger["slow"]
    assert slow["closed"]
    assert slow["announced"] == 2000
    assert slow["processed"] + sum(slow["dropped"].values()) == 2000
    assert sum(slow["dropped"].values()) > 0
    assert set(slow["dropped"]) <= {cause or "sampled_out", "superseded"}
    meta = np.load(tmp_path / "results" / "slow.count.n.npz")["meta"]
    assert json.loads(str(meta))["value"] == slow["processed"]


def test_a_worker_that_sleeps_for_ever_does_not_hold_up_the_others(tmp_path):
    pipeline = write_pipeline(
        tmp_path,
        detector=endless(fps=1000.0, scan=[40, 50], acquisitions=1),
        engine={"stall_s": 1.0},
        slab={"mib": 4, "batch_kib": 16},
        chain=[
            {"name": "all", "processor": SUM},
            {
                "name": "asleep",
                "edge": "latest",
                "processor": [{"kind": COUNT, "hang_at": 0}],
            },
        ],
    )
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    ledger = report_of(tmp_path)["ledger"]
    assert ledger["all"]["processed"] == 2000
    assert ledger["asleep"]["closed"]
    assert ledger["asleep"]["dropped"]["superseded"] > 0
    assert "has worked on one batch for" in found.stdout


def test_a_batch_that_kills_twice_is_quarantined(tmp_path):
    path = movie(tmp_path)
    pipeline = write_pipeline(
        tmp_path,
        detector={"kind": "file", "path": path},
        slab={"mib": 1, "batch_kib": 16},
        chain=[
            {"name": "frail", "processor": [{"kind": COUNT, "die_at": 30}]},
            {"name": "sound", "processor": SUM},
        ],
    )
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    assert found.returncode == 1
    report = report_of(tmp_path)
    frail = report["ledger"]["frail"]
    n = frail["failed"]["killed_worker"]
    assert frail["processed"] == 60 - n
    assert frail["closed"]
    assert report["ledger"]["sound"]["processed"] == 60
    assert report["restarts"]["worker.frail.0"] == 2
    (kept,) = (tmp_path / "quarantine").glob("*.npz")
    with np.load(kept) as batch:
        assert 30 in batch["index"]
        frames = np.load(path)
        np.testing.assert_array_equal(batch["pixels"], frames[batch["index"]])
    assert "killed_worker" in found.stderr


def test_a_batch_on_which_a_processor_fails_is_counted_and_the_rest_goes_on(tmp_path):
    path = movie(tmp_path)
    pipeline = write_pipeline(
        tmp_path,
        detector={"kind": "file", "path": path},
        slab={"mib": 1, "batch_kib": 16},
        chain=[{"name": "picky", "processor": [{"kind": COUNT, "fail_at": 17}]}],
    )
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    assert found.returncode == 1
    picky = report_of(tmp_path)["ledger"]["picky"]
    assert picky["failed"]["ValueError"] + picky["processed"] == 60
    assert picky["closed"]
    assert "frame 17 is unbearable" in found.stdout


def test_a_worker_that_cannot_live_is_degraded_loudly(tmp_path):
    path = movie(tmp_path, n=600)
    pipeline = write_pipeline(
        tmp_path,
        detector={"kind": "file", "path": path, "fps": 400.0},
        slab={"mib": 1, "batch_kib": 4},
        engine={"restarts": 1},
        chain=[
            {
                "name": "doomed",
                "processor": [
                    {"kind": COUNT, "die_at": 20},
                    {"kind": COUNT, "die_at": 40, "name": "again"},
                ],
            },
            {"name": "sound", "processor": SUM},
        ],
    )
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    assert found.returncode == 1
    report = report_of(tmp_path)
    assert report["degraded"] == ["worker.doomed.0"]
    assert report["ledger"]["doomed"]["dropped"]["degraded"] > 0
    assert report["ledger"]["doomed"]["closed"]
    assert report["ledger"]["sound"]["processed"] == 600
    assert "DEGRADED: worker.doomed.0" in found.stdout


def test_several_workers_share_a_chain(tmp_path):
    path = movie(tmp_path, n=300)
    pipeline = write_pipeline(
        tmp_path,
        detector={"kind": "file", "path": path},
        slab={"mib": 1, "batch_kib": 16},
        chain=[{"name": "many", "workers": 3, "processor": SUM}],
    )
    found = scopeside(
        tmp_path, "run", pipeline, "--report", "report.json", "--results", "results"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    with np.load(tmp_path / "results" / "many.sum.sum.npz") as total:
        np.testing.assert_array_equal(total["data"], np.load(path).sum(0))


def test_acquisitions_follow_each_other_until_enough(tmp_path):
    path = movie(tmp_path)
    pipeline = write_pipeline(
        tmp_path,
        detector={"kind": "file", "path": path, "loop": True},
        chain=[{"name": "a", "processor": SUM}],
    )
    found = scopeside(
        tmp_path, "run", pipeline, "--acquisitions", 3, "--report", "report.json"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    report = report_of(tmp_path)
    assert len(report["acquisitions"]) == 3
    assert report["ledger"]["a"]["processed"] == 180
    results = [book["results"] for book in report["acquisitions"].values()]
    assert results[0] == results[1] == results[2]


def test_metrics_are_scraped_while_it_runs(tmp_path):
    pipeline = write_pipeline(
        tmp_path, detector=endless(), chain=[{"name": "a", "processor": SUM}]
    )
    with running(tmp_path, "run", pipeline) as engine:
        status = engine.until(lambda s: s["rates"]["frames"] > 100, "running")
        with urllib.request.urlopen(status["servers"]["metrics"]) as answer:
            text = answer.read().decode()
        engine.process.send_signal(signal.SIGINT)
        engine.wait()
    assert 'scopeside_frames_total{cause="",edge="a",outcome="announced"}' in text
    assert "scopeside_frame_age_seconds_bucket" in text
    assert 'scopeside_stage_seconds_total{stage="worker.a.0",state="busy"}' in text


def test_a_stopped_subscriber_does_not_hold_up_the_run(tmp_path):
    pipeline = write_pipeline(
        tmp_path,
        detector=endless(fps=2000.0),
        chain=[{"name": "a", "processor": SUM}],
    )
    with running(tmp_path, "run", pipeline, "--seconds", 6) as engine:
        engine.until(lambda s: s["rates"]["frames"] > 10, "running")
        with running(tmp_path, "watch", "--headless") as watcher:
            assert watcher.process.stdout.readline()
            os.kill(watcher.process.pid, signal.SIGSTOP)
            before = engine.status()["edges"]["a"]["processed"]
            engine.until(
                lambda s: s["edges"]["a"]["processed"] > before + 3000, "going on"
            )
            os.kill(watcher.process.pid, signal.SIGCONT)
        assert engine.wait() == 0
