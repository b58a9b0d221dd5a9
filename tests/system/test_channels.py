"""Whole runs with side channels: what frames get is what numpy says they must."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

from scopeside.acquisition import Acquisition
from scopeside.inquiry import ask
from scopeside.series.past import ask_past
from scopeside.subscribe import subscribe
from scopeside_adapters.channels.simulate import SampleSimulator
from scopeside_adapters.zmq.simulator import Producer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

ROWS, COLUMNS = 30, 40
FRAMES = ROWS * COLUMNS
TOLERANCE_S = 2.0
STAMPS = "tests.system.plugins:Stamps"


class Logger:
    """Writes a table of text that grows, as a heater's software does."""

    def __init__(self, path: Path) -> None:
        self.rows: list[tuple[int, float]] = []
        self.stopping = False
        self._path = path

    def run(self, _say: Callable[[str], None]) -> None:
        with self._path.open("w", buffering=1) as file:
            file.write("Heater log\nt/ns;T/K\n")
            while not self.stopping:
                t_ns, value = time.time_ns(), 300 + len(self.rows) / 8
                file.write(f"{t_ns};{value:.3f}".replace(".", ",") + "\n")
                self.rows.append((t_ns, value))
                time.sleep(0.01)


class Camera:
    """Pushes frames until it is told to stop, and remembers when they were taken."""

    def __init__(self, folder: Path) -> None:
        self.stamps: list[int] = []
        self.stopping = False
        self.endpoint = f"ipc://{folder}/frames"

    def run(self, _say: Callable[[str], None]) -> None:
        about = Acquisition("film", (8, 8), np.dtype("<u2"))
        with Producer(self.endpoint, timeout_s=60) as producer:
            producer.start(about)
            while not self.stopping:
                stamps = time.time_ns() + 1000 * np.arange(10)
                frames = np.zeros((10, 8, 8), "<u2")
                producer.batch(frames, len(self.stamps), stamps)
                self.stamps += stamps.tolist()
                time.sleep(0.02)
            producer.end(len(self.stamps))


@contextmanager
def played(device: Any) -> Iterator[Any]:
    """Let a device speak beside the test."""
    thread = threading.Thread(target=device.run, args=(lambda _: None,))
    thread.start()
    try:
        yield device
    finally:
        device.stopping = True
        thread.join(30)


def write_pipeline(
    folder: Path, *channels: dict[str, Any], fps: float = 500.0, **more: Any
) -> Path:
    path = folder / "pipeline.toml"
    np.save(folder / "frames.npy", np.zeros((FRAMES, 8, 8), np.uint16))
    tables = {
        "detector": {"kind": "file", "path": "frames.npy", "fps": fps},
        "acquisition": {"scan": [ROWS, COLUMNS]},
        "chain": [{"name": "a", "processor": [{"kind": STAMPS}]}],
        "channel": list(channels),
        **more,
    }
    path.write_text(lines(**tables))
    return path


def heat(**more: Any) -> dict[str, Any]:
    return {
        "name": "heat", "kind": "csv", "path": "heat.csv", "unit": "K",
        "time": "t/ns", "value": "T/K", "time_format": "epoch_ns", "delimiter": ";",
        "decimal": ",", "skip_until": "t/ns", "tolerance_s": TOLERANCE_S,
        "wait_s": 5.0, **more,
    }  # fmt: skip


def bias(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "bias", "kind": "zmq", "bind": f"ipc://{folder}/samples", "unit": "V",
        "tolerance_s": TOLERANCE_S, "join": "linear", "wait_s": 5.0, **more,
    }  # fmt: skip


def ramp(folder: Path) -> SampleSimulator:
    table = {"to": f"ipc://{folder}/samples", "name": "bias", "unit": "V"}
    return SampleSimulator(SampleSimulator.Params.model_validate(table))


def loaded(folder: Path, name: str) -> Any:
    with np.load(folder / "results" / f"{name}.npz") as found:
        return found["data"], json.loads(str(found["meta"]))


