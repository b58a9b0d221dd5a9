"""How particles grow and dissolve, each and together, and how many are born."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.insitu import ensemble, growth_table
from scopeside_processors.insitu.camera import Camera
from scopeside_processors.insitu.change_points import change_points
from scopeside_processors.insitu.ensemble import Ensemble
from scopeside_processors.insitu.following import Followed, Following
from scopeside_processors.insitu.growth_laws import LAWS, growth_law
from scopeside_processors.insitu.growth_table import Change, GrowthTable
from scopeside_processors.insitu.rims import Rims
from scopeside_processors.insitu.scale import Scale
from scopeside_processors.insitu.size_distribution import size_distribution
from scopeside_processors.insitu.track import Track
from scopeside_processors.kernels import USUAL_PIXELS, rim

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

TABLES = ("growth", "ensemble", "sizes", "nucleation_rate")
RATE_COLUMNS = ("first_frame", "last_frame", "births", "rate", "rate_low", "rate_high")
NOBODY = "no particle has been followed yet"


class Kinetics:
    """Fits the laws of growth of the particles of a movie."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """How often, how many, and what is a change."""

        every: Annotated[int, Field(ge=1)] = 25
        """Frames from one set of tables to the next; the last frame of an acquisition
        that says how many it has brings one too."""
        fits_per_frame: Annotated[int, Field(ge=1)] = 2
        """Particles whose laws are fitted again in a frame; those with most new radii
        come first."""
        max_particles: Annotated[int, Field(ge=1, le=10_000)] = 1000
        """Particles that are kept; who was not seen for longest gives way."""
        caution: Annotated[float, Field(gt=0)] = 2.0
        """How much a change of law has to explain, as a multiple of Schwarz's
        criterion."""
        gone_after: Annotated[int, Field(ge=1)] = 25
        """Frames after which a particle that is not seen is gone."""
        settle_frames: Annotated[int, Field(ge=0)] = 15
        """Frames at the beginning in which who appears was there already."""
        border_px: Annotated[float, Field(ge=0)] = 8.0
        """Width of the edge of the frame in which who appears has come in, px."""
        profile: Literal["sphere", "disk", "track"] = "sphere"
        """How a radius is measured: by the rim of a sphere, whose loss goes with its
        thickness, or of a disk, whose loss is even; or as the `track` step has it,
        which is that of the `particles` step where its places come from there."""
        bins: Annotated[int, Field(ge=4, le=256)] = 24
        """Of the histogram of radii."""
        track: Track.Params = Track.Params()
        """How particles are followed where no `track` step comes before."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        Track.prepare(acquisition)
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            rim.warm(dtype)
        t = np.arange(16.0)
        growth_law(t, 3 + t)
        change_points(t, 3 + t)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no twin
    ) -> None:
        self._params = params
        self._following = Following(acquisition, params.track)
        self._growth = GrowthTable(
            params.max_particles, params.caution, params.gone_after
        )
        self._ensemble = Ensemble(params.every)
        self._rims: Rims | None = None
        if params.profile != "track":
            camera = Camera.of(acquisition)
            self._rims = Rims(
                params.max_particles,
                params.profile,
                sign=1.0 if params.track.contrast == "dark" else -1.0,
                offset=camera.offset,
                gain=camera.gain,
            )
        self._scale = Scale.of(acquisition)
        self._shape = acquisition.frame_shape
        self._end = -1 if acquisition.frames is None else acquisition.frames - 1
        self._first, self._used = -1, 0
        self._radius = np.zeros(0)
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the particles of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        for frame, found in zip(batch.pixels, self._following.of(batch), strict=True):
            self._take(frame, found)
            fits = self._params.fits_per_frame
            changes = self._growth.update(None if found.frame == self._end else fits)
            self._results += [self._event(change, found.frame) for change in changes]
            if (found.frame + 1) % self._params.every == 0 or found.frame == self._end:
                self._results += self._tables(found)

    def results(self) -> Iterator[Result]:
        """Yield what the frames of the last batch have brought.

        Tables ``growth``, ``ensemble``, ``nucleation_rate`` and the series ``sizes``
        every so many frames; an event ``change_point`` when one is found.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return the series, the fits, and the history."""
        return pack(
            {
                "following": self._following.state(),
                "growth": self._growth.state(),
                "ensemble": self._ensemble.state(),
                "rims": None if self._rims is None else self._rims.state(),
                "radius": self._radius,
                "counts": [self._first, self._used],
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._following.take_over(found["following"])
        self._growth.take_over(found["growth"])
        self._ensemble.take_over(found["ensemble"])
        if self._rims is not None:
            self._rims.take_over(found["rims"])
        self._radius = found["radius"]
        self._first, self._used = found["counts"]

    def _take(self, frame: Array, found: Followed) -> None:
        if found.reason:
            return
        self._first = found.frame if self._first < 0 else self._first
        self._used += 1
        radius = found.radius if self._rims is None else self._rims.of(frame, found)
        self._radius = radius
        new = self._growth.add(found.ids, radius, found.birth, found.frame)
        settled = self._first + self._params.settle_frames
        inside = self._inside(found.in_frame)
        birth = found.birth[new & inside & (found.birth >= settled)]
        self._ensemble.born(birth)

    def _inside(self, places: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which places are so far within that their particles are born there."""
        edge = self._params.border_px
        far = np.array(self._shape) - 1 - edge
        inside: npt.NDArray[np.bool_] = np.all(
            (places >= edge) & (places <= far), axis=1
        )
        return inside

    def _tables(self, found: Followed) -> list[Result]:
        area = float(self._shape[0] * self._shape[1])
        if not self._used:
            reason = found.reason or NOBODY
            return [invalid(name, reason, frame=found.frame) for name in TABLES]
        self._ensemble.note(found.frame, self._radius, area)
        return [
            self._growth_table(found.frame),
            self._history(found.frame),
            self._sizes(found.frame),
            self._births(found.frame),
        ]

    def _result(self, name: str, data: Any, frame: int, **about: Any) -> Result:
        if len(data) == 0:
            return invalid(name, NOBODY, frame=frame, used=self._used)
        return Result(
            name,
            data,
            about.pop("kind", "table"),
            frame=frame,
            first=self._first,
            used=self._used,
            **about,
        )

    def _growth_table(self, frame: int) -> Result:
        table = self._growth.table(frame)
        columns = list(growth_table.COLUMNS)
        if self._scale.known:
            table = np.column_stack([table, *self._scale.growth(table)])
            columns += ["rate_si", "speed_m_s", "radius_m"]
        meta = {
            "columns": columns,
            "laws": list(LAWS),
            "states": list(growth_table.STATES),
            **self._scale.meta,
        }
        return self._result(
            "growth", table, frame, axes=("particle", "column"), meta=meta
        )

    def _history(self, frame: int) -> Result:
        rows = self._ensemble.history
        meta = {"columns": list(ensemble.COLUMNS), **self._scale.meta}
        known = rows[rows[:, 1] > 0]
        best = growth_law(known[:, 0], known[:, 2], known[:, 1] ** -0.5).best
        if best is not None:
            meta["law_of_mean_radius"] = {
                "law": best.law,
                "exponent": best.exponent,
                "rate": best.rate,
                "rate_low": best.rate_low,
                "rate_high": best.rate_high,
                "probability": best.probability,
            }
        return self._result("ensemble", rows, frame, axes=("time", "column"), meta=meta)

    def _sizes(self, frame: int) -> Result:
        radius = self._radius[np.isfinite(self._radius) & (self._radius > 0)]
        if len(radius) == 0:
            return invalid("sizes", NOBODY, frame=frame, used=self._used)
        edges = np.linspace(0, 2.5 * radius.mean(), self._params.bins + 1)
        counts = np.histogram(radius, edges)[0].astype(np.float64)
        shapes = {
            name: {
                "probability": fit.probability,
                "p_value": fit.p_value,
                "scale_px": fit.scale,
                "width": fit.width,
            }
            for name, fit in size_distribution(radius).items()
        }
        meta = {
            "edges_px": edges.tolist(),
            "mean_px": float(radius.mean()),
            "beyond": int((radius > edges[-1]).sum()),
            "shapes": shapes,
            **self._scale.meta,
        }
        return self._result(
            "sizes", counts, frame, kind="series", axes=("radius",), meta=meta
        )

    def _births(self, frame: int) -> Result:
        settled = self._first + self._params.settle_frames
        if frame < settled:
            reason = f"births are counted from frame {settled} on"
            return invalid("nucleation_rate", reason, frame=frame, used=self._used)
        height, width = np.array(self._shape) - 2 * self._params.border_px
        area = float(max(height, 1.0) * max(width, 1.0))
        found = self._ensemble.rate(frame, settled, area)
        per_time = self._scale.nucleation
        rates = np.column_stack([found.rate, found.low, found.high]) * per_time
        table = np.column_stack(
            [found.edges[:-1], found.edges[1:] - 1, found.counts, rates]
        )
        meta = {
            "columns": list(RATE_COLUMNS),
            "births": self._ensemble.births,
            "induction_frame": self._ensemble.induction,
            "area_px2": area,
            **self._scale.meta,
        }
        units = self._scale.nucleation_units
        axes = ("time", "column")
        return self._result(
            "nucleation_rate", table, frame, axes=axes, units=units, meta=meta
        )

    def _event(self, change: Change, frame: int) -> Result:
        about = {
            "id": change.id,
            "at_frame": change.at.time,
            "speed_before": change.at.speed_before,
            "speed_after": change.at.speed_after,
        }
        begin = int(change.at.time)
        return Result("change_point", about, "event", frame, begin, self._used)
