"""Only what surrounds events is recorded: exactly that, whoever dies meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

import scopeside as api
from scopeside.mark import keep

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

FPS, FRAMES = 1000, 2400
BEFORE, AFTER, LAG = 50, 100, 5
FLASHES = [300, 340, 1200, 2390]
EXPECTED = [[245, 440], [1145, 1300], [2335, FRAMES - 1]]
"""Frames around the flashes; those at 300 and 340 share a window."""


def pipeline(folder: Path, **record: object) -> Path:
    frames = np.zeros((FRAMES, 32, 40), np.uint16)
    frames[:, 0, 0] = np.arange(FRAMES)
    np.save(folder / "movie.npy", frames)
    flashes = {"kind": "tests.engine.flashes:Flashes", "at": FLASHES, "lag": LAG}
    path = folder / "pipeline.toml"
    record = {"mode": "on_event", "late_s": 0.05, "spool_mib": 16, **record}
    record |= {"before_s": BEFORE / FPS, "after_s": AFTER / FPS, "keep_free_mib": 0}
    path.write_text(
        lines(
            detector={"kind": "file", "path": "movie.npy", "fps": float(FPS)},
            slab={"mib": 8, "batch_kib": 64},
            record=record,
            chain=[
                {"name": "find", "processor": [flashes]},
                {"name": "sum", "processor": [{"kind": "sum"}]},
            ],
        )
    )
    return path


def seen(engine, n: int):
    """Wait until so many frames have come."""
    engine.until(lambda s: s["rates"]["frames"] >= n, f"saw {n} frames")


def recorded(folder: Path):
    (run,) = (folder / "runs").iterdir()
    return api.open_run(run)


def frames_of(run) -> dict[int, int]:
    """Return what stands in the first pixel of each recorded frame, by index."""
    return {
        int(index): int(value)
        for batch in run.batches()
        for index, value in zip(batch.index, batch.pixels[:, 0, 0], strict=True)
    }


def runs_of(indices: list[int]) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(indices) != 1)
    firsts, lasts = [0, *(edges + 1)], [*edges, len(indices) - 1]
    return [[indices[a], indices[b]] for a, b in zip(firsts, lasts, strict=True)]


def test_the_frames_around_events_are_recorded_whoever_dies(tmp_path: Path):
    path = pipeline(tmp_path)
    with running(tmp_path, "run", path, "--report", "report.json") as engine:
        seen(engine, 320)
        engine.kill("recorder")
        seen(engine, 700)
        engine.kill("collector")
        assert engine.wait() == 0, engine.said
    run, report = recorded(tmp_path), json.loads((tmp_path / "report.json").read_text())
    found = frames_of(run)
    assert runs_of(sorted(found)) == EXPECTED
    assert all(index == value for index, value in found.items())
    assert run.manifest["frames"]["runs"] == EXPECTED
    assert run.manifest["gaps"] == []
    began = run.manifest["acquisition"]["started_ns"]
    windows = [
        [(a - began) * FPS // 10**9, (b - began) * FPS // 10**9, labels]
        for a, b, labels in run.manifest["windows"]
    ]
    assert windows == [
        [245, 440, ["flashes.flash 0 at frame 300", "flashes.flash 1 at frame 340"]],
        [1145, 1300, ["flashes.flash 2 at frame 1200"]],
        [2335, 2490, ["flashes.flash 3 at frame 2390"]],
    ]
    account = report["ledger"]["record"]
    assert account["closed"]
    assert account["failed"] == {}
    assert account["processed"] == len(found)
    assert account["dropped"] == {"no_event": FRAMES - len(found)}
    assert nothing_left(tmp_path) == []


def test_a_person_marks_what_is_going_on(tmp_path: Path):
    path = pipeline(tmp_path, on=["flashes.flash:none"])
    with running(tmp_path, "run", path) as engine:
        seen(engine, 600)
        (folder,) = (tmp_path / "run" / "scopeside").iterdir()
        kept = keep(0.02, 0.03, "look", run=folder)
        said = scopeside(tmp_path, "keep", "--note", "again")
        assert said.returncode == 0, said.stderr
        assert engine.wait() == 0, engine.said
    run = recorded(tmp_path)
    first, second = run.manifest["windows"]
    assert first == [
        kept.t_ns - 20_000_000, kept.t_ns + 30_000_000, ["marked by hand: look"],
    ]  # fmt: skip
    assert second[2] == ["marked by hand: again"]
    assert second[1] - second[0] == (BEFORE + AFTER) * 1_000_000
    began = run.manifest["acquisition"]["started_ns"]
    times = began + np.arange(FRAMES) * (10**9 // FPS)
    inside = [
        k for k, t in enumerate(times) for a, b, _ in (first, second) if a <= t <= b
    ]
    assert sorted(frames_of(run)) == inside
