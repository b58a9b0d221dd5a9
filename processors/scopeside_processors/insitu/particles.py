"""The particles of every frame: where, how large, and of which shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.insitu import segmentation
from scopeside_processors.insitu.grouping import Groups
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.onnx_model import ModelParams, OnnxModel
from scopeside_processors.insitu.proposals import segment
from scopeside_processors.insitu.running_mean import RunningMean
from scopeside_processors.insitu.shapes import COLUMNS, SPOKES, UNITS, Shapes, shapes_of
from scopeside_processors.insitu.stabilise import STILL, Drift, Stabiliser
from scopeside_processors.kernels import label

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NAME = "particles"
SHARED = "particles"
"""Where the results ``particles`` of a batch's frames lie in `Batch.shared`, in a
tuple: invalid ones too."""
ALL_COLUMNS = (*COLUMNS, "group", "group_chance")

_AREA = COLUMNS.index("area")
_WIDE = 64.0
_NO_BACKGROUND = "no background to compare with"
_LOST = "the frame is not found on those before, and an average was asked for"


class Sigmas(Base):
    """A threshold as a number of standard deviations."""

    sigmas: Annotated[float, Field(gt=0)]
    """Times the noise of the contrast behind smoothing."""


class Particles:
    """Finds the particles of each frame, measures them, and groups their shapes."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """What a particle looks like, and what is said of it."""

        contrast: Literal["dark", "bright"] = "dark"
        """How particles look against the background."""
        threshold: Literal["half", "otsu"] | Annotated[float, Field(gt=0)] | Sigmas = (
            "half"
        )
        """Contrast from which on a pixel is particle: half of each particle's own; one
        for the frame, by Otsu's method; a part of the background, such as 0.2 for 20 %
        darker; or ``{ sigmas = 4 }``, times the noise."""
        false_per_frame: Annotated[float, Field(gt=0, le=100)] = 1e-3
        """With half and otsu: particles that noise may make in a frame."""
        smooth_px: Literal["auto"] | Annotated[float, Field(ge=0, le=32)] = "auto"
        """Standard deviation of the Gaussian that takes off noise, px; auto: 0.7 to 4,
        as the noise of the frame asks for."""
        background_px: Literal["auto"] | Annotated[float, Field(ge=16)] = "auto"
        """Standard deviation of the Gaussian that makes the background, px; wider than
        the largest particle; auto: 64, a sixth of the field at most."""
        min_area_px: Annotated[float, Field(ge=1)] = 16.0
        """Smallest area, px."""
        max_area_px: Annotated[float, Field(gt=0)] | None = None
        """Largest area, px; none: any."""
        fill_holes: bool = True
        """Whether holes belong to the particle around them."""
        split: Annotated[float, Field(gt=0, lt=1)] | None = 0.75
        """Particles are cut apart where their neck is narrower than this part of the
        smaller one's width; none: never."""
        average_frames: Annotated[int, Field(ge=1, le=256)] = 1
        """Frames, moved along their drift, of which the mean is segmented; more than 1
        for low doses. Particles that move by themselves smear."""
        correct_drift: bool = True
        """Whether frames are moved for that."""
        model: ModelParams | None = None
        """A network that marks particles, in place of the threshold (ONNX)."""
        contours: bool = True
        """Whether contours and fingerprints are given."""
        max_groups: Annotated[int, Field(ge=0, le=12)] = 5
        """Groups of like shape at most; 0: none are sought."""
        group_by: Literal["shape", "fingerprint"] = "shape"
        """Size, aspect ratio, circularity and solidity; or the outline alone, whatever
        its size."""
        regroup_every: Annotated[int, Field(ge=1)] = 50
        """They are found anew from every so-manieth usable frame on, within the next
        `max_groups` frames."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Compile for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)
        kind = np.dtype("u2") if acquisition is None else acquisition.dtype
        pixels = np.full((1, 48, 48), 100, kind)
        pixels[0, 10:20, 10:20], pixels[0, 18:28, 18:28] = 10, 10
        one = np.zeros(1, np.int64)
        made = cls(Acquisition("warm", (48, 48), kind), cls.Params(max_groups=0))
        made.process(Batch(pixels, one, one))

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - regions are walked one after another
    ) -> None:
        self._acquisition = acquisition
        self._params = params
        self._incoming = Incoming(acquisition)
        self._model = self._load()
        self._groups = self._new_groups()
        self._mean = self._new_mean()
        self._stabiliser = Stabiliser(acquisition) if self._moves else None
        self._segment = 0
        self._used = 0
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the frames of `batch`, and leave their tables in it.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        conditions = self._incoming.of_batch(batch)
        drifts: tuple[Drift, ...] = (STILL,) * len(batch)
        if self._stabiliser is not None:
            drifts = self._stabiliser.of_batch(batch, conditions)
        about = zip(batch.pixels, batch.index.tolist(), conditions, drifts, strict=True)
        batch.shared[SHARED] = tuple(self._take(*frame) for frame in about)

    def change(self, params: Params) -> None:
        """Segment with other parameters from now on.

        Raises
        ------
        ConfigError
            If the network cannot be loaded.
        """
        was, self._params = self._params, params
        try:
            if params.model != was.model:
                self._model = self._load()
        except ConfigError:
            self._params = was
            raise
        if params.average_frames != was.average_frames:
            self._mean = self._new_mean()
        if (self._stabiliser is not None) != self._moves:
            self._stabiliser = Stabiliser(self._acquisition) if self._moves else None
        if (params.max_groups, params.group_by) != (was.max_groups, was.group_by):
            self._groups = self._new_groups()

    def results(self) -> Iterator[Result]:
        """Yield the particles of the last batch's frames.

        ``particles`` (n, 20) float64 for each frame, ``contours`` (m, 3) int32: id,
        row, column, and ``fingerprints`` (n, 32) float64; ``groups`` (k, 6 or 7)
        float64 where they were found anew.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return what later frames are measured with."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "stabiliser": self._stabiliser and self._stabiliser.state(),
                "mean": self._mean and self._mean.state(),
                "groups": self._groups and self._groups.state(),
                "segment": self._segment,
                "used": self._used,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        if self._stabiliser is not None:
            self._stabiliser.take_over(found["stabiliser"])
        if self._mean is not None:
            self._mean.take_over(found["mean"])
        if self._groups is not None:
            self._groups.take_over(found["groups"])
        self._segment, self._used = found["segment"], found["used"]

    @property
    def _moves(self) -> bool:
        """Whether frames have to be moved along their drift."""
        return self._params.average_frames > 1 and self._params.correct_drift

    def _load(self) -> OnnxModel | None:
        said = self._params.model
        if said is None:
            return None
        model = OnnxModel(said)
        # What it gives is known from a frame only: better now than in mid-acquisition.
        with suppress(ValueError):
            segment(model, np.ones(self._acquisition.frame_shape, np.float32))
        return model

    def _new_groups(self) -> Groups | None:
        most = self._params.max_groups
        return Groups(most, self._params.group_by) if most else None

    def _new_mean(self) -> RunningMean | None:
        if self._params.average_frames == 1:
            return None
        # A recursive mean of time constant m has the noise of 2 m - 1 frames.
        memory = (self._params.average_frames + 1) // 2
        return RunningMean(self._acquisition.frame_shape, memory)

    def _take(
        self, frame: Array, index: int, condition: Condition, drift: Drift
    ) -> Result:
        """Measure a frame; return its table, or why it has none."""
        reason = condition.reason
        if not reason and self._stabiliser is not None and not drift.locked:
            reason = drift.reason or _LOST
        found: tuple[Shapes, dict[str, Any]] | str = reason
        if not reason:
            if self._mean is not None:
                frame = self._averaged(frame, condition, drift)
            found = self._found(frame)
        if isinstance(found, str):
            self._results.append(invalid(NAME, found, frame=index))
            return self._results[-1]
        shapes, about = found
        self._used += 1
        table = self._with_groups(shapes, index)
        return self._say(shapes, table, index, about)

    def _averaged(self, frame: Array, condition: Condition, drift: Drift) -> Array:
        assert self._mean is not None
        if drift.segment != self._segment:
            self._mean.forget()
            self._segment = drift.segment
        if condition.exposure_changed:
            self._mean.scale(condition.exposure_ratio, self._incoming.camera.offset)
        place = drift.dy, drift.dx
        self._mean.take(frame, place)
        view = self._mean.seen_from(place, frame).mean
        return np.where(np.isfinite(view), view, frame)

    def _found(self, frame: Array) -> tuple[Shapes, dict[str, Any]] | str:
        """Return the shapes in a frame and how they were found, or why not."""
        params = self._params
        found = segmentation.contrast_of(
            frame,
            offset=self._incoming.camera.offset,
            sign=-1.0 if params.contrast == "dark" else 1.0,
            background_px=self._background_px(frame),
            smooth_px=None if params.smooth_px == "auto" else params.smooth_px,
            false=params.false_per_frame,
        )
        if found is None:
            return _NO_BACKGROUND
        about: dict[str, Any] = {
            "noise": found.noise.sigma,
            "smooth_px": found.smooth_px,
        }
        if self._model is not None:
            try:
                mask = segment(self._model, frame)
            except ValueError as error:
                return str(error)
        else:
            asked = params.threshold
            if isinstance(asked, Sigmas):
                asked = asked.sigmas * found.noise.sigma
            mask, about["threshold"] = segmentation.mask_of(
                found, asked, params.false_per_frame
            )
        labels, number = self._labels(mask)
        return shapes_of(labels, number, found.relative), about

    def _background_px(self, frame: Array) -> float:
        said = self._params.background_px
        return min(_WIDE, min(frame.shape) / 6) if said == "auto" else said

    def _labels(self, mask: BoolArray) -> tuple[segmentation.Labels, int]:
        params = self._params
        largest = params.max_area_px or float(mask.size)
        if params.fill_holes:
            label.fill_holes(mask, largest)
        labels, number = segmentation.label_regions(mask, params.split)
        return segmentation.kept(labels, number, params.min_area_px, largest)

    def _with_groups(self, shapes: Shapes, index: int) -> FloatArray:
        """Return the table with the group of each particle."""
        table = shapes.table
        if self._groups is None:
            return np.concatenate([table, np.full((len(table), 2), np.nan)], axis=1)
        self._groups.take(shapes)
        if self._used % self._params.regroup_every == 0:
            self._groups.begin()
        if self._groups.go_on():
            self._results.append(
                Result(
                    "groups",
                    self._groups.table(),
                    "table",
                    frame=index,
                    used=self._used,
                    axes=("group", "column"),
                    meta={"columns": self._groups.columns, "bic": self._groups.bic},
                )
            )
        return np.concatenate([table, self._groups.of(shapes)], axis=1)

    def _say(
        self, shapes: Shapes, table: FloatArray, index: int, about: dict[str, Any]
    ) -> Result:
        """Keep what is said of a frame; return the table."""
        stands_on: dict[str, Any] = {"frame": index, "first": index, "used": 1}
        meta = {"columns": list(ALL_COLUMNS), "units": [*UNITS, "", ""], **about}
        pixel = self._incoming.camera.known.pixel_size_m
        if pixel is not None:
            meta["pixel_size_m"] = list(pixel)
            area = shapes.table[:, _AREA] * pixel[0] * pixel[1]
            meta["area_m2"] = area.tolist()
            meta["diameter_m"] = (2 * np.sqrt(area / np.pi)).tolist()
        axes = ("particle", "column")
        said = Result(NAME, table, "table", axes=axes, meta=meta, **stands_on)
        self._results.append(said)
        if not self._params.contours:
            return said
        number = np.repeat(np.arange(1, len(table) + 1), np.diff(shapes.offset))
        points = np.concatenate([number[:, None], shapes.points], axis=1)
        told = {"columns": ["id", "y", "x"], "units": ["", "px", "px"]}
        self._results.append(
            Result(
                "contours",
                points.astype(np.int32),
                "table",
                axes=("point", "column"),
                meta=told,
                **stands_on,
            )
        )
        step = 360 / SPOKES
        self._results.append(
            Result(
                "fingerprints",
                shapes.fingerprint,
                "series",
                axes=("particle", "direction"),
                meta={"step_deg": step},
                **stands_on,
            )
        )
        return said
