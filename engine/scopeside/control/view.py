"""A view offset made from a shifter and the stage, by measured matrices. No I/O.

The view offset is the point of the specimen that the view is centred on, so content
moves by minus its change. With what content does for each actuator
(`scopeside.control.calibration`)::

    offset = - shifter_matrix @ (shifter - middle) - stage_matrix @ (stage - origin)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scopeside.control.calibration import ACTIONS, Calibration, valid_for
from scopeside.control.instrument import Call, Readback
from scopeside.errors import RefusedError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mover:
    """What moves the picture: a shifter or the stage.

    Attributes
    ----------
    zero
        (x, y) where it adds nothing to the view offset, m.
    """

    name: str
    calibrations: tuple[Calibration, ...]
    zero: FloatArray

    def matrix(self, readback: Readback) -> FloatArray:
        """Return how content moves with it in this optical state.

        Raises
        ------
        RefusedError
            If no calibration is valid; the message names the quantity that differs.
        """
        found, reason = valid_for(self.calibrations, readback)
        if found is None:
            raise RefusedError(f"set_view_offset by {self.name}: {reason}", "plan")
        return found.as_array

    def place(self, readback: Readback) -> FloatArray:
        """Return (x, y) where it is, m.

        Raises
        ------
        RefusedError
            If the instrument does not say.
        """
        quantities = [f"{self.name}_{axis}_m" for axis in "xy"]
        found = [readback.number(quantity) for quantity in quantities]
        for quantity, value in zip(quantities, found, strict=True):
            if value is None:
                raise RefusedError(
                    f"set_view_offset by {self.name}: the instrument does not say "
                    f"{quantity}",
                    "no_readback",
                )
        return np.array(found, np.float64)

    def offset(self, readback: Readback) -> FloatArray:
        """Return what it contributes to the view offset, (x, y) m."""
        moved = self.place(readback) - self.zero
        return -self.matrix(readback) @ moved

    def place_for(self, offset: FloatArray, readback: Readback) -> FloatArray:
        """Return (x, y) where it contributes `offset`, m."""
        return self.zero - np.linalg.solve(self.matrix(readback), offset)

    def call(self, place: FloatArray) -> Call:
        """Return the action that brings it to a place."""
        x, y = place.tolist()
        return Call(ACTIONS[self.name], {"x_m": x, "y_m": y})


@dataclass(frozen=True, slots=True)
class View:
    """Shifter and stage together; at least one of them is there.

    Attributes
    ----------
    range_m
        How far the shifter may go from its middle, m.
    """

    shifter: Mover | None
    stage: Mover | None
    range_m: float

    @property
    def movers(self) -> tuple[Mover, ...]:
        """What moves the picture."""
        return tuple(one for one in (self.shifter, self.stage) if one is not None)

    def offset(self, readback: Readback) -> FloatArray:
        """Return the view offset, (x, y) m.

        Raises
        ------
        RefusedError
            If the optical state is one without a calibration, or a place is not said.
        """
        found = np.zeros(2)
        for one in self.movers:
            found += one.offset(readback)
        return found

    def plan(self, x_m: float, y_m: float, readback: Readback) -> tuple[Call, ...]:
        """Return the calls that centre the view on a point, in order.

        The shifter does it while its range lasts. Then the stage takes over the whole
        offset and the shifter goes back to its middle: the stage first, for of the two
        it is the one that may fail, and then the picture has not moved yet. What the
        stage misses by is in the read-back, and the next set-point has the shifter mend
        it. Whatever part of this is done, the same offset asked for again completes it.

        Raises
        ------
        RefusedError
            If the optical state is one without a calibration, the shifter's range is
            spent and no stage is there to take over, or a place is not said.
        """
        wanted = np.array([x_m, y_m])
        if self.shifter is not None:
            others = self.offset(readback) - self.shifter.offset(readback)
            place = self.shifter.place_for(wanted - others, readback)
            away_m = float(np.linalg.norm(place - self.shifter.zero))
            if away_m <= self.range_m:
                return (self.shifter.call(place),)
            if self.stage is None:
                raise RefusedError(
                    f"set_view_offset: {self.shifter.name} would have to go "
                    f"{away_m:.4g} m from its middle, its range is {self.range_m:g} m, "
                    "and there is no [control.view.stage] to take over",
                    "plan",
                )
        assert self.stage is not None  # the settings see to that
        self.stage.place(readback)  # it has to say where it is: its step is judged
        moved = self.stage.call(self.stage.place_for(wanted, readback))
        if self.shifter is None:
            return (moved,)
        return moved, self.shifter.call(self.shifter.zero)
