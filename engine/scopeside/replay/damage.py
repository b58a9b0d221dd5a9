"""What of a recording is not as it was written, in the words of a microscopist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scopeside.errors import RunError
from scopeside.runs.run import Run
from scopeside.wire import Kind

READING = (RunError, OSError, ValueError)
"""What may come of reading a record that is damaged, or whose file is gone."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A record that cannot be read as it was written.

    Attributes
    ----------
    first, last
        Its lowest and highest frame; -1 if it has none.
    """

    file: Path
    record: int
    kind: str
    first: int
    last: int
    why: str

    def __str__(self) -> str:
        frames = f", frames {self.first} to {self.last}" if self.first >= 0 else ""
        return f"{self.file}: record {self.record} ({self.kind}){frames}: {self.why}"


def damage_at(run: Run, entry: Any, error: Exception) -> Damage:
    """Return the damage of the record that an entry of the index leads to."""
    return Damage(
        run.folder / f"{int(entry['segment']):06d}.seg",
        int(entry["record"]),
        Kind(int(entry["kind"])).name,
        int(entry["first"]),
        int(entry["last"]),
        str(error),
    )


def damages(run: Run) -> Iterator[Damage]:
    """Read every record, and yield those that are not as they were written."""
    for entry in run.entries:
        try:
            run.message(entry)
        except READING as error:
            yield damage_at(run, entry, error)
