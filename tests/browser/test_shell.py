"""What is always there: tabs, keys, theme, and how a tab that is cut off behaves."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from tests.browser.conftest import TOKEN
from tests.browser.seen import Seen
from tests.engine.well import changed, well

from scopeside.dashboard.live import Live
from scopeside.dashboard.parts import Dashboard
from scopeside.result import Result

pytestmark = pytest.mark.browser

VIEWS = ["Images", "Steering", "In situ", "Feedback", "Health"]
SELECTED = "document.querySelector('[role=tab][aria-selected=true]').textContent"
PAINTED = "scopeside.paints.summary()?.count"
SHOWN = "[...document.querySelectorAll('.view')].filter((v) => !v.hidden)"


def image(value: int) -> Result:
    now = time.time_ns()
    meta = {"acq": "scan-1", "chain": "stem", "processor": "virtual"}
    times = {"t_frame_ns": now, "t_published_ns": now}
    data = np.full((8, 8), value)
    return Result("bf", data, frame=9, first=0, used=10, meta=meta | times)


def hide(seen: Seen, hidden: bool) -> None:
    """Have the tab believe that nobody sees it."""
    seen.tab.evaluate(
        "(hidden) => { Object.defineProperty(document, 'hidden', "
        "{ value: hidden, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def only_tab(served: Dashboard) -> Live:
    (tab,) = served.server.tabs
    return tab


def test_every_view_is_reached_by_its_number_and_by_arrows(seen: Seen) -> None:
    for number, name in enumerate(VIEWS, 1):
        seen.tab.keyboard.press(str(number))
        assert seen.tab.evaluate(SELECTED) == name
        assert seen.tab.evaluate(f"{SHOWN}.length") == 1
    seen.tab.get_by_role("tab", name="Health").focus()
    for key, name in [
        ("ArrowRight", "Images"), ("ArrowLeft", "Health"), ("ArrowLeft", "Feedback"),
        ("Home", "Images"), ("End", "Health"),
    ]:  # fmt: skip
        seen.tab.keyboard.press(key)
        assert seen.tab.evaluate(SELECTED) == name
        assert seen.tab.evaluate("document.activeElement.textContent") == name


def test_only_the_tab_that_is_seen_is_a_stop_of_the_tab_key(seen: Seen) -> None:
    stops = "[...document.querySelectorAll('[role=tab]')].map((tab) => tab.tabIndex)"
    seen.view("Steering")
    assert seen.tab.evaluate(stops) == [-1, 0, -1, -1, -1]


def test_the_first_tab_key_offers_to_skip_to_the_view(seen: Seen) -> None:
    seen.tab.keyboard.press("5")
    seen.tab.keyboard.press("Tab")
    assert seen.tab.evaluate("document.activeElement.id") == "skip"
    assert seen.tab.locator("#skip").bounding_box()["y"] >= 0
    seen.tab.keyboard.press("Enter")
    assert seen.tab.evaluate("document.activeElement.id") == "view-health"


def test_a_question_mark_lists_all_keys_and_escape_closes_the_list(seen: Seen) -> None:
    seen.tab.evaluate(
        "void scopeside.keys.add('x', 'does x', () => 1, {where: 'Health'})"
    )
    seen.tab.keyboard.press("?")
    listed = seen.tab.locator("#keys").inner_text()
    for words in ("light or dark", "view: In situ", "does x", "Health"):
        assert words in listed
    seen.tab.keyboard.press("Escape")
    assert not seen.tab.locator("#keys").is_visible()


def test_a_key_works_in_its_view_and_not_while_somebody_types(seen: Seen) -> None:
    seen.tab.evaluate(
        "window.pressed = 0;"
        "scopeside.keys.add('x', 'x', () => { pressed += 1 }, {where: 'Health'});"
        "for (const type of ['text', 'range']) {"
        " const input = document.createElement('input'); input.type = type;"
        " document.getElementById('top').append(input); }"
    )
    seen.view("Images")
    seen.tab.keyboard.press("x")
    seen.view("Health")
    seen.tab.keyboard.press("Control+x")
    seen.tab.locator("#top input[type=text]").press("x")
    assert seen.tab.evaluate("pressed") == 0
    seen.tab.locator("#top input[type=range]").press("x")
    assert seen.tab.evaluate("pressed") == 1


def test_dark_is_the_default_and_light_is_kept(seen: Seen) -> None:
    theme = "document.documentElement.dataset.theme"
    assert seen.tab.evaluate(theme) == "dark"
    seen.tab.keyboard.press("t")
    assert seen.tab.evaluate(theme) == "light"
    seen.tab.reload()
    assert seen.tab.evaluate(theme) == "light"
    seen.tab.locator("#theme").click()
    assert seen.tab.evaluate(theme) == "dark"


def test_the_title_tells_how_it_is(seen: Seen, served: Dashboard) -> None:
    seen.until("document.title === '○ no engine – scopeside'")
    served.page.hear_status(well())
    seen.until("document.title === '● 100 frames/s – scopeside'")
    served.page.attached(None)
    seen.until("document.title.startsWith('■ ended at ')")
    served.page.hear_status(changed("folder", "/run/2"))
    seen.until("document.title === '● 100 frames/s – scopeside'")


def test_a_hidden_tab_wants_no_image_and_gets_one_when_it_is_seen_again(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear(image(1))
    seen.until(f"{PAINTED} === 1")
    hide(seen, True)
    while only_tab(served)._images:
        seen.tab.wait_for_timeout(10)
    served.page.hear(image(2))
    served.page.tell("health", {"t_ms": None, "ended_ms": 1.0, "sentences": []})
    seen.until("scopeside.standing.state === 'ended'")  # topics still come
    assert seen.tab.evaluate(PAINTED) == 1
    hide(seen, False)
    seen.until(f"{PAINTED} === 2")


def test_a_tab_that_is_cut_off_is_greyed_says_so_and_comes_back(
    chromium: Any, short_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    first = Dashboard(None, 0, TOKEN)
    first.server.start()
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    seen = Seen(tab)
    tab.goto(first.server.address_to_change)
    first.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    tab.evaluate("window.same = true")
    first.server.close()
    seen.until("document.documentElement.dataset.link === 'lost'")
    assert "grayscale" in tab.evaluate(f"getComputedStyle({SHOWN}[0]).filter")
    seen.until("document.getElementById('banner').innerText.includes('ended at')")
    second = Dashboard(None, first.server.port, TOKEN)
    second.server.start()
    seen.until("document.documentElement.dataset.link === 'open'")
    seen.until("scopeside.standing.state === 'none'")
    second.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    assert tab.evaluate("window.same")
    assert tab.evaluate(f"getComputedStyle({SHOWN}[0]).filter") == "none"
    tab.close()
    second.server.close()


def test_one_who_fails_on_what_is_told_keeps_nothing_from_the_others(
    seen: Seen, served: Dashboard
) -> None:
    seen.tab.evaluate(
        "() => scopeside.live.topic('status', () => { throw new Error('one view') })"
    )
    seen.tab.evaluate(
        "() => scopeside.live.topic('status', () => { window.heard = true })"
    )
    served.page.hear_status(well())
    seen.until("window.heard")
    assert seen.complaints == ["error: one view"]
    seen.complaints.clear()


def test_another_version_of_the_page_is_loaded_anew(
    seen: Seen, served: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.tab.evaluate("window.same = true")
    tab = only_tab(served)
    monkeypatch.setitem(tab.greeting, "version", "another")
    with seen.tab.expect_event("load"):
        tab._sender.get_loop().call_soon_threadsafe(tab.close)
    seen.until("window.scopeside?.live.state === 'open'")
    assert not seen.tab.evaluate("window.same")


def test_nothing_is_asked_of_any_other_machine(
    chromium: Any, served: Dashboard
) -> None:
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda link: asked.append(link.url))
    seen = Seen(tab)
    tab.goto(served.server.address)
    served.page.hear(image(1))
    served.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    for name in VIEWS:
        seen.view(name)
    seen.until("typeof Bokeh === 'object'")
    seen.tab.keyboard.press("t")
    here = f"127.0.0.1:{served.server.port}/"
    ours = (f"http://{here}", f"ws://{here}", "data:", f"blob:http://{here}")
    assert [url for url in asked if url.endswith("/bokeh/bokeh.min.js")] != []
    assert [url for url in asked if not url.startswith(ours)] == []
    assert seen.complaints == []
    tab.close()


@pytest.mark.parametrize("size", [(1366, 768), (3840, 2160)])
def test_no_view_is_wider_than_the_screen(
    chromium: Any, served: Dashboard, size: tuple[int, int]
) -> None:
    tab = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    seen = Seen(tab)
    tab.goto(served.server.address_to_change)
    served.page.hear(image(1))
    served.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    wide = "(e) => e.scrollWidth <= e.clientWidth"
    for name in VIEWS:
        seen.view(name)
        assert tab.evaluate(f"({wide})(document.documentElement)"), name
        assert tab.evaluate(f"{SHOWN}.every({wide})"), name
        assert tab.evaluate(f"({wide})(document.getElementById('top'))"), name
    tab.close()


def test_a_machine_without_time_to_spare_is_said_in_every_view(
    seen: Seen, served: Dashboard
) -> None:
    served.page.tell("pace", {"stretch": 4.0})
    seen.until("document.getElementById('pace').textContent === 'images every 0.4 s'")
    assert seen.tab.locator("#pace").is_visible()
    served.page.tell("pace", {"stretch": 1.0})
    seen.until("document.getElementById('pace').hidden")


def test_keys_that_elements_handle_themselves_are_in_the_list(seen: Seen) -> None:
    for view in ("In situ", "Feedback"):  # a view adds its keys when it is first seen
        seen.view(view)
    seen.tab.keyboard.press("?")
    listed = seen.tab.locator("#keys").inner_text()
    for what in ("plots: earlier, later", "plots: follow the newest"):
        assert what in listed
    for what in ("accept the proposal", "decline the proposal", "HOLD", "BLANK"):
        assert what in listed
