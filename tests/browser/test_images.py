"""The Images view: what is shown, what is kept of it, and patterns of positions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser.seen import Seen
from tests.engine.small_runs import Recording, batch, movie

from scopeside.dashboard.parts import Dashboard
from scopeside.result import Result

pytestmark = pytest.mark.browser

SCAN = (8, 12)
KEYS = "[...document.querySelectorAll('.tile .live-image')].map(i => i.dataset.key)"
USUAL = [
    "stem.virtual.adf",
    "stem.virtual.bf",
    "view.com.field_colour",
    "view.sum.mean",
]


def status_of(pipeline: str) -> dict[str, Any]:
    told = {"folder": "/nowhere", "phase": "running", "params": {}, "open": {}}
    return {**told, "pipeline": pipeline, "acquisitions": {}, "rates": {}}


def result(key: str, data: Any, kind: Any = "image", **more: Any) -> Result:
    chain, processor, name = key.split(".")
    now = time.time_ns()
    meta = {"acq": "scan-1", "chain": chain, "processor": processor, "params": 1}
    meta |= {"t_frame_ns": now, "t_published_ns": now, **more.pop("meta", {})}
    return Result(name, data, kind, frame=9, first=0, meta=meta, **more)


def scan_image(key: str, **more: Any) -> Result:
    axes = ("scan_y", "scan_x")
    data = np.arange(SCAN[0] * SCAN[1]).reshape(SCAN)
    return result(key, data, axes=axes, used=96, expected=96, **more)


def pattern(key: str, fill: int = 5, **more: Any) -> Result:
    data = np.full((16, 16), fill, np.uint16)
    return result(key, data, axes=("y", "x"), **more)


def frame_of(row: int, column: int, fill: int, acquisition: str = "scan-1") -> Result:
    meta = {"acq": acquisition, "scan": 0, "row": row, "column": column}
    return pattern("view.frame.frame", fill, used=1, expected=1, meta=meta)


def hear_a_scan(served: Dashboard) -> None:
    served.page.hear_status(status_of("a.toml"))
    for key in ("stem.virtual.bf", "stem.virtual.adf", "view.com.field"):
        served.page.hear(scan_image(key))
    colours = np.zeros((*SCAN, 3), np.uint8)
    axes = ("scan_y", "scan_x", "rgb")
    served.page.hear(result("view.com.field_colour", colours, axes=axes, used=96))
    for key in ("view.sum.sum", "view.sum.mean", "view.sum.max"):
        served.page.hear(pattern(key, used=96))


def shows(seen: Seen, keys: list[str]) -> None:
    seen.until(f"JSON.stringify({KEYS}) === JSON.stringify({keys})")


def painted(seen: Seen, count: int) -> None:
    seen.until(
        "document.querySelectorAll('.tile .live-image[data-number]').length === "
        f"{count}"
    )


def middle_of(seen: Seen, key: str, row: int, column: int) -> tuple[float, float]:
    """Return where a pixel of an image is on the screen."""
    box = seen.tab.locator(f".live-image[data-key='{key}'] .overlay")
    x, y = seen.tab.evaluate(
        """([svg, row, column]) => {
          const at = new DOMPoint(column, row).matrixTransform(svg.getScreenCTM());
          return [at.x, at.y];
        }""",
        [box.element_handle(), row, column],
    )
    return x, y


def says(seen: Seen, text: str) -> None:
    seen.tab.locator(".pattern", has_text=text).wait_for()


def until_told(seen: Seen, served: Dashboard, words: str) -> None:
    """Have the status come, as it does twice a second, until values are told."""
    while words not in served.page.topic("values")[1]:
        served.page.hear_status(status_of("a.toml"))
        seen.tab.wait_for_timeout(20)


def test_what_is_usually_worth_looking_at_is_shown_and_fits(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    shows(seen, USUAL)
    painted(seen, 4)
    for width, height in ((1366, 768), (3840, 2160)):
        seen.tab.set_viewport_size({"width": width, "height": height})
        seen.until(
            "(() => { const room = document.querySelector('.room');"
            "const end = room.getBoundingClientRect().bottom + 1;"
            "return [...room.children].every(tile => "
            "tile.getBoundingClientRect().bottom <= end) "
            "&& room.scrollHeight <= room.clientHeight "
            "&& [...room.querySelectorAll('.stage')].every("
            f"stage => stage.clientHeight > {height / 5}) }})()"
        )


def hear_many(served: Dashboard) -> None:
    """Say of as many images as are shown unasked."""
    served.page.hear_status(status_of("a.toml"))
    for key in ("stem.virtual.a", "stem.virtual.b", "stem.virtual.c", "stem.ssb.phase"):
        served.page.hear(scan_image(key, units="counts"))
    vectors = np.full((*SCAN, 2), -12.345, np.float32)
    axes = ("scan_y", "scan_x", "component")
    served.page.hear(result("stem.com.field", vectors, axes=axes, units="px", used=96))
    served.page.hear(pattern("stem.sum.mean", used=96))


BOXES = """(async () => {
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  for (let i = 0; i < 5; i += 1) await frame();
  return [...document.querySelectorAll(".tile .stage")].map((stage) => {
    const { x, y, width, height } = stage.getBoundingClientRect();
    return [x, y, width, height];
  });
})()"""


def test_what_opens_at_an_image_moves_no_picture_and_hides_no_readout(
    seen: Seen, served: Dashboard
) -> None:
    hear_many(served)
    painted(seen, 6)
    before = seen.tab.evaluate(BOXES)
    tile = seen.tab.locator("[data-key='stem.virtual.a']")
    for name, panel in (("contrast and", "contrast"), ("line profile", "profile")):
        tile.get_by_role("button", name=name).click()
        box = tile.locator(f".panels > .{panel}").bounding_box()
        foot = tile.locator(".foot").bounding_box()
        assert box["height"] > 20
        assert box["y"] + box["height"] <= foot["y"] + 1
    assert seen.tab.evaluate(BOXES) == before


def test_row_and_column_are_read_in_the_narrowest_of_four_columns(
    seen: Seen, served: Dashboard
) -> None:
    hear_many(served)
    painted(seen, 6)
    narrow = "all => all.forEach((tile) => (tile.style.width = '17rem'))"
    seen.tab.locator(".tile").evaluate_all(narrow)  # as four beside each other
    for key in ("stem.virtual.c", "stem.com.field", "stem.sum.mean"):
        seen.tab.mouse.move(*middle_of(seen, key, 6, 11))
        tile = seen.tab.locator(f".tile [data-key='{key}']")
        tile.get_by_text("row 6, col 11").wait_for()
        cut = "all => all.filter(one => one.scrollWidth > one.clientWidth).length"
        assert tile.locator(".readout span").evaluate_all(cut) == 0


def test_while_the_engine_starts_it_is_said_and_nothing_else_is_asked_for(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear_status({**status_of("a.toml"), "phase": "starting"})
    for view in ("Images", "Steering"):
        seen.view(view)
        place = seen.tab.locator(f"#view-{view.lower()}")
        place.get_by_text("the first start compiles kernels").first.wait_for()
        assert "No image" not in place.inner_text()
    served.page.hear_status(status_of("a.toml"))
    seen.tab.get_by_text("There is no pattern yet to draw on").wait_for()


def test_the_list_of_keys_has_those_of_titles_and_handles(seen: Seen) -> None:
    seen.view("Steering")
    seen.view("Images")
    seen.tab.keyboard.press("?")
    listed = seen.tab.locator("#keys").inner_text()
    assert "Titles of images" in listed
    assert "move the handle by 1 px or 1°" in listed


def test_curves_have_their_names_beside_the_plot(seen: Seen, served: Dashboard) -> None:
    meta = {"columns": ["r", "mean", "largest"], "units": ["px", "counts", "counts"]}
    rows = np.arange(30.0).reshape(10, 3)
    served.page.hear(result("c.r.profile", rows, "table", meta=meta))
    until_told(seen, served, "c.r.profile")
    plot = seen.tab.locator(".series-plot[data-key='c.r.profile']")
    plot.locator(".bk-Figure").wait_for()
    names = plot.locator(".names span").all_inner_texts()
    assert [name.strip().partition(" ")[0] for name in names] == ["mean", "largest"]


def test_the_choice_and_the_order_are_kept_for_the_pipeline(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    shows(seen, USUAL)
    seen.tab.get_by_role("button", name="Choose images").click()
    seen.tab.get_by_role("searchbox", name="search images").fill("max")
    seen.tab.locator(".chooser").get_by_role("checkbox").check()
    shows(seen, [*USUAL, "view.sum.max"])
    seen.tab.get_by_role("button", name="earlier: view.sum.max").press("Enter")
    seen.tab.get_by_role("button", name="take away stem.virtual.adf").click()
    seen.tab.keyboard.press("Escape")
    kept = [*USUAL[1:3], "view.sum.max", "view.sum.mean"]
    shows(seen, kept)
    seen.tab.reload()
    shows(seen, kept)
    served.page.hear_status(status_of("b.toml"))
    shows(seen, USUAL)


LOOK = """(() => {
  const tile = document.querySelector("[data-key='stem.virtual.bf']");
  return [tile.querySelector(".strip").parentElement.title,
          tile.querySelector(".overlay").getAttribute("viewBox").split(" ")[2]];
})()"""


NUMBERS = f"(([title, width]) => [title, Number(width)])({LOOK})"


def look(seen: Seen) -> list[Any]:
    """Return contrast and part shown; a little of it goes by the shape of the tile."""
    title, width = seen.tab.evaluate(NUMBERS)
    return [title, pytest.approx(width, rel=0.1)]


def test_contrast_colours_and_zoom_are_kept_over_a_reload_until_they_are_reset(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    painted(seen, 4)
    first = look(seen)
    tile = seen.tab.locator("[data-key='stem.virtual.bf']")
    tile.locator(".stage").press("c")
    tile.get_by_role("combobox", name="colours").select_option("magma")
    tile.get_by_label("gamma").fill("0.3")
    tile.locator(".stage").press("+")
    changed = look(seen)
    assert changed[0].startswith("magma, gamma 2")
    assert changed[1].expected < 0.85 * first[1].expected
    seen.tab.reload()
    painted(seen, 4)
    assert seen.tab.evaluate(NUMBERS) == changed
    seen.tab.get_by_role("button", name="Reset contrast").click()
    assert seen.tab.evaluate(NUMBERS) == first
    seen.tab.reload()
    painted(seen, 4)
    assert seen.tab.evaluate(NUMBERS) == first


@pytest.mark.parametrize(
    "kept",
    [
        "{",
        '{"version": 99, "entries": []}',
        '{"version": 1, "entries": [["stem.virtual.bf", {"contrast": {"gamma": 0}}]]}',
    ],
)
def test_what_cannot_be_read_of_what_was_kept_is_said_and_all_is_as_usual(
    seen: Seen, served: Dashboard, kept: str
) -> None:
    seen.tab.evaluate("text => localStorage.setItem('scopeside.looks', text)", kept)
    hear_a_scan(served)
    seen.tab.reload()
    painted(seen, 4)
    seen.tab.locator(".images-view .kept", has_text="contrast and zoom").wait_for()
    assert seen.tab.evaluate(LOOK)[0] == "gray, range follows"


def test_so_much_is_kept_and_no_more(seen: Seen) -> None:
    kept = seen.tab.evaluate(
        """async () => {
          const { looks } = await import("/js/image/looks.js");
          for (let k = 0; k < 70; k += 1) {
            looks.set(`a.b.${k}`, { view: { zoom: 2, centre: { row: 1, col: 1 },
                                            rows: 4, columns: 4 } });
            looks.flush();
          }
          return JSON.parse(localStorage.getItem("scopeside.looks")).entries
            .map(([key]) => key);
        }"""
    )
    assert (len(kept), kept[0], kept[-1]) == (64, "a.b.6", "a.b.69")


def test_an_image_is_moved_enlarged_and_taken_away_by_keyboard(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    shows(seen, USUAL)
    title = seen.tab.locator("[data-key='stem.virtual.bf'] .title")
    title.press("ArrowLeft")
    shows(seen, ["stem.virtual.bf", "stem.virtual.adf", *USUAL[2:]])
    assert title.evaluate("title => title === document.activeElement")
    title.press("Enter")
    seen.until("document.querySelectorAll('.tile:not([hidden])').length === 1")
    title.press("Escape")
    seen.until("document.querySelectorAll('.tile:not([hidden])').length === 4")
    title.press("Delete")
    shows(seen, USUAL[:1] + USUAL[2:])


def test_an_image_is_enlarged_by_a_double_click_and_moved_by_dragging(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    painted(seen, 4)
    seen.tab.locator("[data-key='stem.virtual.adf'] .title").drag_to(
        seen.tab.locator("[data-key='view.com.field_colour'] .title")
    )
    shows(seen, ["stem.virtual.bf", USUAL[2], "stem.virtual.adf", USUAL[3]])
    seen.tab.locator("[data-key='stem.virtual.adf'] .title").dblclick()
    seen.until("document.querySelectorAll('.tile:not([hidden])').length === 1")


def test_a_result_that_is_gone_says_so_and_comes_back(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    shows(seen, USUAL)
    seen.tab.locator("[data-key='stem.virtual.bf'] .title").press("ArrowLeft")
    served.page.attached(Path("another-engine"))
    served.page.hear(scan_image("stem.virtual.adf"))
    gone = seen.tab.locator(".tile[data-gone]", has_text="not there: no image")
    seen.until("document.querySelectorAll('.tile[data-gone]').length === 3")
    assert "stem.virtual.bf" in gone.first.inner_text()
    seen.tab.reload()
    seen.until("document.querySelectorAll('.tile[data-gone]').length === 3")
    served.page.hear(scan_image("stem.virtual.bf"))
    seen.until("document.querySelectorAll('.tile[data-gone]').length === 2")
    seen.tab.get_by_text("bf · stem.virtual").wait_for()


def test_pointing_at_a_position_shows_the_nearest_pattern_of_the_sample(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    served.page.hear(frame_of(2, 3, 7))
    served.page.hear(frame_of(6, 10, 8))
    painted(seen, 5)
    seen.tab.mouse.move(*middle_of(seen, "stem.virtual.bf", 2, 5))
    says(seen, "Pattern at row 2, column 3, 2 positions away from the one you point")
    says(seen, "2 positions of scan-1")
    seen.tab.mouse.move(*middle_of(seen, "stem.virtual.bf", 6, 10))
    says(seen, "Pattern at row 6, column 10, exactly the one you point at")
    marks = "document.querySelectorAll('.tile .overlay .position ellipse.over')"
    seen.until(f"[...{marks}].filter(c => c.cx.baseVal.value === 10).length === 3")


def test_positions_that_have_a_pattern_are_shown_when_they_are_asked_for(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    scan = {"shape": list(SCAN), "pattern": "raster"}
    known = {"acquisition": {"kind": "scan4d", "scan": scan}}
    served.page.hear_status({**status_of("a.toml"), "open": {"scan-1": known}})
    for column in (3, 4, 9):
        served.page.hear(frame_of(2, column, 7))
    painted(seen, 5)
    drawn = "document.querySelector('.tile .overlay path.where').getAttribute('d')"
    assert seen.tab.evaluate(drawn) is None
    box = seen.tab.get_by_role("checkbox", name="which positions have a pattern")
    box.check()
    says(seen, "3 of 96 positions in the sample")
    seen.until(f"{drawn} === 'M3 2h1M9 2h0'")
    box.uncheck()
    seen.until(f"{drawn} === null")


def test_a_frame_of_the_recording_of_a_movie_is_chosen_by_its_number(
    seen: Seen, served: Dashboard, tmp_path: Path
) -> None:
    run = Recording(tmp_path / "m1", movie()).add(batch(*range(10)))
    known = {"acquisition": movie().to_dict()}
    record = {"open": {"m1": {"folder": str(run.folder)}}}
    status = {**status_of("a.toml"), "open": {"m1": known}, "record": record}
    served.page.hear_status(status)
    panel = seen.tab.locator(".recorded")
    number = panel.get_by_label("number of the frame")
    seen.until("document.querySelector('.recorded input').max === '9'")
    number.fill("7")
    panel.get_by_text("Frame 7 of the recording of m1").wait_for()
    assert panel.locator(".live-image").is_visible()
    assert "log" not in panel.locator(".colour-bar").inner_text()  # as an image is
    assert panel.locator("input.range").input_value() == "7"
    number.fill("12")
    panel.get_by_text("it is frame 12, and 10 frames are recorded so far").wait_for()
    run.close()


def test_a_click_keeps_a_position_and_a_new_acquisition_is_asked_for_it(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    served.page.hear(frame_of(2, 3, 7))
    painted(seen, 5)
    seen.tab.mouse.click(*middle_of(seen, "stem.virtual.bf", 2, 3))
    says(seen, "exactly the one")
    seen.tab.mouse.move(*middle_of(seen, "stem.virtual.adf", 7, 11))
    seen.until("document.querySelector('.pattern[data-pinned]') !== null")
    says(seen, "row 2, column 3")
    # The others stand still while one is large: they do not say what is new.
    seen.tab.locator("[data-key='stem.virtual.bf'] .title").press("Enter")
    served.page.hear(frame_of(2, 4, 9, "scan-2"))
    for key in ("stem.virtual.bf", "stem.virtual.adf"):
        served.page.hear(scan_image(key, meta={"acq": "scan-2"}))
    says(seen, "Pattern at row 2, column 4, 1 position away")
    seen.tab.keyboard.press("Escape")
    seen.until("document.querySelectorAll('.tile:not([hidden])').length > 1")
    seen.tab.keyboard.press("Escape")
    seen.until("document.querySelector('.pattern[data-pinned]') === null")


def test_a_position_is_picked_by_keyboard(seen: Seen, served: Dashboard) -> None:
    hear_a_scan(served)
    served.page.hear(frame_of(0, 1, 7))
    painted(seen, 5)
    stage = seen.tab.locator("[data-key='stem.virtual.bf'] .stage")
    stage.focus()
    for key in ("Shift+ArrowUp", "Shift+ArrowLeft", "ArrowRight", "Enter"):
        seen.tab.keyboard.press(key)
    says(seen, "Pattern at row 0, column 1, exactly the one")
    seen.until("document.querySelector('.pattern[data-pinned]') !== null")


def test_without_a_pattern_it_is_said_how_to_get_one(
    seen: Seen, served: Dashboard
) -> None:
    hear_a_scan(served)
    painted(seen, 4)
    seen.tab.mouse.move(*middle_of(seen, "stem.virtual.bf", 1, 1))
    says(seen, "no pattern at row 1, column 1")
    says(seen, "record the run ([record] in the pipeline file)")


def test_numbers_tables_and_series_are_shown_with_their_units(
    seen: Seen, served: Dashboard
) -> None:
    page = served.page
    page.hear(result("c.p.radius", 3.25, "scalar", units="px", used=10, expected=20))
    series = np.array([1.0, 5.0, np.nan, 2.0])
    page.hear(result("c.r.profile", series, "series", units="counts", axes=("bin",)))
    until_told(seen, served, "c.r.profile")
    row = seen.tab.locator("[data-key='c.p.radius']")
    row.get_by_text("3.25 px").wait_for()
    row.get_by_text("10 of 20 frames, to 9").wait_for()
    seen.tab.locator(".series-plot[data-key='c.r.profile'] .bk-Figure").wait_for()
    seen.tab.get_by_role("button", name="plot c.r.profile").click()
    seen.until("document.querySelector('.series-plot') === null")
    page.hear(result("c.p.radius", None, "event", valid=False, reason="no counts"))
    until_told(seen, served, "no counts")
    row.get_by_text("invalid: no counts").wait_for()
