"""Shares of known phases in the radial profile of each frame, and their kinetics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside import params as base
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.settings import Name
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, nnls
from scopeside_processors.kernels import radial as kernels
from scopeside_processors.kernels.virtual import sum_type
from scopeside_processors.stem.kinetics import Kinetics, fit_avrami
from scopeside_processors.stem.peaks import COLUMNS, PeakParams, fit_peaks
from scopeside_processors.stem.references import (
    Background,
    Components,
    Reference,
    components_of,
)
from scopeside_processors.stem.ring_bins import RingParams
from scopeside_processors.stem.ringcounts import REASONS, RingCounter, RingCounts, warm
from scopeside_processors.stem.totals import Totals
from scopeside_processors.stem.values import FrameValues

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Quantity = Literal[
    "fractions", "errors", "background", "residual", "kinetics", "peaks", "validity"
]
_OF_FRAMES = ("fractions", "errors", "background", "residual")

NO_PHASE = len(REASONS) + 1
_ROUNDS = {"pixels": 0, "poisson": 2}


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What `phase_fractions` finds in each of n profiles.

    Attributes
    ----------
    fractions, errors
        (n, phases) float64: shares that add up to 1, and their standard errors; NaN
        where no phase is seen.
    background
        (n, terms) float64, counts per pixel.
    residual
        (n,) float64, weighted squares of what is left per degree of freedom.
    """

    fractions: FloatArray
    errors: FloatArray
    background: FloatArray
    residual: FloatArray


def phase_fractions(
    profiles: FloatArray,
    pixels: FloatArray,
    components: Components,
    *,
    weights: Literal["poisson", "pixels"] = "poisson",
) -> Shares:
    """Return the shares of the phases in each profile.

    Parameters
    ----------
    profiles : (n, bins) float64, counts per pixel; not used where `pixels` is 0
    pixels : (n, bins) float64, how many pixels each bin has
    components : references and background
    weights : see `kernels.nnls.unmix`; with 'pixels' errors and residual are on an
        arbitrary scale

    Notes
    -----
    Share i is ``s_i c_i / Σ s_j c_j`` of the amounts c of the references and the scales
    s; its error follows from their covariance to first order.
    """
    found = nnls.unmix(
        profiles,
        pixels,
        components.columns,
        components.free,
        rounds=_ROUNDS[weights],
    )
    phases, scale = len(components.phases), components.scale
    share = found.amount[:, :phases] * scale
    total = share.sum(axis=1, keepdims=True)
    whole = np.where(total > 0, total, np.nan)
    fractions = share / whole
    covariance = found.covariance[:, :phases, :phases] * (scale[:, None] * scale)
    slope = (np.eye(phases) - fractions[:, :, None]) / whole[:, :, None]
    variance = ((slope @ covariance) * slope).sum(axis=2)
    errors = np.sqrt(np.maximum(variance, 0))
    return Shares(fractions, errors, found.amount[:, phases:], found.residual)


class KineticsParams(base.Params):
    """Of which phase the kinetics are fitted."""

    phase: Name
    """The phase that grows, one of `references`."""
    plateau: float = Field(1.0, gt=0, le=1)
    """Its share when all is over."""
    every: int = Field(16, ge=1)
    """The fit is made anew after so many frames, and at the end."""


