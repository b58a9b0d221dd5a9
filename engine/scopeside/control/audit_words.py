"""The values of a record in words: amounts with units, times, calls.

What strangers wrote is shown without control characters, so that it cannot play with
the reader's terminal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

_UNITS = {
    "_e_per_A2_s": "e⁻/Å²/s",
    "_e_per_A2": "e⁻/Å²",
    "_rad": "rad",
    "_V": "V",
    "_ms": "ms",
    "_m": "m",
    "_s": "s",
}
"""By the end of a field's name."""
_SCALED = {"m", "s", "rad", "V"}
_PREFIXES = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k"}
_MAX_TEXT = 300
_MAX_LIST = 8


def printable(value: Any, most: int = _MAX_TEXT) -> str:
    """Return a text without control characters, and not longer than `most`."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def moment(t_ns: Any, *, date: bool = True) -> str:
    """Return a time in this machine's zone, to the millisecond."""
    if type(t_ns) is not int:
        return printable(t_ns, 40)
    try:
        found = datetime.fromtimestamp(t_ns // 1_000_000 / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"{t_ns} ns"
    form = "%Y-%m-%d %H:%M:%S.%f" if date else "%H:%M:%S.%f"
    return found.strftime(form)[:-3]


def amount(name: str, value: Any) -> str:
    """Return a field as a person writes it: ``x = 1.2 nm`` for ``x_m`` = 1.2e-9."""
    ending = next((end for end in _UNITS if name.endswith(end)), "")
    short = printable(name.removesuffix(ending) or name, 40)
    return f"{short} = {_with_unit(value, _UNITS.get(ending, ''))}"


def _with_unit(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        more = ", …" if len(value) > _MAX_LIST else ""
        shown = ", ".join(_with_unit(one, "") for one in value[:_MAX_LIST])
        return f"[{shown}{more}]" + (f" ({len(value)})" if more else "")
    if isinstance(value, Mapping):
        return f"({amounts(value)})"
    if not isinstance(value, int | float):
        return printable(value, 60)
    try:
        number = float(value)
    except OverflowError:
        return printable(value, 60)
    if unit not in _SCALED or not number or not math.isfinite(number):
        return f"{number:.6g} {unit}".rstrip()
    step = max(-4, min(1, math.floor(math.log10(abs(number)) / 3)))
    return f"{number / 1000.0**step:.6g} {_PREFIXES[step]}{unit}"


def amounts(values: Any) -> str:
    """Return a table of fields as a person writes it."""
    if not isinstance(values, Mapping):
        return printable(values)
    text = ", ".join(amount(str(name), value) for name, value in values.items())
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"


def call_in_words(call: Any) -> str:
    """Return an action with its fields."""
    if not isinstance(call, Mapping):
        return printable(call)
    action = printable(call.get("action", "?"), 60)
    fields = amounts(call.get("fields", {}))
    return f"{action}: {fields}" if fields else action


def milliseconds(value: Any) -> str:
    """Return a duration, empty if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not math.isfinite(value):
        return ""
    return f"{value:.1f} ms" if abs(value) < 1000 else f"{value / 1000:.2f} s"


def duration(seconds: Any) -> str:
    """Return a time for which something holds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return printable(seconds, 40)
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def joined(parts: Iterable[str], between: str = "; ") -> str:
    """Return the parts that are not empty, in a row."""
    return between.join(part for part in parts if part)
