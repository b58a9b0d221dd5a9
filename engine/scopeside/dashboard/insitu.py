"""What the in-situ view shows: numbers over the whole experiment, events, particles.

The topic ``insitu`` says that there is something new: twice a second at most as results
come, and with each status. A tab that shows the view then asks
``insitu?epoch=E&since=N`` for what has changed after its revision N of record E.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scopeside.dashboard import picture
from scopeside.dashboard.insitu_record import Record
from scopeside.dashboard.insitu_told import told
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.plain import plain
from scopeside.dashboard.shelf import Shown
from scopeside.errors import ScopesideError

TELL_EVERY_S = 0.5


class InSitu:
    """Keeps the record of an experiment, for tabs that come at any time."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lock = threading.Lock()
        self._told_at = 0.0
        self._begin_anew()
        page.on_result(self._hear)
        page.on_status(self._hear_status)
        page.on_engine(self._look_at)
        page.questions["insitu"] = self._answer
        page.questions["insitu_thumbnail"] = self._thumbnail

    def _begin_anew(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._record = Record()
        self._origin_ns = 0

    def _look_at(self, engine: Path | None) -> None:
        """Begin anew with another engine; what the last has shown stays till then."""
        if engine is not None:
            with self._lock:
                self._begin_anew()
            self._tell(soon=True)

    def _hear(self, shown: Shown) -> None:
        about = about_acquisition(self._page.status, shown.result.meta.get("acq"))
        with self._lock:
            self._record.take(shown.result, about)
        self._tell()

    def _hear_status(self, status: dict[str, Any]) -> None:
        with self._lock:
            self._record.take_status(status)
        self._tell(soon=True)

    def _tell(self, *, soon: bool = False) -> None:
        now = time.monotonic()
        if soon or now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            news = {"epoch": self._epoch, "revision": self._record.revision}
            self._page.tell("insitu", news)

    def _answer(self, asked: Mapping[str, str]) -> dict[str, Any]:
        with self._lock:
            begin_ns = self._record.begin_ns
            if begin_ns and (not self._origin_ns or begin_ns < self._origin_ns):
                # What was heard later was earlier: all times count from there.
                self._origin_ns = begin_ns
                self._epoch = secrets.token_hex(4)
            same = asked.get("epoch") == self._epoch
            since = int(asked.get("since", "-1")) if same else -1
            outlines = asked.get("outlines") == "1"
            found = told(self._record, since, self._origin_ns, outlines=outlines)
            found |= {"epoch": self._epoch, "whole": since < 0}
        answer: dict[str, Any] = plain(found)
        return answer

    def _thumbnail(self, asked: Mapping[str, str]) -> Blob:
        with self._lock:
            pixels = self._record.events.thumbnail(int(asked["id"]))
        if pixels is None:
            raise ScopesideError(f"event {asked['id']:.20} has no picture")
        header = {"units": "standard deviations of the noise"}
        return Blob(picture.pictured(pixels.astype("<f4"), header))


def about_acquisition(status: Mapping[str, Any], acq: object) -> Mapping[str, Any]:
    """Return what the status says of an acquisition; empty: nothing yet."""
    for known in ("open", "acquisitions"):
        one = (status.get(known) or {}).get(acq)
        if one:
            about: Mapping[str, Any] = one.get("acquisition") or {}
            return about
    return {}
