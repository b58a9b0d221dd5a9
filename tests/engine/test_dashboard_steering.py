"""Steering: what a form asks for, what holds, and the pipeline as a file."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field
from tests.engine.small import pipeline

from scopeside import pipeline_tables
from scopeside.cli.demo import MOVIE, SCAN
from scopeside.dashboard import saved
from scopeside.dashboard.catalogue import Catalogue
from scopeside.dashboard.fields import fields_of
from scopeside.dashboard.page import Page
from scopeside.dashboard.steering import Steering, form_of, forms_of
from scopeside.dashboard.units import unit_of
from scopeside.dashboard.versions import MOST, SHORT_MS, Versions
from scopeside.errors import ConfigError, EngineNotFoundError
from scopeside.params import Params
from scopeside.pipeline import Pipeline
from scopeside.pipeline_tables import Tables
from scopeside.plugins import PROCESSORS, installed, processor_class
from scopeside.result import Result

CONTROLS = {
    "number", "whole", "switch", "choice", "several", "numbers", "text", "file",
    "either", "table", "tables", "value",
}  # fmt: skip


def field(annotation: Any, default: Any = ...) -> dict[str, Any]:
    class Made(Params):
        __annotations__ = {"one": annotation}
        one = default

    (found,) = fields_of(Made)
    return found


# -- forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(installed(PROCESSORS)))
def test_every_parameter_of_a_processor_of_ours_has_a_control(kind: str) -> None:
    form = form_of(kind)
    assert [one["key"] for one in form["fields"]] == list(
        processor_class(kind).Params.model_fields
    )
    assert {one["control"] for one in form["fields"]} <= CONTROLS
    assert all(one["about"] for one in form["fields"])
    assert form["live"] is not bool(form["why_not"])
    json.dumps(form, allow_nan=False)


def test_detectors_are_tables_by_name() -> None:
    detectors = form_of("virtual")["fields"][0]
    assert (detectors["key"], detectors["control"]) == ("detectors", "tables")
    shapes = {one["key"]: one["control"] for one in detectors["fields"]}
    assert shapes["disk"] == "numbers"
    assert shapes["polygon"] == "value"
    assert shapes["mask"] == "file"


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (float, 1.0, {"control": "number", "default": 1.0}),
        (float | None, None, {"control": "number", "optional": True}),
        (Annotated[int, Field(ge=1, lt=9)], 2, {"min": 1, "below": 9}),
        (bool, True, {"control": "switch"}),
        (Literal["a", "b"], "a", {"control": "choice", "choices": ["a", "b"]}),
        (tuple[Literal["a", "b"], ...], (), {"control": "several"}),
        (tuple[float, float], (0, 1), {"control": "numbers", "least": 2, "most": 2}),
        (tuple[Annotated[int, Field(ge=0)], ...], (), {"whole": True, "min": 0}),
        (int | Literal["auto"], "auto", {"control": "either", "choices": ["auto"]}),
        (Path | None, None, {"control": "file", "optional": True}),
        (dict[str, float], {}, {"control": "value"}),
    ],
)
def test_a_type_has_its_control(
    annotation: Any, default: Any, expected: dict[str, Any]
) -> None:
    assert field(annotation, default).items() >= expected.items()


@pytest.mark.parametrize(
    ("name", "about", "unit"),
    [
        ("min_radius_px", "Radius of the smallest particles, px.", "px"),
        ("min_area_px", "Smallest area, px.", "px²"),
        ("memory", "Time constant of the mean, frames; its noise.", "frames"),
        ("high_pass_per_m", "Spatial frequency.", "1/m"),
        ("step_deg", "From one to the next.", "°"),
        ("disk", "[cy, cx, r], px: the pixels at a distance.", "px"),
        ("segment", "[cy, cx, from_deg], px and degrees: the part.", "px, °"),
        ("seed", "Of the random starts.", ""),
        ("m", "A number.", ""),
    ],
)
def test_a_unit_is_said_where_it_is_sure(name: str, about: str, unit: str) -> None:
    assert unit_of(name, about) == unit


def test_a_processor_that_cannot_change_says_so() -> None:
    form = form_of("sum")
    assert not form["live"]
    assert "cannot change while the engine runs" in form["why_not"]


def test_a_plugin_that_cannot_be_loaded_says_so_and_the_others_are_there() -> None:
    steps = [{"kind": "absent_one:Thing"}, {"kind": "virtual", "name": "v"}]
    tables = {"chain": [{"name": "c", "processor": steps}]}
    forms = forms_of(Tables("x.toml", Path(), tables))["processors"]
    assert [one["name"] for one in forms] == ["c.thing", "c.v"]
    assert "does not load" in forms[0]["why_not"]
    assert forms[1]["live"]


# -- the pipeline in the run folder, and as a file ------------------------------------


def tables_of(raw: dict[str, Any], folder: Path) -> Tables:
    pipeline_tables.write(folder, Pipeline.from_raw(raw, folder=folder))
    return pipeline_tables.read(folder)


def test_the_tables_of_a_pipeline_are_private_and_come_back(tmp_path: Path) -> None:
    assert tables_of(SCAN, tmp_path) == Tables("pipeline", tmp_path, SCAN)
    mode = (tmp_path / pipeline_tables.FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_without_an_engine_there_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFoundError, match="the engine has ended"):
        pipeline_tables.read(tmp_path)


@pytest.mark.parametrize("raw", [SCAN, MOVIE])
def test_what_nobody_has_changed_is_saved_as_it_was(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    assert tomllib.loads(saved.text_of(tables_of(raw, tmp_path), {}, "", -1)) == raw


SHAPE = st.floats(0.125, 1e6) | st.integers(1, 1000)
DISK = st.lists(SHAPE, min_size=3, max_size=3).map(lambda found: {"disk": found})
NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
CENTRES = st.none() | st.sampled_from(["calibration", "find"])
CENTRES |= st.lists(SHAPE, min_size=2, max_size=2)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.dictionaries(NAME, DISK, min_size=1, max_size=3),
    CENTRES,
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_a_saved_pipeline_is_the_same_with_the_changed_parameters(
    tmp_path: Path, detectors: dict[str, Any], centre: Any, source: str, acq: str
) -> None:
    params = {"detectors": detectors, "centre": centre, "saturation": None}
    one = {"version": 3, "acquisition": acq, "frame": 7, "params": params}
    text = saved.text_of(Tables(source, tmp_path, SCAN), {"stem.virtual": one}, acq, 99)
    made = Pipeline.from_raw(tomllib.loads(text), folder=tmp_path)
    before = Pipeline.from_raw(SCAN, folder=tmp_path)
    step, *others = made.chain("stem").steps
    meant, *untouched = before.chain("stem").steps
    assert step.params == meant.changed(params).params
    assert others == untouched
    assert made.chain("view") == before.chain("view")
    assert made.detector_params == before.detector_params


def test_the_comment_says_where_relative_paths_come_from(tmp_path: Path) -> None:
    one = {"version": 2, "acquisition": "scan-1", "frame": 7, "params": {
        "detectors": {"tuned": {"mask": "weights.npy"}}}}  # fmt: skip
    running = Tables("stem.toml", tmp_path, SCAN)
    text = saved.text_of(running, {"stem.virtual": one}, "scan-2", 4)
    head = text.partition("\n\n")[0]
    assert f"{tmp_path}: put it there" in head
    assert "stem.toml, at frame 4 of scan-2." in head
    assert "stem.virtual: version 2, since frame 7 of scan-1" in head
    assert 'mask = "weights.npy"' in text


def test_a_none_that_a_file_cannot_say_is_refused(tmp_path: Path) -> None:
    step = {"kind": "disks", "disk_radius_px": 5}
    tables = {"chain": [{"name": "c", "processor": [step]}]}
    now = {"version": 2, "acquisition": "", "frame": 0, "params": {"spread_px": None}}
    with pytest.raises(ConfigError, match="a file cannot say that"):
        saved.text_of(Tables("x", tmp_path, tables), {"c.disks": now}, "", -1)


# -- versions -------------------------------------------------------------------------


def version(number: int, **params: Any) -> dict[str, Any]:
    return {
        "c.p": {"version": number, "params": params, "frame": number, "waiting": False}
    }


def test_versions_are_kept_but_not_those_of_a_drag() -> None:
    versions = Versions()
    for number, now_ms in ((1, 0.0), (2, 100.0), (3, 200.0), (4, 300.0)):
        versions.hear(version(number, a=number), now_ms)
    versions.hear(version(5), 300.0 + 2 * SHORT_MS)
    assert [one["version"] for one in versions.of("c.p")] == [1, 4, 5]


def test_only_so_many_versions_are_kept_and_the_first() -> None:
    versions = Versions()
    for number in range(1, 3 * MOST):
        versions.hear(version(number), number * 2 * SHORT_MS)
    kept = [one["version"] for one in versions.of("c.p")]
    assert (len(kept), kept[0], kept[-1]) == (MOST, 1, 3 * MOST - 1)


def test_a_version_that_waited_for_a_frame_says_which_it_was() -> None:
    versions = Versions()
    waiting = version(2)["c.p"] | {"waiting": True, "frame": 0}
    versions.hear({"c.p": waiting}, 0.0)
    versions.hear(version(2), 500.0)
    (one,) = versions.of("c.p")
    assert (one["frame"], one["waiting"], one["heard_ms"]) == (2, False, 0.0)


# -- the part of the page -------------------------------------------------------------


def status_of(folder: Path) -> dict[str, Any]:
    params = {"version": 1, "acquisition": "", "frame": 0, "waiting": False}
    acquisition = {
        "id": "scan-1",
        "shape": [8, 9],
        "calibration": {"centre_px": [3, 4]},
    }
    running = {"state": "running", "acquisition": acquisition, "ingest": {}}
    return {
        "folder": str(folder),
        "params": {"c.counts": {**params, "params": {"gain": 2}}},
        "open": {"scan-1": running},
        "acquisitions": {},
    }


def told(page: Page, topic: str) -> Any:
    said = page.topic(topic)
    return None if said is None else json.loads(said[1])


@pytest.fixture
def page(tmp_path: Path) -> Page:
    page = Page()
    Steering(page)
    pipeline_tables.write(tmp_path, pipeline(("c", {"Counts": {"gain": 2}}, {})))
    return page


def test_what_holds_is_told(page: Page, tmp_path: Path) -> None:
    page.attached(tmp_path)
    page.hear_status(status_of(tmp_path))
    said = told(page, "steering")
    assert said["running"]
    assert said["frame_shape"] == [8, 9]
    assert said["centre_px"] == [3, 4]
    assert said["processors"]["c.counts"]["params"] == {"gain": 2}
    page.attached(None)
    assert not told(page, "steering")["running"]


def test_the_pipeline_file_can_be_asked_for(page: Page, tmp_path: Path) -> None:
    page.hear_status(status_of(tmp_path))
    blob = page.questions["pipeline_file"]({})
    assert blob.filename.endswith("_live.toml")
    assert tomllib.loads(blob.data.decode())["chain"][0]["name"] == "c"


def test_a_pipeline_can_be_saved_when_its_engine_has_ended(
    page: Page, tmp_path: Path
) -> None:
    page.hear_status(status_of(tmp_path))
    before = page.questions["pipeline_file"]({})
    (tmp_path / pipeline_tables.FILE).unlink()
    after = page.questions["pipeline_file"]({})
    text = after.data.decode().partition("\n\n")[2]
    assert text == before.data.decode().partition("\n\n")[2]


def test_without_an_engine_nothing_is_set_or_saved(page: Page) -> None:
    with pytest.raises(EngineNotFoundError, match="nothing was changed"):
        page.commands["set_params"]({"processor": "c.counts", "values": {"gain": 3}})
    with pytest.raises(EngineNotFoundError, match="no pipeline"):
        page.questions["pipeline_file"]({})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"processor": "c"},
        {"processor": 1, "values": {}},
        {"processor": "c", "values": []},
    ],
)
def test_what_is_no_change_is_refused(page: Page, body: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        page.commands["set_params"](body)


def test_a_form_says_which_parameters_hold_from_the_next_acquisition_on() -> None:
    fixed = {one["key"] for one in form_of("com")["fields"] if one["fixed"]}
    assert fixed == {"mask", "dead", "margin_px", "saturation"}
    assert not any(one["fixed"] for one in form_of("virtual")["fields"])


OTHERS = {
    "com": {"margin_px": 2.0},
    "dpc": {"start_deg": 3.0},
    "nucleation": {"min_radius_px": 4.0},
    "orientation": {"step_deg": 3.0},
    "ssb": {"cutoff": 0.1},
    "strain": {"max_disks": 7},
}


@pytest.mark.parametrize("kind", sorted(installed(PROCESSORS)))
def test_what_a_processor_of_ours_says_is_fixed_are_parameters_of_it(kind: str) -> None:
    cls = processor_class(kind)
    fixed = getattr(cls, "fixed", ())
    assert set(fixed) <= set(cls.Params.model_fields)
    assert (kind in OTHERS) == bool(fixed)
    assert not fixed or set(OTHERS[kind]) <= set(fixed)


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_what_is_said_to_be_fixed_is_refused_in_mid_acquisition(kind: str) -> None:
    cls: Any = processor_class(kind)
    running = cls.__new__(cls)  # what it measures does not matter
    running._params = cls.Params.model_construct()
    with pytest.raises(ConfigError):
        running.change(cls.Params.model_construct(**OTHERS[kind]))


def test_what_a_detector_has_seen_goes_with_it(page: Page, tmp_path: Path) -> None:
    def tell(version: int, *names: str) -> None:
        params = {"detectors": {name: {"disk": [1, 1, 1]} for name in names}}
        one = {"version": version, "params": params, "acquisition": "", "frame": 0}
        page.hear_status({"folder": str(tmp_path), "params": {"stem.virtual": one}})

    Catalogue(page)
    tell(1, "bf", "extra")
    for name in ("bf", "extra", "extra_inpainted", "other"):
        meta = {"chain": "stem", "processor": "virtual"}
        page.hear(Result(name, np.zeros((2, 2)), meta=meta))
    tell(2, "bf")
    assert [one.key for one in page.shelf.all()] == [
        "stem.virtual.bf", "stem.virtual.other"
    ]  # fmt: skip
    assert "extra" not in page.topic("catalogue")[1]
