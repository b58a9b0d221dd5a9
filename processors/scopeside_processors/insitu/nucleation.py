"""Nuclei in a movie as they appear: candidates, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result
from scopeside.state import pack, unpack
from scopeside_processors.insitu.candidates import Candidates, Event
from scopeside_processors.insitu.evidence import Evidence
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.model_stage import ModelStage, StageParams
from scopeside_processors.insitu.nuclei import COLUMNS, UNITS, Nuclei
from scopeside_processors.insitu.pace import ASSUMED_S, Pace
from scopeside_processors.insitu.stabilise import STILL, Drift, Stabiliser

Array = npt.NDArray[Any]

LEAST_SIDE = 32
"""Cells that a frame must have each way."""
_OF_NOISE = 1.0 / 6.0
"""Share of the false alarms that noise may raise, before verification."""
NO_DRIFT = "drift unknown: content not found"
NO_FRAME = "unusable"
"""Status of an event that says why a frame could not be used."""


class Nucleation:
    """Finds nuclei that grow, one event for each change of what is known of one."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """What counts as a nucleus, and how many false alarms may be."""

        min_radius_px: Annotated[float, Field(ge=1.5)] = 3.0
        """Smallest radius that counts, px."""
        max_radius_px: Annotated[float, Field(gt=0)] | None = None
        """Radius of the largest filter, px; none: four times the smallest."""
        alarms_per_hour: Annotated[float, Field(gt=0, le=100_000)] = 200.0
        """False alarms per hour and field that are accepted."""
        contrast: Literal["dark", "bright"] = "dark"
        """What nuclei are on their background."""
        correct_drift: bool = True
        """Whether drift is taken out; false: frames stand still already."""
        binning: Annotated[int, Field(ge=1, le=16)] | Literal["auto"] = "auto"
        """Width of a cell, px; auto: two thirds of the smallest radius."""
        absorbance_per_px: Annotated[float, Field(gt=0)] | None = None
        """Loss per px of thickness, -d ln I/dz; none: learnt from the nuclei."""
        warm_up_frames: Annotated[int, Field(ge=0)] = 30
        """Frames at the beginning, and after content is lost, that bring no events."""
        model: StageParams | None = None
        """A network of yours that points at nuclei too (ONNX)."""

        @model_validator(mode="after")
        def _sizes_in_order(self) -> Self:
            if (self.max_radius_px or self.min_radius_px) < self.min_radius_px:
                raise ValueError("max_radius_px is less than min_radius_px")
            return self

    fixed: ClassVar[tuple[str, ...]] = tuple(
        key for key in Params.model_fields if key != "alarms_per_hour"
    )

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Compile for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)
        shape, kind = (64, 64), np.dtype("u2")
        about = Acquisition(
            "warm", shape, kind if acquisition is None else acquisition.dtype
        )
        index = np.arange(24)
        y, x = np.mgrid[:64, :64]
        pixels = np.array([(y * 7 + x * 5 + k) % 9 + 1 for k in index], about.dtype)
        cls(about, cls.Params()).process(Batch(pixels, index, index * 40_000_000))

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - a frame's work is less than a transfer
    ) -> None:
        self._params = params
        self._shape = acquisition.frame_shape
        self._incoming = Incoming(acquisition)
        camera = self._incoming.camera
        self._pixel = camera.known.pixel_size_m
        self._pace = Pace(camera.frame_time_s)
        self._stabiliser = Stabiliser(acquisition) if params.correct_drift else None
        self._evidence = Evidence(
            self._shape,
            min_radius_px=params.min_radius_px,
            max_radius_px=params.max_radius_px,
            false_alarms=self._rate(params),
            contrast=params.contrast,
            size=None if params.binning == "auto" else params.binning,
            offset=camera.offset,
            scale=1.0 / camera.gain,
        )
        if min(self._evidence.background.shape) < LEAST_SIDE:
            raise ConfigError(
                f"frames of {self._shape} px are too small for min_radius_px = "
                f"{params.min_radius_px:g}: {LEAST_SIDE} cells of "
                f"{self._evidence.bin} px each way are needed"
            )
        self._candidates = Candidates(
            min_radius_px=params.min_radius_px,
            alarms_per_hour=self._allowed(params),
            absorbance_per_px=params.absorbance_per_px,
        )
        said = params.model
        self._model = None if said is None else ModelStage(said, self._shape)
        self._nuclei = Nuclei()
        self._used, self._first = 0, -1
        self._last: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        conditions = self._incoming.of_batch(batch)
        stamps = [int(t) for t in batch.timestamp_ns]
        drifts = self._drifts(batch, conditions)
        self._last = []
        for k, frame in enumerate(batch.pixels):
            index = int(batch.index[k])
            if self._pace.take(index, stamps[k]):
                self._allow()
            self._take(frame, index, conditions[k], drifts[k])

    def _drifts(
        self, batch: Batch, conditions: tuple[Condition, ...]
    ) -> tuple[Drift, ...]:
        if self._stabiliser is None:
            return (STILL,) * len(batch)
        return self._stabiliser.of_batch(batch, conditions)

    def _rate(self, params: Params) -> float:
        """Return how many alarms noise may cause per frame, before verification."""
        share = _OF_NOISE * params.alarms_per_hour
        return min(share * self._pace.frame_time_s / 3600.0, 0.05)

    def _allowed(self, params: Params) -> float:
        """Return the false alarms per hour that `Candidates` knows, at 25 frames/s."""
        return params.alarms_per_hour * self._pace.frame_time_s / ASSUMED_S

    def _allow(self) -> None:
        self._evidence.allow(self._rate(self._params))
        self._candidates.allow(self._allowed(self._params))

    def _take(
        self, frame: Array, index: int, condition: Condition, drift: Drift
    ) -> None:
        self._first = index if self._first < 0 else self._first
        reason = condition.reason
        if not reason and self._stabiliser is not None and not drift.locked:
            reason = drift.reason or NO_DRIFT
        if reason:
            nothing = {"status": NO_FRAME}
            self._say("nucleation", nothing, index, valid=False, reason=reason)
            return
        self._used += 1
        self._evidence.take(frame, drift, condition, index)
        if self._model is not None:
            self._evidence.beside = self._model.take(frame, drift, index)
        if self._evidence.frames <= self._params.warm_up_frames:
            return
        events = self._candidates.take(self._evidence, index, drift)
        changed = False
        for event in events:
            data = self._data(event, drift)
            self._say("nucleation", data, index)
            changed |= self._nuclei.take(data, (event.y, event.x), index)
        if changed:
            self._say_table(index)

    def _data(self, event: Event, drift: Drift) -> dict[str, Any]:
        """Return the event as plain values; places are in the frame it is said in."""
        y, x = event.y + drift.dy, event.x + drift.dx
        data: dict[str, Any] = {
            "id": event.id,
            "status": event.status,
            "y": y,
            "x": x,
            "radius_px": event.radius_px,
            "radius_error_px": event.radius_error_px,
            "birth_frame": event.birth_frame,
            "confidence": event.confidence,
            "reason": event.reason,
            "course": np.asarray(event.course, np.float64).round(3).tolist(),
            "thumbnail": np.asarray(event.thumbnail, np.float64).round(2).tolist(),
        }
        if self._pixel is not None:
            down, right = self._pixel
            data |= {"y_m": y * down, "x_m": x * right}
            data["radius_m"] = event.radius_px * (down * right) ** 0.5
        return data

    def _say(self, name: str, data: Any, index: int, **about: Any) -> None:
        kind = about.pop("kind", "event")
        self._last.append(
            Result(
                name,
                data,
                kind,
                frame=index,
                first=self._first,
                used=self._used,
                **about,
            )
        )

    def _say_table(self, index: int) -> None:
        meta = {
            "columns": list(COLUMNS),
            "units": list(UNITS),
            "confirmed": self._nuclei.confirmed,
        }
        self._say(
            "nuclei",
            self._nuclei.table(),
            index,
            kind="table",
            axes=("nucleus", "column"),
            meta=meta,
        )

    def results(self) -> Iterator[Result]:
        """Yield the events of the last batch's frames, and the table where it changed.

        ``nucleation``: a mapping, see the documentation; ``nuclei``: (n, 8) float64.
        """
        for result in self._last:
            data = result.data
            yield replace(
                result, data=dict(data) if isinstance(data, dict) else data.copy()
            )

    def change(self, params: Params) -> None:
        """Accept another rate of false alarms from now on.

        Raises
        ------
        ConfigError
            If anything else is changed.
        """
        same = params.model_copy(
            update={"alarms_per_hour": self._params.alarms_per_hour}
        )
        if same != self._params:
            raise ConfigError("only alarms_per_hour can be changed in mid-acquisition")
        self._params = params
        self._allow()

    def snapshot(self) -> bytes:
        """Return all that later frames are judged by."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "pace": self._pace.state(),
                "stabiliser": self._stabiliser and self._stabiliser.state(),
                "evidence": self._evidence.state(),
                "candidates": self._candidates.state(),
                "model": self._model and self._model.state(),
                "nuclei": self._nuclei.state(),
                "frames": [self._used, self._first],
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._pace.take_over(found["pace"])
        if self._stabiliser is not None:
            self._stabiliser.take_over(found["stabiliser"])
        self._evidence.take_over(found["evidence"])
        self._allow()
        self._candidates.take_over(found["candidates"])
        if self._model is not None:
            self._model.take_over(found["model"])
        self._nuclei.take_over(found["nuclei"])
        self._used, self._first = found["frames"]
