"""A recorded stream gives the same proposals and verdicts whenever it is played."""

import json

import msgpack
import numpy as np
import pytest
import zmq
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines
from tests.system.test_wire_examples import free_endpoint, listens

pytestmark = pytest.mark.system

FRAMES = np.random.default_rng(2024).poisson(
    np.linspace(30, 60, 60)[:, None, None], (60, 4, 6)
)
RECORDED_NS = 1_700_000_000_000_000_000
FIELD = {"min": -1e-6, "max": 1e-6, "step": 5e-8, "excursion": 2e-7, "tolerance": 0.0}
CONTROL = {
    "mode": "observe",
    "clock": "frames",
    "audit": "audit.jsonl",
    "min_confidence": 0.9,
    "per_s": 200.0,
    "adapter": {"kind": "paper", "state": {"defocus_m": 0.0}},
    "limits": {"set_defocus": {"every_s": 0.015, "defocus_m": FIELD}},
    "rule": [
        {
            "name": "focus",
            "when": "level.event",
            "propose": {"action": "set_defocus", "defocus_m": "result.focus_m"},
        }
    ],
}


def play(endpoint):
    """Send the recording: the same batches, with the same time stamps."""
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.connect(endpoint)

    def send(kind, header, *payload):
        socket.send_multipart(
            [b"SF\x01" + bytes([kind]), msgpack.packb(header), *payload]
        )

    frame = {"shape": [4, 6], "dtype": "<u2"}
    about = {"id": "recorded", "kind": "movie", "frames": len(FRAMES), **frame}
    send(1, {"acquisition": about})
    for seq, first in enumerate(range(0, len(FRAMES), 3)):
        part = FRAMES[first : first + 3].astype("<u2")
        at = {"acq": "recorded", "seq": seq, "first": first, "n": len(part)}
        t_ns = RECORDED_NS + first * 10_000_000
        send(2, {**at, **frame, "t_ns": t_ns}, part.tobytes())
    send(5, {"acq": "recorded", "total": len(FRAMES)})
    socket.close()
    context.term()


def played(folder):
    """Play it to a new engine; return what the audit log says of each proposal."""
    folder.mkdir()
    endpoint = free_endpoint()
    path = folder / "pipeline.toml"
    path.write_text(
        lines(
            detector={"kind": "zmq", "bind": endpoint},
            chain=[
                {
                    "name": "c",
                    "processor": [
                        {
                            "kind": "tests.system.feedback_plugins:Level",
                            "name": "level",
                        }
                    ],
                }
            ],
            control=CONTROL,
        )
    )
    arguments = ("--acquisitions", 1, "--report", "r.json", "--headless")
    with running(folder, "run", path, *arguments) as engine:
        engine.until(listens, "ran")
        play(endpoint)
        assert engine.wait() == 0, engine.said
    assert nothing_left(folder) == []
    assert scopeside(folder, "audit", "verify", "audit.jsonl").returncode == 0
    report = json.loads((folder / "r.json").read_text())
    records = [
        json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()
    ]
    found = [json.dumps(r["decision"]) for r in records if r["kind"] == "proposal"]
    return found, report


def test_decisions_are_the_same_each_time(tmp_path):
    first, report = played(tmp_path / "1")
    second, _ = played(tmp_path / "2")
    assert first == second
    assert len(first) == len(FRAMES)
    verdicts = [json.loads(one)["verdict"] for one in first]
    states = [verdict["state"] for verdict in verdicts]
    assert states.count("observed") >= 5
    assert {"rate", "low_confidence", "step"} <= {v["cause"] for v in verdicts}
    assert report["control"]["mode"] == "observe"
    assert report["control"]["counts"]["proposals"] == len(FRAMES)
