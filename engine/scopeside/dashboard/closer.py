"""A part of a large image, pixel by pixel, as somebody looks at it more closely.

Of an image that is larger than `picture.LONGEST` tabs get means of blocks. The versions
that they have got last are kept for a while, so that a part is one of the picture that
is seen and not of the next; one that was frozen is held longer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scopeside.dashboard import picture
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.shelf import Shown
from scopeside.errors import ShapeError

MOST_BYTES = 256 << 20
"""Of versions that are kept, and again of those that are held."""
KEPT = 2
"""Versions of one result: a tab may ask for the last but one."""
MOST_HELD = 8

Version = tuple[str, int]
"""Key and number."""


class Closer:
    """Answers the question ``part``; used by several threads.

    ``key``, ``number``: which version of which result; ``row``, ``column``, ``rows``,
    ``columns``; ``plane`` of several; ``hold``: 1 for a picture that was frozen. The
    answer is a picture.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lock = threading.Lock()
        self._kept: dict[Version, Shown] = {}
        self._held: dict[Version, Shown] = {}
        page.questions["part"] = self._answer
        page.on_engine(self._look_at)

    def keep(self, shown: Shown) -> None:
        """Keep a version that a tab gets, if that gets means of it."""
        data = shown.result.data
        if not isinstance(data, np.ndarray) or max(data.shape, default=0) <= (
            picture.LONGEST
        ):
            return
        with self._lock:
            self._kept[shown.key, shown.number] = shown
            same = [one for one in self._kept if one[0] == shown.key]
            for old in same[:-KEPT]:
                del self._kept[old]
            _bound(self._kept)

    # ---------------------------------------------------------------------------

    def _look_at(self, engine: Path | None) -> None:
        if engine is not None:
            with self._lock:
                self._kept.clear()
                self._held.clear()

    def _answer(self, asked: Mapping[str, str]) -> Blob:
        """Return the picture.

        Raises
        ------
        ShapeError
            If this version is not kept any more, or the part lies outside.
        """
        version = asked["key"], int(asked["number"])
        shown = self._version(version, hold=asked.get("hold") == "1")
        names = ("row", "column", "rows", "columns")
        part = picture.Part(*(int(asked[name]) for name in names))
        if min(part) < 0 or not (part.rows and part.columns):
            raise ShapeError(f"there is no such part of an image: {tuple(part)}")
        plane = int(asked["plane"]) if "plane" in asked else None
        return Blob(picture.encoded(shown, {}, plane, part))

    def _version(self, version: Version, *, hold: bool) -> Shown:
        with self._lock:
            shown = self._held.get(version) or self._kept.get(version)
            shown = shown or self._newest(version)
            if shown is None:
                raise ShapeError("this version of the picture is no longer kept")
            if hold:
                self._held.pop(version, None)
                self._held[version] = shown
                while len(self._held) > MOST_HELD:
                    del self._held[next(iter(self._held))]
                _bound(self._held)
        return shown

    def _newest(self, version: Version) -> Shown | None:
        shown = self._page.shelf.get(version[0])
        return shown if shown is not None and shown.number == version[1] else None


def _bound(versions: dict[Version, Shown]) -> None:
    """Let the oldest go, but for the last, as long as they are too large."""
    while len(versions) > 1 and (
        sum(one.result.data.nbytes for one in versions.values()) > MOST_BYTES
    ):
        del versions[next(iter(versions))]
