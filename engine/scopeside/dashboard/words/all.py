"""Everything that is to be said, the worst first."""

from __future__ import annotations

from scopeside.dashboard.words.frames import frame_sentences
from scopeside.dashboard.words.guard import guard_sentences
from scopeside.dashboard.words.processes import process_sentences
from scopeside.dashboard.words.recording import record_sentences
from scopeside.dashboard.words.sentence import Now, Sentence

MOST = 64
_ORDER = ("bad", "warn", "ok")


def sentences(now: Now) -> list[Sentence]:
    """Return what is to be said now; nothing if all is well."""
    said = [
        *guard_sentences(now),
        *record_sentences(now),
        *process_sentences(now),
        *frame_sentences(now),
    ]
    said.sort(key=lambda one: _ORDER.index(one.level))
    return said[:MOST]
