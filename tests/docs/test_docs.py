"""The documentation says what is true: commands, keys, metrics, links, examples."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import typer
from pydantic import BaseModel
from tests.adapters.channels.memory import running, until
from tests.doubles import MemorySink
from tests.faults.suite.schedule import KINDS
from tests.fuzz.registry import targets

import scopeside
from scopeside import settings
from scopeside.acquisition import Acquisition
from scopeside.cli.main import app
from scopeside.control.calibration import Calibration
from scopeside.control.door_settings import DoorClient, DoorSettings, Role
from scopeside.control.dose_settings import Calibration as DoseCalibration
from scopeside.control.dose_settings import DoseSettings
from scopeside.control.policy import Seen
from scopeside.control.rule_settings import RuleParams
from scopeside.control.settings import ControlSettings
from scopeside.control.timeline import Timeline
from scopeside.control.view_settings import (
    ShifterSettings,
    StageSettings,
    ViewSettings,
)
from scopeside.latency import Latencies
from scopeside.ledger import Account
from scopeside.pipeline import Pipeline
from scopeside.plugins import (
    channel_class,
    detector_class,
    instrument_class,
    policy_class,
    processor_class,
)
from scopeside.record.settings import RecordSettings
from scopeside.result import Result
from scopeside.settings import AcquisitionSettings, EdgePolicy
from scopeside.supervise.metrics import EngineMetrics
from scopeside_adapters.epics.driver import ArmParams
from scopeside_adapters.epics.simulator import EpicsSimulatorParams
from scopeside_adapters.file.raw import RawLayout
from scopeside_adapters.merlin.simulator import MerlinSimulatorParams
from scopeside_adapters.simulator.movie import MovieParams, MovieTruth
from scopeside_adapters.simulator.parameters import SimulatorParams
from scopeside_adapters.simulator.scan4d import Scan4DParams, Scan4DTruth
from scopeside_adapters.timepix3.simulator import Timepix3SimulatorParams
from scopeside_processors.insitu.onnx_model import ModelParams
from scopeside_processors.stem.detectors import Detector as VirtualDetector

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DASHBOARD = ROOT / "docs/grafana/scopeside.json"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^|`|[\s/])scopeside ([a-z]+)((?: [^`\n|#]*)?)", re.MULTILINE)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    found = _FENCE.findall(path.read_text(encoding="utf-8"))
    return [code for said, code in found if said == language]


def by_page(language: str) -> list[Any]:
    return [
        pytest.param(code, id=f"{page.relative_to(ROOT)}-{k}")
        for page in PAGES
        for k, code in enumerate(blocks(page, language))
    ]


def anchors(path: Path) -> set[str]:
    """The names by which headings are linked to, as GitHub makes them."""
    prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", head.lower()) for head in heads]
    return {head.replace(" ", "-") for head in plain}


def rows(page: str) -> dict[str, list[list[str]]]:
    """Cells of every table row, by the first cell's words in code style."""
    found: dict[str, list[list[str]]] = {}
    for line in text_of(page).splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for name in re.findall(r"`([^`]+)`", cells[0]):
                found.setdefault(name, []).append(cells)
    return found


def test_every_fault_of_the_suite_is_explained():
    found = rows("docs/faults.md")
    assert set(KINDS) <= set(found)


# -- links and commands -------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.findall(prose):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_their_options_exist(page):
    group = typer.main.get_command(app)
    prose = page.read_text(encoding="utf-8")
    for name, rest in _COMMAND.findall(prose):
        command = group.commands.get(name)  # type: ignore[attr-defined]
        if command is None:
            assert not rest.startswith(" --"), f"{page.name}: scopeside {name}{rest}"
            continue  # a sentence, such as "scopeside is …"
        group_of = getattr(command, "commands", {})
        if group_of and (word := rest.split()[:1]):
            assert word[0] in group_of, f"{page.name}: scopeside {name}{rest}"
            command = group_of[word[0]]
        known = {option for p in command.params for option in p.opts} | {"--help"}
        used = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))
        assert used <= known, f"{page.name}: scopeside {name}{rest}"


