"""What a processor says: an image, a series, a table, a number or an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

ResultKind = Literal["image", "series", "table", "scalar", "event"]


@dataclass(frozen=True, slots=True)
class Result:
    """A named value and what it stands on.

    Attributes
    ----------
    name
        Of the quantity, such as ``bf``.
    kind
        ``image``, ``series``, ``table``, ``scalar`` or ``event``.
    data
        Array, number, or a mapping of plain values for events.
    frame
        Index of the last frame it stands on; -1 before the first.
    first
        Index of the first frame it stands on; -1 before the first.
    used
        Number of frames it stands on.
    expected
        Number of frames that the whole needs; None when nobody has said.
    valid, reason
        A failure is an invalid result with a reason, never zeros.
    mask
        Same shape as `data`, True where the value stands on a frame. None when
        all of it does.
    units, axes
        Unit of the values; names of the axes, slowest first.
    meta
        What belongs to it: confidence, covariance, parameter version …
    """

    name: str
    data: Any
    kind: ResultKind = "image"
    frame: int = -1
    first: int = -1
    used: int = 0
    expected: int | None = None
    valid: bool = True
    reason: str = ""
    mask: npt.NDArray[np.bool_] | None = None
    units: str = ""
    axes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether it stands on all the frames that the whole needs."""
        return self.expected is not None and self.used >= self.expected


def invalid(name: str, reason: str, **stands_on: Any) -> Result:
    """Return a result that says why there is none."""
    return Result(name, None, "event", valid=False, reason=reason, **stands_on)
