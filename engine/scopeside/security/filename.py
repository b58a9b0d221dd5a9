"""Names of files that are made of names that came from elsewhere."""

from __future__ import annotations

import re
from urllib.parse import quote

_NOT_PLAIN = re.compile(r"[^\w.\- ]")
LONGEST = 200
"""Letters; file systems take 255 bytes."""


def file_name(*parts: str, suffix: str = "") -> str:
    """Return the parts joined by dots; it names a file in its folder and no other.

    What is no letter, digit, ``.``, ``_``, ``-`` or blank is written as ``%2F`` and
    the like, so that no two names become one.

    Raises
    ------
    ValueError
        If nothing is left of it, or it is too long.
    """
    name = ".".join(_NOT_PLAIN.sub(lambda m: quote(m[0], safe=""), p) for p in parts)
    if not name.strip(". ") or len((name + suffix).encode()) > LONGEST:
        raise ValueError(f"this cannot be the name of a file: {name!r:.120}")
    return re.sub(r"\A\.+", lambda m: "%2E" * len(m[0]), name) + suffix
