"""The live image: what is on the canvas is what was measured, and it says how it is."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser.seen import Seen

from scopeside.dashboard.closer import Closer
from scopeside.dashboard.page import Page
from scopeside.dashboard.plain import plain
from scopeside.dashboard.scale import Scales
from scopeside.dashboard.server import Server
from scopeside.dashboard.shelf import Shown
from scopeside.result import Result, invalid

pytestmark = pytest.mark.browser

KEY = "stem.virtual.bf"
SCAN = ("scan_y", "scan_x")
MAKE = """async ([key, options]) => {
  const { LiveImage } = await import("/js/image/live_image.js");
  const image = new LiveImage(window.scopeside, { key, ...options });
  const box = document.createElement("div");
  box.style.cssText = "position:fixed;inset:60px auto auto 0;width:320px;z-index:9;" +
    "background:var(--bg)";
  box.className = "tried";
  box.append(image.element);
  if (window.image) box.style.left = "400px";
  document.body.append(box);
  image.show();
  [window.image, window.other] = [image, window.image];
}"""
CANVAS = """(() => {
  const { canvas } = window;
  const found = image.element.querySelector("canvas");
  const { width, height } = found;
  return [...found.getContext("2d").getImageData(0, 0, width, height).data];
})()"""


CLEAR = """(() => {
  for (const one of [window.image, window.other]) one?.hide();
  localStorage.clear(); // how these were looked at
  for (const box of document.querySelectorAll("body > div.tried")) box.remove();
  window.image = window.other = window.told = null;
})()"""
LISTEN = "(name) => image.addEventListener(name, (e) => { window.told = e.detail })"
AT = "([x, y]) => image.toImage(x, y)"
BOX = "image.overlay.getAttribute('viewBox').split(' ').map(Number)"


class Fed:
    """An image of a tab, and what its page hears."""

    def __init__(self, seen: Seen, page: Page) -> None:
        self.seen, self.tab, self.page = seen, seen.tab, page

    def make(self, key: str = KEY, **options: Any) -> None:
        """Put an image into the page."""
        self.tab.evaluate(MAKE, [key, options])

    def hear(self, data: Any, name: str = "bf", **about: Any) -> None:
        """Have the page hear a result, and wait until it is on the screen."""
        now = time.time_ns()
        meta = {
            "acq": "scan-1",
            "chain": "stem",
            "processor": "virtual",
            "params": 1,
            "t_frame_ns": now,
            "t_published_ns": now,
        }
        meta |= about.pop("meta", {})
        stands_on = {"frame": 9, "first": 0, "used": 10, "expected": 16}
        self.say(Result(name, data, meta=meta, **{**stands_on, **about}))

    def say(self, result: Result) -> None:
        """Have the page hear a result as it is."""
        self.page.hear(result)
        key = f"stem.virtual.{result.name}"
        shown = self.page.shelf.get(key)
        assert shown is not None
        place = f"body > div [data-key='{key}'][data-number='{shown.number}']"
        self.seen.until(f'document.querySelector("{place}")')

    def status(self, **calibration: Any) -> None:
        """Have the page hear how large a pixel is."""
        known = {"kind": "scan4d", "calibration": calibration}
        self.page.hear_status(
            {"open": {"scan-1": {"acquisition": known}}, "acquisitions": {}}
        )

    @property
    def canvas(self) -> np.ndarray:
        """Pixels of the canvas, (rows, columns, 4)."""
        rows, columns = self.tab.evaluate("[image.rows, image.columns]")
        pixels = self.tab.evaluate(CANVAS)
        return np.array(pixels, np.uint8).reshape(rows, columns, 4)

    def contrast(self, **settings: Any) -> None:
        """Set the contrast, as its panel does."""
        self.tab.evaluate("settings => { image.contrast = settings }", settings)

    def words(self, part: str) -> str:
        """Return the text of a part of the image."""
        return self.tab.evaluate(
            "part => image.element.querySelector(part).textContent", part
        )

    def focus(self) -> None:
        """Put the keyboard on the image."""
        self.tab.evaluate("image.element.querySelector('.stage').focus()")


@pytest.fixture(scope="module")
def opened(chromium: Any) -> Iterator[Fed]:
    """One tab for all: to load the page takes longer than most of these tests."""
    page = Page()
    scales = Scales(page)
    closer = Closer(page)

    def beside(one: Shown) -> dict[str, Any]:
        closer.keep(one)
        return {"meta": plain(one.result.meta), "pixel": scales.of(one)}

    server = Server(page, 0, "tests", beside)
    server.start()
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    seen = Seen(tab)
    tab.goto(server.address_to_change)
    seen.until("window.scopeside?.live.state === 'open'")
    seen.view("Health")  # no images of other views
    yield Fed(seen, page)
    tab.close()
    server.close()


@pytest.fixture
def fed(opened: Fed) -> Iterator[Fed]:
    opened.page.shelf.clear()
    opened.page.hear_status({"open": {}, "acquisitions": {}})
    opened.seen.until("!scopeside.live.last('scales')?.['scan-1']")
    yield opened
    opened.tab.evaluate(CLEAR)
    assert opened.seen.complaints == []


@pytest.mark.parametrize("dtype", ["u1", "u2", "i8", "f4"])
def test_the_canvas_holds_the_colours_of_the_map(fed: Fed, dtype: str) -> None:
    fed.make()
    fed.hear(np.array([[0, 100], [200, 255]], dtype))
    fed.contrast(held=True, low=0, high=200, map="viridis")
    # viridis begins at #440154, has #21918c in its middle and ends at #fde725.
    expected = [[68, 1, 84], [33, 145, 140], [253, 231, 37], [253, 231, 37]]
    found = fed.canvas.reshape(4, 4)[:, :3].astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_what_was_not_seen_is_transparent_over_a_hatching(fed: Fed, dtype: str) -> None:
    fed.make()
    fed.hear(np.array([[0, 7, 0]], dtype), mask=np.array([[True, True, False]]))
    assert fed.canvas[0, :, 3].tolist() == [255, 255, 0]
    hatching = fed.tab.evaluate(
        "getComputedStyle(image.element.querySelector('.hatch')).backgroundImage"
    )
    assert "repeating-linear-gradient" in hatching


def test_gamma_and_logarithm_bend_between_the_same_ends(fed: Fed) -> None:
    fed.make()
    fed.hear(np.array([[0, 15, 255]], np.uint8))
    fed.contrast(held=True, low=0, high=255, gamma=0.5)
    bent = fed.canvas[0, :, 0].tolist()
    fed.contrast(gamma=1, log=True)
    logarithmic = fed.canvas[0, :, 0].tolist()
    # 255 · (15/255)^0.5 = 62; log 16 / log 256 is one half.
    assert (bent[0], bent[2], logarithmic[0], logarithmic[2]) == (0, 255, 0, 255)
    assert abs(bent[1] - 62) <= 1
    assert abs(logarithmic[1] - 127.5) <= 1


def test_the_range_follows_the_percentiles_unless_it_is_held(fed: Fed) -> None:
    fed.make()
    fed.hear(np.arange(1001, dtype=np.int64).reshape(7, 143))
    follows = fed.tab.evaluate("image.range")
    fed.contrast(held=True, low=10, high=20)
    fed.hear(5000 + np.arange(1001, dtype=np.int64).reshape(7, 143))
    held = fed.tab.evaluate("image.range")
    assert (follows["low"], follows["high"]) == (5, 995)
    assert (held["low"], held["high"]) == (10, 20)


def test_signed_values_have_a_diverging_map_with_nought_in_the_middle(fed: Fed) -> None:
    fed.make()
    fed.hear(np.linspace(-1, 3, 99).reshape(9, 11), units="rad")
    signed = fed.tab.evaluate("image.range")
    fed.hear(np.linspace(-1, 3, 99).reshape(9, 11), units="counts")
    counts = fed.tab.evaluate("image.range")
    assert signed["map"] == "coolwarm"
    assert signed["low"] == -signed["high"]
    assert counts["map"] == "gray"


def test_the_hue_of_a_vector_is_its_direction(fed: Fed) -> None:
    fed.make()
    up, down, left, right = (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)
    fed.hear(np.array([[right, down, left, up]]), axes=(*SCAN, "yx"), units="mrad")
    # As docs/processors/com.md says: red, 90°, cyan, 270°.
    expected = [[255, 0, 0], [128, 255, 0], [0, 255, 255], [127, 0, 255]]
    found = fed.canvas[0, :, :3].astype(int)
    assert np.abs(found - expected).max() <= 1
    assert fed.words(".colour-bar") == "0 to 1 mrad"


def test_the_page_paints_vectors_as_the_processors_do(fed: Fed) -> None:
    colour = pytest.importorskip("scopeside_processors.stem.colour")
    rng = np.random.default_rng(3)
    field = rng.normal(size=(8, 9, 2))
    fed.make()
    fed.hear(field, axes=(*SCAN, "yx"))
    fed.contrast(held=True, low=0, high=2)
    found = fed.canvas[..., :3].astype(int)
    assert np.abs(found - colour.wheel(field, 2.0)).max() <= 1


def test_vectors_far_from_nought_are_counted_from_their_median_and_it_says_so(
    fed: Fed,
) -> None:
    fed.make()
    field = np.full((3, 3, 2), 64.0)
    field[0, 0] += (0, 1)
    fed.hear(field, axes=(*SCAN, "yx"), units="px")
    assert fed.words(".colour-bar").endswith("px from (64, 64)")


def test_colours_of_a_processor_are_shown_as_they_are_with_their_scale(
    fed: Fed,
) -> None:
    fed.make()
    meta = {"scale": 1.5, "scale_units": "mrad"}
    fed.hear(np.array([[[1, 2, 3]]], np.uint8), axes=(*SCAN, "rgb"), meta=meta)
    assert fed.canvas.tolist() == [[[1, 2, 3, 255]]]
    assert fed.words(".colour-bar") == "0 to 1.5 mrad"


def test_a_colour_that_was_not_seen_is_not_read_as_black(fed: Fed) -> None:
    fed.make()
    fed.hear(
        np.array([[[0, 0, 0], [1, 2, 3]]], np.uint8),
        axes=(*SCAN, "rgb"),
        mask=np.array([[[False] * 3, [True] * 3]]),
    )
    fed.focus()
    fed.tab.keyboard.press("ArrowLeft")
    assert fed.words(".readout").startswith("not seen yet")
    fed.tab.keyboard.press("ArrowRight")
    assert fed.words(".readout").startswith("red 1, green 2, blue 3")


def test_the_value_under_the_cursor_is_exact(fed: Fed) -> None:
    fed.make()
    large = (1 << 62) + 1
    fed.hear(np.array([[large, large + 300]], np.int64), units="counts")
    fed.focus()
    fed.tab.keyboard.press("ArrowRight")
    fed.tab.keyboard.press("ArrowRight")
    assert fed.words(".readout").startswith("4,611,686,018,427,388,205 counts")


def test_arrows_move_the_cursor_and_enter_picks(fed: Fed) -> None:
    fed.make()
    fed.hear(np.arange(1600, dtype=np.int64).reshape(40, 40))
    fed.tab.evaluate(LISTEN, "pick")
    fed.focus()
    for key in ("ArrowDown", "Shift+ArrowRight", "Enter"):
        fed.tab.keyboard.press(key)
    # From the middle, 19.5, which rounds to 20.
    assert fed.tab.evaluate("window.told") == {"row": 21, "col": 30}


def test_a_click_picks_the_pixel_under_it(fed: Fed) -> None:
    fed.make()
    fed.hear(np.arange(64, dtype=np.int64).reshape(8, 8))
    fed.tab.evaluate(LISTEN, "pick")
    box = fed.tab.locator("body > div.tried .stage").bounding_box()
    fed.tab.mouse.click(box["x"] + 5.5 * box["width"] / 8, box["y"] + 5)
    assert fed.tab.evaluate("window.told") == {"row": 0, "col": 5}


def test_zoom_keeps_what_lies_under_the_pointer_and_the_overlay_follows(
    fed: Fed,
) -> None:
    fed.make()
    fed.hear(np.zeros((64, 64), np.uint8))
    box = fed.tab.locator("body > div.tried .stage").bounding_box()
    x, y = round(box["x"]) + 100, round(box["y"]) + 50
    before = fed.tab.evaluate(AT, [x, y])
    fed.tab.mouse.move(x, y)
    fed.tab.mouse.wheel(0, -500)
    fed.seen.until("image.pxPerUnit > 6")
    after = fed.tab.evaluate(AT, [x, y])
    corner = fed.tab.evaluate(AT, [box["x"], box["y"]])
    shown = fed.tab.evaluate(
        "image.overlay.getAttribute('viewBox').split(' ').map(Number)"
    )
    assert after == pytest.approx(before)
    assert shown[:2] == pytest.approx([corner["col"], corner["row"]])
    fed.focus()
    fed.tab.keyboard.press("0")
    assert fed.tab.evaluate("image.pxPerUnit") == pytest.approx(5)


def test_the_scale_bar_comes_with_the_calibration_and_counts_pixels_before(
    fed: Fed,
) -> None:
    fed.make()
    fed.hear(np.zeros((64, 64), np.uint8), axes=SCAN)
    unknown = fed.words(".scale-bar")
    fed.status(scan_step_m=[5e-10, 5e-10])
    fed.seen.until("image.element.querySelector('.scale-bar').textContent === '5 nm'")
    width = fed.tab.evaluate(
        "image.element.querySelector('.scale-bar .line').getBoundingClientRect().width"
    )
    assert unknown == "10 px"
    assert width == pytest.approx(50)  # 10 pixels of 5


def test_a_pattern_has_angles_and_frequencies(fed: Fed) -> None:
    fed.status(detector_rad_per_px=1e-3, beam_energy_eV=200e3, centre_px=[32, 32])
    fed.make()
    fed.hear(np.zeros((64, 64), np.uint8), axes=("y", "x"))
    fed.seen.until("image.header.pixel")
    fed.focus()
    fed.tab.keyboard.press("Shift+ArrowRight")
    assert fed.words(".scale-bar") == "10 mrad (3.99 1/nm)"
    assert "10 mrad (3.99 1/nm) from the centre" in fed.words(".readout")


def test_a_profile_is_drawn_by_keyboard(fed: Fed) -> None:
    fed.status(scan_step_m=[1e-9, 1e-9])
    fed.make()
    fed.hear(np.tile(np.arange(40), (40, 1)).astype(np.int64), axes=SCAN)
    fed.seen.until("image.header.pixel")
    fed.focus()
    for key in ("ArrowRight", "p", "Shift+ArrowRight"):
        fed.tab.keyboard.press(key)
    assert fed.words(".profile .fields").startswith("length 10 nm")
    assert "distance, nm" in fed.words(".plot")
    fed.tab.keyboard.press("Escape")
    assert fed.tab.locator("body > div.tried .panels .profile").is_hidden()


def test_a_profile_is_the_mean_of_what_was_seen_across_the_line(fed: Fed) -> None:
    fed.make()
    data = np.tile(np.arange(8.0), (3, 1)) + np.array([[0.0], [10.0], [50.0]])
    mask = np.ones(data.shape, bool)
    mask[:, 4] = False
    mask[2] = False
    fed.hear(data, mask=mask)
    found = fed.tab.evaluate(
        """async () => {
          const { alongLine } = await import("/js/image/profile.js");
          const ends = [{ row: 1, col: 1 }, { row: 1, col: 6 }];
          const pixel = { size: [1, 2], unit: "m" };
          return alongLine(image.values, ...ends, 3, pixel);
        }"""
    )
    assert found["distances"] == [0, 2, 4, 6, 8, 10]
    means = [None if m != m else m for m in found["means"]]  # noqa: PLR0124 - NaN
    assert means == [6, 7, 8, None, 10, 11]


def test_a_frozen_picture_stays_and_what_came_meanwhile_follows(fed: Fed) -> None:
    fed.make()
    fed.hear(np.array([[0, 1]], np.uint8))
    fed.focus()
    fed.tab.keyboard.press("f")
    badge = fed.words(".badge")
    number = fed.tab.evaluate("image.header.number")
    fed.page.hear(
        Result("bf", np.array([[7, 9]]), meta={"chain": "stem", "processor": "virtual"})
    )
    fed.seen.until(
        "image.element.querySelector('.badge').textContent.includes('newer')"
    )
    frozen = fed.tab.evaluate("[image.header.number, image.valueAt(0, 1)]")
    fed.tab.keyboard.press("f")
    fed.seen.until("image.valueAt(0, 1) === 9")
    assert badge.startswith("FROZEN since ")
    assert frozen == [number, 1]


def test_a_snapshot_says_in_the_file_what_it_is_of(fed: Fed) -> None:
    image = pytest.importorskip("PIL.Image")
    fed.status(scan_step_m=[5e-10, 5e-10])
    fed.make()
    fed.hear(np.arange(64, dtype=np.int64).reshape(8, 8), axes=SCAN, units="counts")
    fed.seen.until("image.header.pixel")
    fed.contrast(map="inferno", gamma=0.5)
    fed.focus()
    with fed.tab.expect_download() as waits:
        fed.tab.keyboard.press("s")
    saved = image.open(io.BytesIO(waits.value.path().read_bytes()))
    saved.load()
    said = json.loads(saved.text["scopeside"])
    assert waits.value.suggested_filename == "stem.virtual.bf_scan-1_frame9.png"
    assert saved.size == (512, 512)
    assert saved.text["Description"] == "10 of 16 frames of scan-1"
    kept = ("key", "acquisition", "frames_used", "frames_expected", "pixel_size")
    assert [said[name] for name in kept] == [KEY, "scan-1", 10, 16, [5e-10, 5e-10]]
    assert (said["contrast"]["map"], said["contrast"]["gamma"]) == ("inferno", 0.5)


def test_what_stops_is_greyed_and_says_its_age(fed: Fed) -> None:
    fed.make()
    old = {"t_frame_ns": time.time_ns() - 12_000_000_000}
    fed.hear(np.zeros((4, 4), np.uint8), meta=old)
    fed.seen.until("image.element.hasAttribute('data-stale')")
    assert fed.words(".notice").endswith(" s old")


def test_what_is_complete_is_not_greyed_and_says_what_is_missing(fed: Fed) -> None:
    fed.make()
    fed.make("stem.virtual.adf")
    final = {"final": True, "t_frame_ns": 1}
    fed.hear(np.zeros((4, 4), np.uint8), used=13, meta=final)
    fed.hear(np.zeros((4, 4), np.uint8), "adf")
    fed.seen.until("image.element.hasAttribute('data-stale')")  # 2 s later
    complete = fed.tab.evaluate(
        """[other.element.hasAttribute("data-stale"),
            other.element.querySelector(".state").textContent]"""
    )
    assert complete == [False, "complete, 3 frames missing"]


def test_frames_that_an_edge_lets_go_are_not_called_missing(fed: Fed) -> None:
    fed.make()
    account = {"dropped": {"superseded": 3, "sampled_out": 2, "source": 1}}
    ended = {"acquisition": {"kind": "scan4d"}, "edges": {"stem": account}}
    fed.page.hear_status({"open": {}, "acquisitions": {"scan-1": ended}})
    fed.hear(np.zeros((4, 4), np.uint8), used=11, meta={"final": True})
    fed.seen.until(
        "image.element.querySelector('.state').textContent === 'ended, 5 of 16 let go'"
    )
    fed.hear(np.zeros((4, 4), np.uint8), used=10, meta={"final": True})
    assert fed.words(".state") == "ended, 5 of 16 let go, 1 frame missing"


def test_a_picture_that_is_one_frame_says_which(fed: Fed) -> None:
    fed.make()
    fed.hear(np.zeros((4, 4), np.uint8), used=1, expected=1, frame=12_345)
    assert fed.words(".frames") == "frame 12,345"


def test_a_diffraction_pattern_begins_with_a_logarithm_and_goes_back_to_it(
    fed: Fed,
) -> None:
    fed.make()
    fed.hear(np.array([[0, 15, 255]], np.uint8), axes=("y", "x"))
    before = fed.tab.evaluate("image.contrast.log")
    fed.status()
    fed.seen.until("image.contrast.log")
    assert not before
    assert fed.words(".curve-said") == "log"
    fed.contrast(log=False, gamma=0.5)
    fed.hear(np.array([[0, 15, 255]], np.uint8), axes=("y", "x"))
    assert not fed.tab.evaluate("image.contrast.log")
    fed.tab.locator("body > div.tried .icon.contrast").click()
    fed.tab.locator("body > div.tried").get_by_role("button", name="as usual").click()
    assert fed.tab.evaluate("[image.contrast.log, image.contrast.gamma]") == [True, 1]


@pytest.mark.parametrize(("kind", "axes"), [("movie", ("y", "x")), ("scan4d", SCAN)])
def test_images_of_the_specimen_are_linear(
    fed: Fed, kind: str, axes: tuple[str, str]
) -> None:
    fed.make()
    known = {"acquisition": {"kind": kind, "calibration": {"pixel_size_m": 1e-9}}}
    fed.page.hear_status({"open": {"scan-1": known}, "acquisitions": {}})
    fed.seen.until("scopeside.live.last('status')?.open?.['scan-1']")
    fed.hear(np.array([[0, 15, 255]], np.uint8), axes=axes)
    assert not fed.tab.evaluate("image.contrast.log")
    assert fed.words(".curve-said") == ""


def test_a_result_that_fails_greys_the_last_picture_and_says_why(fed: Fed) -> None:
    fed.make()
    fed.hear(np.array([[5, 6]], np.uint8))
    meta = {"chain": "stem", "processor": "virtual", "acq": "scan-1"}
    fed.say(invalid("bf", "a pixel is not a number", meta=meta))
    assert fed.words(".notice") == "a pixel is not a number"
    assert fed.tab.evaluate("[image.valueAt(0, 0), image.header.valid]") == [5, True]
    assert fed.tab.evaluate("image.element.hasAttribute('data-invalid')")


def test_images_of_a_group_share_zoom_and_cursor(fed: Fed) -> None:
    fed.make(group="scan")
    fed.make("stem.virtual.adf", group="scan")
    fed.hear(np.zeros((32, 32), np.uint8))
    fed.hear(np.arange(1024).reshape(32, 32), "adf")
    fed.focus()
    for key in ("ArrowRight", "+", "+"):
        fed.tab.keyboard.press(key)
    same = fed.tab.evaluate(
        """[image, other].map((one) => [
             one.pxPerUnit,
             one.overlay.getAttribute("viewBox"),
             one.element.querySelector(".cross").getAttribute("d")])"""
    )
    assert same[0] == same[1]
    assert same[0][0] == pytest.approx(22.5)


def test_a_plane_is_chosen_in_the_tab(fed: Fed) -> None:
    fed.make("stem.virtual.classes")
    classes = np.arange(3)[:, None, None] + np.zeros((3, 4, 5), np.int64)
    fed.hear(classes, "classes", axes=("class", "y", "x"))
    first = fed.tab.evaluate("image.valueAt(0, 0)")
    fed.tab.locator("body > div.tried .planes select").select_option("2")
    fed.seen.until("image.valueAt(0, 0) === 2")
    assert first == 0


def wide(add: int = 0) -> np.ndarray:
    """Return an image that is too wide to be sent whole; every pixel is another."""
    return np.arange(300 * 4100, dtype=np.int64).reshape(300, 4100) + add


def zoom_in(fed: Fed) -> None:
    """Zoom to where a pixel of the image is larger than one of the screen."""
    fed.focus()
    for _ in range(9):
        fed.tab.keyboard.press("+")


def test_of_a_huge_image_coordinates_stay_those_of_the_image(fed: Fed) -> None:
    fed.make()
    fed.hear(wide(), units="counts")
    assert fed.tab.evaluate("[image.rows, image.columns]") == [300, 4100]
    mean = 4 * 4100 + 3001  # of rows 3 to 5, columns 3000 to 3002
    assert fed.tab.evaluate("image.valueAt(3, 3000)") == mean
    assert fed.tab.evaluate("image.values.text(3, 3000)").endswith(
        "counts (mean of 3 × 3)"
    )
    assert fed.words(".block") == "mean of 3 × 3 px"


def test_who_zooms_into_a_huge_image_sees_and_reads_every_pixel(fed: Fed) -> None:
    fed.make()
    fed.hear(wide(), units="counts")
    zoom_in(fed)
    fed.seen.until(
        "image.element.querySelector('.block').textContent === 'every pixel'"
    )
    fed.tab.keyboard.press("ArrowRight")
    at = fed.tab.evaluate("image.element.querySelector('.readout').textContent")
    # From the middle, row 149.5 and column 2049.5.
    assert at.startswith(f"{150 * 4100 + 2051:,} counts")
    assert not fed.tab.locator("body > div.tried canvas.finer").is_hidden()


def test_a_version_that_comes_while_one_is_close_comes_with_its_pixels(
    fed: Fed,
) -> None:
    fed.make()
    fed.hear(wide())
    zoom_in(fed)
    fed.seen.until("image.values.finer")
    fed.hear(wide(add=7))
    same = "image.values.finer.header.number === image.header.number"
    assert fed.tab.evaluate(same)
    assert fed.tab.evaluate("image.valueAt(150, 2050)") == 150 * 4100 + 2050 + 7


def test_what_is_frozen_can_be_looked_at_closely_when_others_have_come(
    fed: Fed,
) -> None:
    fed.make()
    fed.make()
    fed.hear(wide())
    fed.seen.until("image.header")  # the second, too, has painted it
    fed.focus()
    with fed.tab.expect_response("**/api/part*"):
        fed.tab.keyboard.press("f")
    for add in (1, 2, 3):
        fed.hear(wide(add))  # which the other one shows
    zoom_in(fed)
    fed.seen.until("image.values.finer")
    assert fed.tab.evaluate("image.valueAt(150, 2050)") == 150 * 4100 + 2050


def test_a_part_that_cannot_be_had_is_said_and_the_means_stay(fed: Fed) -> None:
    fed.make()
    fed.hear(wide())
    fed.page.shelf.clear()
    fed.page.attached(Path("another"))  # nothing is kept any more
    zoom_in(fed)
    fed.seen.until(
        "image.element.querySelector('.block').textContent.includes("
        "'no closer: this version of the picture is no longer kept')"
    )
    assert fed.words(".block").startswith("mean of 3 × 3 px")


def test_pixels_that_are_not_square_are_drawn_so_and_both_sizes_are_said(
    fed: Fed,
) -> None:
    fed.status(scan_step_m=[2e-9, 1e-9])
    fed.make()
    fed.hear(np.zeros((20, 40), np.uint8), axes=SCAN)
    fed.seen.until("image.header.pixel")
    box = fed.tab.locator("body > div.tried .stage").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(1, abs=0.01)  # 40 × 40 nm
    assert fed.words(".caption .pixel") == "pixel 2 nm high, 1 nm wide"
    assert fed.words(".scale-bar") == "10 nm across"
    bar = "image.element.querySelector('.scale-bar .line').getBoundingClientRect()"
    assert fed.tab.evaluate(f"{bar}.width") == pytest.approx(box["width"] / 4)
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 4]
    found = fed.tab.evaluate(AT, at)
    assert (found["row"], found["col"]) == pytest.approx((4.5, 19.5), abs=0.1)


def test_labels_have_colours_of_their_own_and_are_read_as_names(fed: Fed) -> None:
    fed.make("stem.virtual.labels")
    fed.hear(np.array([[0, 1, 22, -1]]), "labels", axes=SCAN)
    orange, blue = [230, 159, 0], [86, 180, 233]  # Okabe & Ito
    assert fed.canvas[0, :, :3].tolist() == [orange, blue, blue, [74, 74, 74]]
    assert fed.words(".colour-bar .names") == "none0122"
    words = [fed.tab.evaluate(f"image.values.text(0, {k})") for k in (1, 3)]
    assert words == ["label 1", "no label (−1)"]


def test_a_painted_image_says_when_it_was_on_the_screen(fed: Fed) -> None:
    fed.make()
    fed.tab.evaluate(LISTEN, "paint")
    fed.hear(np.zeros((4, 4), np.uint8))
    fed.seen.until("window.told")
    assert fed.tab.evaluate("window.told.t_painted_ms > window.told.t_frame_ms")
