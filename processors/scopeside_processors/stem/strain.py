"""Strain of a crystal at each probe position, from its diffraction disks.

The lattice is found blind in the first frames; those wait until it is known. From then
on each frame is fitted on its own. What is kept of it is its lattice: what it is
compared with can be chosen at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.calibrated import Positive
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels import lattices as kernels
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.frames import check_frames
from scopeside_processors.stem.indexing import Fitter, Index, Wishes, learn
from scopeside_processors.stem.probes import radius_of, saturation_of
from scopeside_processors.stem.reference import (
    Region,
    Vectors,
    check_region,
    check_vectors,
    compared,
)
from scopeside_processors.stem.values import FrameValues
from scopeside_processors.stem.waiting import Waiting

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Quantity = Literal[
    "exx", "eyy", "exy", "rotation",
    "centre", "lattice", "disks", "residual", "validity",
]  # fmt: skip

STRAINS: tuple[Quantity, ...] = ("exx", "eyy", "exy", "rotation")
REASONS = (
    "no counts",
    "not a number",
    "saturated",
    "beam not found: off the detector, or farther than reach_px from its place",
    "too few disks",
    "lattice fit failed",
    "no lattice found in the first frames",
)
_NOT_LEARNT = len(REASONS)
_LIVE = {"reference", "reference_lattice", "of"}
MOST_WAITING = 4 << 20
"""Frames that wait for the lattice take no more memory than this, bytes."""


class Strain:
    """Maps the strain of a crystal over one scan."""

    order: ClassVar[Order] = Order.KEYED

    class Params(params.Params):
        """The disks, the lattice, and what it is compared with."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = STRAINS
        """Any of exx, eyy, exy, rotation, centre, lattice, disks, residual and
        validity; live."""
        disk_radius_px: Positive | None = None
        """Radius of the disks, pixels; none: from the calibration (aperture, or
        semi_angle_rad and detector_rad_per_px), else found in the first frames."""
        reference_lattice: Vectors | None = None
        """The unstrained lattice, [[row, column], [row, column]] in pixels; none: the
        median over the reference region; live."""
        reference: Region | None = None
        """[y0, x0, y1, x1], the reference region: scan positions from y0 to before y1;
        none: all of the scan; live."""
        range_px: tuple[Annotated[float, Field(ge=0)], Positive] | None = None
        """[least, most]: distance from the beam of the disks that count, pixels; none:
        all that lie whole in the frame."""
        max_disks: Annotated[int, Field(ge=3, le=1024)] = 60
        """At most so many count, the nearest to the beam."""
        min_disks: Annotated[int, Field(ge=3)] = 4
        """A frame in which fewer are seen has no strain."""
        reach_px: Positive | None = None
        """How far a pattern may have moved from where it was in the first frames,
        pixels; none: half a lattice vector."""
        saturation: Positive | None = None
        """Counts from which a pixel is saturated; none: the most its dtype holds."""
        counts_per_electron: Positive = 1.0
        """What the camera counts for one electron: says how noisy counts are."""
        first: Annotated[int, Field(ge=1, le=1024)] = 32
        """Frames with counts from which the lattice and the disks' edge are learnt, at
        most 4 MiB of them."""

        @model_validator(mode="after")
        def _can_be(self) -> Self:
            check_vectors("reference_lattice", self.reference_lattice)
            if self.reference is not None:
                y0, x0, y1, x1 = self.reference
                if not (0 <= y0 < y1 and 0 <= x0 < x1):
                    raise ValueError(
                        "reference is [y0, x0, y1, x1] with 0 ≤ y0 < y1, 0 ≤ x0 < x1"
                    )
            if self.range_px is not None and self.range_px[0] >= self.range_px[1]:
                raise ValueError("range_px is [least, most]")
            return self

    fixed: ClassVar[tuple[str, ...]] = tuple(
        key for key in Params.model_fields if key not in _LIVE
    )

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernels.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin
    ) -> None:
        self._acquisition = acquisition
        self._calibration = Calibration.of(acquisition)
        self._params = params
        check_region(params.reference, self._acquisition)
        self._wishes = self._said()
        first = min(params.first, max(1, MOST_WAITING // acquisition.frame_bytes))
        self._waiting = Waiting(first, acquisition.frame_shape, acquisition.dtype)
        self._index: Index | None = None
        self._fitter: Fitter | None = None
        self._why = ""
        self._seen = FrameValues(
            acquisition,
            {"lattice": (6, np.float64), "quality": (2, np.float64)},
            REASONS,
        )

    def process(self, batch: Batch) -> None:
        """Fit the frames of `batch`, or keep them until the lattice is known.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        index, pixels = batch.index, batch.pixels
        while len(index) and self._index is None:
            taken, empty, spoilt = self._waiting.take(index, pixels)
            self._flag(empty, kernels.NO_COUNTS)
            self._flag(spoilt, kernels.NOT_A_NUMBER)
            index, pixels = index[taken:], pixels[taken:]
            if self._waiting.full:
                self._begin()
        if len(index):
            self._fit(index, pixels)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen, and what it has learnt."""
        self._seen.merge(other._seen)
        self._index, self._why = other._index, other._why
        self._fitter = other._fitter
        self._waiting = other._waiting

    def change(self, params: Params) -> None:
        """Compare with another reference from now on, also what was seen.

        Raises
        ------
        ConfigError
            If anything but reference, reference_lattice and of has changed.
        """
        for name in self.fixed:
            if getattr(params, name) != getattr(self._params, name):
                raise ConfigError(
                    f"strain: {name} cannot change during an acquisition; only "
                    f"{', '.join(sorted(_LIVE))} can"
                )
        check_region(params.reference, self._acquisition)
        self._params = params
        self._wishes = self._said()

    def results(self) -> Iterator[Result]:
        """Yield what is wanted.

        ``exx``, ``eyy``, ``exy`` (rows, columns) float64, dimensionless, ``rotation``
        in rad: see `stem.lattice.strain_of`. ``centre`` (rows, columns, 2) and
        ``lattice`` (rows, columns, 2, 2), pixels; ``disks``, number of those seen;
        ``residual``, rms distance of disks from the lattice, pixels; ``validity``.
        Without a scan they are series. Where there is none, they are NaN and the mask
        is False; ``meta["invalid"]`` counts why. Before the lattice is known, what is
        shown was learnt from the frames that are there.
        """
        if self._index is None and len(self._waiting):
            # A copy learns from the few frames there are: asking changes nothing.
            copy = type(self)(self._acquisition, self._params)
            copy.restore(self.snapshot())
            yield from copy.early_results()
        else:
            yield from self._known_results()

    def early_results(self) -> Iterator[Result]:
        """Learn from the frames that wait, and yield what is wanted."""
        self._begin()
        yield from self._known_results()

    def snapshot(self) -> bytes:
        """Return the lattices seen, and what was learnt."""
        return pack({"values": self._seen.snapshot(), "context": self._context()})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found["values"])
        self._go_on(found["context"])

    def context(self) -> bytes:
        """Return what was learnt, and the frames that wait for it."""
        return pack(self._context())

    def resume(self, context: bytes) -> None:
        """Go on with what was learnt."""
        self._go_on(unpack(context))

    # -- learning and fitting ---------------------------------------------------

    def _said(self) -> Wishes:
        of = self._params
        lattice = of.reference_lattice
        known = self._calibration.known
        centre = known.centre_px
        if centre is None and known.descan_px is not None:
            centre = (known.descan_px[0][0], known.descan_px[1][0])
        return Wishes(
            radius_of(of.disk_radius_px, self._calibration, "strain"),
            None if lattice is None else np.array(lattice, np.float64),
            centre,
            of.range_px or (0.0, np.inf),
            of.max_disks,
            of.min_disks,
            of.reach_px,
            saturation_of(of.saturation, self._acquisition.dtype),
            of.counts_per_electron,
        )

    def _begin(self) -> None:
        """Learn from the frames that wait, and fit them."""
        index, frames = self._waiting.taken()
        found = learn(frames, self._wishes)
        if isinstance(found, str):
            self._why = found
            self._flag(index, _NOT_LEARNT)
        else:
            self._know(found)
            self._why = ""
            self._fit(index, frames)

    def _know(self, index: Index | None) -> None:
        self._index, self._fitter = index, None
        if index is not None:
            shape = self._acquisition.frame_shape
            self._fitter = index.fitter(shape, self._wishes)

    def _fit(self, index: IntArray, frames: Array) -> None:
        assert self._fitter is not None
        centres = self._centres(index, self._fitter.centre)
        found, quality, flags = self._fitter.fit(frames, centres)
        rows = found.reshape(len(index), 6)
        self._seen.add(index, flag=flags, lattice=rows, quality=quality)

    def _centres(self, index: IntArray, usual: FloatArray) -> FloatArray | None:
        """Return where descan puts the beam; None where nobody knows."""
        scan = self._acquisition.scan
        if scan is None or self._calibration.known.descan_px is None:
            return None
        places = scan.position_of(index)
        columns = scan.result_shape[-1]
        within = places % (scan.result_shape[-2] * columns)
        found = self._calibration.centres(within, columns)
        found[places < 0] = usual
        return found

    def _flag(self, index: IntArray, reason: int) -> None:
        if len(index):
            flag = np.full(len(index), reason, np.uint8)
            nothing = {"lattice": (6, np.nan), "quality": (2, 0.0)}
            rows = {k: np.full((len(index), n), v) for k, (n, v) in nothing.items()}
            self._seen.add(index, flag=flag, **rows)

    # -- results ----------------------------------------------------------------

    def _known_results(self) -> Iterator[Result]:
        why = self._nothing()
        strained = bool(set(self._params.of) & set(STRAINS))
        strains = self._strains() if strained and not why else why
        for name in self._params.of:
            if name == "validity" and len(self._seen):
                yield self._seen.validity()
            elif why:
                yield invalid(name, why, **self._seen.account())
            elif name not in STRAINS:
                yield self._other(name)
            elif isinstance(strains, str):
                yield invalid(name, strains, **self._seen.account())
            else:
                data = strains[0][..., STRAINS.index(name)]
                units = "rad" if name == "rotation" else ""
                found = self._seen.result(name, data, units)
                yield replace(found, meta={**found.meta, **strains[1]})

    def _nothing(self) -> str:
        """Return why there is no result at all; "" if there is one."""
        if not len(self._seen):
            return "no frame with a position yet"
        if self._index is None:
            return f"no lattice yet: {self._why or 'no frame with counts'}"
        return ""

    def _strains(self) -> tuple[FloatArray, dict[str, Any]] | str:
        """Return (…shape, 4) strains and what they stand on, or why there are none."""
        assert self._index is not None
        lattices = np.moveaxis(self._seen.images("lattice")[:4], 0, -1)
        lattices = lattices.reshape(*self._seen.shape, 2, 2)
        mask, flagged = self._seen.mask, self._seen.flagged
        good = np.ones(self._seen.shape, np.bool_) if mask is None else mask.copy()
        if flagged is not None:
            good &= ~flagged
        of = self._params
        found = compared(
            lattices, good, self._index.vectors, of.reference_lattice, of.reference
        )
        if isinstance(found, str):
            return found
        return found[0], {
            "reference_lattice": found[1].tolist(),
            "disk_radius_px": self._index.radius,
            "edge_px": self._index.edge,
        }

    def _other(self, name: str) -> Result:
        if name in {"disks", "residual"}:
            which = ("disks", "residual").index(name)
            data = self._seen.images("quality")[which]
            return self._seen.result(name, data, "px" if which else "")
        data = np.moveaxis(self._seen.images("lattice"), 0, -1)
        if name == "centre":
            return self._seen.result(name, data[..., 4:], "px", ("yx",))
        data = data[..., :4].reshape(*self._seen.shape, 2, 2)
        return self._seen.result(name, data, "px", ("vector", "yx"))

    # -- state ------------------------------------------------------------------

    def _context(self) -> dict[str, Any]:
        return {
            "index": None if self._index is None else self._index.to_values(),
            "why": self._why,
            "waiting": self._waiting.to_values(),
        }

    def _go_on(self, found: dict[str, Any]) -> None:
        known = found["index"]
        self._know(None if known is None else Index.from_values(known))
        self._why = found["why"]
        self._waiting.from_values(found["waiting"])
