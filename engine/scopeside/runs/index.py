"""The index of a run in memory: it grows as the file does, and is never read twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from scopeside.runs.form import ENTRY, good_entries
from scopeside.runs.scan import INDEX

Entries = npt.NDArray[np.void]


class Index:
    """The entries that are known so far."""

    def __init__(self) -> None:
        self._room = np.empty(0, ENTRY)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def entries(self) -> Entries:
        """All of them, (n,) of `ENTRY`; what is added later does not touch these."""
        return self._room[: self._n]

    def add(self, entries: Entries) -> None:
        """Put entries behind those that are here."""
        n = self._n + len(entries)
        if n > len(self._room):
            grown = np.empty(max(n, 2 * len(self._room)), ENTRY)
            grown[: self._n] = self.entries
            self._room = grown
        self._room[self._n : n] = entries
        self._n = n

    def read(self, folder: Path, digest: str = "") -> Entries:
        """Return the good entries of the file that lie behind those that are here.

        `digest`: XXH3-128 of the whole file, if that is known: one look at it spares
        one at each entry.
        """
        try:
            with (folder / INDEX).open("rb") as file:
                file.seek(self._n * ENTRY.itemsize)
                data = file.read()
        except FileNotFoundError:
            return np.empty(0, ENTRY)
        if digest and not self._n and xxhash.xxh3_128_hexdigest(data) == digest:
            return np.frombuffer(data, ENTRY)
        return good_entries(data, first=self._n)
