"""The example of in-situ processors runs as it stands."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import scopeside

from scopeside.cli.demo import MOVIE
from scopeside.pipeline import Pipeline

NEEDED = {"denoise", "dose", "drift", "nucleation", "track"}
pytestmark = pytest.mark.system
EXAMPLE = Path(__file__).parents[2] / "examples" / "insitu.toml"


def result(folder, name):
    with np.load(folder / f"{name}.npz", allow_pickle=False) as found:
        return found["data"], json.loads(str(found["meta"]))


def test_the_example_shows_what_it_says(tmp_path):
    report, results = tmp_path / "report.json", tmp_path / "results"
    arguments = ["--acquisitions", 1, "--report", report, "--results", results]
    done = scopeside(tmp_path, "run", EXAMPLE, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads(report.read_text())["ledger"]["insitu"]
    assert account["announced"] == account["processed"] == 200
    dose, about = result(results, "insitu.dose.dose")
    assert about["valid"]
    assert dose[0, about["meta"]["columns"].index("cumulative_e_per_px")] > 1500
    drift, about = result(results, "insitu.drift.drift")
    assert about["valid"]
    assert np.hypot(*drift) > 1
    _, about = result(results, "view.denoise.denoised")
    assert about["meta"]["effective_frames"] > 1
    nuclei, _ = result(results, "insitu.nucleation.nuclei")
    assert len(nuclei) >= 3


def test_the_demo_of_a_movie_is_a_pipeline_that_can_run(tmp_path):
    found = Pipeline.from_raw(MOVIE, folder=tmp_path)
    kinds = [step.kind for chain in found.chains for step in chain.steps]
    assert NEEDED - {"track"} <= set(kinds)
