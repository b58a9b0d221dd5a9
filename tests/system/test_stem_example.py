"""The example of 4D-STEM processors runs as it stands."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import scopeside

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "examples" / "stem.toml"


def test_the_example_shows_what_it_says(tmp_path):
    report, results = tmp_path / "report.json", tmp_path / "results"
    arguments = ["--acquisitions", 1, "--report", report, "--results", results]
    done = scopeside(tmp_path, "run", EXAMPLE, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads(report.read_text())["ledger"]["stem"]
    assert account["announced"] == account["processed"] > 0
    with np.load(results / "stem.com.icom.npz") as found:
        phase = found["data"]
        about = json.loads(str(found["meta"]))
    assert about["valid"]
    assert abs(phase.mean()) < 1e-9
    assert phase.std() > 0
    with np.load(results / "regions.cluster.labels.npz") as found:
        assert found["data"].max() >= 0
