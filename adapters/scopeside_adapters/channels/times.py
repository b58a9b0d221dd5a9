"""Reads times as loggers write them, into nanoseconds since 1970 UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal, DecimalException
from typing import Literal
from zoneinfo import ZoneInfo

TimeFormat = Literal[
    "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "iso", "clock", "elapsed_s"
]
_FACTORS = {"epoch_s": 9, "elapsed_s": 9, "epoch_ms": 6, "epoch_us": 3, "epoch_ns": 0}
"""Power of ten that makes nanoseconds of them."""
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?"
    r"(Z|[+-]\d\d:?\d\d)?"
)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?")
_HALF_DAY_S = 43_200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = Decimal(1 << 62)

Reader = Callable[[str], int]


def reader(kind: TimeFormat, zone: str, t0: datetime | date | None) -> Reader:
    """Return what turns the text of a time into nanoseconds since 1970 UTC.

    It raises ValueError if the text is no such time.

    Parameters
    ----------
    zone
        ``local``, ``UTC`` or a name such as ``Europe/Berlin``, for times without one.
    t0
        ``elapsed_s``: when 0 was. ``clock``: the date of the first time; today if None.
    """
    if kind == "iso":
        return lambda text: iso_ns(text, zone_of(zone))
    if kind == "clock":
        return Clock(t0, zone_of(zone))
    base = 0
    if kind == "elapsed_s":
        assert isinstance(t0, datetime)  # the parameters see to that
        base = _since_1970(t0 if t0.tzinfo else t0.replace(tzinfo=zone_of(zone)))
    return lambda text: base + _scaled(text, _FACTORS[kind])


def zone_of(name: str) -> tzinfo | None:
    """Return a time zone; None is that of this machine.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name == "local":
        return None
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"there is no time zone {name!r}; take 'local', 'UTC' or a name such as "
            "'Europe/Berlin'"
        ) from error


def iso_ns(text: str, zone: tzinfo | None) -> int:
    """Read 2026-01-31T10:15:00.250, with Z or +01:00 or without."""
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r:.60} is no time like 2026-01-31T10:15:00.250")
    day, clock, fraction, offset = found.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{offset or ''}")
    if offset is None:
        moment = moment.replace(tzinfo=zone)
    return _since_1970(moment) + _fraction_ns(fraction)


class Clock:
    """Reads the time of day, 10:15:00.250, and knows when midnight has passed."""

    def __init__(self, day: datetime | date | None, zone: tzinfo | None) -> None:
        self._day = day.date() if isinstance(day, datetime) else day
        self._zone = zone
        self._last_s: int | None = None

    def __call__(self, text: str) -> int:
        """Return the nanoseconds of a time of day."""
        found = _CLOCK.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r:.60} is no time of day like 10:15:00.250")
        hour, minute, second = (int(part) for part in found.groups()[:3])
        of_day = time(hour, minute, second)
        seconds = 3600 * hour + 60 * minute + second
        if self._day is None:
            self._day = datetime.now(self._zone).date()
        if self._last_s is not None and self._last_s - seconds > _HALF_DAY_S:
            self._day += timedelta(days=1)
        self._last_s = seconds
        moment = datetime.combine(self._day, of_day, self._zone)
        return _since_1970(moment) + _fraction_ns(found[4])


def _since_1970(moment: datetime) -> int:
    """Return nanoseconds, exactly; a time without a zone is of this machine's."""
    if moment.tzinfo is None:
        moment = moment.astimezone()
    passed = moment - _EPOCH
    micro = (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
    return micro * 1000


def _fraction_ns(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _scaled(text: str, power: int) -> int:
    """Return a decimal number times 10**power as a whole number, exactly."""
    if len(text) > 64:
        raise ValueError("a time has 64 characters at most")
    try:
        number = Decimal(text).scaleb(power)
    except DecimalException as error:
        raise ValueError(f"{text!r} is no number") from error
    if not number.is_finite() or abs(number) > _LARGEST:
        raise ValueError(f"the time {text!r} cannot be")
    return int(number)
