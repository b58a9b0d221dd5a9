"""Parameters are changed while the engine runs, from a stated frame on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.system.engine_runs import nothing_left, running, scopeside
from tests.system.plugins import lines

import scopeside as api
from scopeside.errors import ConfigError

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SCAN = (64, 48)
FRAMES = SCAN[0] * SCAN[1]
OLD, NEW, LAST = [16, 20, 5], [10, 25, 7], [20, 12, 3]
KEY = "detectors.bf.disk"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "scan.npy"
    rng = np.random.default_rng(11)
    np.save(path, rng.poisson(4, (FRAMES, 32, 40)).astype(np.uint16))
    return path


def pipeline_of(folder: Path, detector: dict, acquisition: dict) -> Path:
    step = {"kind": "virtual", "detectors": 0}
    chains = [
        {"name": "stem", "workers": 2, "processor": [step, {"kind": "sum"}]},
        {"name": "trail", "processor": [{"kind": "tests.engine.small:Trail"}]},
        {"name": "learn", "processor": [{"kind": "tests.engine.small:Excess"}]},
    ]
    text = lines(
        detector=detector,
        acquisition=acquisition,
        slab={"mib": 8, "batch_kib": 64},
        chain=chains,
    )
    path = folder / "pipeline.toml"
    detectors = f"{{ bf = {{ disk = {OLD} }}, dark = {{ disk = {OLD} }} }}"
    path.write_text(text.replace("detectors = 0", f"detectors = {detectors}"))
    return path


@pytest.fixture
def pipeline(tmp_path: Path, recorded: Path) -> Path:
    return scan_at(1500.0, tmp_path, recorded)


def scan_at(fps: float, folder: Path, recorded: Path) -> Path:
    detector = {"kind": "file", "path": recorded, "fps": fps}
    return pipeline_of(folder, detector, {"scan": list(SCAN)})


def start(folder: Path, pipeline: Path, *more: object):
    told = ("--report", "report.json", "--results", "results", *more)
    return running(folder, "run", pipeline, *told)


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "run" / "scopeside").iterdir()
    return found


def change(folder: Path, values: dict, processor="stem.virtual", **more):
    return api.set_params(processor, values, run=run_folder(folder), **more)


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def sums(recorded: Path, disk) -> np.ndarray:
    frames = np.load(recorded).astype(np.int64)
    y, x = np.mgrid[:32, :40]
    held = (y - disk[0]) ** 2 + (x - disk[1]) ** 2 <= disk[2] ** 2
    return frames[:, held].sum(1)


def image(folder: Path, name="stem.virtual.bf") -> np.ndarray:
    with np.load(folder / "results" / f"{name}.npz") as found:
        assert "mask" not in found
        return found["data"]


def meta(folder: Path, name="stem.virtual.bf") -> dict:
    with np.load(folder / "results" / f"{name}.npz") as found:
        return json.loads(str(found["meta"]))["meta"]


def assert_bf(folder: Path, recorded: Path, *since) -> None:
    """What `bf` is, if it had a disk from each frame on."""
    expected = sums(recorded, OLD)
    for frame, disk in since:
        expected[frame:] = sums(recorded, disk)[frame:]
    np.testing.assert_array_equal(image(folder), expected.reshape(SCAN))
    plain = sums(recorded, OLD).reshape(SCAN)
    np.testing.assert_array_equal(image(folder, "stem.virtual.dark"), plain)


def in_mid_scan(engine):
    return engine.until(lambda s: s["rates"]["frames"] > 300, "in mid-scan")


@pytest.mark.parametrize("killed", [None, "worker.stem.0", "collector"])
def test_a_detector_is_moved_from_a_stated_frame_on(
    tmp_path, pipeline, recorded, killed
):
    with start(tmp_path, pipeline) as engine:
        in_mid_scan(engine)
        done = change(tmp_path, {KEY: NEW})
        assert (done.version, done.processor) == (2, "stem.virtual")
        assert 0 < done.frame < FRAMES
        said = engine.status()["params"]
        if killed:
            engine.kill(killed)
        code = engine.wait()
    assert code == 0, engine.said
    assert_bf(tmp_path, recorded, (done.frame, NEW))
    assert meta(tmp_path)["params"] == 2
    assert meta(tmp_path)["params_from"] == done.frame
    assert meta(tmp_path, "stem.sum.sum")["params"] == 1
    assert said["stem.virtual"]["version"] == 2
    assert said["stem.virtual"]["frame"] == done.frame
    assert said["stem.virtual"]["params"]["detectors"]["bf"] == {"disk": NEW}
    assert said["stem.sum"]["version"] == 1
    report = report_of(tmp_path)
    (book,) = report["acquisitions"].values()
    assert book["params"] == {"stem.virtual": [[2, done.frame]]}
    assert [one["version"] for one in report["changes"]] == [2]
    assert f"version 2 of the parameters from frame {done.frame}" in engine.said
    assert nothing_left(tmp_path) == []


@pytest.mark.parametrize("killed", [None, "worker.trail.0", "worker.learn.0"])
def test_where_order_counts_a_change_is_made_at_its_frame_as_well(
    tmp_path, pipeline, recorded, killed
):
    with start(tmp_path, pipeline) as engine:
        in_mid_scan(engine)
        trail = change(tmp_path, {"gain": 3}, "trail.trail").frame
        learn = change(tmp_path, {"gain": 5}, "learn.excess").frame
        if killed:
            engine.kill(killed)
        code = engine.wait()
    assert code == 0, engine.said
    total = np.load(recorded).sum((1, 2), dtype=np.int64)
    gain = np.where(np.arange(FRAMES) < trail, 1, 3)
    assert image(tmp_path, "trail.trail.trail").tolist() == [
        FRAMES - 1,
        (gain * total).sum(),
    ]
    assert meta(tmp_path, "trail.trail.trail")["params"] == 2
    gain = np.where(np.arange(FRAMES) < learn, 1, 5)
    np.testing.assert_array_equal(
        image(tmp_path, "learn.excess.excess"), gain * (total - total[:3].sum() / 3)
    )


def test_changes_may_follow_each_other_quickly(tmp_path, pipeline, recorded):
    with start(tmp_path, pipeline) as engine:
        in_mid_scan(engine)
        first = change(tmp_path, {KEY: NEW})
        second = change(tmp_path, {KEY: LAST}, timeout=0.0)
        third = change(tmp_path, {KEY: OLD})
        fourth = change(tmp_path, {KEY: NEW})
        assert engine.wait() == 0
    since = {one["version"]: one["frame"] for one in report_of(tmp_path)["changes"]}
    assert list(since) == [2, 3, 4, 5]
    assert (since[2], since[4], since[5]) == (first.frame, third.frame, fourth.frame)
    assert second.version == 3
    steps = [(since[2], NEW), (since[3], LAST), (since[4], OLD), (since[5], NEW)]
    assert_bf(tmp_path, recorded, *steps)


def test_what_is_not_allowed_is_refused_and_changes_nothing(tmp_path, recorded):
    # Six seconds: the command alone may take two where other work shares the cores.
    pipeline = scan_at(500.0, tmp_path, recorded)
    refused = [
        ("stem.virtual", {KEY: [1, 2]}, "stem.virtual.detectors.bf"),
        ("stem.virtual", {"centre": "middle"}, "stem.virtual.centre"),
        ("stem.virtual", {"detektors": 1}, "did you mean 'detectors'"),
        ("stem.virtual", {KEY: [200, 200, 3]}, "holds no pixel"),
        ("stem.virtual", {"detectors.new.disk": NEW}, "only between acquisitions"),
        ("stem.virtual", {"detectors.bf.disk.r": 1}, "is no table"),
        ("stem.sum", {"of": ["sum"]}, "kind 'sum' cannot change while"),
        ("stem.vitrual", {KEY: NEW}, "did you mean 'virtual'"),
        ("stam.virtual", {KEY: NEW}, "chain 'stam' is not known"),
    ]
    with start(tmp_path, pipeline) as engine:
        in_mid_scan(engine)
        for processor, values, why in refused:
            with pytest.raises(ConfigError, match=why):
                change(tmp_path, values, processor)
        found = scopeside(tmp_path, "set", "stem.virtual", f"{KEY}=[1]")
        assert found.returncode == 2
        assert "detectors.bf" in found.stderr
        assert engine.status()["params"]["stem.virtual"]["version"] == 1
        assert engine.wait() == 0
    assert_bf(tmp_path, recorded)
    assert report_of(tmp_path)["changes"] == []


def test_the_command_says_from_which_frame_on(tmp_path, pipeline, recorded):
    with start(tmp_path, pipeline) as engine:
        in_mid_scan(engine)
        found = scopeside(
            tmp_path, "set", "stem.virtual", f"{KEY}={NEW}", "--run",
            run_folder(tmp_path),
        )  # fmt: skip
        assert engine.wait() == 0
    (done,) = report_of(tmp_path)["changes"]
    assert found.stdout.strip() == (
        "stem.virtual: version 2 of the parameters holds from frame "
        f"{done['frame']} of {done['acquisition']} on"
    )
    assert_bf(tmp_path, recorded, (done["frame"], NEW))


def simulated(folder: Path, **more: object) -> Path:
    detector = {
        "kind": "simulator", "scan": [12, 12], "shape": [32, 40], "fps": 400.0,
        "acquisitions": 3, "pause_s": 1.5, **more,
    }  # fmt: skip
    return pipeline_of(folder, detector, {})


def test_between_acquisitions_it_holds_from_the_first_frame_of_the_next(tmp_path):
    with start(tmp_path, simulated(tmp_path)) as engine:
        engine.until(lambda s: len(s["acquisitions"]) == 1, "in the pause")
        names = {"detectors": {"other": {"disk": NEW}}}
        done = change(tmp_path, names)
        assert (done.version, done.frame, done.acquisition) == (2, 0, "")
        endpoint = f"ipc://{run_folder(tmp_path)}/results"
        engine.until(lambda s: len(s["acquisitions"]) == 2, "in the next pause")
        with api.subscribe(endpoint, timeout=1.0) as results:
            found = {r.name: r.meta for r in results if r.meta["final"]}
        assert engine.wait() == 0
    assert (found["other"]["params"], found["other"]["params_from"]) == (2, 0)
    assert (found["sum"]["params"], found["sum"]["params_from"]) == (1, 0)
    books = report_of(tmp_path)["acquisitions"].values()
    assert [book["params"] for book in books] == [
        {},
        {"stem.virtual": [[2, 0]]},
        {"stem.virtual": [[2, 0]]},
    ]
    assert [sorted(k for k in b["results"] if "virtual" in k) for b in books] == [
        ["stem.virtual.bf", "stem.virtual.dark"],
        ["stem.virtual.other"],
        ["stem.virtual.other"],
    ]


def test_a_new_adapter_process_goes_on_with_the_changed_parameters(tmp_path):
    pipeline = simulated(tmp_path, scan=[40, 40], acquisitions=0)
    with start(tmp_path, pipeline, "--acquisitions", 2) as engine:
        engine.until(lambda s: s["rates"]["frames"] > 100, "in mid-scan")
        done = change(tmp_path, {KEY: NEW})
        engine.kill("adapter")
        engine.until(lambda s: s["acquisitions"] and s["open"], "recovered")
        again = change(tmp_path, {"detectors.dark.disk": LAST})
        engine.wait()
    first, second = report_of(tmp_path)["acquisitions"].values()
    assert first["params"] == {"stem.virtual": [[2, done.frame]]}
    assert second["params"] == {"stem.virtual": [[2, 0], [3, again.frame]]}


def test_without_an_engine_it_says_so(tmp_path):
    found = scopeside(tmp_path, "set", "stem.virtual", f"{KEY}=[1]")
    assert found.returncode == 2
    assert "no scopeside engine of yours is running" in found.stderr
