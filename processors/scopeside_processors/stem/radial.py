"""The mean and the variance of each ring around the beam, at each probe position.

What is kept is one row of float32 a frame (sparse) and exact sums over all frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels import radial as kernels
from scopeside_processors.kernels.virtual import sum_type
from scopeside_processors.stem.calibration import Calibration
from scopeside_processors.stem.pdf import PdfParams, pair_distribution, scattering
from scopeside_processors.stem.ring_bins import Axis, RingParams
from scopeside_processors.stem.ringcounts import REASONS, RingCounter, RingCounts, warm
from scopeside_processors.stem.totals import Totals
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Quantity = Literal[
    "profile",
    "variance",
    "fem",
    "mean_profile",
    "profile_bins",
    "position_variance",
    "summed",
    "pdf",
    "validity",
]
_OF_FRAMES = ("profile", "variance", "fem")


def ring_variance(mean: FloatArray, mean_square: FloatArray) -> FloatArray:
    """Return ⟨I²⟩ - ⟨I⟩², never below zero, counts²; NaN stays NaN."""
    return np.maximum(mean_square - mean**2, 0)


def normalised_variance(
    mean: FloatArray, mean_square: FloatArray, *, shot_noise: bool
) -> FloatArray:
    """Return V = ⟨I²⟩ / ⟨I⟩² - 1 of fluctuation electron microscopy.

    Parameters
    ----------
    mean, mean_square : counts and counts², of the same pixels
    shot_noise : whether what Poisson noise alone would give, 1/⟨I⟩, is left in

    Returns
    -------
    The same shape; NaN where there are no counts.

    References
    ----------
    .. [1] M. M. J. Treacy et al., Rep. Prog. Phys. 68, 2899 (2005),
       doi:10.1088/0034-4885/68/12/R06
    .. [2] T. L. Daulton, K. S. Bondi, K. F. Kelton, Ultramicroscopy 110, 1279 (2010),
       doi:10.1016/j.ultramic.2010.05.010, compares over what is averaged
    """
    known = np.where(mean > 0, mean, np.nan)
    found: FloatArray = mean_square / known**2 - 1
    return found if shot_noise else found - 1 / known


class Radial:
    """Averages each frame over rings around the beam."""

    order: ClassVar[Order] = Order.ANY

    class Params(RingParams):
        """Where the rings lie, and what is wanted of them."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = (
            "profile",
            "mean_profile",
            "profile_bins",
        )
        """Any of profile, variance, fem, mean_profile, profile_bins,
        position_variance, summed, pdf and validity."""
        shot_noise: bool = True
        """Whether fem and position_variance keep what Poisson noise adds to them."""
        window: Annotated[int, Field(ge=1)] | None = None
        """Frames that are added up to one profile of summed."""
        pdf: PdfParams | None = None
        """How pdf is made: { composition = { Au = 1 }, q_min = 1.5 }."""

        @model_validator(mode="after")
        def _has_what_it_needs(self) -> Self:
            if "summed" in self.of and self.window is None:
                raise ValueError("summed needs window, a number of frames")
            if "pdf" in self.of and self.pdf is None:
                raise ValueError("of: pdf needs the table pdf with composition, q_min")
            return self

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
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
        self._params = params
        squares = bool({"variance", "fem"} & set(params.of))
        self._counter = RingCounter(params, acquisition, "radial", squares=squares)
        self._axis = self._counter.maps.axis
        self._pdf = _pdf_input(params, acquisition, self._axis)
        self._tables: list[str] = [name for name in _OF_FRAMES if name in params.of]
        if "position_variance" in params.of and "profile" not in self._tables:
            self._tables.append("profile")
        rows = dict.fromkeys(self._tables, (self._axis.bins, np.dtype(np.float32)))
        self._seen = FrameValues(acquisition, rows, REASONS)
        self._totals = Totals(self._axis.bins, sum_type(acquisition.dtype))

    def process(self, batch: Batch) -> None:
        """Take the rings of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._take(batch.index, self._counter.count(batch))

    def process_events(self, batch: EventBatch) -> None:
        """Take the rings of the events of `batch`: the same sums.

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
        """Yield what is wanted; `docs/processors/radial.md` has the table.

        ``profile`` (…shape, bins) float32, counts per pixel; ``variance`` counts² and
        ``fem`` alike. NaN, and `mask` False, where no frame was seen, a frame has no
        profile (``validity`` says why) or a bin no pixel. ``mean_profile`` (bins,) and
        ``summed`` (windows, bins) float64, counts per pixel and frame.
        """
        reason = "" if len(self._seen) else "no frame with a position yet"
        for name in self._params.of:
            if name == "profile_bins":
                yield Result(
                    name,
                    self._axis.middles,
                    "series",
                    units=self._axis.units,
                    axes=("bin",),
                    meta=self._axis.meta,
                )
            elif reason:
                yield invalid(name, reason, **self._seen.account())
            else:
                yield self._result(name)

    def snapshot(self) -> bytes:
        """Return the rows of the frames seen, and the sums."""
        return pack({**self._seen.snapshot(), "totals": self._totals.snapshot()})

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._seen.restore(found)
        self._totals.restore(found["totals"])

    def _take(self, index: npt.NDArray[np.int64], counts: RingCounts) -> None:
        rows = {name: self._rows(name, counts) for name in self._tables}
        self._seen.add(index, counts.flag, **rows)
        known = counts.known
        window = index[known] // (self._params.window or 1 << 62)
        self._totals.add(window, counts.sums[known], counts.pixels[known])

    def _rows(self, name: str, counts: RingCounts) -> npt.NDArray[np.float32]:
        # A frame that holds no number, or infinity, is flagged.
        with np.errstate(invalid="ignore", over="ignore"):
            mean = counts.means(counts.sums)
            if name == "profile":
                return mean.astype(np.float32)
            square = counts.means(counts.squares)
            if name == "variance":
                return ring_variance(mean, square).astype(np.float32)
            kept = self._params.shot_noise
            return normalised_variance(mean, square, shot_noise=kept).astype(np.float32)

    def _result(self, name: Quantity) -> Result:
        if name == "validity":
            return self._seen.validity()
        if name in _OF_FRAMES:
            units = {"variance": "counts²", "fem": ""}.get(name, "counts")
            data = np.moveaxis(self._seen.images(name), 0, -1)
            found = self._seen.result(name, data, units, ("bin",))
            return self._finished(found)
        if name == "position_variance":
            return self._curve(name, self._position_variance(), "")
        if name == "summed":
            return self._summed()
        if name == "pdf":
            return self._of_pairs()
        return self._curve(name, self._totals.mean(), "counts")

    def _curve(self, name: str, data: FloatArray, units: str) -> Result:
        if not self._totals.frames:
            reason = "no frame that can be added up yet"
            return invalid(name, reason, **self._seen.account())
        account = {**self._seen.account(), "used": self._totals.frames}
        found = Result(name, data, "series", units=units, axes=("bin",), **account)
        return self._finished(found)

    def _finished(self, found: Result) -> Result:
        """Return a result with its bins, masked where it is no number."""
        missing = np.isnan(found.data)
        mask = ~missing if missing.any() else found.mask
        return replace(found, mask=mask, meta={**found.meta, **self._axis.meta})

    def _position_variance(self) -> FloatArray:
        rows = self._seen.images("profile").reshape(self._axis.bins, -1)
        flagged = self._seen.flagged
        if flagged is not None:
            rows = rows[:, ~flagged.reshape(-1)]
        mean, square = np.full((2, self._axis.bins), np.nan)
        for k, row in enumerate(rows):
            # One bin at a time, so that the whole is never copied to float64.
            known = row[np.isfinite(row)].astype(np.float64)
            if len(known):
                mean[k], square[k] = known.mean(), np.mean(known**2)
        found = normalised_variance(mean, square, shot_noise=True)
        if self._params.shot_noise:
            return found
        # A mean of so many pixels has that much less of it.
        pixels = self._totals.pixels() / max(1, self._totals.frames)
        return found - 1 / np.where(mean > 0, mean * pixels, np.nan)

    def _summed(self) -> Result:
        windows = self._totals.windows
        data = np.full((max(windows, default=-1) + 1, self._axis.bins), np.nan)
        for number in windows:
            data[number] = self._totals.mean(number)
        found = self._curve("summed", data, "counts")
        if not found.valid:
            return found
        meta = {**found.meta, "window": self._params.window}
        return replace(found, axes=("window", "bin"), meta=meta)

    def _of_pairs(self) -> Result:
        assert self._pdf is not None
        assert self._params.pdf is not None
        used, q, factors = self._pdf
        profile = self._totals.mean()[used]
        if not self._totals.frames or not (profile > 0).all():
            reason = "the mean profile has bins without counts in the range of q"
            return invalid("pdf", reason, **self._seen.account())
        found = pair_distribution(q, profile, factors, self._params.pdf)
        account = {**self._seen.account(), "used": self._totals.frames}
        meta = {**account.pop("meta"), "scale": found.scale, "q_min": float(q[0])}
        meta |= {"q_max": float(q[-1]), "columns": ["r in Å", "G in Å⁻²"]}
        data = np.stack([found.r, found.g], axis=1)
        return Result("pdf", data, "table", axes=("r", "rg"), meta=meta, **account)


