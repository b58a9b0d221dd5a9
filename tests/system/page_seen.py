"""Tabs of a real browser with the page of a real engine, and what they have painted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.browser.seen import Seen
from tests.system.engine_runs import Running

PATIENCE_S = 60.0

# Keeps what each paint of a live image stands on, what share of its canvas is painted,
# and the value of its first pixel.
WATCH = """
window.paints = [];
const dispatch = EventTarget.prototype.dispatchEvent;
EventTarget.prototype.dispatchEvent = function (event) {
  if (event.type === "paint" && this.element && event.detail) {
    const { key, number, acq, used, expected, params } = event.detail;
    const canvas = this.element.querySelector("canvas");
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    let painted = 0;
    for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
    const share = painted / (width * height);
    const first = this.valueAt(0, 0);
    window.paints.push({ key, number, acq, used, expected, params, share, first });
    if (window.paints.length > 2000) window.paints.shift();
  }
  return dispatch.call(this, event);
};
"""


def opened(chromium: Any, address: str) -> Seen:
    """Open a page in a tab that shares nothing with others, and wait until it lives."""
    tab = chromium.new_page(viewport={"width": 1366, "height": 768})
    tab.add_init_script(WATCH)
    seen = Seen(tab)
    tab.goto(address)
    seen.until("window.scopeside?.live.state === 'open'")
    return seen


def address(engine: Running) -> str:
    """Return where an engine's page is, without the token."""
    status = engine.until(lambda s: "page" in s["servers"], "had a page")
    return status["servers"]["page"]


def token(folder: Path) -> str:
    """Return what this user's pages want to be shown before they change anything."""
    return (folder / "run" / "scopeside" / "page.token").read_text().strip()


def paints(seen: Seen, key: str) -> list[dict[str, Any]]:
    """Return what a tab has painted of an image so far."""
    return [p for p in seen.tab.evaluate("window.paints") if p["key"] == key]


def eventually(found: Any, what: str) -> Any:
    """Wait until something is there, and return it."""
    ends = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < ends, f"never: {what}"
        time.sleep(0.05)
    return value


def grey(seen: Seen) -> None:
    """Wait until a tab says that what it shows is old."""
    until(seen, "document.querySelector('.live-image[data-stale]') !== null")
    until(seen, "document.querySelector('#banner').dataset.level !== 'ok'")


def alive(seen: Seen) -> None:
    """Wait until a tab paints again, and says that nothing is old."""
    seen.tab.evaluate("window.paints = []")
    until(seen, "window.paints?.length > 3")
    until(seen, "document.querySelector('.live-image[data-stale]') === null")


def until(seen: Seen, expression: str) -> None:
    """Wait as long as an engine may take to start."""
    eventually(lambda: seen.tab.evaluate(expression), expression)
