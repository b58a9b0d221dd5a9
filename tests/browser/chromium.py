"""Starts Debian's chromium without a screen, as Playwright drives it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""None of them makes the page look other than it does on a screen."""


def where() -> str | None:
    """Return the path of the browser; None if there is none."""
    return shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def a_chromium() -> Iterator[Any]:
    """Yield a browser; without one skip the test, or fail it where CI runs."""
    found = where()
    if found is None and os.environ.get("CI"):
        pytest.fail("no chromium is installed: make browser")
    if found is None:
        pytest.skip("no chromium is installed: make browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()