class Phases:
    """Finds the shares of phases in the rings of each frame."""

    order: ClassVar[Order] = Order.ANY

    class Params(RingParams):
        """Where the rings lie, what they may be made of, and what is wanted."""

        references: Annotated[dict[Name, Reference], Field(min_length=1)]
        """By name: a .npy or .csv file with two columns, position in `units` and
        counts, or { peaks = [[position, height], …], width = w }."""
        background: Background | None = None
        """{ power = [p, …] }, { polynomial = degree } or { spline = pieces }."""
        scale: dict[Name, Annotated[float, Field(gt=0)]] = {}
        """What a phase's share counts per unit of its reference, by name; 1."""
        weights: Literal["poisson", "pixels"] = "poisson"
        """poisson: each bin by what its counts scatter; pixels: by its pixels alone."""
        kinetics: KineticsParams | None = None
        """{ phase = "name" }: the Avrami-Erofeev fit to its share over time."""
        peaks: PeakParams | None = None
        """{ positions = [r, …], width = w }: rings to fit in the mean profile."""
        of: tuple[Quantity, ...] | None = None
        """Any of fractions, errors, background, residual, kinetics, peaks, validity;
        none: all that the other keys make possible."""

        @model_validator(mode="after")
        def _has_what_it_needs(self) -> Self:
            if self.kinetics and self.kinetics.phase not in self.references:
                known = ", ".join(self.references)
                raise ValueError(
                    f"kinetics.phase = {self.kinetics.phase!r} is no reference "
                    f"({known} are)"
                )
            for name in ("kinetics", "peaks", "background"):
                if name in (self.of or ()) and getattr(self, name) is None:
                    raise ValueError(f"of: {name} needs the table {name}")
            return self

        @property
        def wanted(self) -> tuple[Quantity, ...]:
            """Names of the results."""
            if self.of is not None:
                return self.of
            made: list[Quantity] = ["fractions", "errors", "residual"]
            made += ["background"] if self.background else []
            made += ["kinetics"] if self.kinetics else []
            return (*made, "peaks") if self.peaks else tuple(made)

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        nnls.warm()
        if acquisition is not None:
            warm(acquisition)
            return
        for dtype in USUAL_PIXELS:
            kernels.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin yet
    ) -> None:
        if params.kinetics is not None and acquisition.scan is not None:
            raise ConfigError(
                "phases.kinetics needs a series of frames over time; this acquisition "
                "is a scan: leave kinetics out"
            )
        self._params, self._acquisition = params, acquisition
        self._counter = RingCounter(params, acquisition, "phases", squares=False)
        self._axis = self._counter.maps.axis
        self._components = components_of(
            params.references,
            params.background,
            params.scale,
            self._axis.middles,
            self._axis.units,
        )
        phases, terms = len(self._components.phases), len(self._components.terms)
        wide = {"fractions": phases, "errors": phases, "background": terms}
        rows = {name: (wide.get(name, 1), np.float64) for name in _OF_FRAMES}
        reasons = (*REASONS, "no phase is seen")
        self._seen = FrameValues(acquisition, rows, reasons)
        self._totals = Totals(self._axis.bins, sum_type(acquisition.dtype))
        self._fitted: tuple[bytes, Kinetics] | None = None

    def process(self, batch: Batch) -> None:
        """Find the shares in the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._take(batch.index, self._counter.count(batch))

    def process_events(self, batch: EventBatch) -> None:
        """Find the shares in the events of `batch`, as in its frames.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._take(batch.index, self._counter.count_events(batch))

    def merge(self, other: Self) -> None:
        """Take over the frames that `other` has seen."""
        self._seen.merge(other._seen)
        self._totals.merge(other._totals)

    def results(self) -> Iterator[Result]:
        """Yield what is wanted; `docs/processors/phases.md` has the table.

        ``fractions`` and ``errors`` (…shape, phases) float64, ``background`` (…shape,
        terms) counts per pixel, ``residual`` (…shape). NaN, and `mask` False, where
        there is none; ``validity`` says why. ``kinetics`` (3,) and ``peaks`` (rings,
        4) are tables, invalid with the reason where they cannot be had yet.
        """
        for name in self._params.wanted:
            if not len(self._seen):
                reason = "no frame with a position yet"
                yield invalid(name, reason, **self._seen.account())
            else:
                yield self._result(name)

    def snapshot(self) -> bytes:
        """Return the rows of the frames seen, and the sum of their rings."""
        return pack({**self._seen.snapshot(), "totals": self._totals.snapshot()})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found)
        self._totals.restore(found["totals"])

    def _take(self, index: npt.NDArray[np.int64], counts: RingCounts) -> None:
        flag = counts.flag.copy()
        fine = flag == 0
        parts = self._counter.maps.split**2
        whole = np.where(fine[:, None], counts.pixels, 0) / parts
        with np.errstate(invalid="ignore", over="ignore"):  # of frames with a flag
            profiles = np.nan_to_num(counts.means(counts.sums))
        found = phase_fractions(
            profiles, whole, self._components, weights=self._params.weights
        )
        flag[fine & np.isnan(found.fractions).any(axis=1)] = NO_PHASE
        self._seen.add(
            index,
            flag,
            fractions=found.fractions,
            errors=found.errors,
            background=found.background,
            residual=found.residual[:, None],
        )
        known = counts.known
        window = np.zeros(np.count_nonzero(known), np.int64)
        self._totals.add(window, counts.sums[known], counts.pixels[known])

    def _result(self, name: Quantity) -> Result:
        if name == "validity":
            return self._seen.validity()
        if name == "kinetics":
            return self._kinetics()
        if name == "peaks":
            return self._peaks()
        images = self._seen.images(name)
        if name == "residual":
            return self._seen.result(name, images[0], "")
        data = np.moveaxis(images, 0, -1)
        if name == "background":
            return self._with_names(name, data, "counts", ("term",))
        return self._with_names(name, data, "", ("phase",))

    def _with_names(
        self, name: str, data: FloatArray, units: str, axes: tuple[str, ...]
    ) -> Result:
        found = self._seen.result(name, data, units, axes)
        of = self._components
        meta = {"phases": list(of.phases)}
        if name == "background":
            meta = {"terms": list(of.terms)}
        return Result(
            found.name,
            found.data,
            found.kind,
            mask=found.mask,
            units=units,
            axes=found.axes,
            **{**self._seen.account(), "meta": {**found.meta, **meta}},
        )

    def _kinetics(self) -> Result:
        wanted = self._params.kinetics
        assert wanted is not None
        account = self._seen.account()
        index, share = self._series(wanted)
        frame_time = self._acquisition.calibration.get("frame_time_s")
        step, unit = (1.0, "frame") if frame_time is None else (float(frame_time), "s")
        # The digest is of all that the fit stands on: equal points, equal fit.
        key = hashlib.blake2b(index.tobytes() + share.tobytes()).digest()
        times = index.astype(np.float64) * step
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = (key, fit_avrami(times, share, wanted.plateau))
        found = self._fitted[1]
        if found.reason:
            return invalid("kinetics", found.reason, **account)
        assert found.covariance is not None
        account["meta"] |= {
            "columns": ["k", "n", "t0"],
            "units": [f"1/{unit}", "", unit],
            "covariance": found.covariance.tolist(),
            "phase": wanted.phase,
            "points": len(index),
            "rms": found.rms,
        }
        data = np.array([found.k, found.n, found.t0])
        return Result("kinetics", data, "table", axes=("parameter",), **account)

    def _series(
        self, wanted: KineticsParams
    ) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Return frames and shares that the fit stands on: a multiple of `every`."""
        column = self._components.phases.index(wanted.phase)
        share, mask = self._seen.images("fractions")[column], self._seen.mask
        seen = np.flatnonzero(np.ones(len(share), np.bool_) if mask is None else mask)
        if len(seen) != self._acquisition.frames:
            seen = seen[: len(seen) - len(seen) % wanted.every]
        flagged = self._seen.flagged
        if flagged is not None:
            seen = seen[~flagged[seen]]
        return seen, share[seen]

    def _peaks(self) -> Result:
        wanted = self._params.peaks
        assert wanted is not None
        account = {**self._seen.account(), "used": self._totals.frames}
        pixels = self._totals.pixels() / self._counter.maps.split**2
        profile = self._totals.mean()
        # Of at least one count: what is empty by chance is not known exactly.
        counts = np.maximum(np.nan_to_num(profile) * pixels, 1)
        error = np.sqrt(counts) / np.maximum(pixels, 1)
        found = fit_peaks(self._axis.middles, profile, error, wanted)
        if found.reason:
            return invalid("peaks", found.reason, **account)
        assert found.errors is not None
        assert found.background is not None
        account["meta"] |= {
            "columns": list(COLUMNS),
            "errors": found.errors.tolist(),
            "background": found.background.tolist(),
            "units": self._axis.units,
        }
        return Result("peaks", found.peaks, "table", axes=("ring", "value"), **account)
