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


def test_packed_images_are_summed_by_the_workers(tmp_path):
    frames = 400
    with simulating(shape=(64, 96), frames=frames) as simulator:
        detector = {
            "kind": "dectris",
            "host": "127.0.0.1",
            "api_port": simulator.api_port,
            "port": simulator.port,
            "arm": True,
            "trigger_mode": "ints",
            "nimages": frames,
            "ntrigger": 1,
            "packed": True,
        }
        path = tmp_path / "pipeline.toml"
        disk = {"bf": {"disk": [31, 47, 12]}}
        processors = [
            {"kind": "virtual", "detectors": disk},
            {"kind": "com", "of": ["com"]},
            {"kind": "sum"},
        ]
        chain = [{"name": "all", "workers": 2, "processor": processors}]
        path.write_text(lines(detector=detector, chain=chain))
        report, results = tmp_path / "report.json", tmp_path / "results"
        arguments = ["--acquisitions", 1, "--report", report, "--results", results]
        done = scopeside(tmp_path, "run", path, *arguments)
        sent = simulator.frames(frames).astype(np.int64)
    assert done.returncode == 0, done.stdout + done.stderr
    y, x = np.mgrid[:64, :96]
    inside = np.hypot(y - 31, x - 47) <= 12
    with np.load(results / "all.virtual.bf.npz") as found:
        np.testing.assert_array_equal(found["data"], (sent * inside).sum((1, 2)))
    with np.load(results / "all.sum.sum.npz") as found:
        np.testing.assert_array_equal(found["data"], sent.sum(axis=0))
    with np.load(results / "all.com.com.npz") as found:
        total = sent.sum((1, 2))
        com = [(sent * y).sum((1, 2)) / total, (sent * x).sum((1, 2)) / total]
        np.testing.assert_allclose(found["data"], np.stack(com, axis=1), rtol=1e-12)
    account = json.loads(report.read_text())["ledger"]["all"]
    assert (account["announced"], account["processed"]) == (frames, frames)
