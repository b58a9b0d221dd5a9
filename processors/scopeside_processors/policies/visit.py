"""``visit``: the beam is placed on what has been found, each place once.

As in serial electron diffraction: an overview shows where crystals lie, and the beam
rests on each of them for a diffraction pattern (S. Smeets, X. Zou, W. Wan, J. Appl.
Cryst. 51, 1262 (2018), doi:10.1107/S1600576718009500).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Readback, Value
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.params import Params
from scopeside_processors.policies import field
from scopeside_processors.policies.found import apart, is_last, places_in
from scopeside_processors.policies.path import short_path
from scopeside_processors.policies.vector import vector_of

FloatArray = npt.NDArray[np.float64]


class VisitParams(Params):
    """``[[control.policy]]`` with ``kind = "visit"``."""

    dwell_s: Annotated[float, Field(gt=0)]
    """The beam rests so long on each place, s."""
    most: Annotated[int, Field(ge=1, le=2000)]
    """Places that are visited at most, all acquisitions together."""
    on: str = "particles.particles"
    """Where places come from, as processor.result: a table with columns y and x, px of
    the frame, or an image over the scanned field, whose spots are taken."""
    rank: str | None = None
    """Column of the table: of too many places those are taken where it is largest;
    absent: the first ones."""
    apart_px: Annotated[float, Field(ge=0)] = 4.0
    """Places nearer than this are one, px."""
    sigmas: Annotated[float, Field(gt=0)] = 5.0
    """Spots of an image lie so far above its median, standard deviations."""
    moved_by: str | None = None
    """A result of drift, such as drift.drift: its last vector is added to the places;
    needed for those in px of frame 0, such as nucleation.nuclei."""
    exposure_s: Annotated[float, Field(gt=0)] | None = None
    """Of a frame, s, where the acquisition does not say it."""


class Visit:
    """Asks once an acquisition for the beam to go to what was found in it."""

    Params: ClassVar[type[BaseModel]] = VisitParams

    def __init__(self, params: VisitParams) -> None:
        self._params = params
        self._field: field.Field | None = None
        self._table: Seen | None = None
        self._visited: list[FloatArray] = []
        self._where: dict[str, Value] = {}
        self._open: tuple[Wish, FloatArray] | None = None

    @property
    def wants(self) -> tuple[str, ...]:
        """Places, and how they have moved."""
        moved_by = self._params.moved_by
        return (self._params.on,) if moved_by is None else (self._params.on, moved_by)

    def begin(self, acquisition: Acquisition) -> None:
        """Forget the places of the acquisition before; those visited are remembered.

        Raises
        ------
        ConfigError
            If nobody says how long a frame is exposed; it then asks for nothing.
        """
        self._field, self._table, self._open = None, None, None
        self._field = field.Field(acquisition, self._params.exposure_s)

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Take in places; with the last of an acquisition, ask for the visit."""
        if self._field is None or self._field.id != seen.acquisition.id:
            return ()
        moves = self._params.moved_by == f"{seen.processor}.{seen.result.name}"
        if not moves and seen.result.valid:
            self._table = seen
        if not is_last(seen) or not seen.result.valid or seen.missed:
            return ()
        if (self._params.moved_by is None) == moves or self._table is None:
            return ()
        moved = np.zeros(2)
        if moves:
            vector = vector_of(seen.result)
            if vector is None:
                return ()
            moved = vector.px
        return self._visit(self._table, seen.t_ns, moved, microscope)

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        """Count what was visited; what was refused may be found again."""
        if self._open is not None and outcome.wish == self._open[0]:
            if outcome.state in ("done", "observed"):
                self._visited += list(self._open[1])
            if outcome.state not in ("waiting", "sent"):
                self._open = None
        return ()

    # ------------------------------------------------------------------------------

    def _visit(
        self, table: Seen, t_ns: int, moved: FloatArray, microscope: Knows
    ) -> Iterable[Wish]:
        assert self._field is not None
        now = microscope.now
        if table.result.kind == "table":
            held = self._field.held(microscope, t_ns)
        else:
            held = field.through(table, microscope)
        left = self._params.most - len(self._visited)
        if held is None or now is None or self._open is not None or left < 1:
            return ()
        if not field.same(field.where(held), field.where(now)):
            return ()  # the places are not where they were seen
        if not field.same(field.where(held), self._where):
            self._visited_elsewhere(held)
        chosen = self._chosen(table, moved, left)
        if not len(chosen):
            return ()
        chosen = chosen[short_path(chosen)]
        points = _of_the_field(chosen, _shape(table))
        fields: dict[str, Any] = {"points": points, "dwell_s": self._params.dwell_s}
        why = f"{len(points)} places found in {self._params.on}"
        wish = Wish("place_beam", fields, why)
        self._open = wish, chosen
        return (wish,)

    def _visited_elsewhere(self, held: Readback) -> None:
        """Take note that the view is another: no place of it has been visited."""
        self._where = field.where(held)
        # They count for the budget still.
        self._visited = [np.full(2, np.inf) for _ in self._visited]

    def _chosen(self, table: Seen, moved: FloatArray, left: int) -> FloatArray:
        """Return (n, 2) places, px: within the field, apart, the best first."""
        params = self._params
        places, ranks = places_in(table.result, params.rank, params.sigmas)
        places = places + moved
        size = np.array(_shape(table))
        inside = ((places >= -0.5) & (places <= size - 0.5)).all(axis=1)
        places, ranks = places[inside], ranks[inside]
        places = places[np.argsort(-ranks, kind="stable")]
        visited = np.array(self._visited).reshape(-1, 2)
        visited = visited[np.isfinite(visited).all(axis=1)]
        return places[apart(places, visited, params.apart_px)[:left]]


def _shape(table: Seen) -> tuple[int, int]:
    """Return (rows, columns) of what the places are pixels of."""
    if table.result.kind == "table":
        return table.acquisition.frame_shape
    rows, columns = np.shape(table.result.data)
    return rows, columns


def _of_the_field(places: FloatArray, shape: tuple[int, int]) -> list[list[float]]:
    """Return places as parts of the field; pixel (0, 0) begins at (0, 0)."""
    parts = (places + 0.5) / np.array(shape)
    found: list[list[float]] = np.clip(parts, 0.0, 1.0).tolist()
    return found
