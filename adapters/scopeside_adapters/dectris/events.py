"""What a message says that is no image of the usual form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scopeside_adapters.dectris.images import Rows


@dataclass(frozen=True, slots=True)
class Facts:
    """What a header tells of the images to come; what it does not tell is absent.

    Attributes
    ----------
    expected
        How many images the series will have.
    channels
        Names of the channels (V2).
    """

    frame_shape: tuple[int, int] | None = None
    dtype: np.dtype[Any] | None = None
    expected: int | None = None
    channels: tuple[str, ...] = ()
    calibration: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeriesStarted:
    """The detector was armed."""

    series: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class SeriesDescribed:
    """The configuration came in a message of its own, after the header (V1)."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class SeriesEnded:
    """The detector was disarmed, cancelled or aborted, or has taken all images."""

    series: int


@dataclass(frozen=True, slots=True)
class ImageRead:
    """An image of an unusual form; `row` as those of the loop."""

    row: Rows


Event = SeriesStarted | SeriesDescribed | SeriesEnded | ImageRead
