"""What `orientation` is to do."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from scopeside import params
from scopeside.errors import ConfigError
from scopeside.params import LocalPath
from scopeside_processors.stem.annulus import Unit
from scopeside_processors.stem.crystal import CrystalSource
from scopeside_processors.stem.detectors import Point, Shape, load_mask

Quantity = Literal[
    "angle",
    "strength",
    "confidence",
    "colour",
    "orientation",
    "zone",
    "correlation",
    "reliability",
    "zones",
    "validity",
]
LATTICE: tuple[Quantity, ...] = ("angle", "strength")
LIBRARY: tuple[Quantity, ...] = ("angle", "orientation", "correlation", "reliability")
_ALSO = {
    "lattice": {"confidence", "colour", "validity"},
    "library": {"zone", "zones", "validity"},
}
_SPELLINGS = {"1/A": "1/Å", "1/Å": "1/Å"}
PixelList = tuple[tuple[int, int], ...]
Positive = Annotated[float, Field(gt=0)]


def _spelled(value: Any) -> Any:
    return _SPELLINGS.get(value, value) if isinstance(value, str) else value


class OrientationParams(params.Params):
    """Which angle is wanted, and from what."""

    method: Literal["lattice", "library"] = "lattice"
    """lattice: the angle of an n-fold pattern on a ring; library: the orientation of a
    known crystal."""
    of: Annotated[tuple[Quantity, ...] | None, Field(min_length=1)] = None
    """lattice: any of angle, strength, confidence, colour and validity (none: the first
    two); library: of angle, orientation, zone, zones, correlation, reliability and
    validity (none: all but zone, zones and validity)."""
    centre: Point | Literal["calibration"] | None = None
    """[cy, cx] in pixels; 'calibration': centre_px of the acquisition, or descan_px,
    which is followed; none: the same where it is known, else the frame's middle."""
    units: Annotated[Unit | None, BeforeValidator(_spelled)] = None
    """Of r_in and r_out: px, mrad or 1/Å (1/A is understood); none: 1/Å where camera
    and beam are calibrated, mrad where the camera is, else px."""
    r_in: Annotated[float, Field(ge=0)] | None = None
    """Where the ring begins, in `units`; of a library: none is two spots' radii."""
    r_out: Positive | None = None
    """Where it ends, in `units`; of a library: none is the nearest edge."""
    dead: LocalPath | PixelList | None = None
    """Pixels that do not count: [[row, column], …], or a .npy file of the frame's
    shape that holds 1 for them and 0 for the others."""
    saturated_at: Positive | None = None
    """Counts from which a pixel is saturated; a frame with one on the ring is invalid.
    None: no pixel is."""
    fold: Annotated[int, Field(ge=1, le=24)] | Literal["auto"] = "auto"
    """lattice: how often the pattern repeats in a turn; auto: 2, 4 or 6, whichever the
    mean pattern's strengths tell."""
    counts_per_electron: Positive = 1.0
    """lattice: what one electron brings, for the confidence."""
    min_strength: float = Field(0.05, ge=0, le=1)
    """lattice: what is weaker has no angle."""
    min_confidence: float = Field(0.95, ge=0, le=1)
    """lattice: what is less certain to be no accident has no angle."""
    crystal: CrystalSource | None = None
    """library: path of a CIF, or { cell = [a, b, c, α, β, γ], spacegroup = "…",
    atoms = [{ element = "Cu", at = [0, 0, 0] }] } in Å and degrees."""
    step_deg: float = Field(1.25, ge=0.2, le=10)
    """library: angle between zones, degrees."""
    s_max: float = Field(0.04, gt=0, le=1)
    """library: excitation error at which a reflection has vanished, 1/Å."""
    gamma: float = Field(0.5, gt=0, le=1)
    """library: power to which intensities are raised before they are compared."""
    spot_px: Annotated[float, Field(ge=0.5, le=32)] | None = None
    """library: radius of a spot; none: that of the convergence disk, at least 1.5."""
    min_correlation: float = Field(0.2, ge=0, le=1)
    """library: what matches less has no orientation."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        known: set[str] = set(LATTICE if self.method == "lattice" else LIBRARY)
        known |= _ALSO[self.method]
        if wrong := sorted(set(self.of or ()) - known):
            raise ValueError(
                f"of: method = '{self.method}' gives {', '.join(sorted(known))}, not "
                f"{wrong[0]}"
            )
        if self.method == "library" and self.crystal is None:
            raise ValueError("method = 'library' needs crystal, a CIF or a table")
        if self.method == "lattice" and (self.r_in is None or self.r_out is None):
            raise ValueError("method = 'lattice' needs r_in and r_out, the ring")
        if self.r_in is not None and self.r_out is not None and self.r_in >= self.r_out:
            raise ValueError(f"r_in = {self.r_in:g} must be below r_out")
        return self

    @property
    def wanted(self) -> tuple[Quantity, ...]:
        """The names of the results."""
        return self.of or (LATTICE if self.method == "lattice" else LIBRARY)


def living_pixels(params: OrientationParams, shape: Shape) -> npt.NDArray[np.bool_]:
    """Return which pixels of a frame count, (height, width).

    Raises
    ------
    ConfigError
        If the dead pixels cannot be used.
    """
    held, dead = np.ones(shape, np.bool_), params.dead
    if isinstance(dead, tuple):
        for row, column in dead:
            if not (0 <= row < shape[0] and 0 <= column < shape[1]):
                raise ConfigError(
                    f"orientation: dead: pixel [{row}, {column}] is not in frames of "
                    f"{shape}"
                )
            held[row, column] = False
    elif dead is not None:
        try:
            read = load_mask(dead, shape)
        except ConfigError as error:
            raise ConfigError(f"orientation: dead: {error}") from error
        held = read == 0
    return held
