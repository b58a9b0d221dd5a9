"""What was recorded is played again, and comes out the same, or is said not to."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.processors.movies import movie
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines
from tests.system.test_channels import Logger, heat, played
from tests.system.test_feedback_replay import CONTROL

import scopeside as api
from scopeside.runs import manifest

pytestmark = pytest.mark.system

SCAN = (30, 40)
FRAMES = SCAN[0] * SCAN[1]
OLD, NEW = [15, 20, 8], [8, 9, 6]


def pipeline_of(folder: Path) -> Path:
    rng = np.random.default_rng(11)
    np.save(folder / "scan.npy", rng.poisson(4, (FRAMES, 24, 40)).astype(np.uint16))
    steps = [{"kind": "virtual", "detectors": 0}]
    text = lines(
        detector={"kind": "file", "path": "scan.npy", "fps": 2000.0},
        acquisition={"scan": list(SCAN)},
        slab={"mib": 8, "batch_kib": 64},
        record=RECORD,
        chain=[
            {"name": "stem", "processor": steps},
            {"name": "few", "edge": "sample:3", "processor": [{"kind": "sum"}]},
        ],
    )
    path = folder / "pipeline.toml"
    path.write_text(text.replace("= 0", f"= {{ bf = {{ disk = {OLD} }} }}", 1))
    return path


RECORD = {"to": "runs", "spool_mib": 16, "segment_mib": 1, "keep_free_mib": 1}


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    """The folder of a scan during which a detector was moved."""
    folder = tmp_path_factory.mktemp("scan")
    with running(folder, "run", pipeline_of(folder)) as engine:
        engine.until(lambda s: s["rates"]["frames"] > 200, "in mid-scan")
        (place,) = (folder / "run" / "scopeside").iterdir()
        values = {"detectors.bf.disk": NEW}
        done = api.set_params("stem.virtual", values, run=place)
        assert engine.wait() == 0, engine.said
    assert 0 < done.frame < FRAMES
    return folder


def only_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def verdicts(folder: Path) -> dict[str, tuple[str, str]]:
    found = json.loads((folder / "v.json").read_text())["replay"]["lines"]
    return {name: (verdict, why) for name, verdict, why in found}


def test_a_scan_comes_out_the_same_with_its_parameters_changed_where_they_were(scan):
    said = scopeside(scan, "replay", only_run(scan), "--verify", "--report", "v.json")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "identical" in said.stdout
    found = verdicts(scan)
    assert {verdict for verdict, _ in found.values()} == {"same"}
    assert {"stem.virtual.bf", "few.sum.sum"} <= found.keys()
    report = json.loads((scan / "v.json").read_text())
    recorded = json.loads((only_run(scan) / "manifest.json").read_text())
    (change,), (before,) = report["changes"], recorded["changes"]
    assert change["frame"] == before["frame"]
    assert report["ledger"]["few"]["dropped"].keys() == {"as_recorded"}
    assert nothing_left(scan) == []


def test_one_byte_that_was_changed_is_found_with_its_file_record_and_frames(scan):
    run = only_run(scan)
    segment = sorted(run.glob("*.seg"))[1]
    sound = segment.read_bytes()
    damaged = bytearray(sound)
    damaged[len(sound) // 2] ^= 1
    segment.write_bytes(damaged)
    said = scopeside(scan, "replay", run, "--verify")
    segment.write_bytes(sound)
    assert said.returncode == 1
    assert f"{segment.name}, record" in said.stdout
    assert "(frame" in said.stdout.splitlines()[-1]


def film_of(folder: Path) -> Path:
    """A pipeline with all that order, time and feedback make of a movie."""
    drift = np.cumsum(np.full((120, 2), 0.05), axis=0)
    disk = (40, 50, lambda t: 0.4 * max(0, t - 40) ** 0.5, 0.5)
    np.save(folder / "film.npy", movie(drift, shape=(64, 64), dose=30, disks=[disk]))
    level = {"kind": "tests.system.feedback_plugins:Level", "name": "level"}
    steps = [{"kind": "drift"}, {"kind": "nucleation", "warm_up_frames": 20}, level]
    path = folder / "pipeline.toml"
    path.write_text(
        lines(
            detector={"kind": "file", "path": "film.npy", "fps": 120.0},
            acquisition={"kind": "movie"},
            slab={"mib": 8, "batch_kib": 64},
            record=RECORD,
            chain=[{"name": "insitu", "processor": steps}],
            channel=[heat()],
            control=CONTROL,
        )
    )
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """The folder of a movie with events, decisions, and a heater's log."""
    folder = tmp_path_factory.mktemp("film")
    with played(Logger(folder / "heat.csv")):
        said = scopeside(folder, "run", film_of(folder))
    assert said.returncode == 0, said.stdout + said.stderr
    return folder


def test_a_movie_comes_out_the_same_and_a_digest_that_was_changed_is_found(film):
    said = manifest.read(only_run(film))
    forged = "insitu.nucleation.nuclei"
    said["results"][forged] = "0" * 16
    manifest.write(only_run(film), said)
    said = scopeside(film, "replay", only_run(film), "--verify", "--report", "v.json")
    found = verdicts(film)
    verdict, why = found.pop(forged)
    assert verdict == "different"
    assert "the digest in the manifest" in why
    assert {verdict for verdict, _ in found.values()} == {"same"}, said.stdout
    assert {"insitu.drift.drift", "channels.channels.heat"} <= found.keys()
    assert found["decisions"][1] == "120 decisions, byte for byte"
    assert said.returncode == 1
    assert said.stdout.splitlines()[-1].startswith(f"not identical: {forged}: its")
