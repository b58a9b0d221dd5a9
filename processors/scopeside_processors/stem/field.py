"""Images that are made of the deflection of the beam: field, phase, charge, colour.

What the processors that measure a deflection have in common. They say where the beam
was at each position of the scan; the images are drawn when somebody asks, and again
only when more was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.result import Result, invalid
from scopeside_processors.stem import colour
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.deflection import (
    charge_per_divergence,
    filled,
    fit_plane,
    plane_over,
    turned,
)
from scopeside_processors.stem.integrate import Boundary, divergence, integrate
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Point = tuple[float, float]
Positions = Callable[[], FloatArray]
Image = Literal["field", "colour", "phase", "charge"]


class FieldParams(params.Params):
    """How a deflection becomes images; all of it may be changed live."""

    descan: Literal["auto", "none", "fit", "calibration"] = "auto"
    """Where the undeflected beam is: 'none': at the centre all the time; 'fit': on the
    plane closest to the positions seen; 'calibration': as descan_px of the acquisition
    says; 'auto': as descan_px says where it is known, else as 'none'."""
    boundary: Boundary = "periodic"
    """How the phase goes on beyond the scan: with its other side, or mirrored."""
    high_pass_per_m: Annotated[float, Field(ge=0)] = 0.0
    """Spatial frequency, 1/m, at which the amplitude of the phase is halved: lower
    ones, which noise and drift dominate, are damped away. 0 keeps all."""
    colour_scale: Annotated[float, Field(gt=0)] | None = None
    """Length that is fully bright in colour, in the unit of the field; none: that which
    99 % of the positions stay below."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What the numbers mean that say where the beam is.

    Attributes
    ----------
    units
        Of them, such as ``px``.
    to_rad
        (y, x), times which they are angles; None if nobody has said.
    angle_key
        Of the calibration, that would say it.
    """

    units: str
    to_rad: Point | None
    angle_key: str


@dataclass(slots=True)
class _Drawn:
    """What is known of the deflection once so many frames were seen."""

    frames: int
    vectors: FloatArray
    known: BoolArray
    holes: BoolArray
    meta: dict[str, Any]
    images: dict[Image, tuple[Array, str, dict[str, Any]]] = field(default_factory=dict)


class FieldImages:
    """Draws the images of a deflection when they are asked for.

    Parameters
    ----------
    who
        The processor, as errors name it.
    centre
        Where the undeflected beam is without descan, in the numbers of `measure`.

    Raises
    ------
    ConfigError
        If descan cannot be removed as `params` wants it.
    """

    def __init__(
        self,
        who: str,
        acquisition: Acquisition,
        params: FieldParams,
        centre: Point,
        measure: Measure,
    ) -> None:
        self._acquisition = acquisition
        self._calibration = Calibration.of(acquisition)
        self._params = params
        self._centre = np.array(centre)
        self._measure = measure
        self._plane = self._said_plane(who)
        self._drawn: _Drawn | None = None
        self._draw: Mapping[Image, Callable[[_Drawn], tuple[Array, str, Any]]] = {
            "field": lambda drawn: (drawn.vectors, self._units, {}),
            "colour": self._colour,
            "phase": self._phase,
            "charge": self._charge,
        }

    def result(
        self, name: str, image: Image, seen: FrameValues, positions: Positions
    ) -> Result:
        """Return an image as the result `name`, invalid if something is missing.

        Parameters
        ----------
        seen : the frames it stands on
        positions : gives where the beam was at each of them, (…shape, 2)
        """
        if reason := self._lacks(name, image):
            return invalid(name, reason, **seen.account())
        if self._drawn is None or self._drawn.frames != len(seen):
            self._drawn = self._deflections(seen, positions())
        drawn = self._drawn
        if image not in drawn.images:
            drawn.images[image] = self._draw[image](drawn)
        data, units, meta = drawn.images[image]
        axes = {"field": ("yx",), "colour": ("rgb",)}.get(image, ())
        found = seen.result(name, data, units, axes)
        if image == "charge":
            found = _where_finite(found)
        return replace(found, meta={**found.meta, **drawn.meta, **meta})

    @property
    def _units(self) -> str:
        return self._measure.units if self._measure.to_rad is None else "mrad"

    def _said_plane(self, who: str) -> FloatArray | None:
        """Return the plane that the calibration says descan follows."""
        wanted, said = self._params.descan, self._calibration.known.descan_px
        if wanted in ("fit", "calibration") and self._acquisition.scan is None:
            raise ConfigError(
                f"{who}: descan = {wanted!r} needs a scan; the acquisition has none"
            )
        if wanted == "calibration":
            who = f"{who} with descan = 'calibration'"
            said = self._calibration.need("descan_px", who)
            if self._measure.units != "px":
                raise ConfigError(
                    f"{who} needs the deflection in pixels: set disk_radius_px, or "
                    "detector_rad_per_px in [acquisition.calibration]"
                )
        usable = self._acquisition.scan is not None and self._measure.units == "px"
        if wanted in ("none", "fit") or said is None or not usable:
            return None
        return np.array(said)

    def _lacks(self, name: str, image: Image) -> str:
        """Return why there can be no such image, or nothing."""
        if image in ("phase", "charge") and self._acquisition.scan is None:
            return f"{name} is an image of the scan, and the acquisition has none"
        if image == "phase":
            angle = () if self._measure.to_rad else (self._measure.angle_key,)
            try:
                for key in ("beam_energy_eV", "scan_step_m", *angle):
                    self._calibration.need(key, name)
            except ConfigError as error:
                return str(error)
        return ""

    def _deflections(self, seen: FrameValues, positions: FloatArray) -> _Drawn:
        mask, flagged = seen.mask, seen.flagged
        frame = np.ones(seen.shape, np.bool_) if mask is None else mask.copy()
        holes = np.zeros(seen.shape, np.bool_) if flagged is None else flagged & frame
        known = frame & ~holes
        plane = self._plane
        if self._params.descan == "fit":
            plane = fit_plane(positions, known)
        rest: Array = self._centre
        meta: dict[str, Any] = {"centre_px": self._centre.tolist()}
        if plane is not None:
            rest = plane_over(plane, seen.shape[-2:])
            meta = {"descan_px": plane.tolist()}
        if self._measure.units != "px":
            meta = {}
        scale = np.array(self._measure.to_rad or (1.0, 1.0))
        scale = scale * (1.0 if self._measure.to_rad is None else 1e3)
        vectors = turned((positions - rest) * scale, self._calibration.to_scan())
        return _Drawn(len(seen), vectors, known, holes, meta)

    def _colour(self, drawn: _Drawn) -> tuple[Array, str, dict[str, Any]]:
        field = np.where(drawn.known[..., None], drawn.vectors, np.nan)
        full = self._params.colour_scale or colour.full_length(field)
        meta = {"scale": full, "scale_units": self._units}
        return colour.wheel(field, full), "", meta

    def _phase(self, drawn: _Drawn) -> tuple[Array, str, dict[str, Any]]:
        known, boundary = self._calibration.known, self._params.boundary
        assert known.scan_step_m is not None  # _lacks sees to that
        to_gradient = 2 * np.pi / self._calibration.wavelength_m("phase") * 1e-3  # mrad
        images = [
            integrate(
                filled(vectors, seen, holes) * to_gradient,
                known.scan_step_m,
                boundary,
                self._params.high_pass_per_m,
            )
            for vectors, seen, holes in _single(drawn)
        ]
        meta: dict[str, Any] = {
            "boundary": boundary,
            "high_pass_per_m": self._params.high_pass_per_m,
        }
        if not drawn.known.all():
            meta["unknown"] = "mean deflection where unscanned, of neighbours in holes"
        return np.reshape(images, drawn.known.shape), "rad", meta

    def _charge(self, drawn: _Drawn) -> tuple[Array, str, dict[str, Any]]:
        known, units = self._calibration.known, f"{self._units}/position"
        step, factor = (1.0, 1.0), -1.0
        if self._measure.to_rad is not None and known.scan_step_m is not None:
            step, factor, units = known.scan_step_m, -1e-3, "rad/m"
            if known.beam_energy_eV is not None:
                factor *= charge_per_divergence(known.beam_energy_eV)
                units = "C/m^2"
        images = [
            factor * divergence(vectors, step, seen)
            for vectors, seen, _ in _single(drawn)
        ]
        return np.reshape(images, drawn.known.shape), units, {}


def refuse_change(
    who: str, old: params.Params, new: params.Params, fixed: Sequence[str]
) -> None:
    """Refuse a live change of a parameter that says what was measured.

    Raises
    ------
    ConfigError
        If one of `fixed` differs.
    """
    for key in fixed:
        if getattr(old, key) != getattr(new, key):
            raise ConfigError(
                f"{who}: {key} says what is measured and cannot change in the middle "
                f"of an acquisition, from {getattr(old, key)} to {getattr(new, key)}"
            )


def _where_finite(result: Result) -> Result:
    """Return a result that is valid only where its values are numbers."""
    finite = np.isfinite(result.data)
    return replace(result, mask=None if finite.all() else finite)


def _single(drawn: _Drawn) -> list[tuple[FloatArray, BoolArray, BoolArray]]:
    """Return vectors, what is known and what are holes, scan by scan."""
    shape = (-1, *drawn.known.shape[-2:])
    return list(
        zip(
            drawn.vectors.reshape(*shape, 2),
            drawn.known.reshape(shape),
            drawn.holes.reshape(shape),
            strict=True,
        )
    )
