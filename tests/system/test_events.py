"""A detector that sends events, through a whole engine: exact, whoever is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SCAN = (40, 50)
FRAMES = SCAN[0] * SCAN[1]
SHAPE = (32, 40)
FILES = ("--report", "report.json", "--results", "results")


@pytest.fixture(scope="session")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of a scan in no order, and frames without any."""
    rng = np.random.default_rng(11)
    path = tmp_path_factory.mktemp("hits") / "hits.npz"
    place = rng.integers(0, FRAMES, 60_000)
    place = place[place % 7 != 3]
    value = rng.integers(1, 200, len(place))
    np.savez(path, place=place, value=value, address=rng.integers(0, 1280, len(place)))
    return path


@pytest.fixture(scope="session")
def expected(hits: Path) -> dict[str, Any]:
    """What the results must be, computed from the file."""
    frames = np.zeros((FRAMES, *SHAPE), np.int64)
    with np.load(hits) as events:
        flat = frames.reshape(FRAMES, -1)
        np.add.at(flat, (events["place"], events["address"]), events["value"])
    y, x = np.mgrid[:32, :40]
    distance2 = (y - 16) ** 2 + (x - 20) ** 2
    trail = np.zeros(SHAPE)
    for frame in frames:
        trail += 0.1 * (frame - trail)
    return {
        "stem.virtual.bf": frames[:, distance2 <= 25].sum(1).reshape(SCAN),
        "stem.virtual.adf": frames[:, (distance2 > 25) & (distance2 <= 225)]
        .sum(1)
        .reshape(SCAN),
        "stem.sum.sum": frames.sum(0),
        "stem.sum.max": frames.max(0),
        "trail.trail.mean": trail,
    }


def pipeline(folder: Path, hits: Path, fps: float, **more: Any) -> Path:
    rings = {"bf": {"disk": [16, 20, 5]}, "adf": {"annulus": [16, 20, 5, 15]}}
    text = lines(
        detector={
            "kind": "tests.system.plugins:SparseCamera",
            "path": hits,
            "shape": list(SHAPE),
            "frames": FRAMES,
            "fps": fps,
            **more,
        },
        acquisition={"scan": list(SCAN)},
        slab={"mib": 1, "batch_kib": 64},
        chain=[
            {
                "name": "stem",
                "processor": [{"kind": "virtual", "detectors": rings}, {"kind": "sum"}],
            },
            {"name": "trail", "processor": [{"kind": "tests.system.plugins:Trail"}]},
        ],
    )
    path = folder / "pipeline.toml"
    path.write_text(text)
    return path


def assert_exact(folder: Path, expected: dict[str, Any]) -> dict[str, Any]:
    for name, data in expected.items():
        with np.load(folder / "results" / f"{name}.npz") as found:
            np.testing.assert_array_equal(found["data"], data, err_msg=name)
            assert "mask" not in found, name
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert report["closed"]
    for edge in report["ledger"].values():
        assert edge["processed"] == edge["announced"] == FRAMES
    return report


def test_events_become_images_that_are_exact(tmp_path, hits, expected):
    path = pipeline(tmp_path, hits, fps=20_000.0, faulty=True)
    found = scopeside(tmp_path, "run", path, *FILES)
    assert found.returncode == 0, found.stdout
    report = assert_exact(tmp_path, expected)
    (book,) = report["acquisitions"].values()
    batches = FRAMES // 100
    rejected = {"duplicate": FRAMES, "bad_event": 4 * batches}
    assert book["ingest"]["rejected"] == rejected
    assert book["acquisition"]["encoding"] == "events"
    with np.load(hits) as events:
        assert book["ingest"]["events"] == len(events["place"])
        assert report["rates"]["bytes"] == 8 * len(events["place"])
    assert "2 of " in found.stdout
    assert "events lie outside of 100 frames of 32×40" in found.stdout


def test_a_killed_worker_leaves_no_trace_in_the_results(tmp_path, hits, expected):
    path = pipeline(tmp_path, hits, fps=1000.0)
    with running(tmp_path, "run", path, *FILES) as engine:
        engine.until(lambda s: s["rates"]["frames"] >= 500, "in mid-scan")
        engine.kill("worker.stem.0")
        code = engine.wait()
    assert code == 0, engine.said
    report = assert_exact(tmp_path, expected)
    assert report["restarts"]["worker.stem.0"] == 1
    assert nothing_left(tmp_path) == []
