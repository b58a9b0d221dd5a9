"""The method `lattice` of `orientation`: what it keeps of frames, and makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.result import Result
from scopeside_processors.kernels import ring as kernels
from scopeside_processors.stem.annulus import (
    LEAST_SHARE,
    Annulus,
    Centres,
    annulus,
    geometry_of,
    must_be_on_detector,
    pixels_per_unit,
    usual_unit,
)
from scopeside_processors.stem.colour import full_length, wheel
from scopeside_processors.stem.detectors import Point
from scopeside_processors.stem.harmonics import (
    Harmonics,
    angle_of,
    confidence,
    harmonics_of,
    likely_fold,
    order_parameters,
)
from scopeside_processors.stem.orientationparams import (
    OrientationParams,
    living_pixels,
)
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

_AUTO = (2, 4, 6)
_OFF, _NOTHING = 4, 5


class Lattice:
    """Finds the in-plane angle of a lattice on a ring."""

    reasons = (
        "a pixel on the ring is not a number",
        "a pixel on the ring is saturated",
        "no counts on the ring",
        "the ring lies outside the detector",
        "no anisotropy",
    )

    def __init__(
        self, acquisition: Acquisition, params: OrientationParams, centres: Centres
    ) -> None:
        unit = params.units or usual_unit(centres.calibration)
        scale = pixels_per_unit(unit, centres.calibration, "orientation")
        assert params.r_in is not None  # the parameters see to that
        assert params.r_out is not None
        self._radii = (params.r_in * scale, params.r_out * scale)
        self._params = params
        self._folds = _AUTO if params.fold == "auto" else (params.fold,)
        living = living_pixels(params, acquisition.frame_shape)
        self._geometry = geometry_of(living, centres.calibration)
        first, harmonics = self._around(centres.first)
        if not centres.moves:
            must_be_on_detector(first, self._radii, "orientation")
        if harmonics is None and first.share >= LEAST_SHARE:
            raise ConfigError(
                f"orientation: pixels between r_in and r_out are too coarse for a "
                f"{max(self._folds)}-fold pattern: set r_in, r_out or fold"
            )

    @property
    def tables(self) -> dict[str, tuple[int, Any]]:
        """What is kept of each frame."""
        return {"waves": (2 * len(self._folds), "f8"), "confidence": (1, "f8")}

    def values(
        self, frames: Array, which: IntArray, centre: Point
    ) -> tuple[Flags, dict[str, Array]]:
        """Return flags (k,) and rows of the frames ``which (k,)`` around a centre."""
        ring, harmonics = self._around(centre)
        flag = np.full(len(which), _OFF, np.uint8)
        waves = np.full((len(which), 2 * len(self._folds)), np.nan)
        certain = np.full((len(which), 1), np.nan)
        if ring.share >= LEAST_SHARE and harmonics is not None:
            limit = self._params.saturated_at or np.inf
            flag = kernels.survey(frames, which, ring.counted, limit)
            good = flag == 0
            found, counts = order_parameters(frames, which[good], harmonics)
            waves[good] = np.ascontiguousarray(found).view(np.float64)
            strength = np.abs(found).max(axis=1)
            electrons = counts / self._params.counts_per_electron
            certain[good, 0] = confidence(strength, electrons)
            weak = strength < self._params.min_strength
            weak |= certain[good, 0] < self._params.min_confidence
            flag[np.flatnonzero(good)[weak]] = _NOTHING
        return flag, {"waves": waves, "confidence": certain}

    def results(self, seen: FrameValues) -> Iterator[Result]:
        """Yield what the parameters want, as the processor's docstring says."""
        waves = seen.images("waves")
        found = waves[0::2] + 1j * waves[1::2]
        fold = self._fold(found, seen)
        wave = found[self._folds.index(fold)]
        images = {
            "angle": (angle_of(wave, fold), "rad"),
            "strength": (np.minimum(np.abs(wave), 1.0), ""),
            "confidence": (seen.images("confidence")[0], ""),
        }
        for name in self._params.wanted:
            if name == "validity":
                yield seen.validity()
            elif name == "colour":
                yield _coloured(wave, seen, fold)
            else:
                data, units = images[name]
                result = seen.result(name, data, units)
                yield replace(result, meta={**result.meta, "fold": fold})

    def _around(self, centre: Point) -> tuple[Annulus, Harmonics | None]:
        ring = annulus(self._geometry, centre, self._radii)
        return ring, harmonics_of(ring, self._radii, self._folds)

    def _fold(self, found: npt.NDArray[np.complex128], seen: FrameValues) -> int:
        """Return the fold that all frames together have."""
        flagged = seen.flagged
        strength = np.abs(found)
        valid = np.isfinite(strength[0])
        if flagged is not None:
            valid &= ~flagged
        if len(self._folds) == 1 or not valid.any():
            return self._folds[0]
        return likely_fold(strength[:, valid].mean(axis=1), self._folds)


def _coloured(wave: npt.NDArray[np.complex128], seen: FrameValues, fold: int) -> Result:
    flagged = seen.flagged
    if flagged is not None:
        wave = np.where(flagged, np.nan, wave)
    field = np.stack([wave.imag, wave.real], axis=-1)
    result = seen.result("colour", wheel(field, full_length(field)), "", ("rgb",))
    return replace(result, meta={**result.meta, "fold": fold})
