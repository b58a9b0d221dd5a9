"""The dose of every place of the specimen, in square cells, and never too low.

A cell that is touched counts as a whole. The map is made of tiles of cells, that exist
where the beam has been. When there are as many as there may be, all that falls outside
of them is added up as if it were one place.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from scopeside.control.dose_beam import Box

TILE = 64
"""Cells along the side of a tile."""
MAX_TILES = 1024
"""Tiles that are kept at most: 64 MiB."""
_EDGE = 1e-6  # of a cell: where rounding may have put the edge of a field
_FARTHEST = 2.0**52
FloatArray = npt.NDArray[np.float64]
Tile = tuple[int, int]


class Cells(NamedTuple):
    """A rectangle of cells: rows and columns from `top`, `left` to before the ends."""

    top: int
    left: int
    bottom: int
    right: int


class DoseMap:
    """Adds up doses, nominal and upper, e⁻/Å².

    Parameters
    ----------
    cell_m
        Side of a cell, metres.
    max_tiles
        How many tiles are kept.
    """

    def __init__(self, cell_m: float, max_tiles: int = MAX_TILES) -> None:
        self._cell_m = cell_m
        self._max_tiles = max_tiles
        self._tiles: dict[Tile, FloatArray] = {}
        self._rest = np.zeros(2)
        self._packed: dict[Tile, str] = {}
        self.version = 0

    @property
    def cell_m(self) -> float:
        """Side of a cell, metres."""
        return self._cell_m

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return len(self._tiles)

    @property
    def rest(self) -> float:
        """Upper dose of whatever lies outside of the tiles, as if it were one place."""
        return float(self._rest[1])

    def cells(self, box: Box) -> Cells:
        """Return the cells that a rectangle touches."""
        top, left = (self._index(edge, -_EDGE) for edge in box[:2])
        bottom, right = (self._index(edge, _EDGE) for edge in box[2:])
        return Cells(top, left, bottom + 1, right + 1)

    def add(
        self,
        lit: Sequence[Box],
        upper: float,
        nominal: Sequence[tuple[Box, float]] = (),
    ) -> None:
        """Add a dose.

        Parameters
        ----------
        lit, upper : rectangles, and the upper dose that all they touch gets, once
        nominal : rectangles with the dose that each of them got; a cell gets the share
            of it that is covered, so that it has the mean of its area. All lie within
            `lit`.
        """
        where = [self.cells(box) for box in lit]
        lost = False
        for key in self._touched(where):
            tile = self._made(key)
            if tile is None:
                lost = True
                continue
            inside = np.zeros((TILE, TILE), bool)
            for cells in where:
                inside[_within(key, cells)] = True
            tile[1][inside] += upper
            for box, dose in nominal:
                tile[0] += dose * self._covered(key, box)
            self._packed.pop(key, None)
        if lost or any(self._is_vast(cells) for cells in where):
            self._rest += (math.fsum(dose for _, dose in nominal), upper)
        self.version += 1

    def add_counts(
        self, top: int, left: int, counts: FloatArray, nominal: float, upper: float
    ) -> None:
        """Add `counts` (rows, columns) times a dose to the cells from (top, left)."""
        cells = Cells(top, left, top + counts.shape[0], left + counts.shape[1])
        lost = False
        for key in self._touched([cells]):
            tile = self._made(key)
            if tile is None:
                lost = True
                continue
            there, here = _within(key, cells), _of_window(key, cells)
            tile[0][there] += nominal * counts[here]
            tile[1][there] += upper * counts[here]
            self._packed.pop(key, None)
        if lost:
            self._rest += np.array([nominal, upper]) * counts.max()
        self.version += 1

    def add_everywhere(self, nominal: float, upper: float) -> None:
        """Add a dose to every place that there is."""
        for tile in self._tiles.values():
            tile[0] += nominal
            tile[1] += upper
        self._rest += (nominal, upper)
        self._packed.clear()
        self.version += 1

    def worst(self, box: Box) -> float:
        """Return the highest upper dose of the cells that a rectangle touches."""
        cells = self.cells(box)
        vast = self._is_vast(cells)
        highest = self.rest if vast else 0.0
        for key in self._touched([cells]):
            tile = self._tiles.get(key)
            found = self.rest if tile is None else tile[1][_within(key, cells)].max()
            highest = max(highest, float(found))
        return highest

    def window(self, cells: Cells) -> FloatArray:
        """Return the upper doses (rows, columns) of a rectangle of cells."""
        shape = cells.bottom - cells.top, cells.right - cells.left
        found = np.full(shape, self.rest)
        for key in self._touched([cells]):
            if (tile := self._tiles.get(key)) is not None:
                found[_of_window(key, cells)] = tile[1][_within(key, cells)]
        return found

    def at(self, y_m: float, x_m: float) -> tuple[float, float]:
        """Return nominal and upper dose of the cell that a point lies in."""
        row, column = (math.floor(v / self._cell_m) for v in (y_m, x_m))
        tile = self._tiles.get((row // TILE, column // TILE))
        if tile is None:
            return float(self._rest[0]), float(self._rest[1])
        nominal, upper = tile[:, row % TILE, column % TILE]
        return float(nominal), float(upper)

    @property
    def highest(self) -> tuple[float, float]:
        """Highest nominal and upper dose anywhere."""
        found = [self._rest, *(tile.max(axis=(1, 2)) for tile in self._tiles.values())]
        nominal, upper = np.max(found, axis=0)
        return float(nominal), float(upper)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; tiles that have not changed are not packed again."""
        for key, tile in self._tiles.items():
            if key not in self._packed:
                packed = zlib.compress(tile.astype("<f8").tobytes(), 1)
                self._packed[key] = base64.b64encode(packed).decode("ascii")
        tiles = [
            [row, column, self._packed[row, column]] for row, column in self._tiles
        ]
        return {"cell_m": self._cell_m, "rest": self._rest.tolist(), "tiles": tiles}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any], max_tiles: int = MAX_TILES) -> Self:
        """Return what `to_dict` gave.

        Raises
        ------
        ValueError, TypeError, KeyError, zlib.error
            If it is something else.
        """
        found = cls(float(kept["cell_m"]), max_tiles)
        found._rest = _doses(kept["rest"], (2,))
        if len(kept["tiles"]) > max_tiles:
            raise ValueError(f"more than {max_tiles} tiles")
        for row, column, text in kept["tiles"]:
            size = 2 * TILE * TILE * 8
            bytes_ = zlib.decompressobj().decompress(
                base64.b64decode(text, validate=True), size + 1
            )
            values = np.frombuffer(bytes_, "<f8").reshape(2, TILE, TILE)
            found._tiles[int(row), int(column)] = _doses(values, (2, TILE, TILE))
        return found

    def _index(self, edge_m: float, slack: float) -> int:
        index = edge_m / self._cell_m + slack
        return math.floor(max(-_FARTHEST, min(_FARTHEST, index)))

    def _covered(self, key: Tile, box: Box) -> FloatArray:
        """Return the share of each cell of a tile that a rectangle covers."""
        rows, columns = (
            _overlap(first * TILE, low / self._cell_m, high / self._cell_m)
            for first, low, high in zip(key, box[:2], box[2:], strict=True)
        )
        return np.outer(rows, columns)

    def _is_vast(self, cells: Cells) -> bool:
        """Whether a rectangle covers more tiles than there may be."""
        rows = (cells.bottom - 1) // TILE - cells.top // TILE + 1
        columns = (cells.right - 1) // TILE - cells.left // TILE + 1
        return rows * columns > self._max_tiles

    def _touched(self, where: Sequence[Cells]) -> Iterator[Tile]:
        """Yield the tiles that rectangles touch; of a vast one those that exist."""
        found: dict[Tile, None] = {}
        for cells in where:
            rows = range(cells.top // TILE, (cells.bottom - 1) // TILE + 1)
            columns = range(cells.left // TILE, (cells.right - 1) // TILE + 1)
            if self._is_vast(cells):
                mine = (k for k in self._tiles if k[0] in rows and k[1] in columns)
            else:
                mine = ((row, column) for row in rows for column in columns)
            found.update(dict.fromkeys(mine))
        yield from found

    def _made(self, key: Tile) -> FloatArray | None:
        """Return a tile, made if there is room; None if there is not."""
        tile = self._tiles.get(key)
        if tile is None and len(self._tiles) < self._max_tiles:
            tile = np.empty((2, TILE, TILE))
            tile[:] = self._rest[:, None, None]
            self._tiles[key] = tile
        return tile


def _overlap(first: int, low: float, high: float) -> FloatArray:
    """Return the share of each cell of a tile that lies between two places."""
    begin = np.arange(first, first + TILE, dtype=np.float64)
    part: FloatArray = np.minimum(begin + 1, high) - np.maximum(begin, low)
    return part.clip(0.0, 1.0)


def _within(key: Tile, cells: Cells) -> tuple[slice, slice]:
    """Return where the rectangle lies in a tile."""
    row, column = key[0] * TILE, key[1] * TILE
    return (
        slice(max(cells.top - row, 0), max(min(cells.bottom - row, TILE), 0)),
        slice(max(cells.left - column, 0), max(min(cells.right - column, TILE), 0)),
    )


def _of_window(key: Tile, cells: Cells) -> tuple[slice, slice]:
    """Return where a tile lies in the rectangle."""
    row, column = key[0] * TILE - cells.top, key[1] * TILE - cells.left
    height, width = cells.bottom - cells.top, cells.right - cells.left
    return (
        slice(max(row, 0), min(row + TILE, height)),
        slice(max(column, 0), min(column + TILE, width)),
    )


def _doses(values: Any, shape: tuple[int, ...]) -> FloatArray:
    """Return doses, every one finite and not negative."""
    found = np.array(values, np.float64)
    if found.shape != shape or not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError(f"expected {shape} doses")
    return found
