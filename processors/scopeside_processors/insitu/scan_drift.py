"""The drift of STEM images, scan by scan and line by line.

A frame of the movie is one scan: a row of it is a line, and lines are taken one after
the other.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.line_drift import BUNDLE, line_drift, template_of
from scopeside_processors.insitu.scans import ScanFollower, Scanned, straightened

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Quantity = Literal[
    "scan_drift", "line_drift", "line_covariance", "line_confidence", "corrected"
]

_PATIENCE = 5
"""Scans that are not found after which content is taken for new."""
_NOT_FOUND = "the scan is not found on those before"
_FIRST = "the first scan is what the drift of lines is told from"


class ScanDrift:
    """Finds how far the specimen has moved at each line of each scan."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """What is wanted, and how scans follow each other."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = (
            "scan_drift",
            "line_drift",
            "corrected",
        )
        """Any of scan_drift, line_drift, line_covariance, line_confidence and
        corrected."""
        memory: Annotated[int, Field(ge=1, le=4096)] = 8
        """Time constant of the reference, scans."""
        reach_px: Annotated[int, Field(ge=0, le=64)] = 8
        """How far lines are searched from where they are expected, px."""
        dead_lines: Annotated[float, Field(ge=0)] | None = None
        """Time from the last line of a scan to the first of the next, in lines; none:
        as line_time_s and frame_time_s of the calibration say, else 0."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)
        scan = np.zeros((2 * BUNDLE, 2 * BUNDLE), np.float32)
        nowhere = np.zeros((len(scan), 2))
        line_drift(scan, template_of(scan), nowhere, 1.0)
        straightened(scan, nowhere)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin
    ) -> None:
        if acquisition.kind != "movie" or min(acquisition.frame_shape) < 2 * BUNDLE:
            raise ConfigError(
                f"scan_drift takes a movie of scans of {2 * BUNDLE} lines and columns "
                f"or more, not a {acquisition.kind} of {acquisition.frame_shape}"
            )
        self._params = params
        self._rows = acquisition.frame_shape[0]
        self._incoming = Incoming(acquisition)
        lines = _lines_from_scan_to_scan(acquisition, params.dead_lines)
        shape = acquisition.frame_shape
        self._follower = ScanFollower(shape, params.memory, lines, params.reach_px)
        self._segment = -1
        self._first = -1
        self._used = 0
        self._missing = 0
        self._lost = 0
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the scans of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        for k, condition in enumerate(self._incoming.of_batch(batch)):
            self._results += self._take(batch.pixels[k], int(batch.index[k]), condition)

    def results(self) -> Iterator[Result]:
        """Yield what is wanted of each scan of the last batch.

        ``scan_drift`` (2,) and ``line_drift`` (rows, 2) float64, px;
        ``line_covariance`` (rows, 2, 2) float64, px²; ``line_confidence`` (rows,)
        float64; ``corrected`` (rows, columns) float32, counts, NaN and `mask` False
        where nothing was scanned.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return the reference, and what is known of the motion."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "follower": self._follower.state(),
                "segment": self._segment,
                "first": self._first,
                "used": self._used,
                "missing": self._missing,
                "lost": self._lost,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._follower.take_over(found["follower"])
        self._segment, self._first = found["segment"], found["first"]
        self._used, self._missing = found["used"], found["missing"]
        self._lost = found["lost"]

    def _take(self, frame: Array, index: int, condition: Condition) -> list[Result]:
        self._missing += condition.missing
        if not condition.usable:
            self._missing += 1
            return self._invalid(condition.reason, index)
        scan = frame.astype(np.float32)
        scan -= np.float32(self._incoming.camera.offset)
        if self._segment < 0 or self._lost >= _PATIENCE:
            return self._begin(scan, index)
        scanned = self._follower.follow(scan, self._missing)
        if not scanned.locked:
            self._missing += 1
            self._lost += 1
            return self._invalid(_NOT_FOUND, index)
        self._missing = self._lost = 0
        self._used += 1
        return [self._result(name, scan, index, scanned) for name in self._params.of]

    def _begin(self, scan: Float32Array, index: int) -> list[Result]:
        """Make a scan the reference; it lies where the last one that was found did."""
        drift = self._follower.last.copy()
        self._follower.begin(scan, drift)
        self._segment += 1
        self._first, self._used = index, 1
        self._missing = self._lost = 0
        found = []
        for name in self._params.of:
            if name == "scan_drift":
                still = np.zeros((2, 2))
                found.append(self._whole(drift, still, 1.0, index))
            elif name == "corrected":
                path = np.tile(drift, (self._rows, 1))
                found.append(self._corrected(scan, path, index))
            else:
                found.append(invalid(name, _FIRST, **self._account(index)))
        return found

    def _result(
        self, name: Quantity, scan: Float32Array, index: int, scanned: Scanned
    ) -> Result:
        found = scanned.found
        if name == "scan_drift":
            drift = scanned.drift.mean(axis=0)
            confidence = float(scanned.confidence.mean())
            return self._whole(drift, found.whole, confidence, index)
        if name == "corrected":
            return self._corrected(scan, scanned.drift, index)
        about: dict[str, Any] = {
            "line_drift": (scanned.drift, "px", ("line", "yx")),
            "line_covariance": (scanned.covariance, "px²", ("line", "yx", "yx")),
            "line_confidence": (scanned.confidence, "", ("line",)),
        }
        data, units, axes = about[name]
        meta = {
            "confidence": float(scanned.confidence.mean()),
            "walk_px": float(np.sqrt(found.walk)),
            "segment": self._segment,
        }
        account = self._account(index)
        return Result(
            name, data, "series", units=units, axes=axes, meta=meta, **account
        )

    def _whole(
        self, drift: FloatArray, covariance: FloatArray, confidence: float, index: int
    ) -> Result:
        meta = {
            "covariance": covariance.tolist(),
            "confidence": confidence,
            "segment": self._segment,
        }
        account = self._account(index)
        return Result(
            "scan_drift",
            drift,
            "series",
            units="px",
            axes=("yx",),
            meta=meta,
            **account,
        )

    def _corrected(self, scan: Float32Array, drift: FloatArray, index: int) -> Result:
        image = straightened(scan, drift)
        seen = np.isfinite(image)
        account = self._account(index)
        if not seen.any():
            return invalid(
                "corrected", "the field of the first scan is out of sight", **account
            )
        return Result(
            "corrected",
            image,
            "image",
            mask=None if seen.all() else seen,
            units="counts",
            axes=("y", "x"),
            meta={"segment": self._segment},
            **account,
        )

    def _invalid(self, reason: str, index: int) -> list[Result]:
        return [invalid(name, reason, frame=index) for name in self._params.of]

    def _account(self, index: int) -> dict[str, Any]:
        return {"frame": index, "first": self._first, "used": self._used}


def _lines_from_scan_to_scan(
    acquisition: Acquisition, dead_lines: float | None
) -> float:
    """Return the time from the begin of a scan to that of the next, in lines.

    Raises
    ------
    ConfigError
        If the calibration says that a scan takes longer than that.
    """
    rows = acquisition.frame_shape[0]
    line = acquisition.calibration.get("line_time_s")
    frame = acquisition.calibration.get("frame_time_s")
    if dead_lines is not None or not line or not frame:
        return rows + (dead_lines or 0.0)
    if frame < 0.99 * rows * line:
        raise ConfigError(
            f"scan_drift: {rows} lines of line_time_s = {line:g} take longer than "
            f"frame_time_s = {frame:g}"
        )
    return float(frame / line)
