"""The page in a real browser: Debian's chromium, without a screen, over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.browser.chromium import a_chromium
from tests.browser.seen import Seen

from scopeside.dashboard.parts import Dashboard

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for all tests of a file.

    Not of a process: as long as Playwright is there asyncio takes its loop for running,
    and tests of other things that run one of their own would fail.
    """
    with a_chromium() as browser:
        yield browser


@pytest.fixture
def served(short_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    """A page that looks at no engine: a test says what it hears.

    ``served.page.hear(result)``, ``served.page.hear_status(status)``.
    """
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    board = Dashboard(None, 0, TOKEN)
    board.server.start()
    yield board
    board.server.close()


@pytest.fixture
def seen(chromium: Any, served: Dashboard) -> Iterator[Seen]:
    """A tab with that page, opened with the token."""
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    one = Seen(tab)
    tab.goto(served.server.address_to_change)
    one.until("window.scopeside?.live.state === 'open'")
    yield one
    tab.close()
    assert one.complaints == []
