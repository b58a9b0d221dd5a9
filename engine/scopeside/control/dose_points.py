"""What a focused probe does to the cells it is put on, point after point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scopeside.control.dose_beam import Box, centre_m, field_m, turned
from scopeside.control.dose_map import Cells, DoseMap, FloatArray
from scopeside.control.dose_settings import DoseSettings
from scopeside.control.instrument import Value

_MAX_CELLS = 1 << 22


@dataclass(frozen=True, slots=True)
class PointDoses:
    """Dose of the cells of a window, per dose rate of the whole field.

    Attributes
    ----------
    per_rate
        (rows, columns) of `cells`, e⁻/Å² for each e⁻/Å²/s.
    seconds
        How long it takes in all.
    """

    cells: Cells
    per_rate: FloatArray
    seconds: float


def point_doses(
    settings: DoseSettings,
    values: Mapping[str, Value],
    fields: Mapping[str, Any],
    on: DoseMap,
) -> PointDoses | str:
    """Return what ``place_beam`` does, or why it cannot be counted.

    The electrons that the rate of the field stands for fall onto `probe_area_m2`
    instead. A cell gets all that falls within the margin and the radius of the probe.
    """
    if settings.probe_area_m2 is None:
        return "under a dose budget it needs probe_area_m2"
    centre, field = centre_m(settings, values), field_m(settings, values)
    angle = turned(settings, values)
    for one in (centre, field, angle):
        if isinstance(one, str):
            return one
    assert not isinstance(centre, str)
    assert not isinstance(field, str)
    if angle != 0.0:
        return "it cannot be counted where the field is turned"
    (y, x), (height, width) = centre, field
    points = np.asarray(fields["points"], np.float64)
    ys, xs = y + (points[:, 0] - 0.5) * height, x + (points[:, 1] - 0.5) * width
    reach = settings.margin_m + math.sqrt(settings.probe_area_m2 / math.pi)
    lowest, highest = (ys.min(), xs.min()), (ys.max(), xs.max())
    cells = on.cells(
        Box(*(float(v) - reach for v in lowest), *(float(v) + reach for v in highest))
    )
    rows, columns = cells.bottom - cells.top, cells.right - cells.left
    if rows * columns > _MAX_CELLS:
        return f"its {rows} × {columns} cells are too many to count"
    corners = np.zeros((rows + 1, columns + 1))
    edges = [
        on.cells(Box(a - reach, b - reach, a + reach, b + reach))
        for a, b in zip(ys.tolist(), xs.tolist(), strict=True)
    ]
    top, left, bottom, right = np.array(edges).T
    top, bottom = top - cells.top, bottom - cells.top
    left, right = left - cells.left, right - cells.left
    for row, column, sign in (
        (top, left, 1),
        (top, right, -1),
        (bottom, left, -1),
        (bottom, right, 1),
    ):
        np.add.at(corners, (row, column), sign)
    hits = np.rint(corners.cumsum(0).cumsum(1))[:-1, :-1]
    dwell_s = float(fields["dwell_s"])
    focus = height * width / settings.probe_area_m2
    return PointDoses(cells, hits * focus * dwell_s, dwell_s * len(points))
