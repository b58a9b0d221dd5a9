"""The wires from outside: whole engines, and producers that know nothing of them."""

import json
import socket
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from tests.hostile import BATCHES, acquisition, batch, end, start
from tests.system.engine_runs import (
    PATIENCE_S,
    ROOT,
    command,
    environment,
    nothing_left,
    running,
)
from tests.system.plugins import lines

from scopeside_adapters.zmq.simulator import Faults, Producer

pytestmark = pytest.mark.system
FRAMES = np.random.default_rng(2024).poisson(40, (80, 4, 6)).astype("<u2")


def free_endpoint():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def example(name, *arguments, folder):
    """Start an example in a process of its own; it is killed if the test leaves it."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", ROOT / "examples" / name, *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def pushed(*arguments, folder):
    """Run the example producer and return the id of its acquisition."""
    with example("push_frames.py", *arguments, folder=folder) as producer:
        return said_by(producer).split(":")[0]


def said_by(process):
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, out
    return out


def listens(status):
    return any(p["name"] == "adapter" for p in status["processes"]) and (
        status["phase"] == "running"
    )


@pytest.fixture
def engine(tmp_path):
    """Run an engine that sums frames from the wire; give it, and its endpoint."""
    endpoint = free_endpoint()
    path = tmp_path / "pipeline.toml"
    path.write_text(
        lines(
            detector={"kind": "zmq", "bind": endpoint, "max_message_mib": 4},
            chain=[{"name": "all", "processor": [{"kind": "sum"}]}],
        )
    )
    arguments = ("--report", "r.json", "--results", "out", "--headless")
    with running(tmp_path, "run", path, "--acquisitions", 1, *arguments) as engine:
        engine.until(listens, "ran")
        engine.endpoint = endpoint
        yield engine


def account(engine, name="a"):
    """The report of the acquisition once the engine has ended."""
    code = engine.wait()
    report = json.loads((engine.folder / "r.json").read_text())
    assert report["exit"]["code"] == code
    assert report["closed"], engine.said
    assert nothing_left(engine.folder) == []
    return code, report, report["acquisitions"][name]


def test_the_examples_work_together(tmp_path):
    endpoint = free_endpoint()
    text = (ROOT / "examples" / "zmq.toml").read_text()
    path = tmp_path / "zmq.toml"
    path.write_text(text.replace("tcp://127.0.0.1:5555", endpoint))
    arguments = ("--report", "r.json", "--results", "out", "--headless")
    with running(tmp_path, "run", path, "--acquisitions", 2, *arguments) as engine:
        engine.until(listens, "ran")
        first = pushed(endpoint, folder=tmp_path)
        with example("subscribe.py", folder=tmp_path) as subscriber:
            heard = subscriber.stdout.readline()  # the last values of what was before
            second = pushed(endpoint, folder=tmp_path)
            heard += said_by(subscriber)  # it ends with the engine
        code, report, book = account(engine, second)
    assert code == 0
    assert book["ingest"]["received"] == 1024
    assert report["ledger"]["stem"]["processed"] == 2048
    expected = bright_field()
    with np.load(tmp_path / "out" / "stem.virtual.bf.npz") as file:
        np.testing.assert_array_equal(file["data"], expected)
    for name in (first, second):
        whole = f"{name} bf: {expected.mean()} from 1024 of 1024 frames"
        assert whole in heard.splitlines()


def bright_field():
    """What the example's frames give in the example's disk, worked out again."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 31.5
    inside = y**2 + x**2 <= 10**2
    rows = [rng.poisson(1.0, (32, 64, 64)) for _ in range(32)]
    return np.stack([row[:, inside].sum(axis=1) for row in rows])


