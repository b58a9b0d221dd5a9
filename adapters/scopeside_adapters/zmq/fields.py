"""Takes the fields of a header one by one, and refuses what cannot be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from scopeside.errors import ProtocolError
from scopeside.wire import Kind

MOST_INT64 = (1 << 63) - 1
_DEEPEST = 16
_REQUIRED = object()


class RefusedError(ProtocolError):
    """A message that is whole but cannot be taken.

    Attributes
    ----------
    frames
        How many frames are lost with it; 1 where the message did not get to say.
    """

    def __init__(self, message: str, *, cause: str, frames: int = 1) -> None:
        super().__init__(message, cause=cause)
        self.frames = frames


class Fields:
    """The header of one message.

    Attributes
    ----------
    frames
        How many frames the message carries, as far as it is known by now.
    """

    def __init__(self, kind: Kind, values: Mapping[str, Any]) -> None:
        self.frames = 1
        self._kind = kind
        self._values = values

    def refusal(self, cause: str, message: str) -> RefusedError:
        """Return the error to raise, with the kind of the message put before."""
        return RefusedError(
            f"{self._kind.name}: {message}", cause=cause, frames=self.frames
        )

    def any(self, name: str) -> Any:
        """Return a field as it is; None if it is absent."""
        return self._values.get(name)

    def whole(self, name: str, least: int, most: int, default: Any = _REQUIRED) -> Any:
        """Return a whole number from `least` to `most`."""
        value = self._take(name, default)
        if value is default:
            return value
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name, f"a whole number from {least} to {most}", value)
        return value

    def text(self, name: str, pattern: str, default: Any = _REQUIRED) -> Any:
        """Return a text that matches `pattern` as a whole."""
        value = self._take(name, default)
        if value is default:
            return value
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.DOTALL):
            raise self._wrong(name, f"a text like {pattern}", value)
        return value

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a map of names and plain values: what JSON can say, and finite."""
        value = self._take(name, _REQUIRED)
        if not isinstance(value, dict):
            raise self._wrong(name, "a map of names and values", value)
        if problem := _not_plain(value, name, _DEEPEST):
            raise self.refusal("wrong_header", problem)
        return value

    def _take(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is None:
            if default is _REQUIRED:
                raise self.refusal("wrong_header", f"'{name}' is missing")
            return default
        return value

    def _wrong(self, name: str, expected: str, found: Any) -> RefusedError:
        text = f"'{name}' is {expected}, not {found!r:.80}"
        return self.refusal("wrong_header", text)


def _not_plain(value: Any, where: str, depth: int) -> str:
    """Say what makes `value` something else than plain; empty if it is plain."""
    if depth == 0:
        return f"'{where}' is nested deeper than {_DEEPEST} levels"
    if isinstance(value, float) and not math.isfinite(value):
        return f"'{where}' is {value}; leave out what is not known"
    if value is None or isinstance(value, str | int | float):
        return ""
    if isinstance(value, list):
        inside = ((f"{where}[{i}]", item) for i, item in enumerate(value))
    elif isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return f"'{where}' has a name that is no text"
        inside = ((f"{where}.{key:.40}", item) for key, item in value.items())
    else:
        return f"'{where}' is {type(value).__name__}, which is no plain value"
    return next(
        (text for at, item in inside if (text := _not_plain(item, at, depth - 1))), ""
    )
