"""The method `library` of `orientation`: what it keeps of frames, and makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
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
    Geometry,
    annulus,
    geometry_of,
    must_be_on_detector,
    pixels_per_unit,
    usual_unit,
)
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.crystal import CrystalSource, crystal_of
from scopeside_processors.stem.crystal_templates import Beam, Library, library_of
from scopeside_processors.stem.detectors import Point
from scopeside_processors.stem.matching import Nodes, match_patterns, nodes_of
from scopeside_processors.stem.orientationparams import (
    OrientationParams,
    living_pixels,
)
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

_OFF, _NOTHING = 4, 5


class Indexing:
    """Finds the orientation of a known crystal."""

    reasons = (
        "a pixel between r_in and r_out is not a number",
        "a pixel between r_in and r_out is saturated",
        "no counts between r_in and r_out",
        "the rings lie outside the detector",
        "no orientation matches",
    )

    def __init__(
        self, acquisition: Acquisition, params: OrientationParams, centres: Centres
    ) -> None:
        self._params, self._known = params, centres.calibration
        living = living_pixels(params, acquisition.frame_shape)
        self._geometry = geometry_of(living, self._known)
        self._spot = _spot_of(params, self._known)
        beam = _beam_of(params, centres, self._geometry, self._spot)
        assert params.crystal is not None  # the parameters see to that
        self.library = _library(params.crystal, beam, params.step_deg, params.gamma)
        self._radii = (beam.r_in, beam.r_out)
        if not centres.moves:
            pixels, _ = self._around(centres.first)
            must_be_on_detector(pixels, self._radii, "orientation")

    @property
    def tables(self) -> dict[str, tuple[int, Any]]:
        """What is kept of each frame."""
        return {"angles": (4, "f8"), "zone": (1, "i4"), "match": (2, "f8")}

    def values(
        self, frames: Array, which: IntArray, centre: Point
    ) -> tuple[Flags, dict[str, Array]]:
        """Return flags (k,) and rows of the frames ``which (k,)`` around a centre."""
        pixels, nodes = self._around(centre)
        rows: dict[str, Array] = {
            "angles": np.full((len(which), 4), np.nan),
            "zone": np.full((len(which), 1), -1, np.int32),
            "match": np.full((len(which), 2), np.nan),
        }
        if min(pixels.share, nodes.share) < LEAST_SHARE:
            return np.full(len(which), _OFF, np.uint8), rows
        limit = self._params.saturated_at or np.inf
        flag = kernels.survey(frames, which, pixels.counted, limit)
        good = np.flatnonzero(flag == 0)
        if len(good):
            found = match_patterns(
                frames, which[good], nodes, self.library, self._params.gamma
            )
            rows["angles"][good, 0] = found.turned
            rows["angles"][good, 1:] = found.angles
            rows["zone"][good, 0] = found.zone
            rows["match"][good, 0] = found.correlation
            rows["match"][good, 1] = found.reliability
            flag[good[found.correlation < self._params.min_correlation]] = _NOTHING
        return flag, rows

    def results(self, seen: FrameValues) -> Iterator[Result]:
        """Yield what the parameters want, as the processor's docstring says."""
        angles, match = seen.images("angles"), seen.images("match")
        images: dict[str, tuple[Array, str, tuple[str, ...]]] = {
            "angle": (angles[0], "rad", ()),
            "orientation": (np.moveaxis(angles[1:], 0, -1), "rad", ("bunge",)),
            "zone": (seen.images("zone")[0], "", ()),
            "correlation": (match[0], "", ()),
            "reliability": (match[1], "", ()),
        }
        for name in self._params.wanted:
            if name == "validity":
                yield seen.validity()
            elif name == "zones":
                yield self._zones(seen)
            else:
                yield seen.result(name, *images[name])

    def _zones(self, seen: FrameValues) -> Result:
        """Return the directions that `zone` counts, unit vectors of the crystal."""
        half = len(self.library.orientation) // 2
        zones = self.library.orientation[:half, 2].copy()
        found = seen.result("zones", np.zeros(seen.shape), "")
        axes = ("zone", "xyz")
        return replace(found, data=zones, kind="table", mask=None, axes=axes)

    def _around(self, centre: Point) -> tuple[Annulus, Nodes]:
        reach = self._spot + 0.5
        radii = max(0.0, self._radii[0] - reach), self._radii[1] + reach
        pixels = annulus(self._geometry, centre, radii)
        return pixels, nodes_of(self._geometry, centre, self.library, self._spot)


@lru_cache(maxsize=4)
def _library(source: CrystalSource, beam: Beam, step: float, power: float) -> Library:
    crystal = crystal_of(source, beam.r_out / beam.pixels)
    return library_of(crystal, beam, float(np.radians(step)), power)


def _spot_of(params: OrientationParams, known: Calibration) -> float:
    """Return the radius of a spot, px."""
    if params.spot_px is not None:
        return params.spot_px
    angle = known.known.semi_angle_rad
    if angle is None or known.known.detector_rad_per_px is None:
        return 1.5
    disk = 1e3 * angle * pixels_per_unit("mrad", known, "orientation")
    return min(max(1.5, disk), 32.0)


def _beam_of(
    params: OrientationParams, centres: Centres, geometry: Geometry, spot: float
) -> Beam:
    """Return what decides which reflections are seen where.

    Raises
    ------
    ConfigError
        If the calibration is not there, or the rings cannot be.
    """
    known = centres.calibration
    pixels = pixels_per_unit("1/Å", known, "orientation")
    scale = pixels_per_unit(params.units or usual_unit(known), known, "orientation")
    r_in = 2 * spot if params.r_in is None else params.r_in * scale
    if params.r_out is None:
        y, x = geometry.straightened(centres.first)
        r = np.hypot(y, x)
        edge = np.concatenate([r[0], r[-1], r[:, 0], r[:, -1]])
        r_out = float(edge.min()) - spot
    else:
        r_out = params.r_out * scale
    if r_in >= r_out:
        raise ConfigError(
            f"orientation: r_in = {r_in:.4g} px must be below r_out = {r_out:.4g} px"
        )
    wavelength = 1e10 * known.wavelength_m("orientation")
    return Beam(wavelength, params.s_max, pixels, r_in, r_out)
