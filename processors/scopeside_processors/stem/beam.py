"""The undiffracted beam over the first rows of a scan, and what it tells."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scopeside_processors.stem.descan import Descan, fit_descan
from scopeside_processors.stem.disk_edge import (
    LEAVES,
    Disk,
    find_disk,
    hot_pixels,
    mended,
    refine,
)
from scopeside_processors.stem.rings import Rings, find_rings

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

WANDERS = 0.5
"""Pixels over the tiles: beyond it the sum of all of them is too blurred to be
measured, and the disk is taken from the tiles."""
_MEASURED = 8
"""Tiles that are then measured in full."""


@dataclass(frozen=True, slots=True, eq=False)
class Beam:
    """What the patterns of the first rows tell.

    Attributes
    ----------
    disk
        The convergence disk; its centre is that of the mean pattern.
    descan
        How it wanders.
    rings
        Rings of known angles; None if none were asked for.
    hot
        (height, width) bool, pixels that were left out.
    hot_counts
        Mean counts of each of them in a frame.
    com
        (2,) centre of mass of the mean pattern without them, pixels.
    """

    disk: Disk
    descan: Descan
    rings: Rings | None
    hot: BoolArray
    hot_counts: FloatArray
    com: FloatArray


def find_beam(
    patterns: FloatArray,
    places: FloatArray,
    frames: FloatArray,
    angles: FloatArray | None = None,
) -> Beam:
    """Find the undiffracted beam in the tiles of a scan.

    Parameters
    ----------
    patterns : (m, height, width), counts, sums over each tile
    places : (m, 2), mean row and column of each tile's positions
    frames : (m,), number of frames of each tile
    angles : (k,), rad, of rings that are to be found; None: none
    """
    total = patterns.sum(axis=0)
    hot = hot_pixels(total)
    clean = mended(total, hot)
    disk = find_disk(total, hot)
    rings = None
    if not disk.reason:
        tiles = [_in_tile(pattern, hot, disk) for pattern in patterns]
        if _range(tiles) > WANDERS:
            disk = _from_tiles(patterns, frames, hot, tiles, disk)
            tiles = [_in_tile(pattern, hot, disk) for pattern in patterns]
    else:
        tiles = []
    if angles is not None:
        centre = _middle(clean) if disk.reason else disk.ellipse.centre
        rings = find_rings(clean, hot, angles, centre, disk.radius)
    counts = np.nan_to_num(total[hot] / frames.sum(), posinf=0, neginf=0)
    descan = _descan(tiles, places, disk)
    return Beam(disk, descan, rings, hot, counts, _middle_of(clean))


def _in_tile(pattern: FloatArray, hot: BoolArray, disk: Disk) -> Disk:
    """Return the disk of known size in one tile."""
    bad = hot | ~np.isfinite(pattern)
    found = refine(mended(pattern, bad), bad, disk, only_centre=True)
    if not found.reason or found.reason == LEAVES:
        return found
    # Farther away than the edge is wide: look for it anew.
    afresh = find_disk(pattern, bad)
    if afresh.reason:
        return afresh
    near = replace(disk, ellipse=replace(disk.ellipse, centre=afresh.ellipse.centre))
    return refine(mended(pattern, bad), bad, near, only_centre=True)


def _from_tiles(
    patterns: FloatArray,
    frames: FloatArray,
    hot: BoolArray,
    tiles: list[Disk],
    disk: Disk,
) -> Disk:
    """Return the disk as the mean of those in a few tiles, where it is not blurred."""
    good = [k for k, tile in enumerate(tiles) if not tile.reason]
    # One more than would end in the same column: they lie across the scan.
    few = good[:: 1 + len(good) // _MEASURED]
    measured = [
        found
        for k in few
        if not (found := refine(mended(patterns[k], hot), hot, tiles[k])).reason
    ]
    if not measured:
        return disk
    number = len(measured)
    radius = float(np.median([one.radius for one in measured]))
    stretch = np.median([one.ellipse.stretch for one in measured], axis=0)
    width = float(np.median([one.width for one in measured]))
    centres = np.array([tiles[k].ellipse.centre for k in good])
    middle = np.average(centres, axis=0, weights=frames[good])
    errors = np.mean([one.sigma for one in measured], axis=0) / math.sqrt(number)
    errors[:2] = np.mean([tiles[k].sigma[:2] for k in good], axis=0)
    errors[:2] /= math.sqrt(len(good))
    ellipse = replace(
        disk.ellipse,
        centre=(float(middle[0]), float(middle[1])),
        stretch=(float(stretch[0]), float(stretch[1])),
    )
    return Disk(ellipse, radius, width, tuple(errors.tolist()))


def _range(tiles: list[Disk]) -> float:
    """Return how far the disk wanders, pixels."""
    centres = [tile.ellipse.centre for tile in tiles if not tile.reason]
    return float(np.ptp(np.array(centres), axis=0).max()) if centres else 0.0


def _descan(tiles: list[Disk], places: FloatArray, disk: Disk) -> Descan:
    nothing = np.full((2, 3), math.nan)
    if disk.reason:
        return Descan(nothing, nothing, disk.reason)
    lost = sum(tile.reason == LEAVES for tile in tiles)
    if 2 * lost > len(tiles):
        return Descan(nothing, nothing, LEAVES)
    centres = [
        (math.nan, math.nan) if tile.reason else tile.ellipse.centre for tile in tiles
    ]
    sigma = [(1.0, 1.0) if tile.reason else tile.sigma[:2] for tile in tiles]
    return fit_descan(places, np.array(centres), np.array(sigma))


def _middle_of(pattern: FloatArray) -> FloatArray:
    """Return the centre of mass of a pattern, NaN if it holds no counts."""
    total = float(pattern.sum())
    if not total > 0:
        return np.full(2, math.nan)
    row, column = np.arange(pattern.shape[0]), np.arange(pattern.shape[1])
    return np.array([pattern.sum(1) @ row, pattern.sum(0) @ column]) / total


def _middle(pattern: FloatArray) -> tuple[float, float]:
    com = _middle_of(pattern)
    if np.isfinite(com).all():
        return float(com[0]), float(com[1])
    return (pattern.shape[0] - 1) / 2, (pattern.shape[1] - 1) / 2
