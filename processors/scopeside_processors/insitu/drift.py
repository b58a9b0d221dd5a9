"""How far the content of each frame has moved, and the frames moved back by that.

Steps after it in a chain take the vectors from the batch and need no corrected frames:
to correct is for those who keep or show the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar

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
from scopeside_processors.insitu.drift_trace import COLUMNS, UNITS, Rate, Trace
from scopeside_processors.insitu.incoming import Incoming
from scopeside_processors.insitu.moved_back import (
    Correction,
    MovedBack,
    dtype_of,
    left_over,
)
from scopeside_processors.insitu.stabilise import SHARED, Drift, Stabiliser
from scopeside_processors.kernels import USUAL_PIXELS, correlate, shift

FloatArray = npt.NDArray[np.float64]

NAME = "drift"
VALID = "valid"
"""Where corrected frames leave (n, 4) int64 in `Batch.shared`: the rows and columns of
each that have content, first and one past the last of each."""
LOST = "the frame is not found on those before"
_NM = 1e9

Pixel = Annotated[int, Field(ge=0)]
Part = tuple[Pixel, Pixel, Pixel, Pixel]


class DriftCorrection:
    """Registers each frame with those before it, and moves it back if it is told to."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """What becomes of the frames, and what is known of them."""

        correct: Correction = "none"
        """How frames are moved back for the steps after it; none: not at all; integer:
        by whole pixels, and counts stay exact; the others give float32."""
        magnification: Annotated[float, Field(gt=0)] = 1.0
        """How many times larger than at the start content is now; a change in
        mid-acquisition begins a new segment."""
        ignore: tuple[Part, ...] = ()
        """[[y0, x0, y1, x1], …] px: what stays where it is on the detector, such as a
        scale bar, and is no content."""
        trace_every: Annotated[int, Field(ge=0)] = 25
        """The trace is given with every so-manieth frame, and with the last; 0: never.
        """

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            shift.warm(dtype)
            correlate.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - what it copies would cost more
    ) -> None:
        self._params = params
        self._dtype = acquisition.dtype
        self._expected = acquisition.frames
        self._incoming = Incoming(acquisition)
        self._stabiliser = Stabiliser(acquisition)
        self._stabiliser.ignore(params.ignore)
        self._back = MovedBack(self._incoming.camera.offset)
        self._trace, self._rate = Trace(), Rate()
        self._segment = 0
        self._first, self._used, self._seen = -1, 0, 0
        # Where the present scale began: px, and nm that content had moved by then.
        self._scale_px, self._scale_nm = np.zeros(2), np.zeros(2)
        self._last = np.zeros(2)
        self._results: list[Result] = []

    def process(self, batch: Batch) -> Batch | None:
        """Find the drift of the frames of `batch`; return them corrected if wanted.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        conditions = self._incoming.of_batch(batch)
        drifts = self._stabiliser.of_batch(batch, conditions)
        for index, drift in zip(batch.index, drifts, strict=True):
            self._take(int(index), drift)
        vectors = self._back.vectors(drifts)
        how = self._params.correct
        if how == "none":
            batch.shared[SHARED] = drifts
            return None
        pixels, valid = self._back.frames(batch.pixels, conditions, vectors, how)
        moved = batch.with_pixels(pixels)
        pairs = zip(drifts, vectors, strict=True)
        moved.shared[SHARED] = tuple(left_over(*pair, how) for pair in pairs)
        moved.shared[VALID] = valid
        return moved

    def results(self) -> Iterator[Result]:
        """Yield ``drift`` for each frame of the last batch, and ``trace`` where due.

        ``drift``: (2,) float64 (dy, dx), px; of a frame that shows nothing the last
        vector, invalid. ``trace``: (n, 5) float64, columns as in `COLUMNS`.
        """
        for result in self._results:
            data = result.data
            yield result if data is None else replace(result, data=data.copy())

    def change(self, params: Params) -> None:
        """Use other parameters for the frames from now on.

        Raises
        ------
        ConfigError
            If frames would become those of another dtype.
        """
        before, after = (
            dtype_of(p.correct, self._dtype) for p in (self._params, params)
        )
        if before != after:
            raise ConfigError(
                f"drift: correct = {params.correct!r} would make frames {after} in "
                f"mid-acquisition; they are {before}"
            )
        if params.magnification != self._params.magnification:
            self._scale_nm = self._moved_nm(self._last)
            self._scale_px = self._last.copy()
            self._stabiliser.rebase()
        self._stabiliser.ignore(params.ignore)
        self._params = params

    def snapshot(self) -> bytes:
        """Return the template, what is known of drift, and its trace."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "stabiliser": self._stabiliser.state(),
                "trace": self._trace.state(),
                "rate": self._rate.state(),
                "frames": [self._segment, self._first, self._used, self._seen],
                "scale": [self._scale_px, self._scale_nm],
                "last": self._last,
                "back": list(self._back.last),
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._stabiliser.take_over(found["stabiliser"])
        self._trace.take_over(found["trace"])
        self._rate.take_over(found["rate"])
        self._segment, self._first, self._used, self._seen = found["frames"]
        self._scale_px, self._scale_nm = (np.array(v) for v in found["scale"])
        self._last = np.array(found["last"])
        dy, dx = found["back"]
        self._back.last = dy, dx

    def _take(self, index: int, drift: Drift) -> None:
        """Say where a frame lies."""
        self._seen += 1
        if drift.segment != self._segment:
            self._segment, self._first, self._used = drift.segment, -1, 0
            self._rate.forget()
        reason = drift.reason or ("" if drift.locked else LOST)
        rate = None if reason else self._found(index, drift)
        self._results.append(self._vector(index, drift, reason, rate))
        every = self._params.trace_every
        if every and (self._seen % every == 0 or index + 1 == self._expected):
            self._results.append(self._history(index))

    def _found(self, index: int, drift: Drift) -> FloatArray | None:
        """Keep the place of a frame; return how fast content moves, px per frame."""
        self._first = index if self._first < 0 else self._first
        self._used += 1
        self._last = np.array([drift.dy, drift.dx])
        self._trace.take((index, drift.dy, drift.dx, drift.sigma, drift.confidence))
        if drift.jumped:
            self._rate.forget()
        return self._rate.take(index, drift.dy, drift.dx)

    def _vector(
        self, index: int, drift: Drift, reason: str, rate: FloatArray | None
    ) -> Result:
        meta: dict[str, Any] = {
            "covariance": [list(row) for row in drift.covariance],
            "confidence": drift.confidence,
            "jumped": drift.jumped,
            "segment": drift.segment,
        }
        vector = np.array([drift.dy, drift.dx])
        if not reason:
            meta |= self._physical(vector, rate)
        return Result(
            NAME,
            vector,
            "series",
            frame=index,
            first=self._first,
            used=self._used,
            valid=not reason,
            reason=reason,
            units="px",
            axes=("yx",),
            meta=meta,
        )

    def _physical(self, vector: FloatArray, rate: FloatArray | None) -> dict[str, Any]:
        """Return the rate, and what is known in nm."""
        meta: dict[str, Any] = {}
        if rate is not None:
            meta["rate_px_per_frame"] = rate.tolist()
        camera = self._incoming.camera
        if camera.known.pixel_size_m is None:
            return meta
        meta["drift_nm"] = self._moved_nm(vector).tolist()
        if rate is not None and camera.frame_time_s is not None:
            per_frame = rate * self._pixel_nm()
            meta["rate_nm_per_s"] = (per_frame / camera.frame_time_s).tolist()
        return meta

    def _pixel_nm(self) -> FloatArray:
        """Return the size of a pixel now."""
        known = self._incoming.camera.known.pixel_size_m or (0.0, 0.0)
        return _NM * np.array(known) / self._params.magnification

    def _moved_nm(self, vector: FloatArray) -> FloatArray:
        """Return how far content at `vector` has moved since frame 0."""
        moved: FloatArray = (
            self._scale_nm + (vector - self._scale_px) * self._pixel_nm()
        )
        return moved

    def _history(self, index: int) -> Result:
        table = self._trace.table()
        if not len(table):
            return invalid("trace", "no frame could be used yet", frame=index)
        return Result(
            "trace",
            table,
            "table",
            frame=index,
            first=int(table[0, 0]),
            used=len(table),
            axes=("frame", "column"),
            meta={
                "columns": list(COLUMNS),
                "units": list(UNITS),
                "every": self._trace.every,
                "segment": self._segment,
            },
        )
