"""What a person asks of the guard on the page, besides to hold and to blank."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.control.answer_words import DONE, answer_in_words, state_of_answer
from scopeside.control.asking import INSTRUMENT_S, PATIENCE_S, ask, the_guarded
from scopeside.control.audit_words import moment
from scopeside.dashboard.guard_watch import GuardWatch
from scopeside.dashboard.page import Page
from scopeside.errors import EngineNotFoundError


class GuardAsked:
    """The commands ``arm``, ``advise``, ``unblank``, ``accept`` and ``decline``.

    The answer has ``state`` (done, refused, failed, not_confirmed) and ``words``.

    Parameters
    ----------
    by
        What the audit log says of who asks.
    """

    def __init__(self, page: Page, watch: GuardWatch, by: Callable[[], str]) -> None:
        self._watch, self._by = watch, by
        page.commands["arm"] = self._arm
        page.commands["advise"] = lambda body: self._plain("advise", body)
        page.commands["unblank"] = lambda body: self._plain("unblank", body)
        page.commands["accept"] = lambda body: self._of_one("accept", body)
        page.commands["decline"] = lambda body: self._of_one("decline", body)

    def _arm(self, body: Mapping[str, Any]) -> dict[str, Any]:
        seconds = body["seconds"]
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError("seconds is a number")
        until = moment(time.time_ns() + int(seconds * 1e9), date=False)[:-4]
        done = f"ARMED until {until}"
        return self._asked({"ask": "arm", "seconds": seconds}, body, done)

    def _plain(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._asked({"ask": what}, body, DONE[what])

    def _of_one(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._asked({"ask": what, "id": str(body["id"])}, body, DONE[what])

    def _asked(
        self, request: Mapping[str, Any], body: Mapping[str, Any], done: str
    ) -> dict[str, Any]:
        """Ask the guard that the person has seen, and no other.

        Raises
        ------
        EngineNotFoundError
            If that one is there no more.
        """
        folder, what = self._watch.run, str(request["ask"])
        if folder is None:
            raise EngineNotFoundError("there is no guard: nothing was asked")
        if body.get("run", folder.name) != folder.name:
            raise EngineNotFoundError(
                "another engine runs now: look at what it says, and ask again"
            )
        seconds = INSTRUMENT_S if what in ("accept", "unblank") else PATIENCE_S
        answer = ask(the_guarded(folder), {**request, "who": self._by()}, seconds)
        return {
            "state": state_of_answer(answer),
            "words": answer_in_words(answer, what, done),
            "cause": answer.cause,
            "took_ms": round(answer.took_ms, 1),
        }
