"""What a view is moved by: a view offset, or the stage."""

from __future__ import annotations

from typing import Annotated, Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside.control.instrument import Readback
from scopeside.params import Params

FloatArray = npt.NDArray[np.float64]

_Row = tuple[float, float]


class Steering(Protocol):
    """Moves the view; everything in metres along the picture, (y, x)."""

    def view(self, held: Readback) -> FloatArray | None:
        """Return the point that the view is centred on, None where unknown."""

    def ask(self, view: FloatArray) -> tuple[str, dict[str, Any]]:
        """Return action and fields that centre the view on a point."""

    def beside(self, held: Readback) -> tuple[float | None, ...]:
        """Return what else moves the picture, and is not in `view`."""


class ByView:
    """Steers by ``set_view_offset``; shifters and stage do what they can below it."""

    def view(self, held: Readback) -> FloatArray | None:
        """Return the view offset."""
        return _pair(held, "view_offset_y_m", "view_offset_x_m")

    def ask(self, view: FloatArray) -> tuple[str, dict[str, Any]]:
        """Return the view offset to set."""
        y, x = view.tolist()
        return "set_view_offset", {"x_m": x, "y_m": y}

    def beside(self, held: Readback) -> tuple[float | None, ...]:
        """Return where the stage is: a move of it is never exact."""
        return held.number("stage_x_m"), held.number("stage_y_m")


class StageAxes(Params):
    """How stage and picture lie to each other, measured."""

    x: Annotated[_Row, Field(description="of stage x")]
    """[along picture x, along picture y]: metres that the stage goes along its x for
    one metre that content is to move in the picture."""
    y: Annotated[_Row, Field(description="of stage y")]
    """Likewise along stage y."""

    @model_validator(mode="after")
    def _two_directions(self) -> Self:
        if abs(np.linalg.det([self.x, self.y])) < 1e-3:
            raise ValueError("x and y are one direction, or no length")
        return self


class ByStage:
    """Steers by ``move_stage``: slow, far, and never exact."""

    def __init__(self, axes: StageAxes) -> None:
        self._stage_of_picture = np.array([axes.x, axes.y])
        self._picture_of_stage = np.linalg.inv(self._stage_of_picture)

    def view(self, held: Readback) -> FloatArray | None:
        """Return the point of the specimen: content goes with the stage."""
        found = _pair(held, "stage_x_m", "stage_y_m")
        if found is None:
            return None
        view: FloatArray = -(self._picture_of_stage @ found)[::-1]
        return view

    def ask(self, view: FloatArray) -> tuple[str, dict[str, Any]]:
        """Return where the stage has to be."""
        x, y = (self._stage_of_picture @ -view[::-1]).tolist()
        return "move_stage", {"x_m": x, "y_m": y}

    def beside(self, held: Readback) -> tuple[float | None, ...]:
        """Return the view offset, which others may set."""
        return held.number("view_offset_x_m"), held.number("view_offset_y_m")


def _pair(held: Readback, first: str, second: str) -> FloatArray | None:
    values = held.number(first), held.number(second)
    if values[0] is None or values[1] is None:
        return None
    found = np.array(values, np.float64)
    return found if np.isfinite(found).all() else None
