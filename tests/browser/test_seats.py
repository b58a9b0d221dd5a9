"""Places at the page: a tab with the token is never locked out; who goes is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.browser.seen import Seen

from scopeside.dashboard.parts import Dashboard

pytestmark = pytest.mark.browser


def opened(chromium: Any, address: str) -> Seen:
    seen = Seen(chromium.new_page(viewport={"width": 1366, "height": 768}))
    seen.tab.goto(address)
    return seen


def says(seen: Seen, text: str) -> None:
    seen.tab.locator("#banner", has_text=text).wait_for()


def test_a_tab_that_gives_its_place_to_one_with_the_token_says_why(
    chromium: Any, served: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopeside.dashboard.live.MOST_TABS", 1)
    looks = opened(chromium, served.server.address)
    looks.until("scopeside.live.state === 'open'")
    other = opened(chromium, served.server.address)
    says(other, "no place for this tab: 1 tabs are open, no more find a place")
    knows = opened(chromium, served.server.address_to_change)
    knows.until("scopeside.live.state === 'open'")
    says(looks, "one with the token took this one's place")
    for seen in (looks, other, knows):
        seen.tab.close()
        assert seen.complaints == []
