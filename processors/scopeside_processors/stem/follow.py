"""Detectors that follow the beam where the calibration says how it wanders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.result import Result
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.detectors import Centre

IntArray = npt.NDArray[np.int64]

LEAVES = "the beam leaves the detector"


class Follow:
    """Says in which pixel the undiffracted beam is, from ``descan_px``.

    Parameters
    ----------
    acquisition
        With a scan and ``descan_px`` in its calibration (see `follow_of`).
    """

    def __init__(self, acquisition: Acquisition) -> None:
        assert acquisition.scan is not None
        scan = self._scan = acquisition.scan
        known, size = Calibration.of(acquisition), np.array(acquisition.frame_shape)
        centre = known.centres(np.arange(scan.positions), scan.shape[1])
        pixel = np.clip(np.floor(centre + 0.5), -1, size).astype(np.int64)
        self._pixels = np.clip(pixel, 0, size - 1)
        lost = (self._pixels != pixel).any(axis=1)
        self._lost = np.broadcast_to(lost.reshape(scan.shape), scan.result_shape)

    def pixels(self, index: IntArray) -> IntArray:
        """Return the beam's pixel, (n, 2) row and column, in the frames ``index (n,)``.

        Rounded to the nearest pixel, halves up, and moved into the frame where the
        beam is not. Frames without a position get that of the first.
        """
        place = np.maximum(self._scan.position_of(index), 0)
        pixels: IntArray = self._pixels[place % self._scan.positions]
        return pixels

    def without_lost(self, image: Result) -> Result:
        """Return an image of the scan that is invalid where the beam is off the frame.

        ``meta["invalid"]`` then counts such positions among those that were seen.
        """
        if not self._lost.any():
            return image
        seen = np.ones(self._lost.shape, np.bool_) if image.mask is None else image.mask
        number = int(np.count_nonzero(seen & self._lost))
        if not number:
            return image
        data = image.data.copy()
        data[self._lost] = np.nan if data.dtype.kind == "f" else 0
        meta = {**image.meta, "invalid": {LEAVES: number}}
        return replace(image, data=data, mask=seen & ~self._lost, meta=meta)


def follow_of(centre: Centre, acquisition: Acquisition) -> Follow | None:
    """Return how detectors around `centre` follow descan; None if they are at rest.

    Raises
    ------
    ConfigError
        If the calibration holds a value that cannot be.
    """
    if centre != "calibration" or acquisition.scan is None:
        return None
    if acquisition.calibration.get("descan_px") is None:
        return None
    return Follow(acquisition)
