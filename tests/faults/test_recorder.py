"""The recorder, or who feeds it, is killed in mid-run."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running
from tests.system.test_record import FRAMES, assert_whole, pipeline, runs_in, scan

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]
__all__ = ["scan"]


def disturb(engine, name, sent, seed):
    """Do it somewhere in the first three quarters, anywhere within a batch."""
    rng = random.Random(seed)
    at = rng.randrange(1, FRAMES * 3 // 4)
    engine.until(lambda status: status["rates"]["frames"] >= at, "in mid-scan")
    time.sleep(rng.random() * 0.02)
    os.kill(engine.pid(name), sent)


def start(folder, path):
    return running(folder, "run", path, "--report", "report.json")


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def test_a_killed_recorder_leaves_no_trace_in_the_recording(tmp_path, scan, kill):
    path = pipeline(tmp_path, scan, {}, file={"fps": 600.0})
    with start(tmp_path, path) as engine:
        disturb(engine, "recorder", signal.SIGKILL, seed=10 + kill)
        code = engine.wait()
    assert code == 0, engine.said
    (run,) = runs_in(tmp_path)
    assert_whole(run, np.load(scan))
    assert report_of(tmp_path)["restarts"]["recorder"] == 1
    assert nothing_left(tmp_path) == []


def test_of_a_killed_adapter_what_it_sent_is_recorded_and_the_rest_counted(
    tmp_path, scan, kill
):
    path = pipeline(tmp_path, scan, {}, file={"fps": 600.0})
    with start(tmp_path, path) as engine:
        disturb(engine, "adapter", signal.SIGKILL, seed=20 + kill)
        assert engine.wait() == 1
    (run,) = runs_in(tmp_path)
    received = report_of(tmp_path)["rates"]["frames"]
    assert run.manifest["state"] == "failed"
    edge = run.manifest["ledger"]["edges"]["record"]
    recorded, unsent = edge["processed"], edge["failed"].get("adapter_died", 0)
    # It dies between telling of a batch and sending it: one in four times, here.
    assert recorded + unsent == received
    assert run.manifest["frames"]["runs"] == [[0, recorded - 1]]
    assert nothing_left(tmp_path) == []


def test_a_recorder_that_dies_too_often_is_given_up_and_the_rest_goes_on(
    tmp_path, scan
):
    path = pipeline(tmp_path, scan, {}, file={"fps": 600.0}, engine={"restarts": 0})
    with start(tmp_path, path) as engine:
        disturb(engine, "recorder", signal.SIGKILL, seed=1)
        code = engine.wait()
    report = report_of(tmp_path)
    assert code == 1
    assert report["degraded"] == ["recorder"]
    assert report["ledger"]["stem"]["processed"] == FRAMES
    account = report["ledger"]["record"]
    assert account["closed"]
    assert account["dropped"].keys() == {"degraded"}
    (run,) = runs_in(tmp_path)
    assert run.growing  # for `scopeside runs recover`
    assert run.frames >= account["processed"]
    assert nothing_left(tmp_path) == []
