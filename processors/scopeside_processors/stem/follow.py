"""Detectors that follow the beam where it is known how it wanders."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.result import Result
from scopeside_processors.stem.calibration import Calibration, Plane
from scopeside_processors.stem.detectors import Centre

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Planes = tuple[Plane, Plane]

LEAVES = "the beam leaves the detector"


class Follow:
    """Says in which pixel the undiffracted beam is at each position of a scan.

    Parameters
    ----------
    acquisition
        With a scan.
    planes
        As ``descan_px`` of a calibration, pixels.
    """

    def __init__(self, acquisition: Acquisition, planes: Planes) -> None:
        assert acquisition.scan is not None
        scan = self._scan = acquisition.scan
        about = {**acquisition.calibration, "descan_px": planes}
        known = Calibration.of(replace(acquisition, calibration=about))
        centre = known.centres(np.arange(scan.positions), scan.shape[1])
        size = np.array(acquisition.frame_shape)
        pixel = np.clip(np.floor(centre + 0.5), -1, size).astype(np.int64)
        self._pixels = np.clip(pixel, 0, size - 1)
        self._lost: BoolArray = (self._pixels != pixel).any(axis=1)

    def pixels(self, index: IntArray) -> tuple[IntArray, BoolArray]:
        """Return the beam's pixel in the frames ``index (n,)``, and where it is lost.

        Returns
        -------
        (n, 2) int64 and (n,) bool
            Row and column, rounded to the nearest pixel, halves up, and moved into
            the frame where the beam is not; True there. Frames without a position
            get those of the first.
        """
        place = np.maximum(self._scan.position_of(index), 0) % self._scan.positions
        return self._pixels[place], self._lost[place]


def follow_of(
    centre: Centre, planes: Planes | None, acquisition: Acquisition
) -> Follow | None:
    """Return how detectors without a centre of their own follow descan.

    None if they do not: `planes` are not said, and neither does the calibration say
    them where `centre` is to come from there.

    Raises
    ------
    ConfigError
        If there is no scan, or the calibration holds a value that cannot be.
    """
    if planes is not None:
        if acquisition.scan is None:
            raise ConfigError("descan is by position, and there is no scan: set centre")
        return Follow(acquisition, planes)
    if centre != "calibration" or acquisition.scan is None:
        return None
    said = Calibration.of(acquisition).known.descan_px
    return None if said is None else Follow(acquisition, said)


def without_lost(image: Result, lost: BoolArray) -> Result:
    """Return an image of the scan that is invalid where the beam was off the frame.

    Parameters
    ----------
    lost : of the image's shape

    Returns
    -------
    Result
        There `mask` is False and the value 0, or NaN; ``meta["invalid"]`` counts them.
    """
    number = int(np.count_nonzero(lost))
    if not number:
        return image
    data: Any = image.data.copy()
    data[lost] = np.nan if data.dtype.kind == "f" else 0
    mask = ~lost if image.mask is None else image.mask & ~lost
    meta = {**image.meta, "invalid": {**image.meta.get("invalid", {}), LEAVES: number}}
    return replace(image, data=data, mask=mask, meta=meta)
