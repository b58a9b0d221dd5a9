"""Where an engine records an acquisition: for those who put something beside it.

The recorder chooses the folder of a run. It leaves a link to it in the private folder
of its engine, so that the collector finds it, whichever of the two was restarted.
"""

from __future__ import annotations

import os
from pathlib import Path

_LINKS = "recorded"


def tell(engine: Path, acquisition: str, folder: Path) -> None:
    """Say where an acquisition is recorded; again is harmless.

    Raises
    ------
    OSError
    """
    links = engine / _LINKS
    links.mkdir(mode=0o700, exist_ok=True)
    made = links / f".{acquisition}.{os.getpid()}"
    made.unlink(missing_ok=True)
    made.symlink_to(folder.absolute())
    made.replace(links / acquisition)


def folder_of(engine: Path, acquisition: str) -> Path | None:
    """Return where an acquisition is recorded; None: nowhere, or not yet."""
    try:
        folder = (engine / _LINKS / acquisition).readlink()
    except OSError:
        return None
    return folder if folder.is_dir() else None
