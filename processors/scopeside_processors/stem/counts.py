"""What virtual detectors count, in frames and in events."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.events import EventBatch
from scopeside_processors.kernels import events
from scopeside_processors.kernels import virtual as kernels
from scopeside_processors.stem.dead import without, without_events
from scopeside_processors.stem.layout import Layout, event_layout_of

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]


def virtual_sums(
    frames: Array,
    layout: Layout,
    origin: IntArray | None = None,
    plain: Array | None = None,
) -> tuple[Array, kernels.FloatArray]:
    """Return what each virtual detector counts in each frame.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype; may be read-only
    layout : the detectors, as `layout_of` gives them
    origin : (n, 2), the pixel around which those that move lie; None: the centre of
        mass of each frame
    plain : (n, plain), what those at rest count, if it is known

    Returns
    -------
    (n, plain + moving) int64 (float64 of float frames) and (n, weighted) float64
        Counts. Integers are exact, modulo 2**64; floats do not depend on the batch.
    """
    counts = kernels.sum_runs(frames, layout.plain_runs) if plain is None else plain
    if layout.moving:
        moving = moving_sums(frames, layout, origin)
        counts = np.concatenate([counts, moving], axis=1)
    return counts, weighted_sums(frames, layout)


def moving_sums(frames: Array, layout: Layout, origin: IntArray | None = None) -> Array:
    """Return what the detectors that move count, as `virtual_sums` does: (n, moving).

    Without dead pixels, which are not part of the centre of mass either.
    """
    if not len(layout.dead):
        centre = kernels.middle_of_counts(frames) if origin is None else origin
        return kernels.sum_runs(frames, layout.moving_runs, centre)
    counts = np.empty((len(frames), len(layout.moving)), kernels.sum_type(frames.dtype))
    for part, some in without(frames, layout.dead):
        centre = kernels.middle_of_counts(some) if origin is None else origin[part]
        counts[part] = kernels.sum_runs(some, layout.moving_runs, centre)
    return counts


def weighted_sums(frames: Array, layout: Layout) -> kernels.FloatArray:
    """Return what the detectors with weights count, (n, weighted) float64."""
    found: kernels.FloatArray = kernels.sum_weighted(frames, layout.weights)
    found -= layout.offset
    return found


def event_sums(
    batch: EventBatch, layout: Layout, origin: IntArray | None = None
) -> tuple[IntArray, kernels.FloatArray]:
    """Return what `virtual_sums` gives for the frames that `batch` would make.

    Integers are the same; with weights, the events of a frame are added in float64 in
    their order. No pixel is held to what the frames' dtype can hold.
    """
    cut = event_layout_of(layout, batch.frame_shape)
    counts = events.sum_labels(batch, cut.plain)
    if layout.moving:
        left = without_events(batch, layout.dead) if len(layout.dead) else batch
        centre = events.middle_of_counts(left) if origin is None else origin
        moving = events.sum_moving(left, cut.moving, centre)
        counts = np.concatenate([counts, moving], axis=1)
    return counts, events.sum_weighted(batch, cut.weights) - layout.offset
