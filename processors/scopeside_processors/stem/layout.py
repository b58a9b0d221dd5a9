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
from scopeside_processors.stem.detectors import Detector, Point, Shape

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Detectors cut up for frames of one shape.

    Attributes
    ----------
    plain, moving, weighted
        Names of the detectors at rest, of those that follow the centre of mass of
        each frame, and of those with weights.
    plain_runs, moving_runs, weights
        Their pixels; those of `moving` as seen from the centre of mass.
    """

    plain: tuple[str, ...]
    moving: tuple[str, ...]
    weighted: tuple[str, ...]
    plain_runs: kernels.Runs
    moving_runs: kernels.Runs
    weights: kernels.Weights


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
    detectors: Mapping[str, Detector], shape: Shape, centre: Point | None
) -> Layout:
    """Return `detectors` cut up for frames of ``shape (height, width)``.

    `centre` is the one of the detectors that leave theirs out; None if that is the
    centre of mass of each frame.

    Raises
    ------
    ConfigError
        If a detector holds no pixel of such frames, or its file is of no use.
    """
    files = tuple(
        _stamp(name, detector)
        for name, detector in detectors.items()
        if detector.mask is not None
    )
    return _layout(tuple(detectors.items()), shape, centre, files)


def _stamp(name: str, detector: Detector) -> tuple[int, int]:
    """Return what tells whether the file of a mask has changed."""
    assert detector.mask is not None
    try:
        status = detector.mask.stat()
    except OSError as error:
        raise ConfigError(f"detectors.{name}.mask: {error}") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _layout(
    detectors: tuple[tuple[str, Detector], ...],
    shape: Shape,
    centre: Point | None,
    _files: tuple[tuple[int, int], ...],
) -> Layout:
    height, width = shape
    middle = (height - 1, width - 1)  # whichever pixel the centre is, the frame fits
    plain: dict[str, Array] = {}
    moving: dict[str, Array] = {}
    weighted: dict[str, Array] = {}
    for name, detector in detectors:
        if detector.lacks_centre and centre is None:
            whole = (2 * height - 1, 2 * width - 1)
            moving[name] = detector.weights(whole, middle).astype(np.bool_)
            held = moving[name]
        else:
            held = _weights(name, detector, shape, centre)
            (plain if held.dtype == np.bool_ else weighted)[name] = held
        if not held.any():
            raise ConfigError(
                f"detectors.{name} holds no pixel of a frame of {height} rows and "
                f"{width} columns: it covers {detector.extent(centre)}"
            )
    return Layout(
        tuple(plain),
        tuple(moving),
        tuple(weighted),
        kernels.runs_of(list(plain.values())),
        kernels.runs_of(list(moving.values()), middle),
        kernels.weights_of(list(weighted.values())),
    )


def _weights(
    name: str, detector: Detector, shape: Shape, centre: Point | None
) -> Array:
    try:
        return detector.weights(shape, centre)
    except ConfigError as error:
        raise ConfigError(f"detectors.{name}.mask: {error}") from error
