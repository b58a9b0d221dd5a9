"""What a tab says over its socket, checked before anything is done with it. No I/O.

``{"want": {"images": {ID: {"key": KEY, "hz": 10, "plane": null}}, "topics": [NAME]}}``:
all that it shows now. ``{"painted": [ID, NUMBER]}``: it can take the next one.
"""

from __future__ import annotations

import math
from typing import Any

from scopeside.strangers import from_json

MOST_WANTED = 64
"""Images and topics of one tab."""
_LONGEST_ID = 32
_LONGEST_NAME = 400


def heard(message: str | bytes) -> dict[str, Any]:
    """Return what a tab says.

    Raises
    ------
    ValueError
        If it cannot be that.
    """
    raw = message if isinstance(message, bytes) else message.encode(errors="replace")
    said = from_json(raw)
    if not isinstance(said, dict):
        raise ValueError("expected an object")
    if "painted" in said:
        _check_painted(said["painted"])
    if "want" in said:
        _check_want(said["want"])
    return said


def _check_painted(painted: Any) -> None:
    match painted:
        case [str(), int()]:
            return
    raise ValueError("painted: expected [id, number]")


def _check_want(want: Any) -> None:
    match want:
        case {"images": dict(images), "topics": list(topics)}:
            pass
        case _:
            raise ValueError("want: expected images and topics")
    if len(images) > MOST_WANTED or len(topics) > MOST_WANTED:
        raise ValueError(f"want: at most {MOST_WANTED} images and topics")
    for name in topics:
        _check_text(name, _LONGEST_NAME, "topics")
    for ident, image in images.items():
        _check_text(ident, _LONGEST_ID, "images")
        _check_image(image)


def _check_image(image: Any) -> None:
    match image:
        case {"key": key}:
            _check_text(key, _LONGEST_NAME, "key")
        case _:
            raise ValueError("images: expected a key")
    hz = image.get("hz", 0)
    if not isinstance(hz, int | float) or not math.isfinite(hz):
        raise ValueError("hz: expected a number")
    if not isinstance(image.get("plane"), int | None):
        raise ValueError("plane: expected a whole number, or null")


def _check_text(text: Any, longest: int, where: str) -> None:
    if not isinstance(text, str) or not 0 < len(text.encode()) <= longest:
        raise ValueError(f"{where}: expected texts of 1 to {longest} bytes")