def _pdf_input(
    params: Radial.Params, acquisition: Acquisition, axis: Axis
) -> tuple[npt.NDArray[np.bool_], FloatArray, tuple[FloatArray, FloatArray]] | None:
    """Return the bins that pdf uses, their q in rad/Å, and the scattering factors.

    Raises
    ------
    ConfigError
        If there are fewer than 16 bins in the range of q.
    """
    if params.pdf is None or "pdf" not in params.of:
        return None
    per_unit = 1.0 if axis.units == "rad/Å" else 2 * math.pi
    if axis.units in {"px", "mrad"}:
        raise ConfigError(
            f"radial: pdf needs units = '1/Å' or 'rad/Å', not {axis.units!r}: set "
            "units, and beam_energy_eV and detector_rad_per_px in the table "
            "[acquisition.calibration]"
        )
    Calibration.of(acquisition).wavelength_m("radial.pdf")
    q = axis.middles * per_unit
    used = (q >= params.pdf.q_min) & (q <= (params.pdf.q_max or math.inf))
    if np.count_nonzero(used) < 16:
        raise ConfigError(
            f"radial.pdf: {np.count_nonzero(used)} bins lie in the range of q, from "
            f"{params.pdf.q_min:g} rad/Å; 16 are needed: set q_min, q_max or step"
        )
    return used, q[used], scattering(params.pdf.composition, q[used])
