"""What a person asks of the guard, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from scopeside.control.remembered import usable_id
from scopeside.errors import RefusedError
from scopeside.messages import unknown

ASKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "arm": ("seconds",),
        "advise": (),
        "hold": (),
        "blank": (),
        "unblank": (),
        "accept": ("id",),
        "decline": ("id",),
        "do": ("action", "fields"),
        "status": (),
    }
)
"""By ask: what has to come with it."""
MAX_ARM_S = 12 * 3600.0
_MAX_TEXT = 200
_BESIDE = ("ask", "id", "who", "reason")


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for.

    Attributes
    ----------
    id
        By which the person knows the answer; of accept and decline, the proposal's.
    """

    ask: str
    id: str = ""
    who: str = ""
    reason: str = ""
    seconds: float = 0.0
    action: Any = ""
    fields: Any = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Any) -> Request:
        """Read what came; nothing unknown, nothing missing.

        Raises
        ------
        RefusedError
            With the cause ``unknown_ask``, ``wrong_type``, ``unknown_field``,
            ``missing_field``, ``not_finite`` or ``out_of_range``.
        """
        if not isinstance(values, Mapping):
            raise RefusedError("a request is a table", "wrong_type")
        ask = values.get("ask")
        if not isinstance(ask, str) or ask not in ASKS:
            raise RefusedError(unknown("ask", f"{ask!s:.60}", ASKS), "unknown_ask")
        needs = ASKS[ask]
        for key in values:
            if key not in needs and key not in _BESIDE:
                raise RefusedError(f"{ask}: no field {key!s:.60}", "unknown_field")
        if lacking := [key for key in needs if key not in values]:
            raise RefusedError(f"{ask} lacks {', '.join(lacking)}", "missing_field")
        return cls(
            ask=ask,
            id=usable_id(values["id"]) if values.get("id") not in (None, "") else "",
            who=_text("who", values.get("who", "")),
            reason=_text("reason", values.get("reason", "")),
            seconds=_seconds(values["seconds"]) if "seconds" in needs else 0.0,
            action=values.get("action", ""),
            fields=values.get("fields", {}),
        )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _broken(value):
        raise RefusedError(
            f"{name} is a text of at most {_MAX_TEXT} printable characters",
            "wrong_type",
        )
    return value


def _broken(text: str) -> bool:
    return not text.isprintable()


def _seconds(value: Any) -> float:
    if type(value) not in (int, float):
        raise RefusedError("arm: seconds is a number", "wrong_type")
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedError(f"arm: seconds = {value} is not finite", "not_finite")
    if not 1 <= value <= MAX_ARM_S:
        raise RefusedError(
            f"arm: seconds is 1 to {MAX_ARM_S:.0f} (12 hours)", "out_of_range"
        )
    return float(value)
