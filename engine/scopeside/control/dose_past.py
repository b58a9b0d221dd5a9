"""How the dose account has been since this guard began, for a page that comes late."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scopeside.series.account import readings_of
from scopeside.series.kept import Kept
from scopeside.series.past import Past, from_header, to_header


class DosePast:
    """Follows the account's numbers; bounded."""

    def __init__(self) -> None:
        self._kept = Kept()

    def take(self, account: Mapping[str, Any] | None, now_ns: int) -> None:
        """Take the account as it is now; None: there is none."""
        for line, value in readings_of(account or {}):
            self._kept.add(line, (now_ns, value, math.nan, math.nan), 0)

    def told(self) -> dict[str, Any]:
        """Return all of it, for a message."""
        traces = self._kept.lines.values()
        header, parts = to_header(Past([(line, t.points) for line, t in traces]))
        return {"header": header, "parts": parts}


def past_of(told: Mapping[str, Any]) -> Past:
    """Return what `DosePast.told` has told.

    Raises
    ------
    ProtocolError
        If it is no past.
    """
    return from_header(told["header"], told["parts"])
