"""What the instrument says it is set to, and whether it is what the guard has set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scopeside.control.evidence import AHEAD_NS, MS
from scopeside.control.instrument import Readback, Value
from scopeside.control.limits import Wanted, differs, number_of
from scopeside.control.settings import ControlSettings


class Readings:
    """The last read-back, and the memory of what was set."""

    def __init__(self, settings: ControlSettings) -> None:
        self._frames = settings.clock == "frames"
        self.fresh_ns = int(max(1000.0, 5 * settings.read_every_ms) * MS)
        """So old may the last read-back be: five were missed, and a second is over."""
        self.last: Readback | None = None
        self.why = ""
        """Why the last attempt to read failed; empty if it did not."""
        self.failing_ns = 0
        """Since when it fails; 0 if it does not."""
        self._set: Wanted = {}

    def take(self, readback: Any, now_ns: int) -> Readback | None:
        """Take in what was read; None if it is of no use, or older than the last."""
        found = _clean(readback)
        # By the clock of the frames every read-back is of another time than they are.
        ahead = (
            found is not None and not self._frames and found.t_ns > now_ns + AHEAD_NS
        )
        if found is None or ahead:
            self.fail("what was read back makes no sense", now_ns)
            return None
        if self.last is not None and found.t_ns < self.last.t_ns:
            return None
        self.last, self.why, self.failing_ns = found, "", 0
        return found

    def fail(self, reason: str, now_ns: int) -> None:
        """Take note that the instrument does not say."""
        self.why = f"the instrument cannot be read: {reason!s:.200}"
        self.failing_ns = self.failing_ns or now_ns

    def lacking(self, now_ns: int) -> str:
        """Return why there is nothing to go by; "" if there is."""
        if self.why or self.last is None:
            return self.why or "the instrument has not said yet what it is set to"
        age_ns = now_ns - self.last.t_ns
        if age_ns > self.fresh_ns and not self._frames:
            return f"the last read-back is {age_ns / MS:.0f} ms old"
        return ""

    def numbers(self) -> dict[str, float]:
        """Return the numbers of the last read-back, by quantity."""
        if self.last is None:
            return {}
        found = {name: number_of(self.last, name) for name in self.last.values}
        return {name: value for name, value in found.items() if value is not None}

    def used(self, quantities: Mapping[str, Any]) -> dict[str, Value]:
        """Return what was read back of these."""
        values = {} if self.last is None else self.last.values
        return {name: values[name] for name in quantities if name in values}

    def settled(self, want: Wanted, readback: Readback) -> None:
        """Remember what a command set; whatever else it moved stands from now on."""
        others = {
            name: (readback.values[name], tolerance)
            for name, (_, tolerance) in self._set.items()
            if name in readback.values
        }
        self._set = {**others, **want}

    def unlike(self, want: Wanted, readback: Readback) -> str:
        """Return where a read-back is not what was asked for; "" if nowhere."""
        return differs(want, _clean(readback) or Readback(0, {}))

    def put(self, quantity: str, value: Value) -> None:
        """Remember a switch that the guard has set."""
        self._set[quantity] = (value, 0.0)

    def foreign(self, readback: Readback) -> str:
        """Return what somebody else has changed; "" if nothing."""
        return differs(self._set, readback)

    def forget(self) -> None:
        """Take what is set now as right: a person has looked."""
        self._set = {}


def _clean(readback: Any) -> Readback | None:
    """Return a read-back without the numbers that are none: they were not said."""
    if not isinstance(readback, Readback) or type(readback.t_ns) is not int:
        return None
    if not isinstance(readback.values, Mapping):
        return None
    values = {
        name: value for name, value in readback.values.items() if _sensible(value)
    }
    return Readback(readback.t_ns, values)


def _sensible(value: Any) -> bool:
    if isinstance(value, bool | str):
        return True
    if not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
