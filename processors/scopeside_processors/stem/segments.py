"""What segments of a ring say of a beam that has moved on the camera.

The beam is a disk, evenly bright. If its edge lies within a ring of n equal segments,
a shift d that is small against its radius R changes the share of the counts that
segment i has in proportion to d: the edge sweeps over the arc that lies in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Point = tuple[float, float]

_SHIFT = 0.5
"""Pixels by which a model of the disk is moved to see what its segments say."""


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """How a shift follows from the shares that segments have of their counts.

    Attributes
    ----------
    rest
        (n,), the shares without a shift.
    weight
        (2, n): the shift is ``weight @ (share - rest)``.
    """

    rest: FloatArray
    weight: FloatArray

    def shift(self, counts: FloatArray) -> FloatArray:
        """Return the shift for ``counts (n, …)``: (…, 2); NaN where there are none."""
        total = counts.sum(axis=0)
        share = counts / np.where(total > 0, total, np.nan)
        out = np.zeros((2, *total.shape))
        # Added one after another: so the order is always the same.
        for i, rest in enumerate(self.rest):
            for axis in (0, 1):
                out[axis] += self.weight[axis, i] * (share[i] - rest)
        return np.moveaxis(out, 0, -1)


def of_ideal_disk(segments: int, start_deg: float) -> Response:
    """Return the response of segments that reach from the centre beyond the disk.

    Shifts are in radii R of the disk. With the directions u_i of the segments' middles
    and their shares s_i,

        d / R = π / (n sin(π / n)) Σ u_i s_i,

    which for four quadrants is d = π R / 4 · (right - left) / total of the two halves.
    A shift of d moves 2 R sin(π / n) (u_i · d) / (π R²) of the counts into segment i,
    and Σ u_i (u_i · d) = n d / 2. How far a field that varies within the probe is from
    such a shift is said in [1]_.

    References
    ----------
    .. [1] R. Close, Z. Chen, N. Shibata, S. D. Findlay, Ultramicroscopy 159, 124
       (2015), doi:10.1016/j.ultramic.2015.09.002
    """
    angle = np.radians(start_deg) + 2 * np.pi * (np.arange(segments) + 0.5) / segments
    towards = np.stack([np.sin(angle), np.cos(angle)])
    factor = math.pi / (segments * math.sin(math.pi / segments))
    return Response(np.full(segments, 1 / segments), factor * towards)


def of_disk(masks: BoolArray, centre: Point, radius: Point) -> Response:
    """Return the response of pixels to the shift of an evenly bright disk, in pixels.

    Parameters
    ----------
    masks : (n, height, width), the pixels of the segments
    centre : of the disk, pixels
    radius : (y, x) of the disk, pixels

    A model of the disk, whose edge is as soft as a pixel is wide, is moved by ± half a
    pixel; so it counts which pixels the segments really have. The shift is that which
    comes closest in least squares.

    Raises
    ------
    ValueError
        If no shift shows: the edge of the disk lies in no segment.
    """
    height, width = masks.shape[1:]

    def moved(y: float, x: float) -> FloatArray:
        return _disk((height, width), (centre[0] + y, centre[1] + x), radius)

    return _of_images(
        masks,
        [moved(_SHIFT, 0), moved(-_SHIFT, 0)],
        [moved(0, _SHIFT), moved(0, -_SHIFT)],
        2 * _SHIFT,
    )


def of_aperture(masks: BoolArray, aperture: FloatArray) -> Response:
    """Return the same for the image of the disk, ``aperture (height, width)``.

    It is moved by ± a pixel; so the edge may be as soft as it is.
    """
    edged = np.pad(aperture, 1)
    height, width = aperture.shape

    def moved(y: int, x: int) -> FloatArray:
        return edged[1 - y : 1 - y + height, 1 - x : 1 - x + width]

    return _of_images(
        masks, [moved(1, 0), moved(-1, 0)], [moved(0, 1), moved(0, -1)], 2.0
    )


def _of_images(
    masks: BoolArray, rows: list[FloatArray], columns: list[FloatArray], shift: float
) -> Response:
    """Return the response, from images moved there and back along both directions."""
    shares = [[_shares(masks, image) for image in pair] for pair in (rows, columns)]
    slope = np.stack([(there - back) / shift for there, back in shares], axis=1)
    if not np.linalg.matrix_rank(slope, tol=1e-9) == 2:
        raise ValueError("the edge of the disk lies in no segment")
    rest = np.mean([one for pair in shares for one in pair], axis=0)
    weight = np.linalg.pinv(slope)
    return Response(np.asarray(rest, np.float64), np.asarray(weight, np.float64))


def _shares(masks: BoolArray, image: FloatArray) -> FloatArray:
    counts: FloatArray = np.array([image[mask].sum() for mask in masks])
    total = counts.sum()
    return counts / total if total > 0 else np.zeros(len(masks))


def _disk(shape: tuple[int, int], centre: Point, radius: Point) -> FloatArray:
    row, column = np.ogrid[: shape[0], : shape[1]]
    away = np.hypot((row - centre[0]) / radius[0], (column - centre[1]) / radius[1])
    return np.clip((1 - away) * math.sqrt(radius[0] * radius[1]) + 0.5, 0, 1)
