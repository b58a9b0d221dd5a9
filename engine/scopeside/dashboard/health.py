"""The page's part that says how the engine is: sentences for all, tables for one view.

Topic ``health``: what the banner, the top and the tab's title need. Topic ``vitals``:
the tables of the health view. Times are ms since 1970 UTC by this machine's clock.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scopeside.dashboard.machine import Machine, Use
from scopeside.dashboard.page import Page
from scopeside.dashboard.vitals import vitals
from scopeside.dashboard.words.all import sentences
from scopeside.dashboard.words.given import count, number, tables, text
from scopeside.dashboard.words.rates import Rates
from scopeside.dashboard.words.sentence import Invalid, Now, Sentence
from scopeside.runfolder import was_killed

LOOK_S = 1.0
"""/proc is looked at so often."""
_ENDING = ("draining", "ending", "ended")
"""Phases of an engine that ends as it should."""


class Health:
    """Tells ``health`` and ``vitals`` with each status of the engine."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._machine = Machine()
        self._uses: dict[int, Use] = {}
        self._looked_s = 0.0
        self._ended = ""
        """Run folder of the engine that was seen to end last."""
        self._begin("")
        page.on_status(self._hear)
        page.on_engine(self._attached)
        self._tell(t_ms=None, ended_ms=None, sentences=[])

    def _begin(self, folder: str) -> None:
        """Forget what was known of another engine."""
        self._folder = folder
        self._pipeline = ""
        self._phase = ""
        self._rates = Rates()
        self._since_ms: dict[str, float] = {}

    def _attached(self, engine: Path | None) -> None:
        if engine is not None:
            self._ended = ""
        elif self._folder:
            self._ended = self._folder
            killed = self._phase not in _ENDING and was_killed(Path(self._folder))
            self._tell(t_ms=None, ended_ms=_now_ms(), killed=killed, sentences=[])

    def _hear(self, status: dict[str, Any]) -> None:
        folder = text(status, "folder")
        if folder and folder == self._ended:
            return  # an answer that has come after the engine's end
        if folder != self._folder:
            self._begin(folder)
        self._pipeline = text(status, "pipeline")
        self._phase = text(status, "phase")
        now_s = time.monotonic()
        self._rates.see(status, now_s)
        now = Now(status, self._rates, self._invalid(), now_s)
        self._tell(
            t_ms=_now_ms(),
            ended_ms=None,
            phase=self._phase,
            frames_per_s=number(status, "rates", "frames_per_s"),
            sentences=[
                self._plain(one)
                for one in self._lasting([*sentences(now), *self._of_parts()])
            ],
        )
        self._look(status, now_s)
        seen = vitals(now, self._uses, self._heard_ms())
        self._page.tell(
            "vitals", {**seen, "t_ms": _now_ms(), "tabs": self._page.tabs()}
        )

    def _tell(self, **said: Any) -> None:
        self._page.tell("health", {**said, "pipeline": self._pipeline})

    def _lasting(self, said: list[Sentence]) -> list[Sentence]:
        """Remember since when each matter lasts."""
        before, now_ms = self._since_ms, _now_ms()
        self._since_ms = {one.about: before.get(one.about, now_ms) for one in said}
        return said

    def _plain(self, one: Sentence) -> dict[str, Any]:
        return {
            "level": one.level,
            "about": one.about,
            "text": one.text,
            "what_to_do": one.what_to_do,
            "since_ms": self._since_ms[one.about],
        }

    def _of_parts(self) -> list[Sentence]:
        """Say which parts of the page itself have failed."""
        return [
            Sentence(
                "warn",
                f"page.{part}",
                f"a part of this page failed ({part}): {why}",
                "what it shows may be old; frames are not concerned",
            )
            for part, why in self._page.failed_parts.items()
        ]

    def _invalid(self) -> tuple[Invalid, ...]:
        return tuple(
            Invalid(shown.key, shown.result.reason)
            for shown in self._page.shelf.all()
            if not shown.result.valid
        )

    def _heard_ms(self) -> dict[str, float]:
        heard: dict[str, float] = {}
        for shown in self._page.shelf.all():
            chain = shown.key.partition(".")[0]
            heard[chain] = max(heard.get(chain, 0.0), shown.heard_ns / 1e6)
        return heard

    def _look(self, status: dict[str, Any], now_s: float) -> None:
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        pids = [count(one, "pid") for one in tables(status, "processes")]
        self._uses = self._machine.look([pid for pid in pids if pid > 0])


def _now_ms() -> float:
    return time.time_ns() / 1e6