def samples_of(folder: Path, channel: str) -> list[tuple[int, float]]:
    """The samples of a channel as they were written with the results."""
    table, meta = loaded(folder, f"channels.samples.{channel}")
    times = meta["meta"]["t0_ns"] + table[:, 0].astype(np.int64)
    return list(zip(times.tolist(), table[:, 1].tolist(), strict=True))


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def start(folder: Path, pipeline: Path, *more: object) -> Any:
    outputs = ("--report", "report.json", "--results", "results")
    return running(folder, "run", pipeline, *outputs, *more)


def previous(stamps: Any, samples: list[tuple[int, float]]) -> Any:
    """The last sample not later than each frame, by numpy."""
    times = np.array([t for t, _ in samples])
    values = np.array([v for _, v in samples])
    before = np.searchsorted(times, stamps, side="right") - 1
    assert (stamps - times[before] <= TOLERANCE_S * 1e9).all()
    return values[before]


def linear(stamps: Any, samples: list[tuple[int, float]]) -> Any:
    t0 = samples[0][0]
    times = np.array([t - t0 for t, _ in samples], float)
    return np.interp((stamps - t0).astype(float), times, [v for _, v in samples])


def test_frames_get_the_samples_that_numpy_says_they_must(tmp_path):
    pipeline = write_pipeline(tmp_path, heat(), bias(tmp_path))
    with (
        played(Logger(tmp_path / "heat.csv")) as logger,
        played(ramp(tmp_path)) as device,
        start(tmp_path, pipeline) as engine,
    ):
        assert engine.wait() == 0, engine.said
    stamps, _ = loaded(tmp_path, "a.stamps.stamps")
    expected = previous(stamps, logger.rows)
    found, meta = loaded(tmp_path, "channels.channels.heat")
    np.testing.assert_array_equal(found, expected)
    assert (meta["units"], meta["frames"]) == ("K", [0, FRAMES - 1, FRAMES, FRAMES])
    image, _ = loaded(tmp_path, "channels.map.heat")
    np.testing.assert_array_equal(image, expected.reshape(ROWS, COLUMNS))
    found, _ = loaded(tmp_path, "channels.channels.bias")
    np.testing.assert_allclose(found, linear(stamps, device.sent), rtol=1e-9)
    assert set(samples_of(tmp_path, "bias")) <= set(device.sent)
    report = report_of(tmp_path)
    (book,) = report["acquisitions"].values()
    for name in ("heat", "bias"):
        assert report["channels"][name]["joined"] == FRAMES
        assert book["channels"][name]["without_sample"] == 0
        assert f"channels.channels.{name}" in book["results"]
    assert nothing_left(tmp_path) == []


def heard(status: dict[str, Any]) -> dict[str, int]:
    return {name: said["samples"] for name, said in status["channels"].items()}


def all_further(now: dict[str, int], then: dict[str, int]) -> bool:
    return all(now[name] > then[name] + 50 for name in then)


def killed(folder: Path, victim: str) -> tuple[Any, Any, Any, str]:
    """Kill a process while a camera runs, and let the camera run until it is back."""
    camera = Camera(folder)
    pipeline = write_pipeline(
        folder,
        heat(),
        bias(folder),
        detector={"kind": "zmq", "bind": camera.endpoint},
        acquisition={},
        chain=[{"name": "a", "processor": [{"kind": "sum"}]}],
    )
    with (
        played(Logger(folder / "heat.csv")) as logger,
        played(ramp(folder)) as device,
        start(folder, pipeline, "--acquisitions", 1) as engine,
    ):
        with played(camera):
            engine.until(lambda s: s["rates"]["frames"] > 200, "in the middle")
            engine.until(lambda s: all(heard(s).values()), "heard")
            engine.kill(victim)
            now = engine.until(lambda s: s["restarts"][victim], "restarted")
            engine.until(lambda s: all_further(heard(s), heard(now)), "back")
        code = engine.wait()
    assert code == 0, engine.said
    report = report_of(folder)
    assert report["ledger"]["a"]["processed"] == len(camera.stamps)
    said = engine.said.replace("\n", " ")
    return np.array(camera.stamps), logger.rows, device.sent, said


def test_a_killed_collector_leaves_no_trace_in_the_samples(tmp_path):
    stamps, rows, sent, _ = killed(tmp_path, "collector")
    found, _ = loaded(tmp_path, "channels.channels.heat")
    np.testing.assert_array_equal(found, previous(stamps, rows))
    found, _ = loaded(tmp_path, "channels.channels.bias")
    np.testing.assert_allclose(found, linear(stamps, sent), rtol=1e-9)


