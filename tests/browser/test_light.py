"""What a tab loads and does: no more than what is seen needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.browser.seen import PATIENCE_S, Seen
from tests.browser.test_shell import hide, image
from tests.engine.well import changed, well

from scopeside.dashboard.parts import Dashboard
from scopeside.result import Result

pytestmark = pytest.mark.browser

META = {"acq": "scan-1", "chain": "stem", "processor": "dose"}
PLOTS = "**/bokeh/*.js"
LOADING = ".insitu .loading"


def test_what_draws_plots_is_loaded_with_the_first_plot_and_not_before(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    asked: list[str] = []
    seen.tab.on("request", lambda request: asked.append(request.url))
    for name in ("Images", "Steering", "Feedback", "Health"):
        seen.view(name)
        seen.until("document.querySelector('.view:not([hidden])').children.length > 0")
    assert [url for url in asked if "/bokeh/" in url] == []
    assert seen.tab.evaluate("typeof Bokeh") == "undefined"
    seen.view("In situ")
    seen.tab.locator(".insitu .axis .bk-Figure").wait_for()
    assert [url for url in asked if "/bokeh/" in url] != []


def test_plots_say_that_they_are_being_loaded_and_why_they_are_not_there(
    seen: Seen, served: Dashboard
) -> None:
    held: list[Any] = []
    seen.tab.route(PLOTS, lambda asked: held.append(asked), times=1)  # noqa: PLW0108 - a builtin cannot be one
    served.page.hear_status(well())
    seen.view("In situ")
    loading = seen.tab.locator(LOADING)
    loading.get_by_text("loading what draws plots").wait_for()
    seen.until("document.querySelectorAll('script[src*=bokeh]').length === 1")
    held[0].abort()
    loading.get_by_text("No plots: the library that draws plots could not").wait_for()
    # The next news of the experiment tries again.
    served.page.hear_status(changed("channels/heat/value", 301.0))
    seen.tab.locator(".insitu .axis .bk-Figure").wait_for()
    assert loading.is_hidden()
    assert len(seen.complaints) == 1
    assert seen.complaints.pop().endswith("/bokeh/bokeh.min.js")


def test_a_tab_that_nobody_sees_wants_only_what_its_title_says(
    seen: Seen, served: Dashboard
) -> None:
    for value in (1, 2):
        served.page.hear(image(value))
    served.page.hear_status(well())
    seen.until("document.documentElement.dataset.engine === 'live'")
    seen.until("document.querySelector('.live-image[data-number]') !== null")
    (tab,) = served.server.tabs
    hide(seen, True)
    eventually(lambda: set(tab._topics) == {"health"} and tab._images == {})
    hide(seen, False)
    eventually(lambda: {"guard", "catalogue", "values"} <= set(tab._topics))
    eventually(lambda: len(tab._images) == 1)


def test_what_was_said_while_nobody_saw_the_tab_is_seen_afterwards(
    seen: Seen, served: Dashboard
) -> None:
    served.page.hear(image(1))
    seen.tab.locator(".live-image[data-number]").wait_for()
    hide(seen, True)
    (tab,) = served.server.tabs
    eventually(lambda: set(tab._topics) == {"health"})
    served.page.hear(Result("dose", 7.25, kind="scalar", units="e/px", meta=META))
    assert seen.tab.locator(".values tr").count() == 0
    hide(seen, False)
    seen.tab.locator(".values tr").get_by_text("7.25").wait_for()


def eventually(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
