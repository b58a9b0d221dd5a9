"""Virtual detectors cut up for the kernels, once for each shape of frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError
from scopeside_processors.kernels import events
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.stem.correction import Correction, correction_of
from scopeside_processors.stem.dead import stamp_of_file
from scopeside_processors.stem.detectors import Detector, Point, Shape

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Detectors cut up for frames of one shape.

    Attributes
    ----------
    plain, moving, weighted
        Names of the detectors at rest, of those that follow the centre of mass of
        each frame, and of those with weights, all of them if counts are corrected.
    plain_runs, moving_runs, weights
        Their pixels; those of `moving` as seen from the centre of mass.
    offset
        (weighted,) float64: what is taken off the sums with weights, counts.
    dead
        Flat pixels that those of `moving` leave out; the others do not hold them.
    """

    plain: tuple[str, ...]
    moving: tuple[str, ...]
    weighted: tuple[str, ...]
    plain_runs: kernels.Runs
    moving_runs: kernels.Runs
    weights: kernels.Weights
    offset: kernels.FloatArray
    dead: kernels.IntArray


@dataclass(frozen=True, slots=True, eq=False)
class EventLayout:
    """The detectors of a `Layout` as events are summed over them."""

    plain: events.Labels
    moving: events.Labels
    weights: events.FloatArray


@lru_cache(maxsize=8)
def event_layout_of(layout: Layout, shape: Shape) -> EventLayout:
    """Return the same detectors for the events of frames of ``shape``."""
    height, width = shape
    whole = (2 * height - 1, 2 * width - 1) if layout.moving else (1, 1)
    return EventLayout(
        events.labels_of(layout.plain_runs, shape, (0, 0)),
        events.labels_of(layout.moving_runs, whole, (height - 1, width - 1)),
        events.weight_of(layout.weights, shape),
    )


def layout_of(
    detectors: Mapping[str, Detector],
    shape: Shape,
    centre: Point | None,
    correction: Correction | None = None,
) -> Layout:
    """Return `detectors` cut up for frames of ``shape (height, width)``.

    `centre` is the one of the detectors that leave theirs out; None if that is the
    centre of mass of each frame. `correction` says which pixels are dead, and what the
    counts of the others are corrected by; nothing if None.

    Raises
    ------
    ConfigError
        If a detector holds no pixel of such frames, or only dead ones, or its file is
        of no use, or counts are corrected and it moves.
    """
    files = tuple(
        stamp_of(f"detectors.{name}", detector) for name, detector in detectors.items()
    )
    if correction is None:
        correction = correction_of(None, None, None, shape)
    return _layout(tuple(detectors.items()), shape, centre, correction, files)


def stamp_of(key: str, detector: Detector) -> tuple[int, int]:
    """Return what tells whether the file of a mask has changed; (0, 0) without one.

    Raises
    ------
    ConfigError
        If the file is not there; `key` is where the pipeline file has the detector.
    """
    return stamp_of_file(f"{key}.mask", detector.mask)


def pixels_of(
    key: str, detector: Detector, shape: Shape, centre: Point | None
) -> Array:
    """Return what each pixel counts: (height, width), bool, or float64 if weighted.

    Raises
    ------
    ConfigError
        If the detector holds no pixel of such frames, or its file is of no use;
        `key` is where the pipeline file has it.
    """
    try:
        held = detector.weights(shape, centre)
    except ConfigError as error:
        raise ConfigError(f"{key}.mask: {error}") from error
    if not held.any():
        raise _empty(key, detector, shape, centre)
    return held


def _empty(
    key: str, detector: Detector, shape: Shape, centre: Point | None
) -> ConfigError:
    return ConfigError(
        f"{key} holds no pixel of a frame of {shape[0]} rows and {shape[1]} columns: "
        f"it covers {detector.extent(centre)}"
    )


@lru_cache(maxsize=64)
def _layout(
    detectors: tuple[tuple[str, Detector], ...],
    shape: Shape,
    centre: Point | None,
    correction: Correction,
    _files: tuple[tuple[int, int], ...],
) -> Layout:
    height, width = shape
    middle = (height - 1, width - 1)  # whichever pixel the centre is, the frame fits
    plain: dict[str, Array] = {}
    moving: dict[str, Array] = {}
    weighted: dict[str, Array] = {}
    for name, detector in detectors:
        key = f"detectors.{name}"
        if detector.lacks_centre and centre is None:
            if correction.weighs:
                raise ConfigError(
                    f"{key} follows the beam, which dark and gain do not: give it a "
                    "centre, or leave them out"
                )
            whole = (2 * height - 1, 2 * width - 1)
            moving[name] = detector.weights(whole, middle).astype(np.bool_)
            if not moving[name].any():
                raise _empty(key, detector, shape, centre)
        else:
            held = correction.of(pixels_of(key, detector, shape, centre))
            if not held.any():
                raise ConfigError(
                    f"{key}: no pixel left, all of its pixels are dead, or have no gain"
                )
            (plain if held.dtype == np.bool_ else weighted)[name] = held
    weights = kernels.weights_of(list(weighted.values()))
    return Layout(
        tuple(plain),
        tuple(moving),
        tuple(weighted),
        kernels.runs_of(list(plain.values())),
        kernels.runs_of(list(moving.values()), middle),
        weights,
        correction.offset(weights),
        correction.dead.flat,
    )
