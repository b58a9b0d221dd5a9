"""Asks the engine how numbers have been before this page was opened."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from scopeside.control.asking import dose_past
from scopeside.errors import ScopesideError
from scopeside.series.past import Past, ask_past

log = logging.getLogger(__name__)

GUARD_S = 3.0


def hear_past(
    engine: Path, take: Callable[[Past], None], goes_on: Callable[[], bool]
) -> None:
    """Have `take` called with what was before; at once returns, a thread asks.

    Parameters
    ----------
    engine
        Its run folder. Until it answers it is waited for, as long as `goes_on`.
    """

    def ask() -> None:
        found = None
        try:
            found = ask_past(engine, goes_on)
            if found is not None:
                take(found)
            if found is not None and (engine / "guard").exists():
                take(dose_past(engine, GUARD_S))
        except ScopesideError as error:
            log.warning("what was before this page was opened is not known: %s", error)

    threading.Thread(target=ask, name="past", daemon=True).start()
