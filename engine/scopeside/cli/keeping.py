"""``scopeside keep``: mark what is going on now, so that it is recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from scopeside.mark import Kept, keep


def keep_command(
    before_s: float | None, after_s: float | None, note: str, run: Path | None
) -> int:
    """Keep what surrounds this moment, and say what that is."""
    said = in_words(keep(before_s, after_s, note, run=run))
    Console(highlight=False).print(said, markup=False, soft_wrap=True)
    return 0


def in_words(kept: Kept) -> str:
    """Return what the engine has acknowledged."""
    around = f"{kept.before_s:g} s before to {kept.after_s:g} s after"
    if kept.t_ns <= 0:
        return f"{kept.acquisition}: {around} now are kept, as all its frames are"
    at = datetime.fromtimestamp(kept.t_ns / 1e9, UTC).astimezone()
    return f"{kept.acquisition}: {around} {at:%H:%M:%S.%f} are kept"
