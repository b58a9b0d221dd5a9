"""Where the real data sets lie that some tests read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[1].parent / "shared" / "data"


def real(path: str) -> Path:
    """Return a real data set; skip the test, saying why, where it is absent."""
    found = Path(os.environ.get("SCOPESIDE_DATA", _BESIDE)) / path
    if not found.exists():
        pytest.skip(f"the real data set {found} is not here (set SCOPESIDE_DATA)")
    return found
