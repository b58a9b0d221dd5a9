"""What a frame shows of the specimen: how long it was exposed, how large a pixel is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback, Value
from scopeside.control.policy import Knows, Seen
from scopeside.errors import ConfigError
from scopeside.params import Params
from scopeside_processors.calibrated import Positive, PositivePair, known_of

FloatArray = npt.NDArray[np.float64]

OPTICS = ("high_tension_V", "mode", "magnification", "fov_m", "rotation_rad")
"""Quantities of a read-back with another value of which pictures are others."""
PLACE = ("view_offset_y_m", "view_offset_x_m", "stage_x_m", "stage_y_m")
"""Quantities that say which part of the specimen a picture shows."""
_SAME = 1e-3


class Known(Params):
    """The keys of an acquisition's calibration that policies read."""

    model_config = {**Params.model_config, "extra": "ignore"}

    pixel_size_m: PositivePair | None = None
    """[y, x] of a pixel on the specimen; one number stands for both."""
    exposure_s: Positive | None = None
    """Of a frame."""
    frame_time_s: Positive | None = None
    """From one frame to the next; no exposure is longer."""


class Field:
    """The field of view of an acquisition.

    Parameters
    ----------
    exposure_s
        Of a frame, where the acquisition does not say it.

    Raises
    ------
    ConfigError
        If nobody says how long a frame is exposed: which settings it shows could not
        be told.
    """

    def __init__(
        self, acquisition: Acquisition, exposure_s: float | None = None
    ) -> None:
        known = _known(acquisition)
        said = exposure_s or known.exposure_s or known.frame_time_s
        if said is None:
            raise ConfigError(
                f"acquisition {acquisition.id}: how long is a frame exposed? Give "
                "exposure_s or frame_time_s in [acquisition.calibration]"
            )
        self.id = acquisition.id
        self.shape = acquisition.frame_shape
        self._exposure_s = said
        self._pixel = known.pixel_size_m
        self._magnification: float | None = None

    def held(self, microscope: Knows, t_ns: int) -> Readback | None:
        """Return what held during the whole exposure that ended at `t_ns`.

        None if it is unknown, or changed: the frame then shows both, before and after.
        """
        held = self._during(microscope, t_ns, self._exposure_s)
        longer = None if held is None else held.number("exposure_s")
        if longer is None or longer <= self._exposure_s:
            return held
        return self._during(microscope, t_ns, longer)

    def pixel_m(self, held: Readback) -> FloatArray | None:
        """Return the size (y, x) of a pixel on the specimen, m; None if unknown.

        A field of view that is read back counts for more than the calibration, which
        was made before it.
        """
        fov = held.number("fov_m")
        if fov is not None:
            across = fov / self.shape[1]
            down = 1.0 if self._pixel is None else self._pixel[0] / self._pixel[1]
            size = np.array([across * down, across])
        elif self._pixel is None or self._magnified(held):
            return None
        else:
            size = np.array(self._pixel)
        return size if np.isfinite(size).all() and (size > 0).all() else None

    def _during(
        self, microscope: Knows, t_ns: int, exposure_s: float
    ) -> Readback | None:
        return microscope.during(t_ns - round(exposure_s * 1e9), t_ns)

    def _magnified(self, held: Readback) -> bool:
        """Whether the magnification is another than it was first read back."""
        value = held.number("magnification")
        if value is None:
            return False
        if self._magnification is None:
            self._magnification = value
        return not math.isclose(value, self._magnification, rel_tol=_SAME)


def optics(held: Readback) -> dict[str, Value]:
    """Return what pictures can be compared by, as far as the instrument says it."""
    return {name: held.values[name] for name in OPTICS if name in held.values}


def where(held: Readback) -> dict[str, Value]:
    """Return what places in pictures can be compared by."""
    place = {name: held.values[name] for name in PLACE if name in held.values}
    return {**optics(held), **place}


def through(seen: Seen, microscope: Knows) -> Readback | None:
    """Return what held from the start of an acquisition to this result.

    Where nobody has said when it started: in the moment of the last frame.
    """
    started_ns = seen.acquisition.started_ns
    first_ns = seen.t_ns if started_ns is None else min(started_ns, seen.t_ns)
    return microscope.during(first_ns, seen.t_ns)


def same(one: dict[str, Value], other: dict[str, Value]) -> bool:
    """Whether two such tables say the same."""
    return one.keys() == other.keys() and all(
        _equal(value, other[name]) for name, value in one.items()
    )


def _equal(one: Any, other: Any) -> bool:
    numbers = [
        isinstance(v, int | float) and not isinstance(v, bool) for v in (one, other)
    ]
    if all(numbers):
        return math.isclose(one, other, rel_tol=_SAME, abs_tol=1e-12)
    return bool(one == other)


def _known(acquisition: Acquisition) -> Known:
    return known_of(acquisition, Known)