def test_killed_channels_lose_nothing_of_a_file_and_tell_what_else_they_lost(tmp_path):
    stamps, rows, sent, said = killed(tmp_path, "channels")
    found, _ = loaded(tmp_path, "channels.channels.heat")
    np.testing.assert_array_equal(found, previous(stamps, rows))
    kept = samples_of(tmp_path, "bias")
    assert set(kept) <= set(sent)
    found, _ = loaded(tmp_path, "channels.channels.bias")
    there = ~np.isnan(found)
    assert there[-1]
    np.testing.assert_allclose(found[there], linear(stamps, kept)[there], rtol=1e-9)
    assert "channel 'bias': the channels process was restarted; no sample" in said


def test_a_channel_that_never_speaks_harms_nobody(tmp_path):
    pipeline = write_pipeline(tmp_path, bias(tmp_path), heat(), fps=5000.0)
    with start(tmp_path, pipeline) as engine:
        code = engine.wait()
    assert code == 0, engine.said
    _, meta = loaded(tmp_path, "channels.channels.bias")
    assert (meta["valid"], meta["reason"]) == (False, "no sample came")
    report = report_of(tmp_path)
    assert report["channels"]["bias"]["state"] == "silent"
    (book,) = report["acquisitions"].values()
    assert book["channels"]["heat"] == {
        "samples": 0, "dropped": 0, "joined": 0, "without_sample": FRAMES,
    }  # fmt: skip


def test_a_run_that_never_hears_a_required_channel_has_failed(tmp_path):
    pipeline = write_pipeline(tmp_path, bias(tmp_path, required=True), fps=5000.0)
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    assert found.returncode == 1
    assert "channel bias is required and lost: no sample yet" in found.stderr
    assert report_of(tmp_path)["ledger"]["a"]["processed"] == FRAMES


def test_channels_that_cannot_live_are_degraded_and_frames_go_on(tmp_path):
    doomed = {"name": "x", "kind": "tests.system.plugins:Doomed", "tolerance_s": 1.0}
    pipeline = write_pipeline(tmp_path, doomed, engine={"restarts": 1}, fps=1000.0)
    found = scopeside(tmp_path, "run", pipeline, "--report", "report.json")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "DEGRADED: channels" in found.stdout
    report = report_of(tmp_path)
    assert report["ledger"]["a"]["processed"] == FRAMES
    assert report["channels"]["x"]["state"] == "lost"
    assert report["degraded"] == ["channels"]


def test_live_results_carry_the_sample_of_their_last_frame(tmp_path):
    camera = Camera(tmp_path)
    pipeline = write_pipeline(
        tmp_path,
        heat(tolerance_s=30.0),
        detector={"kind": "zmq", "bind": camera.endpoint},
        acquisition={},
        chain=[{"name": "a", "processor": [{"kind": "sum"}]}],
    )
    with (
        played(Logger(tmp_path / "heat.csv")) as logger,
        start(tmp_path, pipeline, "--acquisitions", 1) as engine,
    ):
        with played(camera):
            status = engine.until(lambda s: all(heard(s).values()), "heard")
            folder = Path(status["folder"])
            with subscribe(f"ipc://{folder}/results", timeout=30) as results:
                result = next(r for r in results if r.meta["channels"])
            shown = ask(folder)["channels"]["heat"]
            past = ask_past(folder, lambda: True)
        engine.wait()
    sample = result.meta["channels"]["heat"]
    rows = dict(logger.rows)
    assert sample["value"] == rows[sample["t_ns"]]
    assert sample["unit"] == "K"
    assert sample["age_s"] == (result.meta["t_frame_ns"] - sample["t_ns"]) / 1e9 >= 0
    assert (shown["state"], shown["unit"]) == ("ok", "K")
    assert shown["value"] == rows[shown["t_ns"]]
    ((line, points),) = past.lines
    assert (line.row, line.unit) == ("channel heat", "K")
    assert points[0][:2] == logger.rows[0]
    assert all(rows[t_ns] == value for t_ns, value, _, _ in points)
