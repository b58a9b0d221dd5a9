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
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.linking import Detections, Linker, Rules
from scopeside_processors.insitu.presence import Presence
from scopeside_processors.insitu.spots import SIGMA_OF_RADIUS, SpotFinder
from scopeside_processors.insitu.stabilise import STILL, Drift, Stabiliser

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

NAME = "tracks"
SHARED = "tracks"
"""Where the results of a batch lie in `Batch.shared`, one a frame."""
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
        contrast: Literal["dark", "bright"] = "dark"
        """How particles look against the background."""
        max_step_px: Annotated[float, Field(gt=0)] = 4.0
        """Root mean square step of the fastest particles along one axis, px from frame
        to frame."""
        confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
        """Probability from which a track is shown."""
        least_snr: Annotated[float, Field(ge=1.5)] = 2.0
        """Height over the noise from which a spot may carry on a track."""
        births_per_frame: Annotated[float, Field(gt=0)] = 0.1
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
        crowd = float(__import__('os').environ.get('CROWD','100')) * births
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
            params.least_snr,
            SIGMA_OF_RADIUS * math.sqrt(radii[0] * radii[1]),
            crowd,
            births,
            params.confidence,
        )
        self._linker = Linker(rules)
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
        self._results = [
            self._take(batch.pixels[k], int(index), conditions[k], drifts[k])
            for k, index in enumerate(batch.index)
        ]
        batch.shared[SHARED] = list(self._results)

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
                "counts": [self._waited, self._first, self._used],
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
        self._waited, self._first, self._used = found["counts"]
        self._drift = tuple(found["drift"])

    def _take(
        self, frame: Array, index: int, condition: Condition, drift: Drift
    ) -> Result:
        self._waited += condition.missing + 1
        if not condition.usable:
            return invalid(NAME, condition.reason, frame=index)
        if condition.exposure_changed:
            self._linker.tracks.snr *= math.sqrt(condition.exposure_ratio)
        frames, self._waited = min(self._waited, _LONGEST), 0
        if drift.confidence >= _SURE:
            self._drift = drift.dy, drift.dx
        self._follow(frame, frames)
        self._first = index if self._first < 0 else self._first
        self._used += 1
        return self._table(index)

    def _follow(self, frame: Array, frames: int) -> None:
        """Find what there is in a frame, and link it to what was there before."""
        finder, linker, presence = self._finder, self._linker, self._presence
        shift = np.array(self._drift)
        spots = finder.find(frame, self._drift)
        seen = Detections(spots.places - shift, spots.sigma, spots.snr, spots.radius)
        linker.step(seen, frames, corner=(-shift[0], -shift[1]))
        presence.turn(finder.turned)
        presence.step(finder.responses, finder.scale, finder.independent, frames)
        place, _, var = linker.tracks.bank.mean()
        around = linker.tracks.radius + 2 + np.sqrt(var)
        presence.clear(place + shift, around)
        births = presence.born()
        if len(births.places):
            snr, radius = finder.heights(births.places)
            snr = np.maximum(snr, self._params.least_snr)
            linker.begin(births.places - shift, births.sigma, births.odds, snr, radius)
            presence.clear(births.places, radius + 3)
        held = linker.tracks.take(linker.tracks.odds > 0)
        finder.learn(held.bank.mean()[0] + shift, 1.2 * held.radius + 3)

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
