"""A whole engine that takes frames and gives results with keys, and not without."""

import socket

import pytest
from tests.system.engine_runs import running

import scopeside as package
from scopeside.security.ring import admit
from scopeside_adapters.zmq.simulate import WireSimulator, WireSimulatorParams

pytestmark = pytest.mark.system

PIPELINE = """
[detector]
kind = "zmq"
bind = "tcp://127.0.0.1:{frames}"
keys = "keys"

[results]
bind = "tcp://127.0.0.1:{results}"
keys = "keys"

[[chain]]
name = "view"
[[chain.processor]]
kind = "sum"
"""


def free_ports():
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def test_frames_come_and_results_go_with_keys(tmp_path):
    frames, results = free_ports()
    for name, role in [("camera", "ingest"), ("laptop", "observe")]:
        admit(tmp_path / "keys", name, [role])
    file = tmp_path / "p.toml"
    file.write_text(PIPELINE.format(frames=frames, results=results))
    with running(tmp_path, "run", file, "--headless", "--acquisitions", 1) as engine:
        engine.until(lambda status: status["phase"] == "running", "it runs")
        keys = tmp_path / "keys"
        outside = engine.status()["servers"]["results outside"]
        assert outside == f"tcp://127.0.0.1:{results}"
        with package.subscribe(
            outside, timeout=30, keys=keys / "laptop.key_secret"
        ) as live:
            params = WireSimulatorParams(
                to=f"tcp://127.0.0.1:{frames}",
                keys=keys / "camera.key_secret",
                frames=50,
            )
            WireSimulator(params).run(lambda _: None)
            assert next(live).name in ("sum", "mean", "max")
        assert engine.process.wait(60) == 0
