"""What the simulated specimen has really received, counted by the simulator itself.

The microscope's settings are constant between two changes, so the dose is an exact sum:
of each field that was lit, the rate times the time. What is lit is what the picture
shows: a rectangle of the width `State.fov_m` around the point of the specimen that
lies in the middle of it, which is ``-State.content_shift_m``. A specimen that drifts
by itself carries its coordinates with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scopeside_adapters.simulator.state import State

MAX_FIELDS = 1 << 16
Field = tuple[float, float, float, float]


class DoseTruth:
    """Adds up the dose of every field that was lit; knows no cells and no margins.

    Parameters
    ----------
    state
        What the microscope is set to.
    t_ns
        Since when.
    aspect
        Height over width of the picture.

    Attributes
    ----------
    forgotten
        How often a field was lit when `MAX_FIELDS` others were known already: points
        may have received more than `at` says.
    """

    def __init__(self, state: State, t_ns: int, aspect: float = 1.0) -> None:
        self._state = state
        self._t_ns = t_ns
        self._aspect = aspect
        self._run = 0.0
        self._fields: dict[Field, float] = {}
        self.forgotten = 0

    def change(self, state: State, t_ns: int) -> None:
        """Count until `t_ns`, when the microscope was set to `state`."""
        self.count(t_ns)
        self._state = state

    def count(self, t_ns: int) -> None:
        """Count until `t_ns`."""
        seconds, self._t_ns = max(0, t_ns - self._t_ns) / 1e9, max(t_ns, self._t_ns)
        state = self._state
        dose = 0.0 if state.blanked else state.dose_rate_e_per_A2_s * seconds
        if dose == 0.0:
            return
        self._run += dose
        field = self._field()
        if field in self._fields or len(self._fields) < MAX_FIELDS:
            self._fields[field] = self._fields.get(field, 0.0) + dose
        else:
            self.forgotten += 1

    @property
    def run_e_per_A2(self) -> float:  # noqa: N802 - Å
        """Dose of all places, as if they were one, e⁻/Å²."""
        return self._run

    def at(self, points_m: Sequence[tuple[float, float]]) -> list[float]:
        """Return the dose of points (y, x) of the specimen, metres, in e⁻/Å²."""
        edges = np.array(list(self._fields)).reshape(-1, 4)
        doses = np.fromiter(self._fields.values(), float, len(self._fields))
        found = []
        for y, x in points_m:
            in_rows = (edges[:, 0] <= y) & (y < edges[:, 2])
            in_columns = (edges[:, 1] <= x) & (x < edges[:, 3])
            found.append(float(doses[in_rows & in_columns].sum()))
        return found

    def _field(self) -> Field:
        dy, dx = self._state.content_shift_m
        half_x = self._state.fov_m / 2
        half_y = half_x * self._aspect
        return -dy - half_y, -dx - half_x, -dy + half_y, -dx + half_x
