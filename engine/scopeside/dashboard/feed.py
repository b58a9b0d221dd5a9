"""What the page hears of an engine: its results, and how it is.

Two threads that wait for nobody on the page's side. When the engine ends they look for
another one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scopeside import runfolder
from scopeside.dashboard.brief import MOST_ENDED
from scopeside.errors import EngineNotFoundError, ProtocolError
from scopeside.inquiry import ask
from scopeside.result import Result
from scopeside.subscribe import Subscription

log = logging.getLogger(__name__)

LOOK_S = 0.5
LISTEN_S = 0.2
"""So often we look up from listening."""
STATUS_S = 0.5


class Feed:
    """Follows one engine at a time.

    Parameters
    ----------
    folder
        The run folder of the engine; None: the one of yours that was started last,
        and the next one when it has ended.
    hear
        Called with each result.
    attached
        Called with the run folder of another engine, or None when there is none.
    hear_status
        Called with ``status --json`` every `STATUS_S`.
    """

    def __init__(
        self,
        folder: Path | None,
        hear: Callable[[Result], None],
        attached: Callable[[Path | None], None],
        hear_status: Callable[[dict[str, Any]], None],
    ) -> None:
        self._folder = folder
        self._hear = hear
        self._attached = attached
        self._hear_status = hear_status
        self._engine: Path | None = None
        self._attaching = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, args=(do,), name=name, daemon=True)
            for name, do in (("results", self._listen), ("status", self._ask))
        ]

    def start(self) -> None:
        """Begin to look for an engine."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Hear no more; takes a fraction of a second, or 3 s if the engine hangs."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    # ---------------------------------------------------------------------------

    def _go_on(self, do: Callable[[], None]) -> None:
        """Do it until all is over; a part of the page that fails does not end it."""
        while not self._over.is_set():
            try:
                do()
            except Exception:
                log.exception("the page misses something")
                self._over.wait(LOOK_S)

    def _listen(self) -> None:
        while not self._over.is_set():
            engine = self._find()
            if engine != self._engine:
                with self._attaching:
                    self._engine = engine
                    self._attached(engine)
            if engine is None:
                self._over.wait(LOOK_S)
                continue
            self._listen_to(engine)

    def _listen_to(self, engine: Path) -> None:
        with Subscription(
            f"ipc://{engine}/results", "", LISTEN_S, engine, paced=True
        ) as subscription:
            while not (self._over.is_set() or subscription.engine_has_ended):
                try:
                    for result in subscription:
                        self._hear(result)
                        if self._over.is_set():
                            return
                except ProtocolError as error:
                    log.warning("a result cannot be read: %s", error)

    def _find(self) -> Path | None:
        found = list(runfolder.running())
        if self._folder is not None:
            return self._folder if self._folder in found else None
        return found[-1] if found else None

    def _ask(self) -> None:
        while not self._over.wait(STATUS_S):
            engine = self._engine
            if engine is None:
                continue
            try:
                status = ask(engine, MOST_ENDED)
            except EngineNotFoundError:
                continue  # its age is seen on the page
            with self._attaching:
                # An answer may come after its engine's end: it would be shown as live.
                if engine == self._engine:
                    self._hear_status(status)
