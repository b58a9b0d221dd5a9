"""What single-side-band ptychography costs, known before the first frame.

The times are of one core of a 3 GHz server of 2022, measured and rounded up by half:
a promise for such a core or a better one, else a measure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from scopeside.errors import ConfigError
from scopeside_processors.stem.overlaps import WHO, Cells, Overlaps, cells_of
from scopeside_processors.stem.probe import Aberrations
from scopeside_processors.stem.trotters import edges_of_some

_FRAME_NS = 1500.0
_PIXEL_NS = 1.8  # gathered from a frame
_CELL_NS = 0.7  # filled in, and summed along its row
_BUTTERFLY_NS = 0.2  # of the transform: cells times log2 of the columns
_FREQUENCY_NS = 6.0
_EDGE_NS = 1.1
_WEIGHT_NS = 1.8
_IMAGE_NS = 3.5  # of one position and one halving of the scan
_SHARE = 0.05
_SAMPLE = 200

MOST_CELLS = 65_000
"""Cells are numbered in 16 bits."""
MOST_BYTES = 1 << 30
"""Tables of lenses may take so much memory."""
_LEAST_RADIUS = 4
_GAIN = 1.1


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a reconstruction.

    Attributes
    ----------
    positions_per_s
        How many one core takes.
    operations
        Pixels, cells, ends of runs, weights and frequencies that are touched for one
        position.
    table_bytes, state_bytes
        Memory of the lenses; of the sums and a row, which a snapshot holds.
    """

    positions_per_s: float
    operations: float
    table_bytes: int
    state_bytes: int


@lru_cache(maxsize=64)
def cost_of(overlaps: Overlaps, cells: Cells, *, weighted: bool) -> Cost:
    """Return the cost with these cells, with aberrations if `weighted`."""
    edges, held = edges_of_some(overlaps, cells, _SAMPLE)
    frequencies, columns = len(overlaps.frequencies), overlaps.scan_shape[1]
    steps = cells.count * math.log2(max(2, columns))
    touched = frequencies * (held if weighted else edges) / columns
    pixels = cells.count * cells.side**2
    nanoseconds = (
        _FRAME_NS
        + _PIXEL_NS * pixels
        + _CELL_NS * cells.count
        + _BUTTERFLY_NS * steps
        + _FREQUENCY_NS * frequencies / columns
        + (_WEIGHT_NS if weighted else _EDGE_NS) * touched
    )
    lens = held * 8 + edges * 16 + 16 if weighted else edges * 2 + 32
    return Cost(
        float(f"{1e9 / nanoseconds:.3g}"),
        float(round(pixels + cells.count + steps + frequencies / columns + touched)),
        int(frequencies * (lens + 64)),
        int(frequencies * 64 + 2 * columns * (1 + cells.count) * 4),
    )


def side_for(
    overlaps: Overlaps,
    wanted: int | None,
    positions_per_s: float,
    aberrations: Aberrations,
) -> tuple[int, Cells]:
    """Return the pixels along a cell, and the cells.

    As said in `wanted`; or as few as keep up with `positions_per_s` and in memory, but
    no more than leave a disk of 4 cells' radius, or than make it a tenth faster each:
    every pixel has to be read, however it is binned.

    Raises
    ------
    ConfigError
        If so few cells of that size are left that nothing can be seen, or too many.
    """
    if wanted is not None:
        return _checked(wanted, cells_of(overlaps, wanted))
    found = 1, cells_of(overlaps, 1)
    radius = math.sqrt(found[1].energy / math.pi)
    rate = 0.0
    for side in range(1, max(1, int(radius / _LEAST_RADIUS)) + 1):
        cells = cells_of(overlaps, side)
        cost = cost_of(overlaps, cells, weighted=not aberrations.none)
        fits = cells.count <= MOST_CELLS and cost.table_bytes <= MOST_BYTES
        if fits and cost.positions_per_s < _GAIN * rate:
            break
        found, rate = (side, cells), cost.positions_per_s if fits else 0.0
        if fits and rate >= positions_per_s:
            break
    return _checked(*found)


def _checked(side: int, cells: Cells) -> tuple[int, Cells]:
    if cells.count > MOST_CELLS:
        raise ConfigError(
            f"{WHO}.binning: with bins of {side} pixels the disk has {cells.count}, "
            f"{MOST_CELLS} at most can be taken: bin more"
        )
    return side, cells


def image_every(scan_shape: tuple[int, int], positions_per_s: float) -> int:
    """Return how many rows apart images are, to take 5 % of the time."""
    positions = scan_shape[0] * scan_shape[1]
    image_s = 1e-9 * _IMAGE_NS * positions * math.log2(max(2, positions))
    row_s = scan_shape[1] / positions_per_s
    return min(scan_shape[0], max(1, math.ceil(image_s / (_SHARE * row_s))))
