"""Single-side-band ptychography while the beam still scans.

Each row of the scan is added as soon as it is complete. What is kept are the sums over
all rows, and the row that is being scanned.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.scan import Scan
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.frames import check_frames
from scopeside_processors.stem.overlaps import WHO, cells_of, overlaps_of
from scopeside_processors.stem.probe import Aberrations
from scopeside_processors.stem.scan_rows import REASONS, Row, ScanRows
from scopeside_processors.stem.side_bands import SideBands
from scopeside_processors.stem.ssb_cost import (
    MOST_BYTES,
    Cost,
    cost_of,
    image_every,
    side_for,
)
from scopeside_processors.stem.trotters import trotters_of
from scopeside_processors.stem.values import NOT_SEEN

Quantity = Literal["phase", "amplitude", "validity"]

_log = logging.getLogger(__name__)


class SingleSideBand:
    """Maps the phase and the amplitude of a thin sample's transmission."""

    order: ClassVar[Order] = Order.ORDERED
    fixed: ClassVar[tuple[str, ...]] = ("binning", "positions_per_s", "cutoff")

    class Params(params.Params):
        """What is wanted, what the lens does, and how fast it has to be."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = (
            "phase",
            "amplitude",
        )
        """Any of phase, amplitude and validity."""
        defocus_m: float | None = None
        """Defocus (C1) that is taken off, metres, positive is overfocus; none:
        defocus_m of the acquisition's calibration, or 0."""
        astigmatism_m: tuple[float, float] = (0.0, 0.0)
        """Twofold astigmatism (A1) that is taken off, metres: C12 cos 2φ and
        C12 sin 2φ, φ from the scan's columns (x) towards its rows (y)."""
        spherical_m: float = 0.0
        """Spherical aberration (C3) that is taken off, metres."""
        positions_per_s: Annotated[float, Field(gt=0)] = 25_000.0
        """Probe positions per second that one core has to keep up with; pixels are
        binned until it should."""
        binning: Annotated[int, Field(ge=1, le=64)] | None = None
        """Pixels along a bin; none: as few as `positions_per_s` allows."""
        every_rows: Annotated[int, Field(ge=1)] | None = None
        """Rows from one image to the next; none: as many as keep images at about 5 %
        of the time at `positions_per_s`."""
        cutoff: Annotated[float, Field(ge=0, lt=1)] = 0.015
        """Share of the disk that brings a phase at which a frequency beyond the
        semi-angle is damped to a half; 0: none is."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            _warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin yet
    ) -> None:
        scan = acquisition.scan
        if scan is None or scan.pattern == "positions":
            raise ConfigError(
                f"{WHO} takes whole rows of a scan: set acquisition.scan, with the "
                "pattern raster or snake"
            )
        self._acquisition = acquisition
        self._shape = scan.shape
        self._calibration = Calibration.of(acquisition)
        self._overlaps = overlaps_of(self._calibration, scan.shape)
        self._params = params
        self._aberrations = self._wanted_of(params)
        side, self._cells = side_for(
            self._overlaps, params.binning, params.positions_per_s, self._aberrations
        )
        self._cost = self._cost_now()
        self._every = params.every_rows or image_every(
            scan.shape, params.positions_per_s
        )
        if self._cost.positions_per_s < params.positions_per_s:
            _log.warning(
                "%s: about %.0f positions a second with bins of %d pixels, not %.0f",
                WHO,
                self._cost.positions_per_s,
                side,
                params.positions_per_s,
            )
        self._rows = ScanRows(acquisition, self._cells)
        self._due: _Due | None = None
        self._begin(0)

    def process(self, batch: Batch) -> None:
        """Add the rows that `batch` completes.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        self._due = None
        if len(batch):
            for row in self._rows.take(batch):
                self._take(row)

    def change(self, params: Params) -> None:
        """Take other aberrations from the next row that is completed on.

        Rows of the past keep theirs; ``meta["aberrations"]`` says which has which.

        Raises
        ------
        ConfigError
            If something else than aberrations, `of` or `every_rows` is to change.
        """
        for key in self.fixed:
            if getattr(params, key) != getattr(self._params, key):
                raise ConfigError(
                    f"{WHO}.{key} cannot be changed during an acquisition"
                )
        self._turn_to(self._wanted_of(params))
        self._params = params
        self._every = params.every_rows or image_every(
            self._shape, params.positions_per_s
        )

    def results(self) -> Iterator[Result]:
        """Yield the wanted of ``phase``, ``amplitude`` and ``validity``.

        All are (rows, columns) of the scan in progress. ``phase``, rad, and
        ``amplitude``, of 1, are float32 and NaN where there is no frame of use; there
        `mask` is False. ``validity`` is uint8: 0 where there is one, 255 where its row
        is not complete yet, else k, for the reason k in ``meta["reasons"]``. They come
        with every so many rows, and at the end of a scan.
        """
        if self._due is not None:
            yield from self._due.results(self._params.of, self._shape)

    def snapshot(self) -> bytes:
        """Return the sums, the rows that are open, and the aberrations."""
        return pack(
            {
                "rows": self._rows.snapshot(),
                "bands": self._bands.snapshot(),
                "binning": self._cells.side,
                "scan": self._scan,
                "flags": self._flags,
                "frames": [self._used, self._first, self._last, self._closed],
                "aberrations": asdict(self._aberrations),
                "history": self._history,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        held = found["aberrations"]
        self._aberrations = Aberrations(
            held["defocus_m"], tuple(held["astigmatism_m"]), held["spherical_m"]
        )
        self._cells = cells_of(self._overlaps, found["binning"])
        self._cost = self._cost_now()
        self._rows = ScanRows(self._acquisition, self._cells)
        self._rows.restore(found["rows"])
        self._begin(found["scan"])
        self._bands.restore(found["bands"])
        self._flags[:] = found["flags"]
        self._used, self._first, self._last, self._closed = found["frames"]
        self._history = found["history"]

    def _wanted_of(self, params: Params) -> Aberrations:
        defocus = params.defocus_m
        if defocus is None:
            defocus = self._calibration.known.defocus_m or 0.0
        return Aberrations(defocus, params.astigmatism_m, params.spherical_m)

    def _cost_now(self) -> Cost:
        return cost_of(self._overlaps, self._cells, weighted=not self._aberrations.none)

    def _turn_to(self, aberrations: Aberrations) -> None:
        if aberrations == self._aberrations:
            return
        cost = cost_of(self._overlaps, self._cells, weighted=not aberrations.none)
        if cost.table_bytes > MOST_BYTES:
            raise ConfigError(
                f"{WHO}: aberrations need {cost.table_bytes >> 20} MiB with bins of "
                f"{self._cells.side} pixels, {MOST_BYTES >> 20} at most: set binning"
            )
        self._aberrations, self._cost = aberrations, cost
        self._bands.change(self._trotters())
        entry = {"from_row": self._closed, **asdict(aberrations)}
        if self._history[-1]["from_row"] == self._closed:
            self._history.pop()
        self._history = [*self._history, entry]

    def _trotters(self) -> Any:
        return trotters_of(
            self._overlaps, self._cells, self._aberrations, self._params.cutoff
        )

    def _begin(self, scan: int) -> None:
        """Begin with a scan, without a row."""
        self._scan = scan
        self._bands = SideBands(self._overlaps, self._cells, self._trotters())
        self._flags = np.full(self._shape, NOT_SEEN, np.uint8)
        self._used = self._closed = 0
        self._first = self._last = -1
        self._history = [{"from_row": 0, **asdict(self._aberrations)}]

    def _take(self, row: Row) -> None:
        scan, line = divmod(row.number, self._shape[0])
        if scan != self._scan:
            if self._closed % self._every:  # the last frame of that one was lost
                self._say()
            self._begin(scan)
        good = row.flags == 0
        self._bands.add(line, row.pixels, good)
        self._flags[line] = row.flags
        self._closed += 1
        self._used += int(np.count_nonzero(good))
        if row.last >= 0:
            self._first = row.first if self._first < 0 else min(self._first, row.first)
            self._last = max(self._last, row.last)
        if (
            row.final
            or self._closed % self._every == 0
            or self._closed == self._shape[0]
        ):
            self._say()

    def _say(self) -> None:
        self._due = _Due(self._bands.copy(), self._flags.copy(), self._account())

    def _account(self) -> dict[str, Any]:
        """Return what a `Result` is to say about the frames it stands on."""
        count = np.bincount(self._flags.ravel(), minlength=len(REASONS) + 1)
        found = {r: int(n) for r, n in zip(REASONS, count[1:], strict=False) if n}
        meta = {
            "outside": self._rows.outside,
            "late": self._rows.late,
            "rows": self._closed,
            "binning": self._cells.side,
            "cells": self._cells.count,
            "cost": asdict(self._cost),
            "aberrations": self._history,
        }
        if self._overlaps.aliased:
            meta["aliased"] = True
        if found:
            meta["invalid"] = found
        scan = self._acquisition.scan
        if scan is not None and scan.scans > 1:
            meta["scan"] = self._scan
        return {
            "frame": self._last,
            "first": self._first,
            "used": self._used,
            "expected": math.prod(self._shape),
            "meta": meta,
        }


class _Due:
    """What is to be said after a row; the image is made when somebody asks."""

    def __init__(
        self,
        bands: SideBands,
        flags: npt.NDArray[np.uint8],
        account: dict[str, Any],
    ) -> None:
        self._bands, self._flags, self._account = bands, flags, account
        self._object: npt.NDArray[np.complex64] | None = None

    def results(self, wanted: tuple[Quantity, ...], shape: tuple[int, int]) -> Any:
        """Yield the results; `shape` is that of the scan."""
        lit = self._bands.counts > 0
        if lit and self._object is None:
            self._object = self._bands.object()
        for name in wanted:
            if name == "validity":
                yield self._validity()
            elif self._object is None:
                yield invalid(name, REASONS[1], **self._account)
            else:
                yield self._image(name, self._object.reshape(shape))

    def _image(self, name: Quantity, found: npt.NDArray[np.complex64]) -> Result:
        there = self._flags == 0
        data = np.angle(found) if name == "phase" else np.abs(found)
        data[~there] = np.nan
        return Result(
            name,
            data,
            mask=None if there.all() else there,
            units="rad" if name == "phase" else "",
            axes=("scan_y", "scan_x"),
            **self._account,
        )

    def _validity(self) -> Result:
        seen = self._flags != NOT_SEEN
        reasons = {str(k): reason for k, reason in enumerate(REASONS, 1)}
        account = {
            **self._account,
            "meta": {**self._account["meta"], "reasons": reasons},
        }
        return Result(
            "validity",
            self._flags,
            mask=None if seen.all() else seen,
            axes=("scan_y", "scan_x"),
            **account,
        )


@lru_cache
def _warm(dtype: np.dtype[Any]) -> None:
    """Compile (or load from the cache) what frames of `dtype` need."""
    known = {
        "beam_energy_eV": 80e3,
        "semi_angle_rad": 0.02,
        "scan_step_m": 0.3e-10,
        "detector_rad_per_px": 0.005,
        "centre_px": (7.5, 7.5),
    }
    about = Acquisition("warm", (16, 16), dtype, scan=Scan((8, 8)), calibration=known)
    frames = np.ones((64, 16, 16), dtype)
    index = np.arange(64)
    for defocus in (None, 1e-9):
        found = SingleSideBand(about, SingleSideBand.Params(defocus_m=defocus))
        found.process(Batch(frames, index, index))
        list(found.results())