def test_the_simulated_microscope_pushes_to_an_engine(engine):
    simulating = subprocess.run(
        command(
            "simulate", "zmq", f"to={engine.endpoint}", "scan=[8,8]", "acquisitions=1"
        ),
        cwd=engine.folder,
        env=environment(engine.folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert simulating.returncode == 0, simulating.stderr
    name = simulating.stdout.split(":")[0]
    code, _, book = account(engine, name)
    assert code == 0
    assert book["ingest"]["received"] == 64
    assert book["acquisition"]["scan"]["shape"] == [8, 8]


def summed(engine):
    with np.load(engine.folder / "out" / "all.sum.sum.npz") as file:
        return file["data"]


@pytest.mark.parametrize(
    ("fault", "rejected", "missing"),
    [
        ("drop", {"missing_batches": 0}, 10),
        ("duplicate", {"duplicate": 10}, 0),
        ("reorder", {"missing_batches": 0, "out_of_order": 0}, 0),
        ("truncate", {"truncated": 10, "missing_batches": 0}, 10),
        ("wrong_magic", {"wrong_magic": 1, "missing_batches": 0}, 10),
        ("wrong_dtype", {"wrong_dtype": 10, "missing_batches": 0}, 10),
        ("wrong_digest", {"wrong_digest": 10, "missing_batches": 0}, 10),
        ("oversize", {"oversized": 10, "missing_batches": 0}, 10),
        ("stall", {}, 0),
    ],
)
def test_a_fault_is_in_the_account_and_the_rest_in_the_result(
    engine, fault, rejected, missing
):
    with Producer(engine.endpoint, timeout_s=PATIENCE_S) as producer:
        faults = Faults({3: fault})
        producer.play(acquisition(), FRAMES, batch_frames=10, faults=faults)
    code, report, book = account(engine)
    ingest = book["ingest"]
    assert ingest["rejected"] == rejected
    assert sum(ingest["missing"].values()) == missing
    assert ingest["received"] == 80 - missing
    assert code == (1 if missing else 0)
    kept = np.ones(80, bool)
    kept[30:40] = not missing
    np.testing.assert_array_equal(summed(engine), FRAMES[kept].sum(axis=0))
    notes = [note for note in report["notes"] if "rejected (" in note]
    assert len(notes) == len(rejected)


def test_a_part_beyond_the_limit_is_counted_and_the_rest_is_taken(engine):
    with Producer(engine.endpoint, timeout_s=PATIENCE_S) as producer:
        producer.send(start())
        producer.send([*batch()[:2], bytes(5 << 20)])
        engine.until(lambda s: rejected(s) == {"broken_link": 1}, "saw the broken link")
        producer.send(batch(3))
        producer.send(end(6))
    code, _, book = account(engine)
    assert code == 1
    assert book["ingest"]["received"] == 3
    assert book["ingest"]["missing"] == {"missing": 3}


def rejected(status):
    return status["open"].get("a", {}).get("ingest", {}).get("rejected")


def test_the_hostile_corpus_leaves_the_engine_alive_and_the_account_right(engine):
    hostile = [parts for parts, _ in BATCHES.values() if parts and parts != start()]
    with Producer(engine.endpoint, timeout_s=PATIENCE_S) as producer:
        producer.send(start())
        for parts in hostile:
            producer.send(parts)
        producer.send(batch())
        producer.send(end(3))
    code, report, book = account(engine)
    assert code == 0
    assert book["ingest"]["received"] == 3
    assert set(book["ingest"]["rejected"]) == {
        cause for parts, cause in BATCHES.values() if parts and parts != start()
    }
    assert report["restarts"]["adapter"] == 0


def test_a_lost_producer_is_told_and_the_frames_it_sent_are_processed(tmp_path):
    endpoint = free_endpoint()
    path = tmp_path / "pipeline.toml"
    path.write_text(
        lines(
            detector={"kind": "zmq", "bind": endpoint, "silence_s": 0.3},
            chain=[{"name": "all", "processor": [{"kind": "sum"}]}],
        )
    )
    arguments = ("--report", "r.json", "--headless", "--acquisitions", 1)
    with running(tmp_path, "run", path, *arguments) as engine:
        engine.until(listens, "ran")
        with Producer(endpoint, timeout_s=PATIENCE_S) as producer:
            producer.start(acquisition())
            producer.batch(FRAMES[:20], 0)
        code, _, book = account(engine)
    assert (code, book["state"]) == (1, "failed")
    assert book["reason"] == "the producer was lost: nothing came for 0.3 s"
    assert book["edges"]["all"]["processed"] == 20
