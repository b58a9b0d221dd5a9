"""Where the chips of a camera lie, and which way round each is read.

A chip has its own x (column) and y (row), 0 to 255. Its orientation is written as
Serval writes it: ``LtRBtT`` has x run from left to right and y from bottom to top;
``TtBLtR`` has x run from top to bottom and y from left to right. Row 0 of the frame is
at the top.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scopeside.errors import SourceError
from scopeside_adapters.timepix3.tables import CHIPS, Array

SIDE = 256
_MOST_PIXELS = 1 << 24
_WAYS = {"LtR": (0, 1), "RtL": (0, -1), "TtB": (1, 1), "BtT": (1, -1)}
_ORIENTATION = re.compile("(LtR|RtL|TtB|BtT)(LtR|RtL|TtB|BtT)")


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: its number on the wire, its left upper corner, its orientation."""

    number: int
    x: int
    y: int
    orientation: str

    def __post_init__(self) -> None:
        found = _ORIENTATION.fullmatch(self.orientation)
        if found is None or (found[1][0] in "LR") == (found[2][0] in "LR"):
            raise SourceError(
                f"chip {self.number} has orientation {self.orientation!r}; it is one "
                "direction for x and one for y, such as 'LtRBtT'"
            )
        if not (0 <= self.number < CHIPS and self.x >= 0 and self.y >= 0):
            raise SourceError(
                f"chip {self.number} at ({self.x}, {self.y}): a chip has a number "
                f"below {CHIPS} and lies at 0 or more"
            )

    def position_of(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return (row, column) in the frame of the chip's own pixels x, y."""
        place = {0: np.zeros_like(x), 1: np.zeros_like(x)}
        ways = (self.orientation[:3], self.orientation[3:])
        for own, way in zip((x, y), ways, strict=True):
            axis, sign = _WAYS[way]
            place[axis] = own if sign > 0 else SIDE - 1 - own
        return place[1] + self.y, place[0] + self.x


@dataclass(frozen=True, slots=True)
class CameraLayout:
    """All chips of a camera, and the frame they make."""

    chips: tuple[Chip, ...]

    def __post_init__(self) -> None:
        numbers = [chip.number for chip in self.chips]
        if not self.chips or len(set(numbers)) < len(numbers):
            raise SourceError(f"a layout needs chips with different numbers: {numbers}")
        height, width = self.shape
        if height * width > _MOST_PIXELS:
            raise SourceError(f"a frame of {height}×{width} has too many pixels")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the frame, pixels."""
        height = max(chip.y for chip in self.chips) + SIDE
        return height, max(chip.x for chip in self.chips) + SIDE

    def tables(self) -> tuple[Array, Array]:
        """Return what the bytes of PixAddr add to the address, (chips, 256) each.

        An address is the sum of what the upper and the lower byte say, because each
        bit of PixAddr moves a pixel by a fixed step. The chips are those that are
        numbered up to the largest; a number between that is left out is at -1.
        """
        count = max(chip.number for chip in self.chips) + 1
        high = np.full((count, 256), -1, np.int64)
        low = np.zeros((count, 256), np.int64)
        byte = np.arange(256)
        zero = np.zeros(256, np.int64)
        for chip in self.chips:
            corner = self._address(chip, zero, zero)
            upper = self._address(chip, byte & 0xFE, (byte & 1) << 7)
            lower = self._address(
                chip, (byte >> 2) & 1, ((byte & 0xF8) >> 1) + (byte & 3)
            )
            high[chip.number], low[chip.number] = upper, lower - corner
        return high, low

    def _address(self, chip: Chip, x: Array, y: Array) -> Array:
        row, column = chip.position_of(x, y)
        address: Array = row * self.shape[1] + column
        return address


def _layout(*chips: tuple[int, int, int, str]) -> CameraLayout:
    return CameraLayout(tuple(Chip(*chip) for chip in chips))


LAYOUTS: Mapping[str, CameraLayout] = {
    "single": _layout((0, 0, 0, "LtRTtB")),
    "quad": _layout(
        (0, 256, 256, "LtRBtT"),
        (1, 256, 0, "RtLTtB"),
        (2, 0, 0, "RtLTtB"),
        (3, 0, 256, "LtRBtT"),
    ),
    "quad_flipped": _layout(
        (0, 256, 0, "LtRTtB"),
        (1, 256, 256, "RtLBtT"),
        (2, 0, 256, "RtLBtT"),
        (3, 0, 0, "LtRTtB"),
    ),
    "strip": _layout(
        (0, 0, 0, "RtLTtB"),
        (1, 768, 0, "RtLTtB"),
        (2, 512, 0, "RtLTtB"),
        (3, 256, 0, "RtLTtB"),
    ),
}
"""By name; `quad` and `quad_flipped` are the two readings of the common 2×2."""


def layout_of(chips: Iterable[Sequence[Any]]) -> CameraLayout:
    """Return the layout of ``[number, x, y, orientation]`` for each chip."""
    return _layout(*((int(n), int(x), int(y), str(way)) for n, x, y, way in chips))


def layout_from_serval(answer: Any) -> CameraLayout:
    """Read what Serval answers to ``GET /detector/layout``.

    Where the camera was turned (``Rotated``), that is what its images show.

    Raises
    ------
    SourceError
        If it is no layout.
    """
    try:
        chips = (answer.get("Rotated") or answer["Original"])["Chips"]
        return layout_of(
            (chip["Chip"], chip["X"], chip["Y"], chip["Orientation"]) for chip in chips
        )
    except (
        AttributeError, KeyError, TypeError, ValueError, OverflowError
    ) as error:  # fmt: skip
        raise SourceError(
            f"Serval's layout of the chips is {answer!r:.200}, which cannot be read; "
            "set layout yourself"
        ) from error
