"""Steering by hand, with an engine that writes down what it is asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser.seen import PATIENCE_S, Seen

from scopeside import pipeline_tables
from scopeside.dashboard.parts import Dashboard
from scopeside.errors import ConfigError
from scopeside.pipeline import Pipeline
from scopeside.result import Result

pytestmark = pytest.mark.browser

DETECTORS: dict[str, Any] = {
    "bf": {"disk": [30.0, 30.0, 10]},
    "adf": {"annulus": [30.0, 30.0, 15, 25]},
    "box": {"rectangle": [40.0, 5.0, 60.0, 20.0]},
    "free": {"polygon": [[4.0, 40.0], [4.0, 60.0], [20.0, 60.0], [20.0, 40.0]]},
}
RAW = {
    "detector": {"kind": "simulator", "mode": "scan4d", "scan": [8, 8]},
    "chain": [
        {
            "name": "stem",
            "processor": [{"kind": "virtual", "detectors": DETECTORS}, {"kind": "ssb"}],
        },
        {"name": "view", "edge": "latest", "processor": [{"kind": "sum"}]},
    ],
}
ROWS = COLUMNS = 64
CHOICE = "#view-steering .of select"


@dataclass
class Engine:
    """Takes changes as an engine does, and tells the page what it would hear."""

    board: Dashboard
    folder: Path
    asked: list[dict[str, Any]] = field(default_factory=list)
    params: dict[str, Any] = field(default_factory=lambda: {"detectors": DETECTORS})
    version: int = 1
    open: bool = True

    def start(self) -> None:
        pipeline_tables.write(self.folder, Pipeline.from_raw(RAW, folder=self.folder))
        self.board.page.commands["set_params"] = self.take
        self.board.page.attached(self.folder)
        self.tell()
        self.show(self.image("mean", "view", "sum", (ROWS, COLUMNS)))
        self.show(self.image("bf", "stem", "virtual", (8, 8)))

    def take(self, body: Mapping[str, Any]) -> dict[str, Any]:
        values = body["values"]
        self.asked.append(dict(values))
        for key, value in values.items():
            if "saturation" in key and value == 7:
                raise ConfigError("stem.virtual.saturation: found 7; not this one")
            if key == "detectors.bf.disk" and value[2] < 0:
                raise ConfigError("stem.virtual.detectors.bf: disk: not a radius")
            if key == "detectors.bf.disk" and value[0] > 1000:
                raise ConfigError("stem.virtual: detectors.bf holds no pixel")
            self.params = put(self.params, key.split("."), value)
        self.version += 1
        self.tell()
        self.show(self.image("bf", "stem", "virtual", (8, 8)))
        return {"version": self.version, "frame": self.frame, "acquisition": "scan-1"}

    @property
    def frame(self) -> int:
        return 1000 * (self.version - 1)

    def tell(self) -> None:
        one = {"version": self.version, "frame": self.frame, "params": self.params}
        waits = {"acquisition": "scan-1", "waiting": False}
        idle = {"version": 1, "frame": 0, "params": {}, "acquisition": ""}
        acquisition = {"id": "scan-1", "shape": [ROWS, COLUMNS], "calibration": {}}
        state = "running" if self.open else "complete"
        self.board.page.hear_status(
            {
                "folder": str(self.folder),
                "phase": "running",
                "params": {
                    "stem.virtual": {**one, **waits},
                    "stem.ssb": {**idle, "params": {}, "waiting": False},
                    "view.sum": {**idle, "waiting": False},
                },
                "open": {"scan-1": {"state": state, "acquisition": acquisition}},
                "acquisitions": {},
            }
        )

    def image(self, name: str, chain: str, step: str, shape: tuple[int, int]) -> Result:
        now = time.time_ns()
        meta = {"acq": "scan-1", "chain": chain, "processor": step}
        params = self.version if chain == "stem" else 1
        said = {"params": params, "params_from": self.frame, "t_frame_ns": now}
        data = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
        return Result(
            name, data, frame=9, first=0, used=10, expected=64, meta=meta | said
        )

    def show(self, result: Result) -> None:
        self.board.page.hear(result)


def put(params: Mapping[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    head, *rest = keys
    inner = put(params.get(head, {}), rest, value) if rest else value
    return {**params, head: inner}


@pytest.fixture
def engine(served: Dashboard, tmp_path: Path) -> Engine:
    engine = Engine(served, tmp_path)
    engine.start()
    return engine


@pytest.fixture
def steered(engine: Engine, seen: Seen) -> Seen:
    seen.view("Steering")
    seen.tab.wait_for_selector("[data-shape=bf] [data-handle=r] .dot")
    seen.tab.wait_for_selector("[data-key='saturation'] input")
    dot = "document.querySelector('[data-shape=bf] .dot')"
    seen.until(f"{dot}.getBoundingClientRect().width > 4")
    return seen


def until(found: Callable[[], Any]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)


def knob(seen: Seen, shape: str, handle: str) -> Any:
    return seen.tab.locator(f"[data-shape={shape}] [data-handle={handle}]")


def middle(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def px_per_unit(seen: Seen) -> float:
    """Screen pixels of one pixel of the pattern, from two handles 10 apart.

    It is awaited that it rests: until the pattern has its place, handles move.
    """
    rested, last = 0, 0.0
    while rested < 3:
        ends = [middle(knob(seen, "bf", name))[0] for name in ("move", "r")]
        now = (ends[1] - ends[0]) / 10
        rested = rested + 1 if now == last and now > 0 else 0
        last = now
        seen.tab.wait_for_timeout(50)
    return last


def drag(seen: Seen, start: tuple[float, float], by: tuple[float, float]) -> None:
    mouse = seen.tab.mouse
    mouse.move(*start)
    mouse.down()
    mouse.move(start[0] + by[0] / 2, start[1] + by[1] / 2)
    mouse.move(start[0] + by[0], start[1] + by[1])


def row(seen: Seen, name: str) -> Any:
    return seen.tab.locator(".shapes li", has_text=name).first


def test_a_dragged_radius_is_shown_at_once_then_asked_for_then_holds(
    steered: Seen, engine: Engine
) -> None:
    unit = px_per_unit(steered)
    drag(steered, middle(knob(steered, "bf", "r")), (4 * unit, 0))
    row(steered, "bf").get_by_text("being dragged").wait_for()
    steered.tab.mouse.up()
    row(steered, "bf").get_by_text("holds: version").wait_for()
    key = "detectors.bf.disk"
    assert {tuple(asked) for asked in engine.asked} == {(key,)}
    assert engine.asked[-1][key] == pytest.approx([30, 30, 14], abs=0.2)
    number = f"version {engine.version} since frame {engine.frame:,}"
    steered.tab.locator(
        "[data-version-of='stem.virtual.bf']", has_text=number
    ).wait_for()
    row(steered, "bf").get_by_text(number).wait_for()


def test_a_detector_is_moved_by_its_outline_and_its_number_of_changes_is_bounded(
    steered: Seen, engine: Engine
) -> None:
    unit = px_per_unit(steered)
    x, y = middle(knob(steered, "bf", "move"))
    start = time.monotonic()
    drag(steered, (x - 10 * unit, y), (5 * unit, 3 * unit))
    for i in range(12):
        steered.tab.mouse.move(x - 5 * unit + (i % 2), y + 3 * unit)
    steered.tab.mouse.up()
    row(steered, "bf").get_by_text("holds: version").wait_for()
    at_most = 5 * (time.monotonic() - start) + 2
    assert 1 <= len(engine.asked) <= at_most
    moved = engine.asked[-1]["detectors.bf.disk"]
    assert moved == pytest.approx([33, 35, 10], abs=0.4)


def test_arrow_keys_move_by_one_pixel_ten_and_a_tenth(
    steered: Seen, engine: Engine
) -> None:
    knob(steered, "bf", "move").focus()
    for keys in ("ArrowRight", "Shift+ArrowDown", "Control+ArrowLeft"):
        steered.tab.keyboard.press(keys)
    row(steered, "bf").get_by_text("centre (40, 30.9)").wait_for()
    row(steered, "bf").get_by_text("holds: version").wait_for()
    assert engine.asked[-1]["detectors.bf.disk"] == pytest.approx([40, 30.9, 10])


def test_escape_goes_back_to_what_was_before(steered: Seen, engine: Engine) -> None:
    drag(steered, middle(knob(steered, "bf", "r")), (40, 0))
    row(steered, "bf").get_by_text("being dragged").wait_for()
    form = steered.tab.locator("[data-processor='stem.virtual'] summary b + span")
    form.get_by_text(re.compile("version [23]")).wait_for()
    steered.tab.keyboard.press("Escape")
    row(steered, "bf").get_by_text("radius 10 px").wait_for()
    row(steered, "bf").get_by_text("holds: version").wait_for()
    steered.tab.mouse.up()
    assert engine.asked[-1]["detectors.bf.disk"] == [30, 30, 10]


def test_a_corner_of_a_rectangle_is_dragged(steered: Seen, engine: Engine) -> None:
    row(steered, "box").get_by_role("button").click()
    knob(steered, "box", "y1x1").focus()
    steered.tab.keyboard.press("ArrowDown")
    row(steered, "box").get_by_text("rows 40 to 61 px").wait_for()
    steered.until(
        "document.querySelector('[data-shape=box]').dataset.state === 'holds'"
    )
    assert engine.asked == [{"detectors.box.rectangle": [40, 5, 61, 20]}]


CORNERS = DETECTORS["free"]["polygon"]


def corners_after(steered: Seen, engine: Engine, n_asked: int) -> Any:
    """Return the corners of the polygon when so many changes were asked for."""
    free = "document.querySelector('[data-shape=free]')"
    steered.until(f"{free}.dataset.state === 'holds'")
    until(lambda: len(engine.asked) == n_asked)
    return engine.asked[-1]["detectors.free.polygon"]


def test_corners_of_a_polygon_come_go_and_are_taken_back(
    steered: Seen, engine: Engine
) -> None:
    row(steered, "free").get_by_role("button").click()
    knob(steered, "free", "p0").focus()
    press = steered.tab.keyboard.press
    press("Insert")
    added = [CORNERS[0], [4, 50], *CORNERS[1:]]
    assert corners_after(steered, engine, 1) == added
    focused = "document.activeElement.dataset.handle"
    steered.until(f"{focused} === 'p1'")
    press("ArrowUp")
    assert corners_after(steered, engine, 2)[1] == [3, 50]
    press("Control+z")
    assert corners_after(steered, engine, 3) == added
    press("Delete")
    assert corners_after(steered, engine, 4) == CORNERS
    steered.until(f"{focused} === 'p0'")
    press("Delete")
    assert corners_after(steered, engine, 5) == CORNERS[1:]
    press("Delete")
    row(steered, "free").get_by_text("a polygon keeps three corners").wait_for()
    for n_asked, before in ((6, CORNERS), (7, added), (8, CORNERS)):
        press("Control+z")
        assert corners_after(steered, engine, n_asked) == before
    press("Control+z")
    assert len(engine.asked) == 8


def test_a_double_click_on_an_edge_makes_a_corner_there(
    steered: Seen, engine: Engine
) -> None:
    row(steered, "free").get_by_role("button").click()
    (x0, y), (x1, _) = (middle(knob(steered, "free", what)) for what in ("p0", "p1"))
    steered.tab.mouse.dblclick(x0 + (x1 - x0) / 4, y)
    found = corners_after(steered, engine, 1)
    assert found == [CORNERS[0], pytest.approx([4, 45], abs=0.3), *CORNERS[1:]]


def test_the_mean_pattern_is_taken_unless_another_is_chosen(
    steered: Seen, engine: Engine
) -> None:
    choice = steered.tab.locator(CHOICE)
    for name in ("max", "sum"):
        engine.show(engine.image(name, "view", "sum", (ROWS, COLUMNS)))
    keys = ["view.sum.mean", "view.sum.sum", "view.sum.max"]
    steered.until(f"document.querySelector('{CHOICE}').options.length === 3")
    assert choice.locator("option").all_inner_texts() == keys
    assert choice.input_value() == "view.sum.mean"
    choice.select_option("view.sum.max")
    engine.show(engine.image("variance", "view", "sum", (ROWS, COLUMNS)))
    steered.until(f"document.querySelector('{CHOICE}').options.length === 4")
    assert choice.input_value() == "view.sum.max"


def test_a_number_out_of_bounds_is_refused_here_and_another_by_the_engine(
    steered: Seen, engine: Engine
) -> None:
    saturation = steered.tab.locator("[data-key=saturation]")
    form = steered.tab.locator("[data-processor='stem.virtual'] form")
    saturation.locator("input").fill("-1")
    saturation.get_by_text("expected more than 0").wait_for()
    assert form.get_by_role("button", name="Apply").is_disabled()
    saturation.locator("input").fill("7")
    saturation.get_by_text("changed, not applied").wait_for()
    saturation.locator("input").press("Enter")
    saturation.get_by_text("found 7; not this one").wait_for()
    assert engine.version == 1
    saturation.locator("input").fill("9.5")
    form.get_by_role("button", name="Apply").click()
    form.get_by_text("version 2 from frame 1,000 on").wait_for()
    assert engine.asked == [{"saturation": 7}, {"saturation": 9.5}]
    assert saturation.get_by_text("changed, not applied").count() == 0


@pytest.mark.parametrize(
    ("entered", "why"),
    [
        ("30, 30, -4", "disk: not a radius"),
        ("9999, 30, 4", "detectors.bf holds no pixel"),
    ],
)
def test_a_refusal_that_names_only_the_table_stands_beside_the_field(
    steered: Seen, entered: str, why: str
) -> None:
    disk = steered.tab.locator("[data-key='detectors.bf.disk']")
    disk.locator("input").fill(entered)
    disk.locator("input").press("Enter")
    disk.get_by_text(why).wait_for()


def test_what_was_entered_stays_when_the_connection_breaks(
    steered: Seen, engine: Engine
) -> None:
    steered.tab.locator("[data-key=saturation] input").fill("7")
    steered.tab.evaluate("window.told = 0")
    steered.tab.evaluate(
        "() => scopeside.live.topic('steering_forms', () => { window.told += 1 })"
    )
    [tab] = engine.board.server.tabs
    tab._sender.get_loop().call_soon_threadsafe(tab.close)
    steered.until("window.told === 2")
    steered.tab.locator("[data-key=saturation]").get_by_text("not applied").wait_for()
    assert steered.tab.locator("[data-key=saturation] input").input_value() == "7"


def test_reset_shows_what_holds(steered: Seen, engine: Engine) -> None:
    disk = steered.tab.locator("[data-key='detectors.bf.disk'] input")
    disk.fill("1, 2")
    steered.tab.locator("[data-processor='stem.virtual'] .reset").click()
    assert disk.input_value() == "30, 30, 10"
    assert engine.asked == []


def test_a_processor_that_cannot_change_says_why(steered: Seen) -> None:
    form = steered.tab.locator("[data-processor='view.sum']")
    form.locator("summary").click()
    form.get_by_text("cannot change while the engine runs").wait_for()
    assert form.locator("input:enabled").count() == 0


def test_an_earlier_version_is_set_again(steered: Seen, engine: Engine) -> None:
    saturation = steered.tab.locator("[data-key=saturation] input")
    saturation.fill("12")
    saturation.press("Enter")
    versions = steered.tab.locator("[data-processor='stem.virtual'] .versions")
    versions.locator("summary").click()
    versions.locator("li", has_text="version 2,").get_by_text(
        "saturation = 12"
    ).wait_for()
    versions.locator("[data-version='1'] button").click()
    versions.locator("[data-version='3']").wait_for()
    assert engine.asked == [{"saturation": 12}, {"saturation": None}]


def test_a_new_detector_waits_for_the_end_of_the_acquisition(
    steered: Seen, engine: Engine
) -> None:
    box = steered.tab.locator("details.detectors")
    box.locator("summary").click()
    box.get_by_label("name of the new detector").fill("haadf")
    box.get_by_role("button", name="Add").click()
    box.get_by_text("waits for the end of the acquisition").wait_for()
    assert engine.asked == []
    engine.open = False
    engine.tell()
    row(steered, "haadf").wait_for()
    assert list(engine.asked[0]) == ["detectors.haadf"]
    box.get_by_text("add haadf: version 2, from the next acquisition on").wait_for()
    box.get_by_label("detector", exact=True).select_option("haadf")
    engine.open = True
    engine.tell()
    box.get_by_role("button", name="Remove").click()
    box.get_by_text("remove haadf: waits for the end").wait_for()
    box.get_by_role("button", name="Cancel").click()
    box.get_by_text("remove haadf: cancelled, nothing was changed").wait_for()
    assert len(engine.asked) == 1


def test_what_holds_from_the_next_acquisition_on_says_so_and_waits(
    steered: Seen, engine: Engine
) -> None:
    cutoff = steered.tab.locator("[data-processor='stem.ssb'] [data-key=cutoff]")
    assert "from the next acquisition on" in cutoff.inner_text()
    bf = steered.tab.locator("[data-key='detectors.bf.disk']")
    assert "from the next acquisition on" not in bf.inner_text()
    cutoff.locator("input").fill("0.1")
    cutoff.locator("input").press("Enter")
    form = steered.tab.locator("[data-processor='stem.ssb']")
    form.get_by_text("cutoff = 0.1: waits for the end of the acq").wait_for()
    assert cutoff.locator("input").input_value() == "0.015"
    assert engine.asked == []
    engine.open = False
    engine.tell()
    form.get_by_text("cutoff = 0.1: version 2, from the next acq").wait_for()
    assert engine.asked == [{"cutoff": 0.1}]


def test_the_pipeline_is_saved_as_a_file(steered: Seen) -> None:
    with steered.tab.expect_download() as download:
        steered.tab.get_by_role("button", name="Save as pipeline file").click()
    assert download.value.suggested_filename == "pipeline_live.toml"
    assert "disk = [30.0, 30.0, 10]" in Path(download.value.path()).read_text()


@pytest.fixture
def looked_at(chromium: Any, engine: Engine) -> Iterator[Any]:
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    tab.goto(engine.board.server.address)
    yield tab
    tab.close()


def test_without_the_token_all_is_seen_and_nothing_can_be_changed(
    looked_at: Any, engine: Engine
) -> None:
    looked_at.get_by_role("tab", name="Steering").click()
    looked_at.locator(
        "#view-steering .pattern p", has_text="this tab may only look"
    ).wait_for()
    looked_at.locator(".shapes li", has_text="centre (30, 30)").first.wait_for()
    looked_at.locator("[data-shape=bf] [data-handle=move]").focus()
    looked_at.keyboard.press("ArrowRight")
    form = looked_at.locator("[data-processor='stem.virtual']")
    assert form.locator("input:enabled").count() == 0
    assert "centre (30, 30)" in looked_at.locator(".shapes li").first.inner_text()
    assert engine.asked == []
