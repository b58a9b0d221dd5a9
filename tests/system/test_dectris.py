"""A whole engine on the simulated DECTRIS detector."""

import json

import numpy as np
import pytest
from tests.adapters.dectris.detecting import STREAMS, simulating
from tests.system.engine_runs import scopeside
from tests.system.plugins import lines

pytestmark = pytest.mark.system


@pytest.mark.parametrize("stream", STREAMS)
def test_two_armed_series_are_summed_and_every_frame_is_accounted_for(tmp_path, stream):
    frames = 300
    with simulating(stream=stream, shape=(32, 48), frames=frames) as simulator:
        detector = {
            "kind": "dectris",
            "host": "127.0.0.1",
            "api_port": simulator.api_port,
            "port": simulator.port,
            "stream": stream,
            "arm": True,
            "trigger_mode": "ints",
            "nimages": frames,
            "ntrigger": 1,
        }
        path = tmp_path / "pipeline.toml"
        chain = [{"name": "all", "processor": [{"kind": "sum"}]}]
        path.write_text(lines(detector=detector, chain=chain))
        report, results = tmp_path / "report.json", tmp_path / "results"
        arguments = ["--acquisitions", 2, "--report", report, "--results", results]
        done = scopeside(tmp_path, "run", path, *arguments)
        expected = simulator.frames(frames).sum(axis=0, dtype=np.int64)
    assert done.returncode == 0, done.stdout + done.stderr
    with np.load(results / "all.sum.sum.npz") as found:
        np.testing.assert_array_equal(found["data"], expected)
    account = json.loads(report.read_text())["ledger"]["all"]
    assert (account["announced"], account["processed"]) == (600, 600)