def test_every_command_is_mentioned():
    group = typer.main.get_command(app)
    prose = text_of("README.md") + text_of("docs/operations.md")
    prose += text_of("docs/detectors/simulator.md")
    for name in group.commands:  # type: ignore[attr-defined]
        assert f"scopeside {name}" in prose or f"make {name}" in prose, name


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for page in PAGES:
        code = "".join(blocks(page, "")) + "`".join(
            re.findall(r"`(make [^`]+)`", page.read_text(encoding="utf-8"))
        )
        assert set(re.findall(r"make ([a-z]+)", code)) <= targets, page.name


# -- pipeline files -----------------------------------------------------------------


@pytest.fixture
def own_modules(tmp_path: Path) -> Iterator[Path]:
    """The examples of CONTRIBUTING as modules beside a pipeline file."""
    processor, _, detector = blocks(ROOT / "CONTRIBUTING.md", "python")
    (tmp_path / "peaks.py").write_text(processor, encoding="utf-8")
    (tmp_path / "barecam.py").write_text(detector, encoding="utf-8")
    sys.path.append(str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in ("peaks", "barecam"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("block", by_page("toml"))
def test_pipelines_are_valid(block, own_modules):
    raw = tomllib.loads(block)
    if {"detector", "chain"} <= raw.keys():
        Pipeline.from_raw(raw, folder=own_modules)


def test_the_example_with_channels_is_valid():
    found = Pipeline.load(ROOT / "examples/channels.toml")
    assert [one.settings.kind for one in found.channels] == ["zmq", "csv"]


def test_there_are_whole_pipelines_to_look_at():
    raw = [tomllib.loads(param.values[0]) for param in by_page("toml")]
    assert sum({"detector", "chain"} <= one.keys() for one in raw) >= 7


def _as_toml(value: Any) -> str:
    if isinstance(value, EdgePolicy | str | Path):
        return f'"{value}"'
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return json.dumps(value)


TABLES = {
    "acquisition": settings.AcquisitionSettings,
    "chain": settings.RawChain,
    "channel": settings.ChannelSettings,
    "slab": settings.SlabSettings,
    "record": RecordSettings,
    "engine": settings.EngineSettings,
    "control": ControlSettings,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_the_pipeline_file_is_documented_with_its_default(table):
    documented = rows("docs/pipeline.md")
    for name, field in TABLES[table].model_fields.items():
        cells = [row[2] for row in documented.get(name, [])]
        if field.is_required():
            expected = "required"
        elif field.default is None:
            expected = "none"
        else:
            expected = f"`{_as_toml(field.default)}`"
        assert any(cell.startswith(expected) for cell in cells), (name, expected, cells)


@pytest.mark.parametrize("name", ["before_s", "after_s", "on", "late_s", "spool_mib"])
def test_what_is_kept_around_events_is_documented_with_its_default(name):
    default = _as_toml(RecordSettings.model_fields[name].default)
    assert rows("docs/record_events.md")[name][0][2] == f"`{default}`"


def test_every_table_of_the_pipeline_file_is_documented():
    prose = text_of("docs/pipeline.md")
    for name in settings.RawPipeline.model_fields:
        assert f"[{name}]" in prose, name
    assert "port" in rows("docs/pipeline.md")


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("docs/detectors/simulator.md", SimulatorParams),
        ("docs/detectors/simulator.md", Scan4DParams),
        ("docs/detectors/simulator.md", MovieParams),
        ("docs/detectors/file.md", detector_class("file").Params),
        ("docs/detectors/deserver.md", detector_class("deserver").Params),
        ("docs/detectors/epics.md", detector_class("epics").Params),
        ("docs/detectors/epics.md", ArmParams),
        ("docs/detectors/epics.md", EpicsSimulatorParams),
        ("docs/detectors/merlin.md", detector_class("merlin").Params),
        ("docs/detectors/merlin.md", MerlinSimulatorParams),
        ("docs/detectors/dectris.md", detector_class("dectris").Params),
        ("docs/detectors/file.md", RawLayout),
        ("docs/replay.md", detector_class("replay").Params),
        ("docs/replay.md", channel_class("replay").Params),
        ("docs/detectors/watch.md", detector_class("watch").Params),
        ("docs/detectors/video.md", detector_class("video").Params),
        ("docs/detectors/timepix3.md", detector_class("timepix3").Params),
        ("docs/detectors/timepix3.md", Timepix3SimulatorParams),
        ("docs/wire.md", detector_class("zmq").Params),
        ("docs/recording.md", RecordSettings),
        ("docs/bluesky.md", instrument_class("bluesky").Params),
        ("docs/pipeline.md", settings.ResultsSettings),
        ("docs/door.md", DoorSettings),
        ("docs/door.md", DoorClient),
        ("docs/channels.md", channel_class("csv").Params),
        ("docs/channels.md", channel_class("zmq").Params),
        ("docs/channels.md", channel_class("epics").Params),
        ("docs/control_wire.md", instrument_class("zmq").Params),
        ("docs/microscopes.md", instrument_class("simulator").Params),
        ("docs/microscopes.md", instrument_class("temscript").Params),
        ("docs/guard_process.md", instrument_class("paper").Params),
        ("docs/processors.md", processor_class("virtual").Params),
        ("docs/processors.md", processor_class("sum").Params),
        ("docs/processors/frame.md", processor_class("frame").Params),
        ("docs/processors/com.md", processor_class("com").Params),
        ("docs/processors/dpc.md", processor_class("dpc").Params),
        ("docs/processors/ssb.md", processor_class("ssb").Params),
        ("docs/processors.md", VirtualDetector),
        ("docs/processors/calibrate.md", processor_class("calibrate").Params),
        ("docs/processors/cluster.md", processor_class("cluster").Params),
        ("docs/processors/orientation.md", processor_class("orientation").Params),
        ("docs/processors/particles.md", processor_class("particles").Params),
        ("docs/dose_budget.md", DoseCalibration),
        ("docs/dose_budget.md", DoseSettings),
        ("docs/dose_budget.md", policy_class("on_dose").Params),
        ("docs/rules.md", RuleParams),
        ("docs/view_offset.md", ShifterSettings),
        ("docs/view_offset.md", StageSettings),
        ("docs/view_offset.md", ViewSettings),
        ("docs/view_offset.md", Calibration),
        ("docs/own_detector.md", ModelParams),
        ("docs/processors/radial.md", processor_class("radial").Params),
        ("docs/processors/nucleation.md", processor_class("nucleation").Params),
        ("docs/processors/phases.md", processor_class("phases").Params),
        ("docs/processors/disks.md", processor_class("disks").Params),
        ("docs/processors/strain.md", processor_class("strain").Params),
        ("docs/processors/drift.md", processor_class("drift").Params),
        ("docs/processors/dose.md", processor_class("dose").Params),
        ("docs/processors/denoise.md", processor_class("denoise").Params),
        ("docs/processors/scan_drift.md", processor_class("scan_drift").Params),
        ("docs/processors/scan_drift.md", processor_class("tilt_drift").Params),
        ("docs/processors/track.md", processor_class("track").Params),
        ("docs/processors/kinetics.md", processor_class("kinetics").Params),
        ("docs/processors/diffusion.md", processor_class("diffusion").Params),
        ("docs/policies.md", policy_class("hold_still").Params),
        ("docs/policies.md", policy_class("go_to_event").Params),
        ("docs/policies.md", policy_class("visit").Params),
        ("docs/policies.md", policy_class("adaptive_scan").Params),
    ],
)
def test_every_parameter_is_documented(page, model):
    prose = text_of(page)
    for name in model.model_fields:
        assert re.search(rf"[`\[ .]{name}\b", prose), f"{page}: {name}"


@pytest.mark.parametrize("model", [SimulatorParams, Scan4DParams, MovieParams])
def test_the_defaults_of_the_simulator_are_documented(model):
    documented = rows("docs/detectors/simulator.md")
    for name, field in model.model_fields.items():
        cells = [row[1] for row in documented[name]]
        if field.default is None:
            assert "none" in cells, name
        elif not isinstance(field.default, BaseModel):
            found = [tomllib.loads(f"x = {c[1:-1]}")["x"] for c in cells if c[0] == "`"]
            default = field.default
            assert (list(default) if isinstance(default, tuple) else default) in found


@pytest.mark.parametrize("truth", [Scan4DTruth, MovieTruth])
def test_the_truth_of_the_simulator_is_documented(truth):
    prose = text_of("docs/detectors/simulator.md")
    for name in truth.__dataclass_fields__:
        assert f"`{name}`" in prose, name


# -- metrics ------------------------------------------------------------------------


def _status() -> dict[str, Any]:
    account = Account(announced=3, processed=1)
    account.dropped["superseded"] = 1
    account.failed["ValueError"] = 1
    stage = {"busy_s": 1.0, "blocked_s": 0.0, "starved_s": 2.0}
    return {
        "edges": {"stem": account.to_dict()},
        "queues": {"stem": {"queued": 0}},
        "slab": {"in_use": 1, "slots": 4},
        "rates": {"bytes": 8},
        "stages": {"adapter": stage},
        "restarts": {"adapter": 0},
        "processes": [{"name": "adapter", "alive": True, "state": "running"}],
        "channels": {"t": {"samples": 1, "state": "ok", "age_s": 1.0, "value": 2.0}},
        "record": {
            "state": "ok",
            "bytes": 1,
            "backlog_bytes": 0,
            "spool_share": 0.0,
            "in_mb_per_s": 1.0,
            "disk_mb_per_s": 1.0,
            "free_bytes": 1,
            "lost": {"disk_slow": 1},
        },
        "control": {
            "mode": "armed",
            "counts": {"refused": 1, "cause.stale": 1},
            "dose": {"highest_e_per_A2": [1.0, 2.0], "budget_e_per_A2": 3.0},
        },
    }


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Names of all samples and their labels, as Prometheus gets them."""
    metrics = EngineMetrics(_status, Latencies)
    found: dict[str, set[str]] = {}
    for family in metrics.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_the_dashboard_shows_metrics_that_exist(samples):
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
    asked += [v["definition"] for v in dashboard["templating"]["list"][1:]]
    for expression in asked:
        names = re.findall(r"scopeside_\w+", expression)
        assert names, expression
        assert set(names) <= samples.keys(), expression


def test_the_dashboard_asks_for_labels_that_exist(samples):
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for name, inside in re.findall(r"(scopeside_\w+)\{(.*?)\}", target["expr"]):
                labels = set(re.findall(r"(\w+)=~?\"", inside))
                assert labels <= samples[name] | {"instance"}, target["expr"]


def test_the_dashboard_is_one_that_grafana_takes():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert dashboard["schemaVersion"] >= 36
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]


def test_metrics_are_documented_and_what_is_documented_exists(samples):
    prose = text_of("docs/metrics.md")
    documented = set(re.findall(r"scopeside_\w+", prose))
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in samples}
    assert families <= documented
    assert documented <= families | samples.keys()


# -- code ---------------------------------------------------------------------------


def _causes_in(path: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, text_of(path)))


def test_every_cause_of_a_loss_is_documented():
    engine = "engine/scopeside"
    causes = _causes_in(f"{engine}/edge.py", r'return "([a-z_]+)"')
    causes |= _causes_in(f"{engine}/edge.py", r'": "([a-z_]+)"')
    causes |= _causes_in(f"{engine}/ingest/tee.py", r'ticket(?:\.seq)?, "([a-z_]+)"')
    causes |= _causes_in(f"{engine}/ingest/settling.py", r'failed\["([a-z_]+)"\]')
    causes |= _causes_in(f"{engine}/ingest/accounts.py", r'last, "([a-z_]+)"')
    causes |= _causes_in(f"{engine}/ingest/sink.py", r'last, "([a-z_]+)"')
    causes |= _causes_in(f"{engine}/supervise/engine.py", r'else "([a-z]+_died)"')
    causes |= _causes_in(f"{engine}/work/chain.py", r'return "([a-z_]+)" if')
    assert len(causes) >= 10
    for cause in causes:
        assert f"| `{cause}` |" in text_of("docs/operations.md"), cause


def test_every_role_and_every_cause_of_the_door_is_documented():
    control = "engine/scopeside/control"
    causes = _causes_in(f"{control}/permission.py", r'"([a-z]+_[a-z]+)",?\n')
    causes |= _causes_in("engine/scopeside/security/gate.py", r'cause="([a-z_]+)"')
    causes |= _causes_in(f"{control}/door.py", r'cause="([a-z_]+)"')
    assert {"no_role", "other_name", "unknown_key", "socket_name"} <= causes
    prose = text_of("docs/door.md")
    for word in causes | set(get_args(Role)):
        assert f"`{word}`" in prose, word


def test_the_example_of_bluesky_is_the_one_in_the_page():
    shown = blocks(ROOT / "docs/bluesky.md", "python")[0]
    lines = text_of("examples/bluesky_plan.py").splitlines()
    for line in shown.splitlines():
        assert line in lines, line


def test_the_example_processor_keeps_the_laws(own_modules):
    _, test, _ = blocks(ROOT / "CONTRIBUTING.md", "python")
    names: dict[str, Any] = {}
    exec(compile(test, "CONTRIBUTING.md", "exec"), names)
    names["test_keeps_the_laws_of_a_processor"]()


def test_the_example_processor_finds_the_brightest_pixel(own_modules):
    frames = np.arange(24, dtype=np.uint16).reshape(4, 2, 3)
    peaks = processor_class("peaks:Peaks")
    (found,) = scopeside.apply(peaks, frames, full_scale=10)
    assert found.data.tolist() == [0.5, 1.1, 1.7, 2.3]
    assert found.complete


def test_the_example_policy_follows_a_defocus():
    (code,) = blocks(ROOT / "docs/policies.md", "python")
    names: dict[str, Any] = {}
    exec(compile(code, "policies.md", "exec"), names)
    policy = names["KeepFocus"](names["KeepFocus"].Params())
    known = {"exposure_s": 0.01}
    about = Acquisition("a", (4, 4), np.dtype("u2"), calibration=known)
    microscope = Timeline()
    microscope.take(0, {"defocus_m": -1e-6})
    policy.begin(about)
    result = Result("defocus", 2e-7, "scalar", frame=0)
    seen = Seen(about, 0, "c", "sharpness", result, t_ns=50_000_000)
    (wish,) = policy.hear(seen, microscope)
    assert wish.fields == {"defocus_m": pytest.approx(-1.1e-6)}
    microscope.take(45_000_000, {"defocus_m": -2e-6})  # in mid-exposure
    assert list(policy.hear(seen, microscope)) == []


def _camera(frames: Any) -> tuple[int, threading.Thread]:
    """Send `frames` to the first who connects, then hang up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with listener, listener.accept()[0] as connection:
            connection.sendall(frames.tobytes())

    thread = threading.Thread(target=send)
    thread.start()
    return listener.getsockname()[1], thread


@pytest.mark.parametrize("sent", [10, 7])
def test_the_example_detector_delivers_what_is_sent(own_modules, sent):
    frames = np.random.default_rng(0).poisson(9, (sent, 5, 6)).astype("<u2")
    port, thread = _camera(frames)
    camera = detector_class("barecam:BareCamera")
    params = camera.Params(port=port, shape=(5, 6), frames=10)
    sink = MemorySink(capacity=4)
    lost = scopeside.errors.SourceLostError
    whole = contextlib.nullcontext()
    with whole if sent == 10 else pytest.raises(lost, match="hung up in mid-movie"):
        camera(params, AcquisitionSettings()).run(sink)
    thread.join()
    received = sink.frames()
    np.testing.assert_array_equal(received.pixels, frames[: len(received)])
    assert len(received) == sent // 4 * 4 + (2 if sent == 10 else 0)
    assert sink.ends == ([("complete", "", 10)] if sent == 10 else [])


def test_the_example_channel_speaks():
    (code,) = [c for c in blocks(ROOT / "docs/channels.md", "python") if "Dice" in c]
    names: dict[str, Any] = {}
    exec(compile(code, "channels.md", "exec"), names)
    dice = names["Dice"](names["Dice"].Params(sides=1))
    with running(dice) as sink:
        until(lambda: sink.found)
    assert sink.found[0][1] == 1


def test_the_truth_of_the_simulator_can_be_asked_for_as_shown():
    code = blocks(ROOT / "docs/detectors/simulator.md", "python")[0]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "simulator.md", "exec"), {})
    assert said.getvalue().startswith("(32, 32, 2) (32, 32) (32, 32, ")


def test_the_phase_of_a_grating_is_found_as_shown():
    code = blocks(ROOT / "docs/processors/ssb.md", "python")[0]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "ssb.md", "exec"), {})
    assert said.getvalue() == "True\n"


@pytest.mark.parametrize("block", by_page("python"))
def test_python_is_python_and_names_what_exists(block):
    compile(block, "documentation", "exec")
    for name in re.findall(r"(?<![\w./])scopeside\.(\w+)\(", block):
        assert callable(getattr(scopeside, name)), name


def test_the_fuzzing_page_names_every_target():
    prose = text_of("docs/fuzzing.md")
    assert [name for name in targets() if f"`{name}`" not in prose] == []
