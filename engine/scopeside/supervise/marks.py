"""A person's word that something is going on: from the command line to the collector.

The mark is the time of the newest frame. It is confirmed when the collector has it in
its journal, and said again to a collector that was restarted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scopeside.errors import ConfigError
from scopeside.record.settings import RecordSettings
from scopeside.wire import Kind

MAX_WAITING = 64
"""Marks that may wait for the collector."""
MAX_NOTE = 80
_MOST_S = {"before_s": 3600.0, "after_s": 86_400.0}

Say = Callable[..., None]
Newest = Callable[[], Mapping[str, int]]


class Marks:
    """The supervisor's side of ``scopeside keep``.

    Parameters
    ----------
    settings
        What is recorded; None: nothing.
    say
        Sends a message to a member, as ``say(name, kind, **header)``.
    answer
        Answers a client, as ``answer(client, header)``.
    newest
        Returns the time stamp of the newest frame of each open acquisition, ns.
    """

    def __init__(
        self,
        settings: RecordSettings | None,
        say: Say,
        answer: Callable[[bytes, dict[str, Any]], None],
        newest: Newest,
    ) -> None:
        self._settings = settings
        self._say = say
        self._answer = answer
        self._newest = newest
        self._number = 0
        self._waiting: dict[int, tuple[bytes, dict[str, Any]]] = {}

    def ask(self, client: bytes, header: Mapping[str, Any]) -> None:
        """Pass a person's mark on, or answer why it cannot be."""
        try:
            mark = self._mark(header)
        except ConfigError as error:
            self._answer(client, {"error": str(error)})
            return
        self._number += 1
        mark["id"] = self._number
        self._waiting[self._number] = (client, mark)
        self._say("collector", Kind.KEEP, **mark)

    def hear(self, header: Mapping[str, Any]) -> None:
        """Take the collector's word, and pass it on to whom has asked."""
        client, mark = self._waiting.pop(header["id"], (b"", {}))
        if not mark:
            return  # said twice, by a collector and the one after it
        if header["kept"]:
            self._answer(client, mark)
        else:
            self._answer(client, {"error": f"{mark['acq']} has ended: too late"})

    def again(self) -> None:
        """Say what is not confirmed to a new collector."""
        for _, mark in self._waiting.values():
            self._say("collector", Kind.KEEP, **mark)

    # ---------------------------------------------------------------------------

    def _mark(self, header: Mapping[str, Any]) -> dict[str, Any]:
        settings = self._settings
        if settings is None:
            raise ConfigError("nothing is recorded: the pipeline has no [record]")
        if settings.mode == "all":
            raise ConfigError("record.mode is 'all': every frame is kept anyway")
        if len(self._waiting) >= MAX_WAITING:
            raise ConfigError(f"{MAX_WAITING} marks wait for the collector already")
        newest = self._newest()
        if not newest:
            raise ConfigError("no acquisition is running: there is nothing to keep")
        name = list(newest)[-1]
        note = header.get("note", "")
        if not isinstance(note, str) or len(note) > MAX_NOTE:
            raise ConfigError(f"a note is text of {MAX_NOTE} characters at most")
        return {
            "acq": name,
            "t_ns": newest[name],
            "before_ns": _ns(header, "before_s", settings.before_s),
            "after_ns": _ns(header, "after_s", settings.after_s),
            "note": note,
        }


def _ns(header: Mapping[str, Any], key: str, otherwise: float) -> int:
    seconds = header.get(key)
    if seconds is None:
        seconds = otherwise
    most = _MOST_S[key]
    if type(seconds) not in (int, float) or not (
        math.isfinite(seconds) and 0 <= seconds <= most
    ):
        raise ConfigError(f"{key}: found {seconds!r:.40}; expected 0 to {most:g} s")
    return round(seconds * 1e9)
