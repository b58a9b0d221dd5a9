"""The page beside the microscope: frame to pixel, and what it costs the data path.

    python bench/page.py [--seconds 3] [--rounds 3] [--only tab pixel cost panel]

tab
    What opening a tab and what a tab that is there cost, CPU seconds of the page's
    process and of the browser: first and one more, each view, hidden. No engine: a page
    that is fed two images of 256 × 256, ten a second (page_fed.py).
pixel
    A real engine at half its highest rate on 256 × 256 frames, the real page in a
    process of its own, a real chromium without a screen: time from the frame's stamp
    in the result to the paint in the browser, two images of 256 × 256 at 10 updates/s.
cost
    The highest rate (the source waits) without a page, and with a page and no, one and
    three tabs, one after the other in one run of the engine, `--rounds` times forth and
    back. Chromium runs on the same cores; so also with one at niceness 19, and with
    tabs that nobody sees.
panel
    The same images from the same feed on a page by Panel and Bokeh (page_panel.py;
    ``pip install panel``): frame to pixel, CPU seconds of server and browser, and the
    memory that the server holds for tabs that are stopped for `--stall` seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.page_engine import FRAME_BYTES, OURS, PANEL, Engine, engine, server  # noqa: E402
from bench.page_tab_cost import TabCost  # noqa: E402
from bench.page_tabs import Browser, cpu_s, program, resident_mb  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

PARTS = ("tab", "pixel", "cost", "panel")
SETTLE_S = 1.5
PACED_S = 3.0
"""By then the page has found out how busy the machine is."""
PAINTS = 320
LONGEST_S = 40.0
"""A page that has not painted so often by then is too slow; what it has counts."""

console = Console(width=130)


@dataclass
class Situation:
    """What stands beside the engine while its rate is measured."""

    name: str
    page: bool = True
    tabs: int = 0
    niced: bool = False
    hidden: bool = False


SITUATIONS = (
    Situation("no page", page=False),
    Situation("page, no tab"),
    Situation("1 tab", tabs=1),
    Situation("3 tabs", tabs=3),
    Situation("3 tabs, browser niced", tabs=3, niced=True),
    Situation("3 tabs, hidden", tabs=3, hidden=True),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stall", type=float, default=20.0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    asked = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    with ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        playwright = stack.enter_context(sync_playwright())
        bench = Bench(playwright, asked)
        if "tab" in asked.only:
            bench.tab()
        if "cost" in asked.only:
            bench.cost()
        if "pixel" in asked.only:
            bench.pixel()
        if "panel" in asked.only:
            bench.panel()


class Bench:
    """The measurements, and the highest rate once it is known."""

    def __init__(self, playwright: Any, asked: argparse.Namespace) -> None:
        self._playwright = playwright
        self._asked = asked
        self._top: float | None = None

    @contextmanager
    def _browser(self, niceness: int = 0) -> Iterator[Browser]:
        with program(niceness) as path:
            browser = Browser(self._playwright, path, below="chromium")
            try:
                yield browser
            finally:
                with contextlib.suppress(Exception):
                    browser.close()

    def _rate(self, running: Engine) -> float:
        """Return frames/s over the next seconds."""
        frames, began = running.frames(), time.monotonic()
        time.sleep(self._asked.seconds)
        return (running.frames() - frames) / (time.monotonic() - began)

    def _half(self) -> float:
        if self._top is None:
            with folder() as here, engine(here) as running:
                time.sleep(SETTLE_S)
                self._top = self._rate(running)
        return self._top / 2

    # -- one tab ----------------------------------------------------------------

    def tab(self) -> None:
        """Measure what opening a tab, and a tab that is there, take of the cores."""
        with folder() as here, self._browser() as browser:
            cost = TabCost(browser, self._asked.seconds)
            console.print(cost.measure(here, self._asked.rounds))

    # -- cost -------------------------------------------------------------------

    def cost(self) -> None:
        """Measure the highest rate beside each situation."""
        found: dict[str, list[Cost]] = {s.name: [] for s in SITUATIONS}
        with (
            folder() as here,
            engine(here) as running,
            self._browser() as usual,
            self._browser(19) as niced,
        ):
            for turn in range(self._asked.rounds):
                order = SITUATIONS if turn % 2 == 0 else SITUATIONS[::-1]
                for one in order:
                    browser = niced if one.niced else usual
                    with self._beside(one, here, browser) as pid:
                        cost = self._cost(running, browser, pid)
                    found[one.name].append(cost)
                    print(f"{one.name}: {cost.rate:.0f} frames/s", file=sys.stderr)
        self._top = float(np.median([cost.rate for cost in found["no page"]]))
        console.print(cost_table(found))

    def _cost(self, running: Engine, browser: Browser, pid: int | None) -> Cost:
        pids = [] if pid is None else [pid]
        before, began = (cpu_s(pids), cpu_s(browser.pids())), time.monotonic()
        rate = self._rate(running)
        took = time.monotonic() - began
        used = cpu_s(pids) - before[0], cpu_s(browser.pids()) - before[1]
        return Cost(rate, used[0] / took, used[1] / took)

    @contextmanager
    def _beside(
        self, one: Situation, here: Path, browser: Browser
    ) -> Iterator[int | None]:
        pid = None
        with ExitStack() as stack:
            if one.page:
                pid, address = stack.enter_context(server(OURS, here))
                stack.callback(browser.open, address, 0)
                browser.open(address, one.tabs)
                browser.until_painted(4)
            if one.hidden:
                browser.hide()
            time.sleep(PACED_S if one.tabs else SETTLE_S)
            yield pid

    # -- frame to pixel ---------------------------------------------------------

    def pixel(self) -> None:
        """Measure frame to pixel of the page at half the highest rate."""
        rate = self._half()
        with folder() as here, engine(here, rate) as running:
            with server(OURS, here) as (pid, address), self._browser() as browser:
                found = self._painted(browser, address, 1, pid, PAINTS)
            lost = running.lost()
        table = Table(
            title=f"frame to pixel at {rate:.0f} frames/s, {lost} frames lost"
        )
        columns(
            table, "images", "paints", "updates/s of each", "p50 ms", "p95 ms",
            "p99 ms", "below 200 ms",
        )  # fmt: skip
        ages = found.ages_ms
        below = "yes" if np.quantile(ages, 0.95) < 200 else "NO"
        table.add_row(
            ", ".join(found.keys), str(len(ages)), f"{found.updates_per_s:.1f}",
            *quantiles(ages), below,
        )  # fmt: skip
        console.print(table)

    def _painted(
        self, browser: Browser, address: str, tabs: int, pid: int, paints: int
    ) -> Painted:
        browser.open(address, tabs)
        browser.until_painted(4)
        time.sleep(SETTLE_S)
        browser.forget()
        before, began = (cpu_s([pid]), cpu_s(browser.pids())), time.monotonic()
        ends = began + LONGEST_S
        while len(browser.ages_ms()) < paints * tabs and time.monotonic() < ends:
            time.sleep(0.5)
        minutes = (time.monotonic() - began) / 60
        used = cpu_s([pid]) - before[0], cpu_s(browser.pids()) - before[1]
        ages, keys = browser.ages_ms(), browser.keys()
        per_s = len(ages) / (len(keys) * tabs * minutes * 60)
        return Painted(ages, keys, per_s, used[0] / minutes, used[1] / minutes)

    # -- Panel ------------------------------------------------------------------

    def panel(self) -> None:
        """Measure the page and Panel's side by side."""
        table = Table(title="the page, and the same images by Panel/Bokeh")
        columns(
            table, "page", "tabs", "updates/s", "p50 ms", "p95 ms", "server CPU s/min",
            "browser CPU s/min", "server grew MB", "oldest after ms",
        )  # fmt: skip
        with folder() as here, engine(here, self._half()):
            for name, script in (("ours", OURS), ("Panel", PANEL)):
                with server(script, here) as (pid, address), self._browser() as browser:
                    for tabs in (1, 3):
                        found = self._painted(browser, address, tabs, pid, 160)
                        grew = self._stalled(browser, pid) if tabs == 3 else ("", "")
                        table.add_row(name, str(tabs), *found.row(), *grew)
        console.print(table)

    def _stalled(self, browser: Browser, pid: int) -> tuple[str, str]:
        """Stop the browser; return growth of the server, and the oldest paint after."""
        before = most = resident_mb(pid)
        with browser.stopped():
            ends = time.monotonic() + self._asked.stall
            while time.monotonic() < ends:
                time.sleep(0.25)
                most = max(most, resident_mb(pid))
        browser.forget()
        time.sleep(SETTLE_S)
        ages = browser.ages_ms()
        oldest = f"{ages.max():.0f}" if len(ages) else "nothing painted"
        return f"{most - before:.1f}", oldest


