"""A whole engine on a simulated Merlin gives what numpy computes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.adapters.merlin.playing import simulating
from tests.system.engine_runs import scopeside

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PIPELINE = """
[detector]
kind = "merlin"
port = {port}
control_port = {control_port}
arm = true
acquisitions = 2

[acquisition]
scan = [8, 12]

[[chain]]
name = "stem"

[[chain.processor]]
kind = "virtual"
[chain.processor.detectors]
all = {{ rectangle = [0, 0, 256, 256] }}
top = {{ rectangle = [0, 0, 64, 256] }}

[[chain.processor]]
kind = "sum"
"""


@pytest.mark.parametrize("kind", [{"pixels": "U16"}, {"pixels": "R64", "depth": 6}])
def test_images_of_an_armed_scan_are_those_of_numpy(tmp_path, kind):
    with simulating(rows=256, different=96, **kind) as simulator:
        file = tmp_path / "merlin.toml"
        file.write_text(
            PIPELINE.format(port=simulator.port, control_port=simulator.control_port)
        )
        run = scopeside(
            tmp_path, "run", file, "--report", "r.json", "--results", "results"
        )
    assert run.returncode == 0, run.stdout + run.stderr
    frames = simulator.recording.frames[:, ::-1].astype(np.int64)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["ledger"]["stem"]["processed"] == 2 * 96
    assert report["ledger"]["stem"]["closed"]
    names = {"all": frames, "top": frames[:, :64]}
    for name, seen in names.items():
        [path] = (tmp_path / "results").rglob(f"stem.virtual.{name}.npz")
        image = np.load(path)["data"]
        np.testing.assert_array_equal(image, seen.sum(axis=(1, 2)).reshape(8, 12))
    [path] = (tmp_path / "results").rglob("stem.sum.sum.npz")
    np.testing.assert_array_equal(np.load(path)["data"], frames.sum(axis=0))
