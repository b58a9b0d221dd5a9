"""A view for people: the mean of the last frames, along the drift.

It is a picture, no data: what comes after it in a chain sees the frames as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.running_mean import RunningMean, View
from scopeside_processors.insitu.stabilise import STILL, Drift, Stabiliser
from scopeside_processors.kernels import USUAL_PIXELS, binning, shift

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]

NAME = "denoised"
_SCREEN = 1024
"""Pixels a side that a view has at most, unless `binning` says otherwise."""
_LOST = "the frame is not found on those before"


def smoothed(picture: Float32Array, sigma: float) -> Float32Array:
    """Return a picture behind a Gaussian of `sigma` px; NaN neither spreads nor fills.

    Parameters
    ----------
    picture : (height, width) float32, NaN where there is nothing
    """
    known = np.isfinite(picture)
    held = np.where(known, picture, np.float32(0))
    blurred = scipy.ndimage.gaussian_filter(held, sigma, mode="constant", truncate=3)
    share = known.astype(np.float32)
    share = scipy.ndimage.gaussian_filter(share, sigma, mode="constant", truncate=3)
    found: Float32Array = np.full_like(picture, np.nan)
    np.divide(blurred, share, out=found, where=known)
    return found


class Denoise:
    """Averages frames where they show the same place of the specimen."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """How long is averaged, and how the view is shown."""

        memory: Annotated[int, Field(ge=1, le=4096)] = 16
        """Time constant of the mean, frames; its noise is that of 2 · memory - 1."""
        every: Annotated[int, Field(ge=1)] = 5
        """A view is given with at most every so-manieth usable frame."""
        coordinates: Literal["frame", "specimen"] = "frame"
        """frame: content lies as in the present frame; specimen: as in frame 0."""
        smooth_px: Annotated[float, Field(ge=0, le=32)] = 0.0
        """Standard deviation of a Gaussian over the view, pixels of the view."""
        binning: Annotated[int, Field(ge=1, le=64)] | None = None
        """Pixels of a frame to one of the view, each way; none: so that the view has
        1024 a side at most."""
        shift: Literal["linear", "cubic", "integer"] = "linear"
        """How frames are moved by parts of a pixel; integer keeps their noise white."""
        correct_drift: bool = True
        """Whether frames are moved at all."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            shift.warm(dtype)
            binning.warm(dtype)
        shift.warm(np.float32)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - it is far from being the slowest step
    ) -> None:
        self._params = params
        height, width = acquisition.frame_shape
        self._binning = params.binning or 2 ** max(
            0, math.ceil(math.log2(max(height, width) / _SCREEN))
        )
        self._binning = min(self._binning, height, width)
        self._incoming = Incoming(acquisition)
        self._stabiliser = Stabiliser(acquisition)
        field = height // self._binning, width // self._binning
        self._mean = RunningMean(field, params.memory, params.shift)
        self._binned = np.empty(field, np.float32)
        self._segment = 0
        self._first = -1
        self._used = 0
        self._due = 0
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        conditions = self._incoming.of_batch(batch)
        drifts: tuple[Drift, ...] = (STILL,) * len(batch)
        if self._params.correct_drift:
            drifts = self._stabiliser.of_batch(batch, conditions)
        for k, index in enumerate(batch.index):
            self._take(batch.pixels[k], int(index), conditions[k], drifts[k])

    def results(self) -> Iterator[Result]:
        """Yield ``denoised`` for those frames of the last batch that it was due with.

        (height, width) float32, counts per pixel of the camera and frame, NaN and
        `mask` False where nothing was seen; `meta` holds ``effective_frames``.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return the mean, and what is known of drift."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "stabiliser": self._stabiliser.state(),
                "mean": self._mean.state(),
                "segment": self._segment,
                "first": self._first,
                "used": self._used,
                "due": self._due,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._stabiliser.take_over(found["stabiliser"])
        self._mean.take_over(found["mean"])
        self._segment, self._first = found["segment"], found["first"]
        self._used, self._due = found["used"], found["due"]

    def _take(
        self, frame: Array, index: int, condition: Condition, drift: Drift
    ) -> None:
        if condition.exposure_changed:
            offset = self._incoming.camera.offset
            self._mean.scale(condition.exposure_ratio, offset)
        reason = condition.reason or drift.reason
        if not reason and not drift.locked:
            reason = _LOST
        if reason:
            self._results.append(invalid(NAME, reason, frame=index))
            return
        if drift.segment != self._segment or self._first < 0:
            self._mean.forget()
            self._segment, self._first, self._used = drift.segment, index, 0
        if self._binning > 1:
            frame = binning.binned(frame, self._binning, self._binned)
            frame *= np.float32(1 / self._binning**2)
        place = drift.dy / self._binning, drift.dx / self._binning
        self._mean.take(frame, place)
        self._used += 1
        if self._due == 0:
            self._due = self._params.every
            self._results.append(self._view(frame, index, place, drift))
        self._due -= 1

    def _view(
        self, frame: Array, index: int, place: tuple[float, float], drift: Drift
    ) -> Result:
        if self._params.coordinates == "specimen":
            view = self._mean.seen_from((0.0, 0.0))
        else:
            view = self._mean.seen_from(place, frame)
        picture, seen = view.mean, np.isfinite(view.mean)
        about: dict[str, Any] = {
            "frame": index,
            "first": self._first,
            "used": self._used,
        }
        if not seen.any():
            return invalid(NAME, "the field of frame 0 is out of sight", **about)
        if self._params.smooth_px:
            picture = smoothed(picture, self._params.smooth_px)
        return Result(
            NAME,
            picture,
            "image",
            mask=None if seen.all() else seen,
            units="counts",
            axes=("y", "x"),
            meta={**self._worth(view, seen), "drift": [drift.dy, drift.dx]},
            **about,
        )

    def _worth(self, view: View, seen: npt.NDArray[np.bool_]) -> dict[str, Any]:
        worth = view.worth[seen]
        return {
            "effective_frames": float(worth.mean(dtype=np.float64)),
            "effective_frames_min": float(worth.min()),
            "coordinates": self._params.coordinates,
            "binning": self._binning,
            "segment": self._segment,
        }
