"""Goes back through an audit log and reads only what may hold a text.

A search looks at texts as they are shown. Most of them stand in the log's lines as
they are, which is seen in the bytes, a hundred times faster than in the record: what
cannot hold the text is passed. Letters beyond ASCII are taken as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from scopeside.control.audit_form import read
from scopeside.control.audit_read import Entry, backwards, could_be_sent, id_of

_TOKEN = re.compile(r"[A-Za-z0-9_/@-]+")
_LETTERS = re.compile(r"[a-z]{3,}")
_OURS = (
    "true false none infinity nan yes mrad min changed done failed sent text bytes deep"
    " for key the its not written log writes contents fit hash cannot read record"
    " proposal"
)
"""Words that are shown and may not stand in the line."""
_ESCAPED = re.compile(r"x[0-9a-f]{2}")
_ID = b'"id":"'
_PROPOSAL = b'"kind":"proposal"'


def needle_of(texts: Iterable[str]) -> bytes:
    """Return what a line of an entry that is shown with all `texts` has to hold.

    In small letters; empty: nothing is sure to. Numbers, times and units are not:
    ``1.2 nm`` is written as ``1.2e-09``.
    """
    tokens = [one for text in texts for one in _TOKEN.findall(text.lower())]
    return max(filter(_is_written, tokens), key=len, default="").encode()


def _is_written(token: str) -> bool:
    if _ESCAPED.search(token):
        return False  # a character that cannot be shown is shown by its number
    return any(word not in _OURS for word in _LETTERS.findall(token))


class Sift:
    """Yields the entries of a log that may hold `needle`, the newest first.

    Whether they are as they were written is not looked at. None for each line that
    brings no such entry, so that whoever goes through it can stop at any time.

    Attributes
    ----------
    line
        The one that was looked at last.
    """

    def __init__(self, path: Path, needle: bytes) -> None:
        self.line = b""
        self._path, self._needle = path, needle
        self._later: dict[bytes, list[bytes]] = {}

    def __iter__(self) -> Iterator[Entry | None]:
        for line in backwards(self._path):
            self.line = line
            wanted = self._holds(line) or self._concerns(line)
            yield self._entry(line) if wanted else None

    def _holds(self, line: bytes) -> bool:
        return self._needle in line.lower()

    def _concerns(self, line: bytes) -> bool:
        """Whether a line is one of several on one matter, or may be."""
        at = line.find(_ID)
        if at < 0 or _PROPOSAL not in line:
            return at >= 0
        while at >= 0:
            if self._later and _id_at(line, at) in self._later:
                return True
            at = line.find(_ID, at + 1)
        return False

    def _entry(self, line: bytes) -> Entry | None:
        """Return the entry of a line, with what was kept of it; None: it is not one."""
        record = read(line).record
        if record is None:
            return None
        name = id_of(record)
        later: list[bytes] = []
        if name and could_be_sent(record):
            later = self._taken(name)
        elif name and record["kind"] in ("answer", "request", "event"):
            self._later.setdefault(_key(name), []).append(line)
        if record["kind"] == "answer" or not any(map(self._holds, (line, *later))):
            return None
        records = [read(one).record for one in reversed(later)]
        return Entry(record, "", tuple(one for one in records if one is not None))

    def _taken(self, name: str) -> list[bytes]:
        """Return what was kept of an id, the newest first, and keep it no more."""
        kept = self._later.pop(_key(name), [])
        others = [one for one in kept if id_of(read(one).record or {}) != name]
        if others:
            self._later[_key(name)] = others
        return [one for one in kept if one not in others]


def _id_at(line: bytes, at: int) -> bytes:
    """Return the text behind the `_ID` at a place, as far as the next quote."""
    return line[at + len(_ID) : line.find(b'"', at + len(_ID))]


def _key(name: str) -> bytes:
    """Return an id as `_id_at` finds it."""
    written = json.dumps(name, ensure_ascii=False).encode(errors="surrogatepass")
    return _id_at(b'"id":' + written, 0)
