"""What a tab loads and does: no more than what is seen needs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.browser.seen import Seen
from tests.engine.well import changed, well

from scopeside.dashboard.parts import Dashboard

pytestmark = pytest.mark.browser

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
