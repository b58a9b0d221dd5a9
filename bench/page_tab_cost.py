"""CPU seconds that a tab takes: when it is opened, and for each second it is there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.page_engine import ROOT, server
from bench.page_tabs import Browser, cpu_s
from rich.table import Table

FED = (str(ROOT / "bench" / "page_fed.py"),)
OPENS_S = 5.0
"""By then a tab that was opened has come to rest."""
NAMED = ("Images", "Steering", "In situ", "Feedback", "Health")


@dataclass
class Spent:
    """CPU seconds of the page's process and of the browser."""

    server_s: float
    browser_s: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.server_s - other.server_s, self.browser_s - other.browser_s)

    def __truediv__(self, by: float) -> Spent:
        return Spent(self.server_s / by, self.browser_s / by)

    def __mul__(self, by: float) -> Spent:
        return Spent(self.server_s * by, self.browser_s * by)


class TabCost:
    """Opens tabs of a page that is fed, and says what they cost."""

    def __init__(self, browser: Browser, seconds: float) -> None:
        self._browser = browser
        self._seconds = seconds

    def measure(self, folder: Path, rounds: int) -> Table:
        """Return a table of medians over `rounds` tabs, each opened anew."""
        found: dict[str, list[Spent]] = {}
        for _ in range(rounds):
            with server(FED, folder) as (pid, address):
                for name, spent in self._round(pid, address):
                    found.setdefault(name, []).append(spent)
        table = Table(title="a tab with two images of 256 × 256 at 10/s: CPU seconds")
        for name in ("", "of the page", "of the browser", "together", "in each round"):
            table.add_column(name, justify="right")
        for name, some in found.items():
            sums = [one.server_s + one.browser_s for one in some]
            parts = ([one.server_s for one in some], [one.browser_s for one in some])
            table.add_row(
                name,
                *(f"{np.median(part):.3f}" for part in (*parts, sums)),
                " ".join(f"{one:.2f}" for one in sums),
            )
        return table

    def _round(self, pid: int, address: str) -> Iterator[tuple[str, Spent]]:
        """Yield what each step takes, first without a tab."""
        browser = self._browser
        with self._spent(pid) as nothing:
            time.sleep(self._seconds)
        yield "no tab, a second", nothing[0] / self._seconds
        with self._spent(pid) as first:
            self._opened(address)
        steady = self._second(pid)
        yield "a first tab is opened", first[0] - steady * OPENS_S
        yield "a tab, a second", steady
        with self._spent(pid) as again:
            self._opened(address)
        both = self._second(pid)
        yield "one more is opened", again[0] - both * OPENS_S
        browser.close_last()
        for name in NAMED[1:]:
            browser.view(name)
            time.sleep(1.0)
            yield f"{name}, a second", self._second(pid)
        browser.view(NAMED[0])
        browser.hide()
        time.sleep(1.0)
        yield "hidden, a second", self._second(pid)
        browser.open(address, 0)

    def _opened(self, address: str) -> None:
        ends = time.monotonic() + OPENS_S
        self._browser.open_beside(address)
        self._browser.until_painted(4)
        time.sleep(max(0.0, ends - time.monotonic()))

    def _second(self, pid: int) -> Spent:
        with self._spent(pid) as spent:
            time.sleep(self._seconds)
        return spent[0] / self._seconds

    @contextmanager
    def _spent(self, pid: int) -> Iterator[list[Spent]]:
        before, spent = self._now(pid), list[Spent]()
        yield spent
        spent.append(self._now(pid) - before)

    def _now(self, pid: int) -> Spent:
        return Spent(cpu_s([pid]), cpu_s(self._browser.pids()))
