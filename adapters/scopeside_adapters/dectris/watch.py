"""Asks the detector now and then how it is, beside the stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from scopeside_adapters.dectris.simplon import Simplon
from scopeside_adapters.rest import RestError

_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Health:
    """What the detector has said of itself.

    Attributes
    ----------
    state
        idle, ready, acquire, na, error …; empty if it does not tell.
    dropped
        Images that it has dropped since it was armed; None if it does not tell.
    config
        Some of what it is set to.
    asked
        When the asking began, by the monotonic clock, s.
    trouble
        Why it did not answer.
    """

    state: str = ""
    dropped: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    asked: float = 0.0
    trouble: str = ""


class Watch:
    """Keeps the last `Health` of a detector; a thread that only it writes."""

    def __init__(self, simplon: Simplon) -> None:
        self.health = Health()
        self._simplon = simplon
        self._wanted = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # It is a daemon: one that waits for a detector that hangs is not waited for.
        self._over = True
        self._wanted.set()
        self._thread.join(0.2)

    def now(self, patience_s: float = 1.0) -> Health:
        """Return a health that was asked for after this call, if it comes in time."""
        called = time.monotonic()
        self._wanted.set()
        while self.health.asked < called and time.monotonic() - called < patience_s:
            time.sleep(0.002)
        return self.health

    def _run(self) -> None:
        while not self._over:
            wanted = self._wanted.is_set()
            self._wanted.clear()
            self.health = self._ask(wanted)
            self._wanted.wait(_EVERY_S)

    def _ask(self, wanted: bool) -> Health:
        """Ask for all when it is wanted; what it is set to seldom otherwise."""
        asked, config = time.monotonic(), self.health.config
        try:
            state, dropped = self._simplon.state(), self._simplon.dropped()
            if wanted or not config:
                config = self._simplon.described()
        except RestError as error:
            return Health(asked=asked, trouble=str(error))
        return Health(state, dropped, config, asked)
