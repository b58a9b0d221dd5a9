"""The measured calibration between what moves the picture and the picture itself.

``content = matrix @ moved``: `moved` is (x, y) by which the actuator was moved, in
metres as the instrument counts them along its own axes; `content` is (x, y) by which
the content of the picture was displaced by that, metres on the specimen along the
picture's axes: x along columns, to the right; y along rows, down. Signs, rotation,
scale, shear and a mirror are all in the matrix; none is assumed.

It holds for the optical state it was measured in and is refused in any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, Field, model_validator

from scopeside.control.instrument import Readback, Value
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.params import Params
from scopeside.strangers import from_json

FloatArray = npt.NDArray[np.float64]

ActuatorName = Literal["image_shift", "beam_shift", "stage"]
ACTIONS: Mapping[str, str] = {
    "image_shift": "set_image_shift",
    "beam_shift": "set_beam_shift",
    "stage": "move_stage",
}
"""What moves each of them."""

STATE = (
    "high_tension_V",
    "mode",
    "magnification",
    "fov_m",
    "rotation_rad",
    "scan_rotation_rad",
)
TILTS = ("stage_alpha_rad", "stage_beta_rad")
"""Count for the stage too: a tilted specimen is foreshortened."""
RELATIVE = 1e-3
"""So far may a number that is read back differ and still be the same state."""
ANGLE_RAD = 1e-3
LARGEST_CONDITION = 10.0
"""Of a matrix that can be inverted with any use."""

Pair = tuple[float, float]
Four = tuple[float, float, float, float]


class Calibration(Params):
    """The contents of a calibration file (JSON)."""

    what: Literal["shift calibration"] = "shift calibration"
    version: Literal[1] = 1
    actuator: ActuatorName
    """What was moved."""
    matrix: tuple[Pair, Pair]
    """[[xx, xy], [yx, yy]]: content along x for 1 m of the actuator's x, and of its y;
    content along y likewise."""
    covariance: tuple[Four, Four, Four, Four]
    """Of xx, xy, yx, yy."""
    state: Mapping[str, float | str]
    """The optical state it is valid for: by quantity, as it was read back."""
    measured_on: AwareDatetime
    """When it was measured."""
    instrument: str = Field(min_length=1)
    """The kind of control adapter that moved it."""
    step_m: float = Field(gt=0)
    """How far it was moved at a time, m."""
    residual_m: float = Field(ge=0)
    """How far places lay from those that the matrix gives, rms, m on the specimen."""
    visits: int = Field(ge=1)
    """Positions that were visited."""

    @model_validator(mode="after")
    def _is_of_use(self) -> Self:
        condition = float(np.linalg.cond(self.as_array))
        if not condition <= LARGEST_CONDITION:
            raise ValueError(
                f"matrix = {self.matrix} moves content hardly at all in one direction "
                f"(condition number {condition:.3g}; {LARGEST_CONDITION:g} at most)"
            )
        spread = np.array(self.covariance)
        symmetric = np.allclose(spread, spread.T, rtol=1e-6, atol=0.0)
        if not symmetric or np.any(np.diag(spread) < 0):
            raise ValueError("covariance has to be symmetric, its diagonal 0 or more")
        return self

    @property
    def as_array(self) -> FloatArray:
        """The matrix, (2, 2)."""
        return np.array(self.matrix)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a calibration file.

        Raises
        ------
        ConfigError
            If it cannot be read, or is none.
        """
        try:
            values = from_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"calibration {path}: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"calibration {path}: expected a JSON object")
        return validate(cls, values, where=str(path))

    def save(self, path: Path) -> None:
        """Write it as a file; one that is there is replaced as a whole."""
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        beside.replace(path)

    def differs(self, readback: Readback) -> str:
        """Return in words in which quantity the optical state is another, or ``""``."""
        return difference(self.state, readback)


def difference(state: Mapping[str, float | str], readback: Readback) -> str:
    """Return in words in which quantity a read-back is another state, or ``""``."""
    for quantity, wanted in state.items():
        found = readback.values.get(quantity)
        if found is None:
            return f"the instrument does not say {quantity} (then: {_said(wanted)})"
        if not _same(quantity, wanted, found):
            return f"{quantity} is {_said(found)}, and was {_said(wanted)} then"
    return ""


def state_of(actuator: str, readback: Readback) -> dict[str, float | str]:
    """Return what tells the optical state of a read-back from others."""
    quantities = (*STATE, *TILTS) if actuator == "stage" else STATE
    return {
        quantity: value if isinstance(value, str) else float(value)
        for quantity in quantities
        if (value := readback.values.get(quantity)) is not None
    }


def valid_for(
    calibrations: tuple[Calibration, ...], readback: Readback
) -> tuple[Calibration | None, str]:
    """Return the calibration of this optical state, newest first, or why there is none.

    The reason is that of the newest.
    """
    reasons = []
    for one in sorted(calibrations, key=lambda c: c.measured_on, reverse=True):
        reason = one.differs(readback)
        if not reason:
            return one, ""
        reasons.append(f"the calibration of {_day(one.measured_on)}: {reason}")
    return None, reasons[0] if reasons else "there is no calibration"


def _same(quantity: str, wanted: Value, found: Value) -> bool:
    if isinstance(wanted, str) or isinstance(found, str):
        return wanted == found
    if quantity.endswith("_rad"):
        turned = math.remainder(float(found) - float(wanted), 2 * math.pi)
        return abs(turned) <= ANGLE_RAD
    return math.isclose(wanted, found, rel_tol=RELATIVE, abs_tol=0.0)


def _said(value: Value) -> str:
    return value if isinstance(value, str) else f"{float(value):g}"


def _day(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M")
