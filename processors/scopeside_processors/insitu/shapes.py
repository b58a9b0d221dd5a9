"""The shape of each region: size, axes, roundness, outline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside_processors.kernels import regions

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

COLUMNS = (
    "id",
    "y",
    "x",
    "area",
    "radius_px",
    "diameter",
    "perimeter",
    "major_axis",
    "minor_axis",
    "aspect_ratio",
    "eccentricity",
    "circularity",
    "solidity",
    "orientation",
    "contrast",
    "y_weighted",
    "x_weighted",
    "edge",
)
"""Of a table of shapes. ``y, x``: the middle of the area; px, px², radians."""
UNITS = (
    "", "px", "px", "px²", "px", "px", "px", "px", "px", "", "", "", "", "rad", "",
    "px", "px", "",
)  # fmt: skip

SPOKES = 32
"""Directions of a fingerprint."""


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """All regions of a frame.

    Attributes
    ----------
    table
        (n, 18) float64, columns as in `COLUMNS`. ``radius_px``, ``diameter``: of the
        circle of the same area; ``major_axis``, ``minor_axis``: lengths of the axes of
        the ellipse with the same second moments; ``eccentricity`` and ``orientation``
        (of the major axis, from the row axis to the column axis, -π/2 … π/2) are that
        ellipse's; ``circularity``: 4π area / perimeter², at most about 1;
        ``solidity``: area over that of the convex hull; ``contrast``: mean over the
        area; ``y_weighted, x_weighted``: middle of the contrast; ``edge``: 1 if it
        touches the edge of the frame.
    offset, points
        Contours: region k has ``points[offset[k]:offset[k + 1]]`` (row, column).
    fingerprint
        (n, 32) float64: distance from the middle to the perimeter over its mean, in
        equal angles from the direction of the major axis on; of its two ends the one
        with the larger sum of distances around it.
    """

    table: FloatArray
    offset: npt.NDArray[np.int64]
    points: npt.NDArray[np.int32]
    fingerprint: FloatArray


def shapes_of(label: Array, number: int, contrast: Array) -> Shapes:
    """Measure the regions of a frame.

    Parameters
    ----------
    label : (height, width) int32, from 1 to `number`, each there
    contrast : (height, width) float32; weights
    """
    sums, box, first = regions.sums(label, contrast, number)
    area, weight = sums[:, 0], sums[:, 6]
    middle = sums[:, 1:3] / area[:, None]
    weighted = np.where(
        weight[:, None] > 0, sums[:, 7:9] / np.maximum(weight, 1e-30)[:, None], middle
    )
    major, minor, orientation = _ellipse(sums, middle - first)
    perimeter = regions.perimeters(label, number)
    hull = regions.hull_areas(label, box)
    with_axes = np.maximum(major, 1e-12)
    table = np.stack(
        [
            np.arange(1.0, number + 1),
            *middle.T,
            area,
            np.sqrt(area / math.pi),
            2 * np.sqrt(area / math.pi),
            perimeter,
            major,
            minor,
            major / np.maximum(minor, 1e-12),
            np.sqrt(np.maximum(1 - (minor / with_axes) ** 2, 0)),
            4 * math.pi * area / np.maximum(perimeter, 1e-12) ** 2,
            area / np.maximum(hull, 1),
            orientation,
            weight / area,
            *weighted.T,
            sums[:, 9],
        ],
        axis=1,
    )
    offset, points = regions.contours(label, box)
    spokes = regions.spokes(offset, points, middle, orientation, SPOKES)
    return Shapes(table, offset, points, _canonical(spokes))


def _ellipse(
    sums: FloatArray, away: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the axes' lengths and the orientation from the second moments.

    away : (n, 2), the middle from the first pixel, about which the sums are
    """
    area = sums[:, :1]
    dy, dx = away.T
    yy, yx, xx = (sums[:, 3:6] / area).T
    # A pixel is a square: its own moment of 1/12 about its centre counts too.
    yy, xx = yy - dy * dy + 1 / 12, xx - dx * dx + 1 / 12
    yx = yx - dy * dx
    mean, half = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    major = 4 * np.sqrt(mean + half)
    minor = 4 * np.sqrt(np.maximum(mean - half, 0))
    return major, minor, np.arctan2(2 * yx, yy - xx) / 2


def _canonical(spokes: FloatArray) -> FloatArray:
    """Return fingerprints over their mean, turned so that the longer end is first."""
    if not len(spokes):
        return spokes
    scaled: FloatArray = spokes / spokes.mean(axis=1, keepdims=True)
    quarter, half = SPOKES // 4, SPOKES // 2
    ahead = np.roll(scaled, quarter, axis=1)[:, :half].sum(axis=1)
    turned = ahead < scaled.sum(axis=1) - ahead
    scaled[turned] = np.roll(scaled[turned], half, axis=1)
    return scaled
