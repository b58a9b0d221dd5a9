"""Runs that ask for a GPU which the machine does not have."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, scopeside
from tests.system.plugins import lines

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture
def pipeline(tmp_path):
    frames = np.random.default_rng(1).poisson(3, (60, 24, 32)).astype(np.uint16)
    np.save(tmp_path / "movie.npy", frames)
    path = tmp_path / "pipeline.toml"
    chain = {"name": "a", "device": "gpu:99", "processor": [{"kind": "sum"}]}
    path.write_text(
        lines(detector={"kind": "file", "path": "movie.npy"}, chain=[chain])
    )
    return path, frames.sum(axis=0, dtype=np.int64)


def test_without_the_gpu_the_cpu_does_it_and_it_is_said_loudly(tmp_path, pipeline):
    path, expected = pipeline
    found = scopeside(
        tmp_path, "run", path, "--report", "report.json", "--results", "results"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "'gpu:99' cannot be had, the CPU does it all" in found.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert any("gpu:99" in note for note in report["notes"])
    assert report["ledger"]["a"]["processed"] == 60
    (result,) = (tmp_path / "results").rglob("a.sum.sum.npz")
    with np.load(result) as stored:
        np.testing.assert_array_equal(stored["data"], expected)
    assert nothing_left(tmp_path) == []


def test_check_warns_and_lets_it_pass(tmp_path, pipeline):
    found = scopeside(tmp_path, "check", pipeline[0])
    assert found.returncode == 0, found.stdout + found.stderr
    assert "chain[0].device: 'gpu:99'" in found.stdout
