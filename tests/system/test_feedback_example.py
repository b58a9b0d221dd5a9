"""The example of feedback goes to a nucleus, comes back, and counts the dose."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.test_feedback import PIXEL_M, armed, control, records
from tests.system.test_wire_examples import free_endpoint

from scopeside.pipeline import Pipeline
from scopeside_adapters.simulator.source import SimulatorDetector

pytestmark = pytest.mark.system
EXAMPLE = Path(__file__).parents[2] / "examples" / "feedback.toml"


def zoomed(folder):
    """Commands that were done to the field of view, m."""
    done = {record["id"] for record in records(folder, "answer") if record["ok"]}
    return [
        call["fields"]["width_m"]
        for record in records(folder, "proposal")
        if record["decision"]["proposal"]["id"] in done
        for call in record["decision"]["calls"]
        if call["action"] == "set_fov"
    ]


def where_it_looked(folder):
    """Offset (y, x), m, that the first nucleus was gone to with, and in which frame."""
    for record in records(folder, "proposal"):
        proposal = record["decision"]["proposal"]
        if proposal["rule"] == "go_to_event" and record["decision"]["calls"]:
            fields = record["decision"]["calls"][0]["fields"]
            return proposal, np.array([fields["y_m"], fields["x_m"]])
    raise AssertionError("it went to no event")


def patient_example(folder):
    """Write the example so that a busy machine does not make the guard hold.

    By default it does after half a second in which its engine or its own loop stood
    still, and stays there until a person arms it again.
    """
    text = EXAMPLE.read_text().replace("tcp://127.0.0.1:7799", free_endpoint())
    path = folder / "feedback.toml"
    path.write_text(text.replace("[control]\n", "[control]\nsilence_ms = 10_000\n"))
    return path


def test_a_nucleus_is_centred_magnified_and_left_again(tmp_path):
    path = patient_example(tmp_path)
    arguments = ("--report", "r.json", "--headless")
    with running(tmp_path, "run", path, *arguments) as engine:
        armed(engine, tmp_path)
        control(engine, lambda _: len(zoomed(tmp_path)) >= 2, "came back")
        done = scopeside(tmp_path, "guard", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["mode"] == "armed"
        engine.process.send_signal(signal.SIGTERM)
        assert engine.wait() == 143, engine.said
    assert nothing_left(tmp_path) == []
    there, back = zoomed(tmp_path)[:2]
    assert there == 5e-8
    assert back == pytest.approx(256 * PIXEL_M)
    proposal, offset_m = where_it_looked(tmp_path)
    pipeline = Pipeline.load(path)
    detector = SimulatorDetector(pipeline.detector_params, pipeline.acquisition)
    truth = detector.model.truth()
    drift = truth.drift[proposal["evidence"]["frame"]]
    # The view looks where the nucleus is by then, seen from the middle of frame 0.
    away_px = offset_m / PIXEL_M - (truth.nuclei - 127.5 + drift)
    assert np.hypot(*away_px.T).min() < 4
    shown = scopeside(tmp_path, "audit", "explain", proposal["id"])
    assert "go_to_event" in shown.stdout
    assert "it was done" in shown.stdout
    dose = json.loads((tmp_path / "r.json").read_text())["control"]["dose"]
    assert dose["enforced"]
