"""A record of a recording that cannot be read as it was written, while it is played."""

from __future__ import annotations

from typing import Any

from scopeside.errors import RunError
from scopeside.runs.run import Run
from scopeside.runs.verify import Damage

READING = (RunError, OSError, ValueError)
"""What may come of reading a record that is damaged, or whose file is gone."""


def damage_at(run: Run, entry: Any, error: Exception) -> Damage:
    """Return the damage of the record that an entry of the index leads to."""
    return Damage(
        run.folder / f"{int(entry['segment']):06d}.seg",
        str(error),
        int(entry["record"]),
        int(entry["offset"]),
        int(entry["first"]),
        int(entry["last"]),
    )
