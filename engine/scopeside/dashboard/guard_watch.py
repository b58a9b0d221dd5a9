"""Watches the guard for all tabs: a thread asks it a few times a second."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from scopeside.control.asking import status
from scopeside.dashboard.guard_told import told_of_guard, verdicts_told
from scopeside.dashboard.page import Page
from scopeside.errors import EngineNotFoundError

log = logging.getLogger(__name__)

POLL_S = 0.25
ANSWER_S = 1.0
"""A guard that has not answered by then is told to be silent."""


class GuardWatch:
    """Tells the topics ``guard`` and ``guard_verdicts``.

    ``guard`` is null where the pipeline has no feedback; ``silent_s`` and ``reason``
    stand there while the guard does not answer.

    Attributes
    ----------
    audit
        Where the audit log lies, as the guard said last.
    """

    def __init__(self, page: Page) -> None:
        self.audit: Path | None = None
        self._page = page
        self._run: Path | None = None
        self._heard_s = 0.0
        self._mode = ""
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    @property
    def run(self) -> Path | None:
        """The run folder of the guard that is watched, None if there is none."""
        return self._run

    # ---------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._page.over.wait(POLL_S):
            try:
                self._look()
            except Exception:  # the page goes on, and says that it hears nothing
                log.exception("the guard's status could not be told")
                self._silent("its status cannot be read")

    def _look(self) -> None:
        folder = self._page.engine
        if folder is not None and folder != self._run:
            if not (folder / "guard").exists():
                self._without(folder)
                return
            self._run, self._heard_s, self._mode = folder, time.monotonic(), ""
        if self._run is None or not (self._run / "guard").exists():
            if self._run is not None:
                self._silent("its engine has ended" if folder is None else "it is gone")
            return
        try:
            found = status(self._run, ANSWER_S)
        except EngineNotFoundError:
            self._silent("it does not answer")
        else:
            self._heard(self._run, found)

    def _without(self, folder: Path) -> None:
        """Say that there is no feedback, once the engine's own status says so."""
        status = self._page.status
        if status.get("folder") == str(folder) and not status.get("control"):
            self._run = None
            self.audit = None
            self._page.tell("guard", None)
            self._page.tell("guard_verdicts", [])

    def _heard(self, folder: Path, found: dict[str, Any]) -> None:
        self._heard_s = time.monotonic()
        self._mode = str(found.get("mode", ""))
        audit = found.get("audit")
        self.audit = Path(audit) if isinstance(audit, str) and audit else None
        value = told_of_guard(found, self._page.status)
        self._page.tell("guard", {"run": folder.name, "silent_s": None, **value})
        self._page.tell("guard_verdicts", verdicts_told(found))

    def _silent(self, reason: str) -> None:
        run = None if self._run is None else self._run.name
        silent_s = round(time.monotonic() - self._heard_s, 1)
        value = {"run": run, "silent_s": silent_s, "reason": reason}
        self._page.tell("guard", {**value, "mode": None, "was": self._mode})
