"""Hold and blank, asked for on the page: past everything else that is under way."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from scopeside.control.answer_words import stop_in_words
from scopeside.control.asking import PATIENCE_S, Answer, guarded, stop
from scopeside.dashboard.page import Page

REMEMBERED = 64
"""Stops whose answers are kept for who asks for the same one by another way."""
WAIT_S = 2 * PATIENCE_S


class Stops:
    """The urgent commands ``hold`` and ``blank``.

    Parameters
    ----------
    by
        What the audit log says of who asks.
    """

    def __init__(self, page: Page, by: Callable[[], str]) -> None:
        self._page, self._by = page, by
        self._lock = threading.Lock()
        self._asked: dict[str, Future[dict[str, Any]]] = {}
        for what in ("hold", "blank"):
            page.urgent[what] = partial(self._stop, what)

    def _stop(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask once for each id, however many ways the question comes."""
        name = f"{what}/{str(body.get('id') or uuid.uuid4().hex)[:80]}"
        with self._lock:
            known = self._asked.get(name)
            answer = known or Future[dict[str, Any]]()
            self._asked[name] = answer
            if len(self._asked) > REMEMBERED:
                del self._asked[next(iter(self._asked))]
        if known is None:
            try:
                answer.set_result(self._asked_of_guards(what))
            except BaseException as error:
                answer.set_exception(error)
                raise
        try:
            return answer.result(WAIT_S)
        except TimeoutError:
            return _told(what, [Answer(False, reason=f"no answer in {WAIT_S:g} s")])

    def _asked_of_guards(self, what: str) -> dict[str, Any]:
        folders = self._guards()
        if not folders:
            answers = [Answer(False, reason="no guard of yours is running here")]
        elif len(folders) == 1:
            answers = [stop(folders[0], what, by=self._by())]
        else:
            with ThreadPoolExecutor(len(folders)) as threads:
                asked = [
                    threads.submit(stop, one, what, by=self._by()) for one in folders
                ]
                answers = [one.result() for one in asked]
        return _told(what, answers)

    def _guards(self) -> list[Path]:
        """Return the guard of the engine that is looked at; if it has none, all."""
        engine = self._page.engine
        if engine is not None and any(
            (engine / name).exists() for name in ("stop", "guard")
        ):
            return [engine]
        return guarded()


def _told(what: str, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return what a tab is told: all did it, or the first that did not and why."""
    ok = all(one.ok for one in answers)
    worst = next((one for one in answers if not one.ok), answers[0])
    return {
        "state": "done" if ok else "not_confirmed",
        "words": stop_in_words(what, worst),
        "reason": worst.reason,
        "took_ms": round(max(one.took_ms for one in answers), 1),
    }