@dataclass
class Cost:
    """The engine's rate, frames/s, and the cores that the page took meanwhile."""

    rate: float
    server_cores: float
    browser_cores: float


@dataclass
class Painted:
    """What tabs have painted, and what it cost."""

    ages_ms: np.ndarray
    keys: list[str]
    updates_per_s: float
    server_s_per_min: float
    browser_s_per_min: float

    def row(self) -> list[str]:
        """Return p50, p95, CPU of the server and of the browser."""
        used = (self.server_s_per_min, self.browser_s_per_min)
        ages = quantiles(self.ages_ms)[:2]
        return [f"{self.updates_per_s:.1f}", *ages, *(f"{s:.1f}" for s in used)]


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder for an engine that no other one is seen in."""
    with tempfile.TemporaryDirectory(prefix="s-") as path:
        Path(path, "scopeside").mkdir(mode=0o700)
        yield Path(path)


def cost_table(found: dict[str, list[Cost]]) -> Table:
    """Return the rates, and their ratios to no page and to no tab of the same round."""
    table = Table(title="highest rate, source waits; medians over rounds")
    columns(
        table, "beside", "frames/s", "GB/s", "of no page", "of no tab",
        "cores of server", "of browser", "frames/s in each round",
    )  # fmt: skip
    rates = {name: np.array([c.rate for c in costs]) for name, costs in found.items()}
    for name, costs in found.items():
        rate = float(np.median(rates[name]))
        bases = (rates["no page"], rates["page, no tab"])
        ratios = [float(np.median(rates[name] / base)) for base in bases]
        cores = [
            float(np.median([getattr(c, of) for c in costs]))
            for of in ("server_cores", "browser_cores")
        ]
        table.add_row(
            name, f"{rate:.0f}", f"{rate * FRAME_BYTES / 1e9:.2f}",
            *(f"{ratio:.3f}" for ratio in ratios),
            *(f"{core:.3f}" for core in cores),
            " ".join(f"{one:.0f}" for one in rates[name]),
        )  # fmt: skip
    return table


def columns(table: Table, *names: str) -> None:
    """Add columns of numbers."""
    for name in names:
        table.add_column(name, justify="right")


def quantiles(ages_ms: np.ndarray) -> list[str]:
    """Return p50, p95 and p99."""
    return [f"{np.quantile(ages_ms, share):.0f}" for share in (0.5, 0.95, 0.99)]


if __name__ == "__main__":
    main()
