"""Only what surrounds events is recorded: exactly that, whoever dies meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

import scopeside as api

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

FPS, FRAMES, FRAME_NS = 1000, 2000, 1_000_000
BEFORE, AFTER, LAG = 50, 100, 5
FLASHES = [300, 340, 1700, 1990]
EXPECTED = [
    (245, 440, {"flashes.flash 0 at frame 300", "flashes.flash 1 at frame 340"}),
    (1645, 1800, {"flashes.flash 2 at frame 1700"}),
    (1935, 2090, {"flashes.flash 3 at frame 1990"}),
]
"""Windows around the flashes, in frames. A mark by hand may lie in one of them."""
LOOK = "marked by hand: look"


def pipeline(folder: Path) -> Path:
    frames = np.zeros((FRAMES, 32, 40), np.uint16)
    frames[:, 0, 0] = np.arange(FRAMES)
    np.save(folder / "movie.npy", frames)
    flashes = {"kind": "tests.engine.flashes:Flashes", "at": FLASHES, "lag": LAG}
    path = folder / "pipeline.toml"
    # The slab has room for all frames: on a slow machine a restart takes seconds.
    record = {"mode": "on_event", "late_s": 0.05, "spool_mib": 16}
    record |= {"before_s": BEFORE / FPS, "after_s": AFTER / FPS, "keep_free_mib": 0}
    path.write_text(
        lines(
            detector={"kind": "file", "path": "movie.npy", "fps": float(FPS)},
            slab={"mib": 32, "batch_kib": 16},
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


def test_exactly_what_surrounds_events_is_recorded_whoever_dies(tmp_path: Path):
    path = pipeline(tmp_path)
    mark = ("keep", "--before", 0.02, "--after", 0.03, "--note", "look")
    with running(tmp_path, "run", path, "--report", "report.json") as engine:
        seen(engine, 320)
        engine.kill("recorder")
        marked = scopeside(tmp_path, *mark)
        engine.kill("collector")
        assert engine.wait() == 0, engine.said
    assert "0.02 s before to 0.03 s after" in marked.stdout, marked.stderr
    run, report = recorded(tmp_path), json.loads((tmp_path / "report.json").read_text())
    began = run.manifest["acquisition"]["started_ns"]
    windows = [
        ((a - began) / FRAME_NS, (b - began) / FRAME_NS, set(labels))
        for a, b, labels in run.manifest["windows"]
    ]
    (by_hand,) = [(a, b) for a, b, labels in windows if LOOK in labels]
    assert by_hand[1] - by_hand[0] >= 50
    for a, b, labels in EXPECTED:
        assert any(c <= a and b <= d and labels <= said for c, d, said in windows)
    others = [one for one in windows if LOOK not in one[2]]
    assert all(one in EXPECTED for one in others)
    found = frames_of(run)
    assert all(index == value for index, value in found.items())
    assert sorted(found) == [
        k for k in range(FRAMES) if any(a <= k <= b for a, b, _ in windows)
    ]
    assert run.manifest["frames"]["recorded"] == len(found)
    assert run.manifest["gaps"] == []
    account = report["ledger"]["record"]
    assert account["closed"]
    assert account["failed"] == {}
    assert account["processed"] == len(found)
    assert account["dropped"] == {"no_event": FRAMES - len(found)}
    assert nothing_left(tmp_path) == []
