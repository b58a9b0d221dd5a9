"""Images as messages: each is made once for all tabs, in a thread of its own.

A large image takes a fraction of a second, in which the page's loop would neither hold
nor blank nor say anything; so the loop only asks for it, and is told when it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

from scopeside.dashboard import picture
from scopeside.dashboard.said import MOST_WANTED
from scopeside.dashboard.shelf import Shown

_NAMES = ("acq", "chain", "processor")

Beside = Callable[[Shown], Mapping[str, Any]]


class Made(NamedTuple):
    """A message, and the number of the result that it shows."""

    number: int
    message: bytes


class Encodings:
    """The last encoding of each result; use it in the loop's thread.

    Parameters
    ----------
    beside
        Returns what goes into the header of an image beside the result's own; called in
        a thread, one at a time.
    """

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        # One: what is left of two cores is for frames.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encodes")
        self._kept: dict[tuple[str, int | None], asyncio.Future[Made]] = {}

    def of(self, shown: Shown, plane: int | None = None) -> asyncio.Future[Made]:
        """Return what is, or will be, the message of a result or of one plane of it.

        While an older one of the same name is being made it is that one: the next can
        be asked for when it is there.
        """
        name = (shown.key, plane)
        kept = self._kept.pop(name, None)
        if kept is None or (kept.done() and kept.result().number != shown.number):
            loop = asyncio.get_running_loop()
            kept = loop.run_in_executor(self._thread, self._made, shown, plane)
        self._kept[name] = kept
        if len(self._kept) > MOST_WANTED:  # the one not asked for for longest goes
            del self._kept[next(iter(self._kept))]
        return kept

    def close(self) -> None:
        """Begin no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _made(self, shown: Shown, plane: int | None) -> Made:
        return Made(shown.number, message_of(shown, self._beside, plane))


def message_of(shown: Shown, beside: Beside, plane: int | None = None) -> bytes:
    """Return a result as a message, or one that says why there is none.

    No tab is cut off because of a result.
    """
    try:
        return picture.encoded(shown, beside(shown), plane)
    except Exception as error:  # noqa: BLE001 - a plug-in's; told where it is shown
        reason = f"it cannot be painted: {type(error).__name__}: {error}"[:300]
        meta = {name: shown.result.meta.get(name) for name in _NAMES}
        result = replace(
            shown.result, data=None, mask=None, valid=False, reason=reason, meta=meta
        )
        nothing: dict[str, Any] = {"meta": {}, "pixel": None}
        return picture.encoded(replace(shown, result=result), nothing)
