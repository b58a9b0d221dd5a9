"""The page in a real browser: Debian's chromium, without a screen, over loopback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from tests.browser.seen import Seen

from scopeside.dashboard.parts import Dashboard

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")

TOKEN = "a-token-of-the-tests"
WHERE = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests of a process."""
    if WHERE is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium is installed: make browser")
        pytest.skip("no chromium is installed: make browser")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=WHERE, args=ARGUMENTS)
        yield browser
        browser.close()


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
