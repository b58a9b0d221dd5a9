"""What the parts of the page meet at: results, status, topics, commands, questions.

A *topic* is a JSON value that tabs listen to: a tab gets the last one, never a queue. A
*command* changes something and needs the token. A *question* changes nothing.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scopeside.dashboard.brief import brief
from scopeside.dashboard.plain import plain
from scopeside.dashboard.shelf import Shelf, Shown
from scopeside.result import Result

log = logging.getLogger(__name__)

Command = Callable[[Mapping[str, Any]], Any]
"""Called in a thread with the body of the request; returns what JSON can hold. A
`ScopesideError` is told to who asked."""


@dataclass(frozen=True, slots=True)
class Blob:
    """An answer that is no JSON."""

    data: bytes
    content_type: str = "application/octet-stream"
    filename: str = ""


Question = Callable[[Mapping[str, str]], Any]
"""Called in a thread with what stands behind ``?``; returns plain values or `Blob`."""


class Page:
    """All that the page knows; used by several threads.

    Attributes
    ----------
    engine
        Run folder of the engine that is looked at; None while there is none.
    status
        What ``status --json`` says, as it was told last; empty before.
    urgent
        Commands that never wait behind others: each is answered in a thread of its own.
    failed_parts
        Parts that have failed, and how: the page says so.
    over
        Is set when the page ends: for threads of its parts.
    """

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.engine: Path | None = None
        self.status: dict[str, Any] = {}
        self.commands: dict[str, Command] = {}
        self.urgent: dict[str, Command] = {}
        self.over = threading.Event()
        self.questions: dict[str, Question] = {}
        self._lock = threading.Lock()
        self._topics: dict[str, tuple[int, str]] = {}
        self._number = 0
        self.failed_parts: dict[str, str] = {}
        self._on_result: list[Callable[[Shown], None]] = []
        self._on_status: list[Callable[[dict[str, Any]], None]] = []
        self._on_engine: list[Callable[[Path | None], None]] = []
        self._on_gone: list[Callable[[str], None]] = []
        self.wake: Callable[[], None] = _nobody
        """Called when there is something new, by any thread; returns at once."""
        self.tabs: Callable[[], int] = _no_tabs
        """Returns how many tabs are open."""

    # -- for the parts ----------------------------------------------------------

    def tell(self, topic: str, value: Any) -> None:
        """Say something new under a topic."""
        text = json.dumps(plain(value), allow_nan=False, separators=(",", ":"))
        with self._lock:
            before = self._topics.get(topic)
            if before is not None and before[1] == text:
                return
            self._number += 1
            self._topics[topic] = (self._number, text)
        self.wake()

    def topic(self, name: str) -> tuple[int, str] | None:
        """Return number and JSON of what was said last under a topic."""
        with self._lock:
            return self._topics.get(name)

    def on_result(self, function: Callable[[Shown], None]) -> None:
        """Have `function` called with each result, in the thread that hears them."""
        self._on_result.append(function)

    def on_status(self, function: Callable[[dict[str, Any]], None]) -> None:
        """Have `function` called with each new status, twice a second."""
        self._on_status.append(function)

    def on_engine(self, function: Callable[[Path | None], None]) -> None:
        """Have `function` called when another engine is looked at, or none."""
        self._on_engine.append(function)

    def on_gone(self, function: Callable[[str], None]) -> None:
        """Have `function` called with the key of a result that will not come again."""
        self._on_gone.append(function)

    def drop(self, key: str) -> None:
        """Show a result no more: what made it was taken away."""
        self.shelf.drop(key)
        self._pass_on(self._on_gone, key)

    # -- for the feed -----------------------------------------------------------

    def hear(self, result: Result) -> None:
        """Take a result."""
        shown = self.shelf.put(result)
        self._pass_on(self._on_result, shown)
        self.wake()

    def hear_status(self, status: dict[str, Any]) -> None:
        """Take how the engine is."""
        self.status = status
        self.tell("status", brief(status))
        self._pass_on(self._on_status, status)

    def attached(self, engine: Path | None) -> None:
        """Look at another engine; what the last one has shown stays till it shows."""
        self.engine = engine
        self.tell("engine", {"folder": None if engine is None else engine.name})
        if engine is not None:
            self.shelf.clear()
            self.failed_parts.clear()
            self.status = {}  # of another one: what it says of folders is not for this
        self._pass_on(self._on_engine, engine)

    def _pass_on(self, functions: Sequence[Callable[[Any], None]], heard: Any) -> None:
        """Let all parts hear it: one that fails takes no other down, and is named."""
        for function in functions:
            try:
                function(heard)
            except Exception as error:
                part = function.__module__.rpartition(".")[2]
                if part not in self.failed_parts:
                    log.exception("the page's part %r failed", part)
                self.failed_parts[part] = f"{type(error).__name__}: {error}"


def _nobody() -> None:
    """Wake nobody: no tab is open yet."""


def _no_tabs() -> int:
    """Return 0: nothing is served yet."""
    return 0
