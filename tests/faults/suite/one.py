"""One seeded run: started, disturbed, judged, cleared away."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.faults.suite.disturbed import (
    PATIENCE_S,
    HungError,
    MissedError,
    disturb,
    disturbed,
    saved_runs,
    why_no_small_disk,
)
from tests.faults.suite.evidence import judge
from tests.faults.suite.judge import Verdict
from tests.faults.suite.leftovers import (
    leftovers,
    let_the_next_engine_clear,
    processes,
)
from tests.faults.suite.material import MOVIE, SCAN, Material, stored
from tests.faults.suite.peers import Peer, peer_of
from tests.faults.suite.pipelines import SECONDS, disk, pipeline_of
from tests.faults.suite.schedule import Plan, plan_of
from tests.system.engine_runs import Running

ENDS_S = 10.0
"""Processes may live so long after their supervisor was killed."""


def run_seed(seed: int, store: Path, *, keep: Path | None = None) -> Verdict:
    """Do what a seed stands for.

    Parameters
    ----------
    store
        Where the frames are kept from run to run.
    keep
        The folder of the run is left there; else it is removed.
    """
    plan = _possible(plan_of(seed))
    folder = Path(tempfile.mkdtemp(prefix=f"f{seed}-", dir=keep or store))
    try:
        return _run(plan, folder, store)
    finally:
        _end_all(folder)
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _possible(plan: Plan) -> Plan:
    """Return the plan as this machine allows it.

    Where users may not mount, a disk is full because a file may not get larger.
    """
    fault = plan.fault
    if fault.what == "disk full" and why_no_small_disk():
        return replace(plan, fault=replace(fault, detail="largest file"))
    return plan


def _run(plan: Plan, folder: Path, store: Path) -> Verdict:
    if plan.fault.what.startswith("disk full") and not why_no_small_disk():
        disk(folder).mkdir()
    with _source(plan, folder, store) as (detector, material):
        pipeline = pipeline_of(plan, detector, folder, material.scan)
        with disturbed(plan, pipeline, folder) as engine:
            try:
                missed = _disturb(engine, plan, len(material.frames))
                code = engine.process.wait(PATIENCE_S)
            except (HungError, subprocess.TimeoutExpired) as error:
                return _hung(folder, error)
    supervisor_died = plan.fault.what == "kill supervisor"
    left = leftovers(folder, patience_s=ENDS_S if supervisor_died else 0.0)
    if supervisor_died:
        let_the_next_engine_clear(folder)
        left = leftovers(folder, patience_s=0.0)
    verdict = judge(plan, material, folder, saved_runs(folder), code)
    verdict.leftovers += left
    verdict.wrong += missed
    return verdict


def _disturb(engine: Running, plan: Plan, frames: int) -> list[str]:
    """Do what the plan says; return why it was not done, if it was not."""
    try:
        disturb(engine, plan, frames)
    except (MissedError, ProcessLookupError) as error:
        return [f"the fault did not come about: {error}"]
    return []


def _hung(folder: Path, error: Exception) -> Verdict:
    verdict = Verdict(closed=False)
    for pid in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)  # where it hangs
    time.sleep(1.0)
    verdict.wrong.append(f"hung: {error}: {(folder / 'said').read_text()[-3000:]}")
    return verdict


@contextmanager
def _source(plan: Plan, folder: Path, store: Path) -> Iterator[Peer]:
    """Provide the frames of a run: a file, or a detector that sends them."""
    if plan.source not in ("scan", "movie"):
        with peer_of(plan, folder) as peer:
            yield peer
        return
    path = stored(store, plan.source)
    frames = np.load(path, mmap_mode="r")
    scan, count = (
        (SCAN, SCAN[0] * SCAN[1]) if plan.source == "scan" else (None, MOVIE[0])
    )
    detector = {"kind": "file", "path": path, "fps": count / SECONDS}
    yield Peer(detector, Material(frames, scan))


def _end_all(folder: Path) -> None:
    """Kill what is left of a run, so that it disturbs no other."""
    for pid in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
