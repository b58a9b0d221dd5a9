"""Where the programs of other people are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def program_of(name: str) -> str | None:
    """The program of this environment, which need not be activated, or of the PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)
