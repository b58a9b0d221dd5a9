"""In situ: marks lie where things are, plots share one time, events can be followed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.browser.seen import Seen

from scopeside.dashboard.parts import Dashboard
from scopeside.result import Result

pytestmark = pytest.mark.browser

BEGIN_NS = 1_795_000_000_000_000_000
FRAME_S = 0.5
SHAPE = (40, 60)
CENTRE = """(pane) => {
  const path = document.querySelector(`${pane} .marker path`);
  const box = path.getBoundingClientRect();
  const at = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2);
  const { x, y } = at.matrixTransform(path.ownerSVGElement.getScreenCTM().inverse());
  return [Math.round(10 * y) / 10, Math.round(10 * x) / 10];
}"""
"""Row and column, in pixels of the image, of the first marker of a pane."""
WINDOWS = """[...document.querySelectorAll('#view-insitu [data-start]')]
  .map((plot) => `${plot.dataset.start} ${plot.dataset.end}`)"""
"""What the plots in sight show."""


class Movie:
    """Says what an engine would say of a movie."""

    def __init__(self, board: Dashboard) -> None:
        self.board = board

    def status(self, **beside: Any) -> None:
        calibration = {"frame_time_s": FRAME_S, "pixel_size_m": 2e-9}
        about = {"started_ns": BEGIN_NS, "calibration": calibration}
        opened = {"a": {"state": "running", "acquisition": about}}
        self.board.page.hear_status(
            {
                "phase": "running",
                "rates": {"frames_per_s": 2.0},
                "open": opened,
                "acquisitions": {},
                **beside,
            }
        )

    def hear(self, name: str, data: Any, frame: int, **about: Any) -> None:
        t_ns = BEGIN_NS + round(frame * FRAME_S * 1e9)
        meta = {"acq": "a", "chain": "movie", "processor": "p", "t_frame_ns": t_ns}
        meta |= about.pop("meta", {})
        kind = about.pop("kind", "table")
        about |= {"frame": frame, "first": 0, "used": frame + 1}
        self.board.page.hear(Result(name, data, kind, meta=meta, **about))

    def table(self, name: str, rows: Any, frame: int, columns: Sequence[str]) -> None:
        meta = {"columns": list(columns), "processor": name}
        self.hear(name, np.array(rows, np.float64), frame, meta=meta)

    def drift(self, frame: int, dy: float, dx: float) -> None:
        meta = {"processor": "drift"}
        self.hear("drift", np.array([dy, dx]), frame, kind="series", meta=meta)

    def images(self, frame: int, dy: float, dx: float) -> None:
        pixels = np.arange(math.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
        self.hear("frame", pixels, frame, kind="image", meta={"processor": "frame"})
        meta = {"processor": "denoise", "coordinates": "specimen", "drift": [dy, dx]}
        self.hear("denoised", pixels, frame, kind="image", meta=meta)

    def nucleus(self, ident: int, frame: int, y: float, x: float) -> None:
        data = {
            "id": ident,
            "status": "confirmed",
            "y": y,
            "x": x,
            "radius_px": 3.0,
            "radius_error_px": 0.2,
            "birth_frame": frame - 2.0,
            "confidence": 0.93,
            "reason": "",
            "course": [[frame - 2.0, 0.0, 0.1], [float(frame), 3.0, 0.2]],
            "thumbnail": np.eye(5).tolist(),
        }
        meta = {"processor": "nucleation"}
        self.hear("nucleation", data, frame, kind="event", meta=meta)

    def dose(self, frame: int, total: float) -> None:
        columns = ("rate_e_per_A2_s", "cumulative_e_per_A2")
        self.table("dose", [[8.0, total]], frame, columns)


@pytest.fixture
def movie(served: Dashboard) -> Movie:
    one = Movie(served)
    one.status()
    return one


def open_with_a_nucleus(seen: Seen, movie: Movie) -> None:
    movie.drift(0, 0.0, 0.0)
    movie.drift(20, 1.0, 2.0)
    movie.dose(20, 30.0)
    movie.images(20, 1.0, 2.0)
    movie.nucleus(7, 20, 10.0, 20.0)
    movie.status()
    seen.view("In situ")
    seen.until("document.querySelectorAll('#view-insitu .marker').length === 2")
    seen.until("document.querySelectorAll('#view-insitu [data-start]').length > 3")


def test_marks_lie_where_things_are_in_both_views_and_move_with_the_content(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    assert seen.tab.evaluate(CENTRE, ".raw") == [10.0, 20.0]
    assert seen.tab.evaluate(CENTRE, ".corrected") == [9.0, 18.0]
    movie.drift(30, 4.0, 7.0)
    movie.images(30, 4.0, 7.0)
    movie.status()
    seen.until(
        "document.querySelector('.raw .insitu-markers').dataset.shift[0] === '4'"
    )
    assert seen.tab.evaluate(CENTRE, ".raw") == [13.0, 25.0]
    assert seen.tab.evaluate(CENTRE, ".corrected") == [9.0, 18.0]


def test_an_event_is_listed_with_its_picture_and_chosen_everywhere(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    entry = seen.tab.locator("#view-insitu .event")
    assert "nucleus 7 · confirmed" in entry.inner_text()
    assert "93 %" in entry.inner_text()
    assert "r 6 nm" in entry.inner_text()
    seen.until("document.querySelector('.event canvas').width === 5")
    entry.click()
    seen.until("document.querySelectorAll('.marker.chosen').length === 2")
    detail = seen.tab.locator("#view-insitu .detail").inner_text()
    assert "at (9.0, 18.0) px of frame 0" in detail
    assert "radius 6 ± 0.40 nm" in detail
    seen.tab.get_by_role("button", name="Choose none").click()
    seen.until("document.querySelectorAll('.marker.chosen').length === 0")


def test_a_click_on_a_mark_chooses_its_event(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    box = seen.tab.locator(".corrected .marker path").bounding_box()
    seen.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    seen.until("document.querySelector('.event').ariaPressed === 'true'")


def test_all_plots_show_the_same_time_however_it_is_changed(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    seen.until(f"new Set({WINDOWS}).size === 1")
    (whole,) = set(seen.tab.evaluate(WINDOWS))
    assert whole.startswith("0.000 ")
    box = seen.tab.locator("#view-insitu .row .plot").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    seen.tab.mouse.move(box["x"] + 0.4 * box["width"], middle)
    seen.tab.mouse.down()
    seen.tab.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=4)
    seen.tab.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=4)
    seen.tab.mouse.up()
    seen.until(f"new Set({WINDOWS}).size === 1 && {WINDOWS}[0] !== '{whole}'")
    zoomed = seen.tab.evaluate(WINDOWS)[0]
    seen.tab.get_by_role("button", name="▶").click()
    seen.until(f"new Set({WINDOWS}).size === 1 && {WINDOWS}[0] !== '{zoomed}'")
    seen.tab.get_by_role("button", name="All", exact=True).click()
    seen.until(f"new Set({WINDOWS}).size === 1 && {WINDOWS}[0] === '{whole}'")


def test_the_time_axis_lies_under_the_plots(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    sides = """(where) => {
      const { left, right } = document.querySelector(where).getBoundingClientRect();
      return [left, right];
    }"""
    seen.until("document.querySelector('.axis .bk-Figure')")
    axis = seen.tab.evaluate(sides, ".axis .bk-Figure")
    assert axis == seen.tab.evaluate(sides, ".row .bk-Figure")


def test_the_newest_is_followed_until_somebody_looks_elsewhere(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    seen.tab.get_by_role("button", name="Follow live").click()
    movie.drift(1000, 1.0, 2.0)
    movie.status()
    seen.until(f"Number({WINDOWS}[0].split(' ')[1]) > 500")
    seen.tab.get_by_role("button", name="◀").click()
    still = seen.tab.evaluate(WINDOWS)[0]
    movie.drift(2000, 5.0, 2.0)
    movie.status()
    row = "document.querySelector('[data-row^=drift]')"
    seen.until(f"{row}.innerText.includes('10 nm')")
    assert seen.tab.evaluate(WINDOWS)[0] == still
    pressed = seen.tab.locator("[data-do=live]").get_attribute("aria-pressed")
    assert pressed == "false"


def test_a_stretch_without_data_says_so_and_has_no_heights(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    says = "[...document.querySelectorAll('#view-insitu .nothing:not([hidden])')]"
    before = seen.tab.evaluate(f"{says}.length")
    seen.tab.locator("#view-insitu .scroll").focus()
    for _ in range(20):  # far beyond the newest
        seen.tab.keyboard.press("ArrowRight")
    seen.until(f"{says}.length > {before} && {says}.length > 2")
    assert seen.tab.evaluate(f"{says}[0].textContent") == "no data in this stretch"
    seen.tab.keyboard.press("Home")
    seen.until(f"{says}.length === {before}")


def test_a_row_is_folded_by_its_name_and_stays_so(
    seen: Seen, movie: Movie, served: Dashboard
) -> None:
    open_with_a_nucleus(seen, movie)
    row = seen.tab.locator("[data-row^=drift]")
    name = row.get_by_role("button")
    name.press("Enter")
    assert row.locator(".plot").is_hidden()
    assert "nm" in row.locator(".legend").inner_text()
    seen.tab.reload()
    seen.view("In situ")
    row.wait_for()
    assert name.get_attribute("aria-expanded") == "false"
    name.click()
    assert row.locator(".plot").is_visible()


def test_four_rows_of_plots_and_more_are_seen_at_once(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    whole = """() => {
      const box = (one) => one.getBoundingClientRect();
      const { top } = box(document.querySelector('#view-insitu .axis'));
      const rows = [...document.querySelectorAll('#view-insitu .row')];
      return rows.filter((one) => box(one).bottom <= top + 1).length;
    }"""
    assert seen.tab.evaluate(whole) >= 4


def test_a_dose_beyond_its_budget_is_marked_in_words(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    row = "document.querySelector('[data-row^=dose]')"
    account = {"here_e_per_A2": 33.0, "budget_e_per_A2": 100.0}
    movie.status(control={"dose": account})
    seen.until(f"{row}.innerText.includes('33 % of the budget of a place, 100 e⁻/Å²')")
    assert seen.tab.evaluate(f"{row}.hasAttribute('data-beyond')") is False
    movie.dose(21, 101.0)
    movie.status(control={"dose": account})
    seen.until(f"{row}.innerText.includes('BEYOND: 101 %')")
    assert seen.tab.evaluate(f"{row}.hasAttribute('data-beyond')") is True


def test_without_a_picture_it_is_said_how_to_get_one(seen: Seen, movie: Movie) -> None:
    movie.drift(3, 0.0, 0.0)
    movie.status()
    seen.view("In situ")
    seen.until("document.querySelector('[data-row^=drift]')")
    assert 'kind = "frame"' in seen.tab.locator(".raw .help").inner_text()
    assert 'coordinates = "specimen"' in seen.tab.locator(".corrected").inner_text()


def test_a_view_that_is_not_seen_asks_for_nothing(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    seen.view("Health")
    asked: list[str] = []
    seen.tab.on("request", lambda request: asked.append(request.url))
    movie.images(40, 0.0, 0.0)
    movie.drift(40, 0.0, 0.0)
    movie.status(note="a last one")
    seen.until("window.scopeside.live.last('status').note === 'a last one'")
    assert [url for url in asked if "insitu" in url] == []


def test_marks_that_are_behind_the_movie_say_so(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    lag = "document.querySelector('#view-insitu .lag').innerText"
    assert seen.tab.evaluate(lag) == ""
    movie.images(100, 5.0, 5.0)
    painted = "document.querySelector('.raw .insitu-markers').dataset.shift"
    seen.until(f"{painted} === '5.00 5.00'")  # the drift that the view has found
    seen.until(f"{lag}.includes('80 frames behind the movie')")


def test_a_result_with_an_uncertainty_has_a_band_that_its_legend_names(
    seen: Seen, movie: Movie
) -> None:
    columns = ("id", "y", "x", "radius_px")
    for frame in (10, 20):
        rows = [[k, 1.0, 1.0, radius] for k, radius in enumerate((1, 2, 3, 4, 5))]
        movie.table("tracks", rows, frame, columns)
    open_with_a_nucleus(seen, movie)
    row = "document.querySelector('[data-row^=radius]')"
    seen.until(f"{row}.innerText.includes('6 (4–8) nm')")  # half of 2 to 10 nm
    item = seen.tab.locator("[data-row^=radius] li[data-band]")
    assert "median, quartiles" in item.inner_text()
    without = seen.tab.locator("[data-row^=rate] li:visible")
    assert "±" not in without.inner_text()
    assert without.get_attribute("data-band") is None


def test_rows_that_are_not_chosen_are_not_shown_also_after_a_reload(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    drift = seen.tab.locator("#view-insitu .row[data-row^=drift]")
    drift.wait_for()
    seen.tab.locator(".row-choice summary").press("Enter")
    seen.tab.locator(".rows-panel input").first.press("Space")
    drift.wait_for(state="detached")
    seen.tab.keyboard.press("Escape")
    assert seen.tab.locator(".rows-panel").is_hidden()
    seen.tab.reload()
    seen.view("In situ")
    seen.until("document.querySelectorAll('#view-insitu .row').length > 1")
    assert drift.count() == 0
    assert "of" in seen.tab.locator(".row-choice summary").inner_text()


def test_the_bar_under_the_movie_gives_the_plots_more_room_by_key_and_by_mouse(
    seen: Seen, movie: Movie
) -> None:
    open_with_a_nucleus(seen, movie)
    height = "document.querySelector('#view-insitu .plots').clientHeight"
    before = seen.tab.evaluate(height)
    bar = seen.tab.locator("#view-insitu .divider")
    bar.press("ArrowUp")
    seen.until(f"{height} > {before}")
    higher = seen.tab.evaluate(height)
    box = bar.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen.tab.mouse.move(x, y)
    seen.tab.mouse.down()
    seen.tab.mouse.move(x, y + 60, steps=3)
    seen.tab.mouse.up()
    seen.until(f"{height} < {higher}")
    bar.dblclick()
    seen.until(f"{height} === {before}")


def test_where_nothing_came_for_long_a_line_has_a_gap(seen: Seen, movie: Movie) -> None:
    open_with_a_nucleus(seen, movie)
    torn = """async () => {
      const { gapsOf, bandsOf } = await import("/js/insitu/bands.js");
      const t = [0, 1, 2, 3, 4, 5, 6, 7, 60, 61, 62];
      const [low, high] = [t.map(() => 1), t.map((at) => (at === 61 ? NaN : 2))];
      const { x } = bandsOf({ t, low, high }, 0, 99, 1000, gapsOf({ t }));
      return [gapsOf({ t }), x.map((one) => [Math.min(...one), Math.max(...one)])];
    }"""
    assert seen.tab.evaluate(torn) == [[60], [[0, 7]]]
