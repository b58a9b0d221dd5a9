"""The parts of the fault suite that need no engine: schedule, judgement, table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.faults.suite.growth import Sample, growth_of
from tests.faults.suite.judge import (
    Verdict,
    judge_end,
    judge_ledger,
    judge_recording,
    mask_of,
)
from tests.faults.suite.leftovers import leftovers, processes
from tests.faults.suite.material import Material
from tests.faults.suite.schedule import KINDS, SILENT_S, plan_of
from tests.faults.suite.table import markdown, rows_of

SITE = Path(__file__).parents[1] / "faults" / "suite" / "site"


def book(**changes):
    """An acquisition of 10 frames: one missing, one failed, one not recorded."""
    edge = {"announced": 10, "dropped": {"lost": 1}, "closed": True}
    return {
        "state": "incomplete",
        "reason": "",
        "closed": True,
        "ingest": {
            "received": 9,
            "received_runs": [[0, 3], [5, 9]],
            "missing": {"lost": 1},
            "missing_runs": [[4, 4]],
        },
        "edges": {
            "stem": {**edge, "processed": 8, "failed": {"died": 1}},
            "record": {
                **edge,
                "processed": 8,
                "dropped": {"lost": 1, "disk_full": 1},
                "failed": {},
            },
        },
        **changes,
    }


PROCESSED = {"stem": [[0, 3], [5, 8]]}
RECORDED = mask_of([[0, 3], [5, 6], [8, 9]], 10)
GAPS = [(4, 4, "lost"), (7, 7, "disk_full")]


def judged(said, processed=PROCESSED, recorded=RECORDED, gaps=GAPS):
    verdict = Verdict()
    judge_ledger(said, processed, 10, verdict)
    judge_recording(said, recorded, gaps, verdict)
    return verdict


# -- the schedule ----------------------------------------------------------------------


def test_a_seed_stands_for_the_same_fault_each_time():
    assert [plan_of(seed) for seed in range(50)] == [plan_of(s) for s in range(50)]


def test_a_hundred_seeds_have_each_kind_of_fault_equally_often():
    counted = Counter(plan_of(seed).fault.what for seed in range(100))
    assert set(counted) == set(KINDS)
    assert set(counted.values()) == {100 // len(KINDS)}


def test_who_is_stopped_is_stopped_for_less_or_for_longer_than_silence_is_borne():
    stops = [plan_of(seed).fault for seed in range(200)]
    seconds = [one.seconds for one in stops if one.what.startswith("stop")]
    assert min(seconds) < SILENT_S / 2
    assert max(seconds) > SILENT_S
    assert not [s for s in seconds if SILENT_S / 2 < s < SILENT_S]


def test_a_killed_recorder_may_cost_frames_only_where_the_slab_is_small():
    plans = [plan_of(seed) for seed in range(100)]
    recorder = [p for p in plans if p.fault.what == "kill recorder"]
    assert {p.may_lose for p in recorder} == {True, False}
    assert not any(p.may_lose for p in plans if p.fault.what == "kill worker")


# -- the judgement ---------------------------------------------------------------------


def test_losses_that_the_ledger_and_the_gaps_name_are_declared():
    verdict = judged(book())
    assert verdict.failures == []
    assert verdict.declared == 3  # missing, failed, not recorded


def test_a_frame_that_is_in_no_place_is_an_undeclared_loss():
    verdict = judged(book(), processed={"stem": [[0, 3], [5, 7]]})
    assert verdict.undeclared == 1


def test_a_frame_that_was_never_received_must_be_missing():
    said = book()
    said["ingest"]["missing"], said["ingest"]["missing_runs"] = {}, []
    assert judged(said).undeclared >= 1


def test_what_a_detector_that_broke_off_did_not_send_is_declared_by_the_reason():
    said = book(state="failed", reason="the adapter died")
    said["ingest"]["missing"], said["ingest"]["missing_runs"] = {}, []
    verdict = judged(said)
    assert verdict.undeclared == 0


def test_a_frame_that_is_neither_on_disk_nor_in_a_gap_is_an_undeclared_loss():
    assert judged(book(), gaps=GAPS[:1]).undeclared == 1


def test_where_a_disk_took_no_gap_any_more_the_ledger_must_have_the_loss():
    verdict = Verdict()
    judge_recording(book(), RECORDED, GAPS[:1], verdict, finished=False)
    assert verdict.undeclared == 0
    assert verdict.notes == ["1 frames are lost by the ledger alone"]
    silent = book()
    silent["edges"]["record"]["dropped"] = {"lost": 1}
    judge_recording(silent, RECORDED, GAPS[:1], verdict, finished=False)
    assert verdict.undeclared == 1


def test_a_frame_that_is_on_disk_and_in_a_gap_is_a_difference():
    assert judged(book(), gaps=[*GAPS, (9, 9, "disk_full")]).differences


def test_frames_that_the_ledger_says_are_lost_and_are_there_are_told():
    verdict = judged(book(), processed={"stem": [[0, 3], [5, 9]]})
    assert verdict.wrong == ["stem: 2 frames are said to be lost, 1 are"]


def test_a_ledger_that_counts_other_frames_than_are_on_disk_is_told():
    recorded = mask_of([[0, 3], [5, 9]], 10)
    verdict = judged(book(), recorded=recorded, gaps=GAPS[:1])
    assert verdict.wrong == ["recording: 8 frames in the ledger, 9 on disk"]


def test_an_edge_in_flight_is_a_ledger_that_is_not_closed():
    said = book()
    said["edges"]["record"]["closed"] = False
    assert not judged(said).closed


@pytest.mark.parametrize(
    ("code", "said", "lost", "may_lose", "wrong"),
    [
        (0, "", 0, False, 0),
        (1, "", 5, True, 0),
        (1, "", 5, False, 1),
        (1, "", 0, False, 1),
        (0, "", 5, True, 1),
        (0, "Traceback (most recent call last)", 0, False, 1),
    ],
)
def test_the_end_of_a_run_fits_what_was_lost(code, said, lost, may_lose, wrong):
    verdict = Verdict()
    judge_end(code, said, lost, may_lose=may_lose, verdict=verdict)
    assert len(verdict.wrong) == wrong


def test_expected_images_hold_exactly_the_frames_that_were_processed():
    frames = np.arange(4 * 64 * 64).reshape(4, 64, 64).astype(np.uint32)
    seen = np.array([0, 3])
    expected = Material(frames, (2, 2)).expected({"stem": seen})
    inside = np.hypot(*(np.mgrid[:64, :64] - 32)) <= 8
    found = expected["stem.virtual.bf"]
    assert found.tolist() == frames[seen][:, inside].sum(1).tolist()
    assert np.array_equal(expected["stem.sum.sum"], frames[0] + frames[3].astype(int))


# -- what is left ----------------------------------------------------------------------


def test_a_process_a_socket_and_half_a_file_are_left(tmp_path):
    run = tmp_path / "run" / "scopeside" / "1-abc"
    run.mkdir(parents=True)
    (tmp_path / "x.npz.part").touch()
    environment = {**os.environ, "SCOPESIDE_RUN": str(tmp_path / "run")}
    program = [sys.executable, "-c", "input()"]
    with subprocess.Popen(program, env=environment, stdin=subprocess.PIPE) as process:
        while process.pid not in processes(tmp_path):
            time.sleep(0.01)
        left = leftovers(tmp_path, patience_s=0.0)
        process.communicate(b"\n")
    assert [one.partition(":")[0] for one in left if "/dev/shm" not in one] == [
        f"process {process.pid}",
        "run/scopeside/1-abc",
        "x.npz.part",
    ]
    assert processes(tmp_path) == {}


# -- clocks and disks ------------------------------------------------------------------


def test_the_clock_of_a_disturbed_process_jumps_and_its_monotonic_clock_does_not(
    tmp_path,
):
    page = tmp_path / "fault"
    page.write_bytes(np.array([3600 * 10**9, 0, 0], "<i8").tobytes())
    program = "import time; print(time.time_ns(), time.time(), time.monotonic_ns())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SCOPESIDE_FAULT": str(page), "PYTHONPATH": str(SITE)},
        capture_output=True,
        text=True,
        check=True,
    )
    ns, seconds, steady_ns = done.stdout.split()
    assert int(ns) > time.time_ns() + 3500 * 10**9
    assert float(seconds) > time.time() + 3500
    assert int(steady_ns) <= time.monotonic_ns()


# -- growth ----------------------------------------------------------------------------


def held(memory, files=lambda k: 20):
    return [Sample(k * 100, int(memory(k)), int(files(k))) for k in range(1, 101)]


def test_a_process_that_fills_its_caches_first_does_not_grow():
    growth = growth_of(held(lambda k: min(k, 30) * 2**20))
    assert growth.bounded
    assert abs(growth.grown_mib) < 1e-6


def test_a_process_that_keeps_every_frame_grows():
    assert not growth_of(held(lambda k: k * 2**20)).bounded


def test_a_process_that_opens_files_and_does_not_close_them_grows():
    assert not growth_of(held(lambda k: 2**20, files=lambda k: 20 + k // 10)).bounded


def test_a_run_with_too_few_samples_says_nothing():
    assert growth_of([]) is None
    assert growth_of(held(lambda k: 1)[:3]) is None


# -- the table -------------------------------------------------------------------------


def test_the_table_sums_the_runs_of_each_kind():
    bad = Verdict(closed=False, undeclared=3, differences=["x"], leftovers=["y", "z"])
    rows = rows_of({0: Verdict(declared=2), 25: bad, 1: Verdict()})
    assert rows[0][:6] == ["none", 2, 1, 3, 1, 2]
    assert rows[1][:3] == [KINDS[1], 1, 1]
    assert rows[-1][:3] == ["all", 3, 2]


def test_the_table_is_a_table_of_markdown():
    lines = markdown({0: Verdict()}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1
    assert set(lines[1]) <= set("|-: ")
