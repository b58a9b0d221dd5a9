"""Which files lie in a folder, and which of them have come to rest."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".lock", "~")
_SHARE = 10  # of the time, one part at most goes into listing


def is_wanted(name: str, pattern: str) -> bool:
    """Whether a file's name fits, and is not that of one under way."""
    if name.startswith(".") or name.lower().endswith(_UNFINISHED):
        return False
    return fnmatch.fnmatch(name, pattern.removeprefix("**/"))


def files_in(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files that fit `pattern`; none where there is no folder."""
    deep = pattern.startswith("**/")
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if deep and entry.is_dir(follow_symlinks=False):
            yield from files_in(Path(entry.path), pattern)
        elif is_wanted(entry.name, pattern) and entry.is_file():
            yield Path(entry.path)


class Arrivals:
    """Files that have come to rest, each once.

    A file has come to rest when it is not empty and its size and time have not changed
    for `settle_s`, or when the system tells that it was closed or moved into place.
    """

    def __init__(self, folder: Path, pattern: str, settle_s: float) -> None:
        self._folder = folder
        self._pattern = pattern
        self._settle_s = settle_s
        self._known: dict[Path, tuple[int, int]] = {}  # as they were when taken
        self._rising: dict[Path, tuple[tuple[int, int], float]] = {}
        self._next_listing = 0.0

    def skip(self) -> None:
        """Leave alone what is there now."""
        for path in files_in(self._folder, self._pattern):
            self._known[path] = (-1, -1)

    def look(
        self, finished: Collection[Path] = (), *, ended: bool = False
    ) -> list[Path]:
        """Return what has come to rest; `finished` are those that were closed.

        With `ended`, nothing will be written any more: what is there is at rest.

        Raises
        ------
        OSError
            If the folder cannot be listed.
        """
        now = time.monotonic()
        for path in finished:
            if self._belongs(path) and self._known.get(path) != _signature(path):
                self._known.pop(path, None)  # written again
                self._rising[path] = ((-1, -1), 0.0)
        if ended or now >= self._next_listing:
            self._list(now)
        return [path for path in sorted(self._rising) if self._rests(path, now, ended)]

    def taken(self, path: Path, status: os.stat_result) -> None:
        """Remember how a file was when it was read: so it is not new."""
        self._known[path] = status.st_size, status.st_mtime_ns

    @property
    def rising(self) -> Collection[Path]:
        """The files that have not come to rest."""
        return self._rising.keys()

    def _belongs(self, path: Path) -> bool:
        deep = self._pattern.startswith("**/")
        inside = self._folder in path.parents if deep else self._folder == path.parent
        return inside and is_wanted(path.name, self._pattern)

    def _list(self, now: float) -> None:
        there = set(files_in(self._folder, self._pattern))
        for path in self._known.keys() - there:
            del self._known[path]  # a name that was removed may come again
        for path in there - self._known.keys() - self._rising.keys():
            self._rising[path] = ((-1, -1), now)
        self._next_listing = now + _SHARE * (time.monotonic() - now)

    def _rests(self, path: Path, now: float, ended: bool) -> bool:
        before, since = self._rising[path]
        seen = _signature(path)
        if seen is None:
            del self._rising[path]  # renamed or removed
            return False
        closed = since == 0.0
        if not closed and seen != before:
            self._rising[path] = (seen, now)
            since = now
        if not seen[0] or not (closed or ended or now - since >= self._settle_s):
            return False
        del self._rising[path]
        self._known[path] = seen
        return True


def _signature(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
