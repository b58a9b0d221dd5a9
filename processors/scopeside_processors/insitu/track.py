"""Follows particles from frame to frame, in the coordinates of the specimen.

`spots` finds them, `presence` finds those that single frames do not show, `linking`
keeps their identities. What is known of drift keeps a jump from tearing tracks apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.spatial import cKDTree

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.insitu.constellation import recognise
from scopeside_processors.insitu.encounters import Encounters
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.linking import Detections, Linker, Rules
from scopeside_processors.insitu.presence import Presence
from scopeside_processors.insitu.spots import SIGMA_OF_RADIUS, SpotFinder, Spots
from scopeside_processors.insitu.stabilise import STILL, Drift, Stabiliser

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

NAME = "tracks"
SHARED = "tracks"
"""Where the results of a batch lie in `Batch.shared`, one a frame."""
PARTICLES = "particles"
"""Where a `particles` step leaves its tables, one result a frame."""
COLUMNS = (
    "id",
    "y",
    "x",
    "radius_px",
    "specimen_y",
    "specimen_x",
    "seen",
    "measured_y",
    "measured_x",
    "measured_sigma",
    "vy",
    "vx",
    "sigma",
    "step",
    "snr",
    "probability",
    "birth_frame",
)

_LONGEST = 1000
"""Missing frames that are counted; after more of them everything may be anywhere."""
_CROWD = 100.0
"""Particles in the first frame, for each that is expected to appear in a later one."""
_GIVEN_SIGMA = 0.3
"""Standard deviation of places that another step found, px."""
_GIVEN_SNR = 100.0
"""And their height, which says only that they are sure."""
_STRONG = 4.0
"""Height over the noise of spots that tracks are recognised by."""
_NEAR = 3.0
"""Pixels from a spot within which a track is where it was expected."""
_JUMP = 3.0
"""Pixels from frame to frame beyond which drift has to agree with the tracks."""
_STAYED = 0.5
"""Share of tracks that are there: fewer, and the content may have jumped."""
_SURE = 0.5
"""Confidence of the drift from which it is used."""


class Track:
    """Keeps the identities of the particles of a movie."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """What particles look like, and how they may move."""

        min_radius_px: Annotated[float, Field(ge=1)] = 3.0
        """Radius of the smallest particles, px."""
        max_radius_px: Annotated[float, Field(gt=1)] = 7.0
        """Radius of the largest, px; larger ones are found, but less precisely."""
        source: Literal["spots", "particles"] = "spots"
        """Where places come from: matched filters of its own, or the `particles` step
        earlier in the chain."""
        contrast: Literal["dark", "bright"] = "dark"
        """How particles look against the background."""
        max_step_px: Annotated[float, Field(gt=0)] = 4.0
        """Root mean square step of the fastest particles along one axis, px from frame
        to frame."""
        confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
        """Probability from which a track is shown."""
        least_snr: Annotated[float, Field(ge=1.5)] = 2.0
        """Height over the noise from which a spot may carry on a track."""
        births_per_frame: Annotated[float, Field(gt=0)] = 0.25
        """Particles that are expected to appear in a frame, with the first past."""
        correct_drift: bool = True
        """Whether particles are followed in the coordinates of the specimen."""

        @model_validator(mode="after")
        def _radii_are_ordered(self) -> Self:
            if self.max_radius_px <= self.min_radius_px:
                raise ValueError("max_radius_px must be above min_radius_px")
            return self

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no twin
    ) -> None:
        self._params = params
        shape = acquisition.frame_shape
        self._incoming = Incoming(acquisition)
        self._stabiliser = Stabiliser(acquisition)
        radii = params.min_radius_px, params.max_radius_px
        self._finder = SpotFinder(
            shape,
            radii,
            params.least_snr,
            -1 if params.contrast == "dark" else 1,
            self._incoming.camera.offset,
        )
        births = params.births_per_frame / math.prod(shape)
        crowd = _CROWD * births
        self._presence = Presence(
            self._finder.shape,
            self._finder.bin,
            params.max_step_px,
            crowd,
            births,
        )
        rules = Rules(
            shape,
            params.max_step_px,
            params.least_snr if params.source == "spots" else None,
            SIGMA_OF_RADIUS * math.sqrt(radii[0] * radii[1]),
            crowd,
            births,
            params.confidence,
        )
        self._shape = shape
        self._linker = Linker(rules)
        self._encounters = Encounters()
        self._segment = 0
        self._drift = (0.0, 0.0)
        self._waited = 0
        self._first, self._used = -1, 0
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        conditions = self._incoming.of_batch(batch)
        drifts: tuple[Drift, ...] = (STILL,) * len(batch)
        if self._params.correct_drift:
            drifts = self._stabiliser.of_batch(batch, conditions)
        self._results = []
        tables = []
        given: Any = batch.shared.get(PARTICLES) or [None] * len(batch)
        for k, index in enumerate(batch.index):
            found = self._take(
                batch.pixels[k], int(index), conditions[k], drifts[k], given[k]
            )
            tables.append(found[0])
            self._results += found
        batch.shared[SHARED] = tables

    def results(self) -> Iterator[Result]:
        """Yield ``tracks`` for each frame of the last batch.

        (n, columns) float64, a row for each particle; ``meta["columns"]`` has the
        names. Places are px in the frame, ``specimen_…`` px in frame 0.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return the tracks, and what was learnt of the background."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "stabiliser": self._stabiliser.state(),
                "finder": self._finder.state(),
                "presence": self._presence.density,
                "linker": self._linker.state(),
                "encounters": self._encounters.state(),
                "counts": [self._waited, self._first, self._used, self._segment],
                "drift": list(self._drift),
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._stabiliser.take_over(found["stabiliser"])
        self._finder.take_over(found["finder"])
        self._presence.density = found["presence"].copy()
        self._linker.take_over(found["linker"])
        self._encounters.take_over(found["encounters"])
        self._waited, self._first, self._used, self._segment = found["counts"]
        self._drift = tuple(found["drift"])

    def _take(
        self,
        frame: Array,
        index: int,
        condition: Condition,
        drift: Drift,
        given: Result | None,
    ) -> list[Result]:
        self._waited += condition.missing + 1
        reason = condition.reason if not condition.usable else self._lacks(given)
        if reason:
            return [invalid(NAME, reason, frame=index)]
        if condition.exposure_changed:
            self._linker.tracks.snr *= math.sqrt(condition.exposure_ratio)
        frames, self._waited = min(self._waited, _LONGEST), 0
        rebased = self._rebase(drift)
        if drift.confidence >= _SURE:
            self._drift = drift.dy, drift.dx
        guess = not self._params.correct_drift
        doubt = rebased or guess or not drift.locked
        spots = self._spots(frame, given)
        lost = self._follow(spots, frames, doubt=doubt, anew=rebased)
        self._first = index if self._first < 0 else self._first
        self._used += 1
        events = [_identities_lost(index, lost)] if lost else []
        return [self._table(index), *events, *self._meetings(index)]

    def _rebase(self, drift: Drift) -> bool:
        """Take places over to the coordinates of a new segment, if one begins."""
        if drift.segment == self._segment:
            return False
        self._segment = drift.segment
        was, self._drift = self._drift, (drift.dy, drift.dx)
        self._linker.move((was[0] - drift.dy, was[1] - drift.dx))
        self._finder.forget()
        self._presence.forget()
        return True

    def _lacks(self, given: Result | None) -> str:
        """Return why there are no places from another step, if they are wanted."""
        if self._params.source == "spots":
            return ""
        if given is None:
            return "there is no particles step earlier in the chain"
        return "" if given.valid else given.reason

    def _spots_along(
        self, frame: Array, given: Result | None, drift: Drift
    ) -> Spots:
        """Return what there is in a frame, and take over its drift.

        A jump that leads away from where the tracks are is not believed: what seems to
        have jumped may have been a particle.
        """
        proposed = drift.dy, drift.dx
        if not self._params.correct_drift or drift.confidence < _SURE:
            return self._spots(frame, given)
        away = math.hypot(drift.dy - self._drift[0], drift.dx - self._drift[1])
        if away > _JUMP and self._linker.shown.any():
            spots = self._spots(frame, given)
            if self._there(spots, self._drift) > self._there(spots, proposed):
                return spots
        self._drift = proposed
        return self._spots(frame, given)

    def _there(self, spots: Spots, drift: tuple[float, float]) -> float:
        """Return the share of the tracks that are where they were expected."""
        tracks = self._linker.tracks.take(self._linker.shown)
        strong = spots.places[spots.snr > _STRONG] - drift
        if not len(tracks) or not len(strong):
            return 0.0
        reach = _NEAR + 2 * tracks.bank.reach(1.0)
        away = cKDTree(strong).query(tracks.bank.mean()[0])[0]
        return float(np.mean(away < reach))

    def _spots(self, frame: Array, given: Result | None) -> Spots:
        """Return what there is in a frame."""
        if self._params.source == "spots" or given is None:
            return self._finder.find(frame, self._drift)
        table = np.asarray(given.data, np.float64)
        columns = list(given.meta["columns"])
        places = table[:, [columns.index("y"), columns.index("x")]]
        radius = table[:, columns.index("equivalent_diameter_px")] / 2
        n = len(places)
        return Spots(places, np.full(n, _GIVEN_SNR), radius, np.full(n, _GIVEN_SIGMA))

    def _follow(
        self, spots: Spots, frames: int, *, doubt: bool, anew: bool
    ) -> list[int]:
        """Link what there is in a frame to what was there before.

        Returns the ids that end because nothing of before was recognised.
        """
        linker = self._linker
        lost: list[int] = []
        if doubt and not self._recognise(spots) and anew:
            lost = linker.tracks.id[linker.shown].tolist()
            linker.forget()
        linker.independent = self._finder.independent
        shift = np.array(self._drift)
        seen = Detections(spots.places - shift, spots.sigma, spots.snr, spots.radius)
        linker.step(seen, frames, corner=(-shift[0], -shift[1]))
        if self._params.source == "particles":
            return lost
        self._look_for_new(frames, shift)
        held = linker.tracks.take(linker.tracks.odds > 0)
        self._finder.learn(held.bank.mean()[0] + shift, 1.2 * held.radius + 3)
        return lost

    def _look_for_new(self, frames: int, shift: FloatArray) -> None:
        """Begin tracks of particles that show over several frames."""
        finder, linker, presence = self._finder, self._linker, self._presence
        presence.turn(finder.turned)
        presence.step(finder.responses, finder.scale, finder.independent, frames)
        place, _, var = linker.tracks.bank.mean()
        flanks = finder.flanks(linker.tracks.snr, linker.tracks.radius)
        presence.clear(place + shift, flanks + np.sqrt(var))
        births = presence.born()
        if not len(births.places):
            return
        snr, radius = finder.heights(births.places)
        snr = np.maximum(snr, self._params.least_snr)
        linker.begin(births.places - shift, births.sigma, births.odds, snr, radius)
        presence.clear(births.places, finder.flanks(snr, radius))

    def _recognise(self, spots: Spots) -> bool:
        """Return whether the tracks are in a frame, wherever they have jumped to."""
        shown = self._linker.shown
        if not shown.any() or self._there(spots, self._drift) >= _STAYED:
            return True
        place = self._linker.tracks.bank.mean()[0][shown]
        strong = spots.places[spots.snr > _STRONG] - self._drift
        found = recognise(place, strong, float(math.prod(self._shape)))
        if found is None:
            return False
        dy, dx = found.shift
        self._drift = self._drift[0] + dy, self._drift[1] + dx
        return True

    def _meetings(self, index: int) -> list[Result]:
        """Return what became of particles that met."""
        tracks = self._linker.tracks
        tracks = tracks.take(tracks.confirmed)
        steps = tracks.bank.weight @ self._linker.models.step
        place = dict(
            zip(tracks.id.tolist(), tracks.bank.mean()[0] + self._drift, strict=True)
        )
        encounters = self._encounters.watch(tracks, steps, index)
        for one in encounters:
            gone = [i for i in one.parents if i not in one.children]
            self._linker.end(gone)
        return [
            Result(
                one.kind,
                {
                    "parents": list(one.parents),
                    "children": list(one.children),
                    "y": float(place[one.children[0]][0]),
                    "x": float(place[one.children[0]][1]),
                    "met": one.frame,
                    "areas_before_px2": [math.pi * r * r for r in one.radii_before],
                    "areas_after_px2": [math.pi * r * r for r in one.radii_after],
                    "volumes_before_px3": [_volume(r) for r in one.radii_before],
                    "volumes_after_px3": [_volume(r) for r in one.radii_after],
                },
                "event",
                frame=index,
                first=one.frame,
                used=index - one.frame + 1,
            )
            for one in encounters
        ]

    def _table(self, index: int) -> Result:
        tracks = self._linker.tracks.take(self._linker.shown)
        place, velocity, var = tracks.bank.mean()
        order = np.argsort(tracks.id)
        seen = tracks.since == 0
        measured = np.where(seen[:, None], tracks.measured, np.nan)
        table = np.column_stack(
            [
                tracks.id,
                place + self._drift,
                tracks.radius,
                place,
                seen,
                measured,
                np.where(seen, tracks.measured_sigma, np.nan),
                velocity,
                np.sqrt(var),
                tracks.bank.weight @ self._linker.models.step,
                tracks.snr,
                1 / (1 + np.exp(-tracks.odds)),
                index - tracks.age,
            ]
        )[order]
        return Result(
            NAME,
            table,
            "table",
            frame=index,
            first=self._first,
            used=self._used,
            units="px",
            axes=("particle", "column"),
            meta={"columns": list(COLUMNS), "drift": list(self._drift)},
        )


def _identities_lost(index: int, ids: list[int]) -> Result:
    """Return the event that says that tracks ended because the content is new."""
    return Result(
        "identities_lost", {"ids": ids}, "event", frame=index, first=index, used=1
    )


def _volume(radius: float) -> float:
    return 4 / 3 * math.pi * radius**3
