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

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.insitu.encounters import Encounter
from scopeside_processors.insitu.follower import Follower, Look, warm
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.spots import Spots
from scopeside_processors.insitu.stabilise import STILL, Drift, Stabiliser
from scopeside_processors.kernels import USUAL_PIXELS, binning

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
    "measured_radius",
)

_LONGEST = 1000
"""Missing frames that are counted; after more of them everything may be anywhere."""
_GIVEN_SIGMA = 0.3
"""Standard deviation of places that another step found, px."""
_GIVEN_SNR = 100.0
"""And their height, which says only that they are sure."""


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

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            binning.warm(dtype)
        warm()

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no twin
    ) -> None:
        self._correct = params.correct_drift
        self._wants_places = params.source == "particles"
        self._incoming = Incoming(acquisition)
        self._stabiliser = Stabiliser(acquisition)
        look = Look(
            shape=acquisition.frame_shape,
            radii=(params.min_radius_px, params.max_radius_px),
            sign=-1 if params.contrast == "dark" else 1,
            offset=self._incoming.camera.offset,
            largest_step=params.max_step_px,
            least_snr=params.least_snr,
            births=params.births_per_frame,
            confirm=params.confidence,
        )
        self._follower = Follower(
            look, find=params.source == "spots", drifts=params.correct_drift
        )
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
        if self._correct:
            drifts = self._stabiliser.of_batch(batch, conditions)
        self._results = []
        tables = []
        given: list[Result | None] = [None] * len(batch)
        if self._wants_places:
            given = batch.shared.get(PARTICLES, given)
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
                "follower": self._follower.state(),
                "counts": [self._waited, self._first, self._used],
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._stabiliser.take_over(found["stabiliser"])
        self._follower.take_over(found["follower"])
        self._waited, self._first, self._used = found["counts"]

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
            self._follower.expose(condition.exposure_ratio)
        frames, self._waited = min(self._waited, _LONGEST), 0
        places = None if given is None else _given(given)
        lost = self._follower.follow(frame, frames, drift, places)
        self._first = index if self._first < 0 else self._first
        self._used += 1
        return [self._table(index), *self._events(index, lost)]

    def _lacks(self, given: Result | None) -> str:
        """Return why there are no places from another step, if they are wanted."""
        if not self._wants_places:
            return ""
        if given is None:
            return "there is no particles step earlier in the chain"
        return "" if given.valid else given.reason

    def _table(self, index: int) -> Result:
        tracks, drift = self._follower.shown, self._follower.drift
        place, velocity, var = tracks.bank.mean()
        seen = tracks.since == 0
        table = np.column_stack(
            [
                tracks.id,
                place + drift,
                tracks.radius,
                place,
                seen,
                np.where(seen[:, None], tracks.measured, np.nan),
                np.where(seen, tracks.measured_sigma, np.nan),
                velocity,
                np.sqrt(var),
                self._follower.steps(tracks),
                tracks.snr,
                1 / (1 + np.exp(-tracks.odds)),
                index - tracks.age,
                np.where(seen, tracks.measured_radius, np.nan),
            ]
        )
        return Result(
            NAME,
            table,
            "table",
            frame=index,
            first=self._first,
            used=self._used,
            units="px",
            axes=("particle", "column"),
            meta={"columns": list(COLUMNS), "drift": list(drift)},
        )

    def _events(self, index: int, lost: list[int]) -> list[Result]:
        """Return what became of particles that met, and what was lost."""
        found = []
        if lost:
            about = {"ids": lost}
            found.append(
                Result("identities_lost", about, "event", index, index, used=1)
            )
        tracks = self._follower.shown
        places = tracks.bank.mean()[0] + self._follower.drift
        place = dict(zip(tracks.id.tolist(), places.tolist(), strict=True))
        for one in self._follower.encounters(index):
            y, x = place.get(one.children[0], (math.nan, math.nan))
            about = {**_about(one), "y": y, "x": x}
            used = index - one.frame + 1
            found.append(Result(one.kind, about, "event", index, one.frame, used))
        return found


def _given(result: Result) -> Spots:
    """Return the places of another step's table."""
    table = np.asarray(result.data, np.float64)
    columns = list(result.meta["columns"])
    places = table[:, [columns.index("y"), columns.index("x")]]
    radius = table[:, columns.index("radius_px")]
    n = len(places)
    return Spots(places, np.full(n, _GIVEN_SNR), radius, np.full(n, _GIVEN_SIGMA))


def _about(encounter: Encounter) -> dict[str, Any]:
    """Return plain values."""
    before, after = encounter.radii_before, encounter.radii_after
    return {
        "parents": list(encounter.parents),
        "children": list(encounter.children),
        "met": encounter.frame,
        "areas_before_px2": [math.pi * r * r for r in before],
        "areas_after_px2": [math.pi * r * r for r in after],
        "volumes_before_px3": [4 / 3 * math.pi * r**3 for r in before],
        "volumes_after_px3": [4 / 3 * math.pi * r**3 for r in after],
    }
