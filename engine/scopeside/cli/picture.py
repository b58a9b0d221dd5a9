"""Draws an array in the terminal: two pixels a character, coloured half blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rich.color import Color
from rich.style import Style
from rich.text import Text

Array = npt.NDArray[Any]


def picture(
    data: Array, mask: Array | None, width: int, height: int, *, log: bool = False
) -> Text:
    """Return `data` (rows, columns) as text of at most `width` × `height` characters.

    Contrast goes from the 1st to the 99th percentile of what is there; where nothing
    is there yet (`mask` False) it stays dark blue. `log`: for diffraction patterns.
    """
    values = data.astype(np.float64)
    if mask is not None:
        values = np.where(mask, values, np.nan)
    values = shrunk(values, 2 * height, width)
    seen = np.isfinite(values)
    if not seen.any():
        return Text("nothing yet", "dim")
    if log:
        brightest = max(float(values[seen].max()), 1e-30)
        values = np.log1p(1000 * np.maximum(values, 0) / brightest)
    low, high = np.percentile(values[seen], [1, 99])
    grey = np.clip((values - low) / (high - low if high > low else 1.0), 0, 1)
    levels = np.where(seen, np.rint(np.nan_to_num(grey) * 255), -1).astype(int)
    if len(levels) % 2:
        levels = np.vstack([levels, np.full((1, levels.shape[1]), -1)])
    text = Text()
    for upper, lower in zip(levels[::2], levels[1::2], strict=True):
        for a, b in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", Style(color=_colour(a), bgcolor=_colour(b)))
        text.append("\n")
    return text


def shrunk(values: Array, rows: int, columns: int) -> Array:
    """Return `values` averaged into at most `rows` × `columns`, the shape kept."""
    height, width = values.shape
    scale = max(height / rows, width / columns, 1.0)
    at = [
        np.linspace(0, size, max(1, round(size / scale)) + 1).astype(int)[:-1]
        for size in (height, width)
    ]
    there = np.isfinite(values)
    sums = _cells(np.where(there, values, 0.0), at)
    counts = _cells(there.astype(np.float64), at)
    return sums / np.where(counts > 0, counts, np.nan)


def _cells(values: Array, at: list[Array]) -> Array:
    summed: Array = np.add.reduceat(np.add.reduceat(values, at[0], 0), at[1], 1)
    return summed


def _colour(level: int) -> Color:
    return (
        Color.from_rgb(10, 14, 50) if level < 0 else Color.from_rgb(level, level, level)
    )
