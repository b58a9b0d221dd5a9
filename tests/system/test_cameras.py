"""Whole engines that take what a camera writes or streams, as it does so."""

import json
import socket
import threading

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running
from tests.system.plugins import lines

from scopeside_adapters.file.watch.simulator import WatchSimulator
from scopeside_adapters.file.watch.simulator import frames_of as written
from scopeside_adapters.video.simulator import VideoSimulator
from scopeside_adapters.video.simulator import frames_of as sent

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def run_beside(folder, simulator, **detector):
    """Run an engine for one acquisition of `simulator`; return report and sum."""
    path = folder / "pipeline.toml"
    chain = [{"name": "all", "processor": [{"kind": "sum"}]}]
    path.write_text(lines(detector=detector, chain=chain))
    arguments = ("--report", "r.json", "--results", "out", "--headless")
    with running(folder, "run", path, "--acquisitions", 1, *arguments) as engine:
        engine.until(lambda status: status["phase"] == "running", "ran")
        camera = threading.Thread(target=simulator.run, args=(lambda text: None,))
        camera.start()
        code = engine.wait()
        camera.join(60)
    report = json.loads((folder / "r.json").read_text())
    assert report["closed"], engine.said
    assert nothing_left(folder) == []
    with np.load(folder / "out" / "all.sum.sum.npz") as file:
        summed = file["data"]
    (book,) = report["acquisitions"].values()
    return code, book, summed


def test_a_file_that_grows_gives_what_was_written(tmp_path):
    params = WatchSimulator.Params.model_validate(
        {"path": tmp_path / "movie.mrc", "shape": [64, 48], "frames": 400, "fps": 400}
    )
    code, book, summed = run_beside(
        tmp_path, WatchSimulator(params), kind="watch", path="movie.mrc", silence_s=3.0
    )
    assert code == 0
    assert book["ingest"]["received"] == 400
    frames = np.stack(list(written(params)))
    np.testing.assert_array_equal(summed, frames.sum(0, dtype=np.int64))


def test_holes_in_a_folder_of_pictures_are_in_the_ledger(tmp_path):
    table = {"path": tmp_path / "run", "shape": [64, 48], "frames": 60, "fps": 100}
    faults = {7: "drop", 8: "drop", 20: "truncate", 30: "reorder", 40: "stall"}
    params = WatchSimulator.Params.model_validate({**table, "faults": faults})
    more = {"kind": "watch", "path": "run", "silence_s": 3.0, "hole_s": 0.5}
    code, book, summed = run_beside(tmp_path, WatchSimulator(params), **more)
    assert code == 1
    assert book["ingest"]["missing"] == {"hole": 2, "unreadable": 1}
    assert book["ingest"]["rejected"] == {"unreadable": 1}
    assert book["ingest"]["received"] == 57
    frames = np.stack(list(written(params)))
    kept = np.delete(frames, [7, 8, 20], axis=0)
    np.testing.assert_array_equal(summed, kept.sum(0, dtype=np.int64))


def test_a_video_stream_gives_what_was_sent(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    params = VideoSimulator.Params.model_validate(
        {"to": address, "shape": [64, 48], "frames": 100, "fps": 200}
    )
    more = {"kind": "video", "input": address, "reconnect_s": 0.2}
    code, book, summed = run_beside(tmp_path, VideoSimulator(params), **more)
    assert code == 0
    assert book["ingest"]["received"] == 100
    frames = np.stack(list(sent(params)))
    np.testing.assert_array_equal(summed, frames.sum(0, dtype=np.int64))
