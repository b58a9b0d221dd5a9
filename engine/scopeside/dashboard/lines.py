"""A series or a long table as lines that a screen can show."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.dashboard.cells import heads_of, rounded, rows_of
from scopeside.result import Result

Array = npt.NDArray[Any]

MOST_POINTS = 512
MOST_LINES = 8


def lines_of(result: Result, most_points: int = MOST_POINTS) -> dict[str, Any]:
    """Return x and y of each column, thinned out so that every peak stays.

    Of a series x counts its values; of a table it is the first column.

    Returns
    -------
    ``axis`` and its ``unit``; ``lines``: ``name``, ``unit``, ``x``, ``y`` (None where
    there is no value) and ``thinned``, whether points were left out; ``left_out``:
    columns beyond `MOST_LINES`.
    """
    rows = rows_of(result)
    heads = heads_of(result, rows.shape[1])
    axis, unit = (result.axes or ("number",))[0], ""
    x = np.arange(len(rows), dtype=np.float64)
    if result.kind == "table" and rows.shape[1] > 1:
        (axis, unit), heads = heads[0], heads[1:]
        x, rows = rows[:, 0], rows[:, 1:]
    found = []
    for k, (name, of) in enumerate(heads[:MOST_LINES]):
        kept = peaks_kept(rows[:, k], most_points)
        line = {"name": name, "unit": of, "thinned": len(kept) < len(rows)}
        line |= {"x": rounded(x[kept]), "y": rounded(rows[kept, k])}
        found.append(line)
    left_out = max(0, len(heads) - MOST_LINES)
    return {"axis": axis, "unit": unit, "lines": found, "left_out": left_out}


def peaks_kept(values: Array, most: int) -> npt.NDArray[np.int64]:
    """Return which of `values` to draw, `most` at most: of each stretch both extremes.

    Where a stretch holds no number its first value stays, as a gap.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most // 2 + 1).astype(np.int64)
    kept = []
    for a, b in pairwise(edges.tolist()):
        part = values[a:b]
        if np.isnan(part).all():
            kept.append(a)
        else:
            kept += [a + int(np.nanargmin(part)), a + int(np.nanargmax(part))]
    return np.unique(np.array(kept, np.int64))
