"""Places that a user's own network points at, and the areas that it marks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside.errors import ConfigError
from scopeside_processors.insitu.onnx_model import (
    BOXES,
    MAP,
    ModelParams,
    OnnxModel,
    Tile,
)

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_BOX = 4
_ROUND = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong together."""


class Place(NamedTuple):
    """Something that a network has found.

    Attributes
    ----------
    y, x
        Its middle, px; (0, 0) is the centre of the first pixel.
    radius_px
        Of the circle of its area (map), or a quarter of height and width (box).
    score
        The network's probability, 0 to 1.
    """

    y: float
    x: float
    radius_px: float
    score: float


class ModelProposals:
    """Asks a network where something is."""

    def __init__(self, params: ModelParams) -> None:
        self._params = params
        self._model = OnnxModel(params)

    def take(self, frame: Array) -> list[Place]:
        """Return what is in `frame` (height, width), the likeliest first.

        Raises
        ------
        ConfigError
            If the network gives what is not understood.
        ValueError
            If it gives a number that is none.
        """
        if self._model.kind == BOXES:
            return self._boxed(frame)
        return _components(probability(self._model, frame), self._params.score)

    def _boxed(self, frame: Array) -> list[Place]:
        found = [_boxes(tile, self._params) for tile in self._model.run(frame)]
        boxes = np.concatenate(found) if found else np.zeros((0, 5))
        kept = boxes[suppressed(boxes, self._params.overlap)]
        height, width = frame.shape
        return [
            Place(y, x, (h + w) / 4, score)
            for y, x, h, w, score in kept.tolist()
            if -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5
        ]


def probability(model: OnnxModel, frame: Array) -> FloatArray:
    """Return the probability of each pixel of `frame` (height, width), float32.

    Where tiles overlap the higher one counts.

    Raises
    ------
    ConfigError
        If the network gives boxes, or a map that is no whole fraction of its input.
    """
    if model.kind != MAP:
        raise ConfigError(
            f"{model.params.path.name} gives boxes; a segmentation needs a map"
        )
    whole = np.zeros(frame.shape, np.float32)
    for tile in model.run(frame):
        part = _probability_of(tile, model.params)
        rows = slice(tile.row, tile.row + tile.size[0])
        columns = slice(tile.column, tile.column + tile.size[1])
        here = whole[rows, columns]
        np.maximum(here, part[: here.shape[0], : here.shape[1]], out=here)
    return whole


def segment(model: OnnxModel, frame: Array) -> BoolArray:
    """Return which pixels of `frame` (height, width) the network marks, bool.

    Raises
    ------
    ConfigError
        As `probability`.
    """
    marked: BoolArray = probability(model, frame) >= model.params.score
    return marked


def _probability_of(tile: Tile, params: ModelParams) -> Array:
    """Return a tile's map at the resolution of the frame."""
    found = tile.output
    times = tile.size[0] // found.shape[1], tile.size[1] // found.shape[2]
    if (found.shape[1] * times[0], found.shape[2] * times[1]) != tile.size:
        raise ConfigError(
            f"{params.path.name} gives a map of {found.shape[1:]} for {tile.size} px; "
            "expected a whole fraction"
        )
    one = _activated(found, params.activation)
    return one.repeat(times[0], axis=0).repeat(times[1], axis=1)


def _activated(found: FloatArray, activation: str) -> Array:
    """Return (h, w) probabilities of the last channel of ``found (channels, h, w)``."""
    if activation == "auto":
        is_probability = found.min() >= 0 and found.max() <= 1
        by_channels = "sigmoid" if len(found) == 1 else "softmax"
        activation = "none" if is_probability else by_channels
    last: FloatArray = found[-1]
    if activation == "none":
        return last
    if activation == "softmax":
        # Of two channels: the sigmoid of their difference; of one: 1 everywhere.
        last = last - found[0] if len(found) > 1 else np.full_like(last, np.inf)
    return (1 / (1 + np.exp(-np.clip(last, -80, 80)))).astype(np.float32)


def _components(chance: FloatArray, score: float) -> list[Place]:
    """Return the connected areas of a map where it reaches `score`."""
    label, number = ndimage.label(chance >= score, _ROUND)
    if not number:
        return []
    which = np.arange(1, number + 1)
    area = ndimage.sum_labels(np.ones_like(chance), label, which)
    middle = ndimage.center_of_mass(chance, label, which)
    best = ndimage.maximum(chance, label, which)
    places = [
        Place(float(y), float(x), math.sqrt(n / math.pi), float(p))
        for (y, x), n, p in zip(middle, area, best, strict=True)
    ]
    return sorted(places, key=lambda place: (-place.score, place.y, place.x))


def _boxes(tile: Tile, params: ModelParams) -> Array:
    """Return (n, 5) float64 of a tile: y, x, height, width, score; px of the frame.

    ``(boxes, 5 + classes)`` has the probability of any object before those of the
    classes; ``(4 + classes, boxes)``, on its side, has only these.
    """
    rows = tile.output.astype(np.float64)
    upright = rows.shape[0] > rows.shape[1]
    rows = rows if upright else rows.T
    first = _BOX + 1 if upright else _BOX
    if rows.shape[1] <= first:
        raise ConfigError(
            f"{params.path.name} gives boxes of {tile.output.shape}; expected "
            "(boxes, 5 + classes) or (4 + classes, boxes)"
        )
    chances = rows[:, first:]
    if params.classes is not None:
        if max(params.classes) >= chances.shape[1] or min(params.classes) < 0:
            raise ConfigError(
                f"model.classes = {params.classes}: {params.path.name} has "
                f"{chances.shape[1]} classes, from 0"
            )
        chances = chances[:, params.classes]
    score = chances.max(axis=1) * (rows[:, _BOX] if upright else 1.0)
    good = score >= params.score
    x, y, width, height = rows[good, :_BOX].T
    # Networks count from the corner of the first pixel, we from its centre.
    return np.stack(
        [y - 0.5 + tile.row, x - 0.5 + tile.column, height, width, score[good]], axis=1
    )


def suppressed(boxes: Array, overlap: float) -> list[int]:
    """Return which boxes stay when each gives way to likelier ones that it overlaps.

    Parameters
    ----------
    boxes : (n, 5): y, x, height, width, score
    overlap
        Shared area over the area of the union, above which two are one.

    Returns
    -------
    list of int
        The likeliest first; of equal ones the one that came first.
    """
    waiting = np.argsort(-boxes[:, 4], kind="stable")
    low, high = boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2
    area = boxes[:, 2] * boxes[:, 3]
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        sides = np.minimum(high[waiting], high[best]) - np.maximum(
            low[waiting], low[best]
        )
        shared = np.clip(sides, 0, None).prod(axis=1)
        waiting = waiting[shared <= overlap * (area[waiting] + area[best] - shared)]
    return kept
