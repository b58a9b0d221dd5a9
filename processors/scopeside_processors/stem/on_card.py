"""The quantities of 4D-STEM on a GPU: what is launched, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.device.lanes import CardFrames, Lanes
from scopeside_processors.kernels import com, cuda
from scopeside_processors.kernels.cuda import labels
from scopeside_processors.stem.counts import moving_sums, weighted_sums
from scopeside_processors.stem.layout import Layout

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def takes(acquisition: Acquisition) -> bool:
    """Return whether there are kernels for the frames of an acquisition."""
    return cuda.takes(acquisition.dtype) and labels.fits(acquisition.frame_shape)


def prepare_labels(lanes: Lanes) -> None:
    """Compile the kernels that `virtual_sums` and `moments` need."""
    labels.compile_all(lanes)


def virtual_sums(
    frames: CardFrames, layout: Layout, origin: IntArray | None = None
) -> Callable[[], tuple[Array, FloatArray]]:
    """Sum what virtual detectors count; `origin` as for `counts.virtual_sums`.

    Returns
    -------
    callable
        To be called when the lanes have settled; gives what `counts.virtual_sums`
        gives. Detectors that move, or have weights, are summed by the CPU then.
        Integers are the same; floats are added in float64 in another order.
    """
    runs, pixels = layout.plain_runs, frames.batch.pixels
    shape = (pixels.shape[1], pixels.shape[2])

    def cut() -> labels.CardTable:
        label = labels.labels_of_runs(runs, shape)
        table = labels.table_of(label, len(runs.member), pixels.itemsize)
        return labels.on_card(frames.lanes, table)

    table = frames.lanes.kept(("runs", runs, shape, pixels.itemsize), cut)
    found = labels.launch(frames, table, moments=False)

    def counted() -> tuple[Array, FloatArray]:
        by_label = found()
        counts = by_label @ runs.member.astype(by_label.dtype)
        if layout.moving:
            moving = moving_sums(pixels, layout, origin)
            counts = np.concatenate([counts, moving], axis=1)
        return counts, weighted_sums(pixels, layout)

    return counted


def moments(
    frames: CardFrames, region: com.Region
) -> Callable[[], tuple[Array, FloatArray]]:
    """Find the sum and the first moments over a region.

    Returns
    -------
    callable
        To be called when the lanes have settled; gives what `kernels.com.moments`
        gives. Integers are the same; floats are added in float64 in another order.
    """
    pixels = frames.batch.pixels
    shape = (pixels.shape[1], pixels.shape[2])

    def cut() -> labels.CardTable:
        label = labels.labels_of_region(region, shape)
        return labels.on_card(frames.lanes, labels.table_of(label, 1, pixels.itemsize))

    table = frames.lanes.kept(("region", region, shape, pixels.itemsize), cut)
    found = labels.launch(frames, table, moments=True)

    def measured() -> tuple[Array, FloatArray]:
        sums = found()[:, 0]
        if sums.dtype.kind == "f":
            return sums[:, 0], sums[:, 1:]
        moment: FloatArray = sums[:, 1:3] * np.float64(2**32) + sums[:, 3:]
        return sums[:, 0], moment

    return measured
