"""A whole engine on the double of Serval."""

import json
import socket

import numpy as np
import pytest
from tests.adapters.timepix3.playing import expected, simulator
from tests.system.engine_runs import running
from tests.system.plugins import lines

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def test_a_run_sums_what_the_camera_sent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    disk = {"all": {"disk": [127.5, 127.5, 400]}, "bf": {"disk": [127.5, 127.5, 60]}}
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text(
        lines(
            detector={"kind": "timepix3", "listen": address},
            acquisition={"scan": [16, 12]},
            chain=[
                {"name": "a", "processor": [{"kind": "virtual", "detectors": disk}]}
            ],
        )
    )
    simulated = simulator(to=address)
    command = ["run", pipeline, "--acquisitions", "1", "--report", "report.json"]
    with running(tmp_path, *command, "--results", "out") as engine:
        simulated.run(lambda text: None)
        assert engine.wait() == 0, engine.said
    (scan,) = simulated.scans()
    truth = expected(scan)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ledger"]["a"]["processed"] == 192
    row, column = np.divmod(truth[:, 1], 256)
    inside = np.hypot(row - 127.5, column - 127.5) <= 60
    for name, held in (("all", np.ones(len(truth), bool)), ("bf", inside)):
        counts = np.bincount(truth[held, 0], minlength=192).reshape(16, 12)
        with np.load(tmp_path / "out" / f"a.virtual.{name}.npz") as result:
            np.testing.assert_array_equal(result["data"], counts)
