"""Which file to follow next: one that is named, or those of a folder, oldest first."""

from __future__ import annotations

import time
from pathlib import Path

from scopeside_adapters.file.tvips import is_later_part
from scopeside_adapters.file.watch.listing import files_in
from scopeside_adapters.file.watch.opening import GROWING_SUFFIXES
from scopeside_adapters.file.watch.parameters import WatchParams

Identity = tuple[Path, int]


class Candidates:
    """Files that have not been followed yet, and those that could not be."""

    def __init__(self, params: WatchParams, *, folder: bool) -> None:
        self._params = params
        self._folder = folder
        self._done: set[Identity] = set()
        self._refused: dict[Path, tuple[tuple[int, int], float, bool]] = {}

    def waiting(self) -> list[Path]:
        """Return the files that may be followed, oldest first."""
        there = self._there()
        self._done &= set(there)  # a name that was removed may come again
        fresh = [it for it in there if it not in self._done]
        return [path for path, _ in sorted(fresh, key=_age)]

    def another(self) -> bool:
        """Whether there is a file that has not been followed."""
        return bool(self.waiting())

    def skip_all(self) -> None:
        """Leave alone what is there now."""
        self._done |= set(self._there())

    def done(self, path: Path) -> None:
        """Do not follow this file again."""
        self._done |= {it for it in self._there() if it[0] == path}

    def again(self, path: Path) -> None:
        """Follow this file anew: it is another one under the same name."""
        self._done = {it for it in self._done if it[0] != path}

    def refused(self, path: Path, why: str) -> str:
        """Return what to tell the operator of a file that cannot be read.

        It is told once, when the file has not changed for a while; the file is
        looked at again when it changes.
        """
        try:
            status = path.stat()
        except OSError:
            return ""
        now, seen = time.monotonic(), (status.st_size, status.st_mtime_ns)
        before, since, told = self._refused.get(path, (None, now, False))
        if before != seen:
            since, told = now, False
        tell = not told and now - since >= max(self._params.hole_s, 0.1)
        self._refused[path] = (seen, since, told or tell)
        return f"{path.name} is not followed: {why}" if tell else ""

    def _there(self) -> list[Identity]:
        params = self._params
        if not self._folder:
            paths = [params.path]
        else:
            paths = [
                path
                for path in files_in(params.path, params.pattern)
                if (params.raw or path.suffix.lower() in GROWING_SUFFIXES)
                and not (path.suffix.lower() == ".tvips" and is_later_part(path))
            ]
        found = []
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                continue  # removed since it was listed, or not there yet
            if path.is_file():
                found.append((path, status.st_ino))
        return found


def _age(identity: Identity) -> tuple[int, str]:
    """Return when a file was last written, and its name."""
    path, _ = identity
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name
