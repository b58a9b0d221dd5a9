"""A whole engine keeps a dose budget that its own detector counts."""

import signal
from pathlib import Path

import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

from scopeside.control.asking import dose_past
from scopeside_adapters.simulator.control import ControlServer
from scopeside_adapters.simulator.microscope import Microscope
from scopeside_adapters.simulator.state import State

pytestmark = pytest.mark.system

BUDGET = 400.0  # e⁻/Å², at 50 e⁻/Å²/s
DOSE = {
    "budget_e_per_A2": BUDGET,
    "calibration": {
        "from": "dose.dose",
        "uncertainty": 0.05,
        "at_least_e_per_A2_s": 5.0,
        "at_most_e_per_A2_s": 100.0,
        "holds_s": 2.0,
        "date": "2026-11-01",
    },
    "moves": {"stage": -1.0, "view_offset": 1.0, "beam_shift": 1.0},
    "field_aspect": 1.0,
    "margin_m": 1e-8,
    "cell_m": 2e-8,
    "blank_s": 0.5,
    "at_least_s": 0.1,
    "max_age_days": 1e6,
}


def pipeline(folder, endpoint):
    path = folder / "pipeline.toml"
    path.write_text(
        lines(
            detector={
                "kind": "simulator",
                "mode": "movie",
                "shape": [64, 64],
                "fps": 40.0,
                "dose_rate_e_per_A2_s": 50.0,
                "frames": 1_000_000,
                "movie": {"nuclei": 0, "pixel_size_m": 0.4e-9},
            },
            acquisition={"calibration": {"counts_per_electron": 1.0}},
            chain=[{"name": "c", "processor": [{"kind": "dose"}]}],
            control={
                "mode": "advise",
                "adapter": {"kind": "simulator", "endpoint": endpoint},
                "audit": str(folder / "audit.jsonl"),
                "dose": DOSE,
            },
        )
    )
    return path


def _is_read(status):
    return (status.get("control", {}).get("dose") or {}).get("enforced")


def _is_blanked(status):
    return (status.get("control", {}).get("dose") or {}).get("blanked")


def test_the_beam_is_blanked_before_the_counted_budget_is_spent(tmp_path):
    # It outlives the engine, and is as bright as the movie that the detector counts.
    microscope = Microscope(State(dose_rate_e_per_A2_s=50.0))
    endpoint = f"ipc://{tmp_path}/em"
    path = pipeline(tmp_path, endpoint)
    with ControlServer(microscope, endpoint):
        with running(tmp_path, "run", path, "--headless") as engine:
            engine.until(_is_read, "read back")
            before = microscope.dose()
            engine.until(_is_blanked, "blanked")
            truth = microscope.dose([(0.0, 0.0)])
            status = engine.status()
            account = status["control"]["dose"]
            past = dose_past(Path(status["folder"]))
            (worst,) = (p for line, p in past.lines if "worst" in line.label)
            assert worst[0][1] == 0
            assert 0.2 * BUDGET < worst[-1][1] <= BUDGET
            assert account["enforced"]
            assert before["run_e_per_A2"] == 0
            assert 0.2 * BUDGET < truth["points_e_per_A2"][0] <= BUDGET
            assert truth["run_e_per_A2"] <= account["run_e_per_A2"][1]
            assert microscope.state.blanked
            done = scopeside(tmp_path, "unblank", "--yes")
            assert done.returncode != 0
            assert "budget" in done.stdout + done.stderr
            engine.process.send_signal(signal.SIGTERM)
            assert engine.wait() == 143
        assert nothing_left(tmp_path) == []
    assert "is spent but for" in (tmp_path / "audit.jsonl").read_text()
