"""Amounts as a person reads them, each with its unit."""

from __future__ import annotations

_SIZES = ("kB", "MB", "GB", "TB")
_MINUTE_S, _HOUR_S = 60, 3600


def frames(number: float) -> str:
    """Return ``1 frame`` or ``12,345 frames``."""
    return f"{number:,.0f} frame{'' if round(number) == 1 else 's'}"


def times(number: float) -> str:
    """Return ``once`` or ``3 times``."""
    return "once" if round(number) == 1 else f"{number:.0f} times"


def duration(seconds: float) -> str:
    """Return ``0.4 s``, ``12 s``, ``5 min`` or ``1 h 20 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE_S)
    if minutes < 120:
        return f"{minutes} min"
    return f"{seconds // _HOUR_S:.0f} h {seconds % _HOUR_S // _MINUTE_S:.0f} min"


def size(number: float) -> str:
    """Return bytes as ``12 MB`` or ``1.3 TB``, powers of ten."""
    value, unit = number / 1e3, 0
    while value >= 1000 and unit < len(_SIZES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{1 if value < 10 else 0}f} {_SIZES[unit]}"
