"""Tabs of a real chromium, what they paint, and what that costs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

PATIENCE_S = 60.0
SIZE = {"width": 1366, "height": 768}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]

# Notes every image that the page says it has painted. `t_painted_ms` is the page's own
# stamp, taken in the frame in which the image is on the screen.
LISTEN = """
window.paints = [];
const dispatch = EventTarget.prototype.dispatchEvent;
EventTarget.prototype.dispatchEvent = function (event) {
  const header = event.type === "paint" ? event.detail : null;
  if (header?.t_frame_ms && header.number > 0) {
    const { key, number, t_frame_ms } = header;
    const note = (t_painted_ms) =>
      window.paints.push({ key, number, t_frame_ms, t_painted_ms });
    if (header.t_painted_ms) note(header.t_painted_ms);
    else requestAnimationFrame(() => note(Date.now()));
  }
  return dispatch.call(this, event);
};
"""

# A browser without a screen has no tab that nobody sees: it paints on. So the page is
# told, as a browser would tell it.
HIDE = """
for (const [name, value] of [["hidden", true], ["visibilityState", "hidden"]]) {
  Object.defineProperty(document, name, { get: () => value, configurable: true });
}
document.dispatchEvent(new Event("visibilitychange"));
"""


class Browser:
    """A chromium of our own."""

    def __init__(self, playwright: Any, program: str, *, below: str = "") -> None:
        before = set(descendants(os.getpid()))
        self._browser = playwright.chromium.launch(
            executable_path=program, args=ARGUMENTS
        )
        self._before = before
        self._below = below
        self.tabs: list[Any] = []

    def pids(self) -> list[int]:
        """Return all its processes."""
        new = set(descendants(os.getpid())) - self._before
        return [pid for pid in new if self._below in name_of(pid)]

    def open(self, address: str, tabs: int) -> None:
        """Have so many tabs show a page, and no more."""
        while len(self.tabs) > tabs:
            self.tabs.pop().close()
        while len(self.tabs) < tabs:
            tab = self._browser.new_page(viewport=SIZE)
            tab.add_init_script(LISTEN)
            tab.goto(address)
            self.tabs.append(tab)

    def open_beside(self, address: str) -> None:
        """Open one more tab in the window of the last one, as a person would."""
        if self.tabs:
            context = self.tabs[-1].context
        else:
            context = self._browser.new_context(viewport=SIZE)
        tab = context.new_page()
        tab.add_init_script(LISTEN)
        self.tabs.append(tab)
        tab.goto(address)

    def close_last(self) -> None:
        """Close the tab that was opened last."""
        self.tabs.pop().close()

    def view(self, name: str) -> None:
        """Have all tabs show a view."""
        for tab in self.tabs:
            tab.get_by_role("tab", name=name).click()

    def until_painted(self, times: int) -> None:
        """Wait until every tab has painted so often since it was opened."""
        for tab in self.tabs:
            wait_for(lambda tab=tab: tab.evaluate("window.paints.length") >= times)

    def forget(self) -> None:
        """Count paints from now on."""
        for tab in self.tabs:
            tab.evaluate("window.paints = []")

    def ages_ms(self) -> np.ndarray:
        """Return time from frame to pixel of all paints since `forget`, ms."""
        found = [p for tab in self.tabs for p in tab.evaluate("window.paints")]
        return np.array([p["t_painted_ms"] - p["t_frame_ms"] for p in found])

    def keys(self) -> list[str]:
        """Return the names of the images that the first tab paints."""
        return sorted({p["key"] for p in self.tabs[0].evaluate("window.paints")})

    def hide(self) -> None:
        """Have nobody see the tabs, until they are closed."""
        for tab in self.tabs:
            tab.evaluate(HIDE)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all of it, as a laptop that is shut does."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Close it with all tabs."""
        self.tabs.clear()
        self._browser.close()


@contextmanager
def program(niceness: int) -> Iterator[str]:
    """Yield the path of a chromium that runs at a niceness."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no chromium is installed: make browser")
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        script = Path(folder) / "chromium"
        script.write_text(f'#!/bin/sh\nexec nice -n {niceness} "{found}" "$@"\n')
        script.chmod(0o700)
        yield str(script)


def wait_for(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Wait until something is true, and return it."""
    ends = time.monotonic() + patience_s
    while not (found := true()):
        if time.monotonic() > ends:
            raise SystemExit(f"waited {patience_s:.0f} s in vain")
        time.sleep(0.05)
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes that come from a process."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, new = [], [pid]
    while new:
        new = [child for one in new for child in children.get(one, [])]
        found += new
    return found


def name_of(pid: int) -> str:
    """Return the command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes have had so far, s."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the memory of a process, 10⁶ bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
