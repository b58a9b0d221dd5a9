"""Whatever is wrong, there is one clear message, the right exit code, nothing left."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, scopeside
from tests.system.plugins import lines

pytestmark = pytest.mark.timeout(120)

SUM = [{"name": "a", "processor": [{"kind": "sum"}]}]


def run(folder: Path, text: str | bytes, *more: object):
    path = folder / "pipeline.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return scopeside(folder, "run", path, "--report", "report.json", *more)


def movie(folder: Path, shape=(20, 16, 16)) -> Path:
    path = folder / "movie.npy"
    np.save(path, np.ones(shape, np.uint16))
    return path


def simulator(**more) -> dict:
    return {"kind": "simulator", "mode": "scan4d", "scan": [4, 4], **more}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (lines(detector=simulator(), chain=SUM).encode("utf-16"), "save it as UTF-8"),
        ("detector = [", "is not TOML"),
        (lines(detector=simulator()), "chain: missing"),
        (lines(detector=simulator(sped=3), chain=SUM), "'sped' is not known"),
        (lines(detector={"kind": "simulatr"}, chain=SUM), "did you mean 'simulator'"),
        (lines(detector=simulator(fps="fast"), chain=SUM), "detector.fps"),
        (lines(detector=simulator(scan=[0, 4]), chain=SUM), "detector.scan"),
        (lines(detector=simulator(), chain=[*SUM, *SUM]), "two chains are called 'a'"),
        (lines(detector=simulator(), chain=SUM, slab={"mib": 0}), "slab.mib"),
        (
            lines(detector=simulator(), chain=SUM, slab={"mib": 1 << 20}),
            "MiB of shared memory are asked for",
        ),
        (
            lines(detector=simulator(), chain=[{**SUM[0], "device": "cuda"}]),
            "chain[0].device",
        ),
        (
            lines(detector=simulator(), chain=SUM, record={"too": "runs"}),
            "did you mean 'to'",
        ),
        (
            lines(detector={"kind": "file", "path": "nowhere.npy"}, chain=SUM),
            "nowhere.npy",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else None,
)
def test_a_pipeline_that_cannot_be_used_is_refused(tmp_path, text, says):
    found = run(tmp_path, text)
    assert found.returncode == 2, found.stdout + found.stderr
    assert says in found.stderr
    assert "pipeline.toml" in found.stderr
    assert "Traceback" not in found.stderr
    assert nothing_left(tmp_path) == []


@pytest.mark.system
@pytest.mark.parametrize("key", ["results", "metrics"])
def test_a_port_that_is_taken_is_named(tmp_path, key):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = lines(detector=simulator(), chain=SUM, **{key: {"port": port}})
        found = run(tmp_path, text)
        checked = scopeside(tmp_path, "check", "pipeline.toml")
    assert found.returncode == checked.returncode == 2
    assert f"{key}.port: {port}" in found.stderr
    assert f"{key}.port: {port}" in checked.stdout
    assert nothing_left(tmp_path) == []


@pytest.mark.system
def test_a_frame_larger_than_the_slab_says_how_large_it_must_be(tmp_path):
    path = movie(tmp_path, (4, 1024, 1024))
    text = lines(
        detector={"kind": "file", "path": path},
        chain=SUM,
        slab={"mib": 4, "batch_kib": 64},
    )
    found = run(tmp_path, text)
    assert found.returncode == 1
    assert "needs [slab] mib of at least 9" in found.stderr
    assert nothing_left(tmp_path) == []


@pytest.mark.system
def test_a_detector_that_does_not_fit_the_frame_says_so(tmp_path):
    path = movie(tmp_path)
    text = lines(
        detector={"kind": "file", "path": path},
        chain=[{"name": "a", "processor": [{"kind": "virtual", "detectors": 0}]}],
    ).replace("detectors = 0", "detectors = { bf = { disk = [200, 200, 3] } }")
    found = run(tmp_path, text)
    assert found.returncode == 2
    assert (
        "chain[0].processor[0] (virtual): detectors.bf holds no pixel" in found.stderr
    )
    assert nothing_left(tmp_path) == []


@pytest.mark.system
def test_a_file_that_ends_early_is_failed_with_what_was_there(tmp_path):
    path = movie(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: -3 * 512 - 100])
    found = run(tmp_path, lines(detector={"kind": "file", "path": path}, chain=SUM))
    assert found.returncode == 1
    assert "16 of 20 frames" in found.stdout + found.stderr
    assert '"processed": 16' in (tmp_path / "report.json").read_text()
    assert nothing_left(tmp_path) == []


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "movie.npy"
    path.write_bytes(b"this is a letter to a friend" * 100)
    found = run(tmp_path, lines(detector={"kind": "file", "path": path}, chain=SUM))
    assert found.returncode == 2
    assert "movie.npy" in found.stderr
    assert nothing_left(tmp_path) == []


def test_places_that_cannot_be_written_to_are_named_before_the_start(tmp_path):
    path = movie(tmp_path)
    (tmp_path / "results").write_text("a file stands where the folder should be")
    text = lines(detector={"kind": "file", "path": path}, chain=SUM)
    (tmp_path / "pipeline.toml").write_text(text)
    found = scopeside(
        tmp_path, "run", "pipeline.toml", "--results", "results", "--report", tmp_path
    )
    assert found.returncode == 2
    assert "--results results: cannot be written" in found.stderr
    assert "is a folder; name a file" in found.stderr
    assert nothing_left(tmp_path) == []


@pytest.mark.system
def test_a_report_may_go_to_a_device(tmp_path):
    path = movie(tmp_path)
    text = lines(detector={"kind": "file", "path": path}, chain=SUM)
    (tmp_path / "pipeline.toml").write_text(text)
    found = scopeside(tmp_path, "run", "pipeline.toml", "--report", "/dev/null")
    assert found.returncode == 0, found.stderr
    assert Path("/dev/null").is_char_device()


def test_check_says_what_would_run(tmp_path):
    (tmp_path / "good.toml").write_text(lines(detector=simulator(), chain=SUM))
    found = scopeside(tmp_path, "check", "good.toml")
    assert found.returncode == 0
    assert "chain 'a' (lossless): sum" in found.stdout
    assert "16 frames of 128×128 uint16, scan of 4 rows × 4 columns" in found.stdout


def test_asking_for_an_engine_where_none_runs_says_so(tmp_path):
    for command in (["status"], ["watch", "--seconds", "1"]):
        found = scopeside(tmp_path, *command)
        assert found.returncode == 2
        assert "no scopeside engine of yours is running" in found.stderr
