"""How many electrons each frame has cost the specimen, and all frames until then.

They are those that a counting camera has counted, or those that a beam of a known dose
rate has brought in the time of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result
from scopeside.state import pack, unpack
from scopeside_processors.insitu.beam import Beam, Counted, Declared
from scopeside_processors.insitu.camera import Camera
from scopeside_processors.insitu.exposure import Account, Coincidence, Exposed
from scopeside_processors.insitu.incoming import Condition, Incoming
from scopeside_processors.insitu.stabilise import SHARED as DRIFT
from scopeside_processors.insitu.stabilise import Drift

FloatArray = npt.NDArray[np.float64]

SHARED = "dose"
"""Where the doses of a batch lie in `Batch.shared`: by the name of each of `COLUMNS`,
(n,) float64, NaN where unknown."""
COLUMNS = {
    "e_per_px": "e⁻/px",
    "e_per_A2": "e⁻/Å²",
    "rate_e_per_A2_s": "e⁻/Å²/s",
    "cumulative_e_per_px": "e⁻/px",
    "cumulative_e_per_A2": "e⁻/Å²",
    "uncertainty_e_per_A2": "e⁻/Å²",
    "unseen_e_per_A2": "e⁻/Å²",
}
"""Of the result, with their units."""


class Dose:
    """Keeps account of the dose of the field."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """Where the dose is known from, and how well."""

        source: Literal["auto", "counts", "declared"] = "auto"
        """counts: the camera counts electrons, counts_per_electron each; declared:
        dose_rate_e_per_A2_s of the calibration; auto: counts where counts_per_electron
        is known, else declared."""
        counted_share: Annotated[float, Field(gt=0, le=1)] = 1.0
        """Share of the beam's electrons that the camera counts: what the specimen lets
        through, times what the camera detects."""
        relative_uncertainty: Annotated[float, Field(ge=0)] | None = None
        """Standard deviation of what turns counts into dose (counts_per_electron, the
        area of a pixel, counted_share), relative to it; none: unknown."""
        coincidence: Coincidence | None = None
        """Electrons that a counting camera loses: { area_px = 9, frames = 40 }."""
        pauses: bool = True
        """Whether the beam is taken to be on while the movie pauses."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernel for an acquisition, or for what cameras usually deliver."""
        Incoming.prepare(acquisition)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - it looks at a frame once
    ) -> None:
        self._incoming = Incoming(acquisition)
        self._pauses = params.pauses
        self._shape = acquisition.frame_shape
        self._expected = acquisition.frames
        self._beam = _beam(self._incoming.camera, params, self._shape)
        self._account = Account(self._beam.relative)
        self._used, self._first = 0, -1
        self._brightness = 1.0
        self._last: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Count the dose of the frames of `batch`, and leave it to those after it.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        drifts: tuple[Drift, ...] | None = batch.shared.get(DRIFT)
        rows = np.empty((len(batch), len(COLUMNS)))
        self._last = []
        for k, condition in enumerate(self._incoming.of_batch(batch)):
            index = int(batch.index[k])
            rows[k], sigma, reason = self._row(condition)
            self._used += 1
            self._first = index if self._first < 0 else self._first
            drift = None if drifts is None else drifts[k]
            self._last.append(self._result(rows[k], sigma, index, reason, drift))
        batch.shared[SHARED] = dict(zip(COLUMNS, rows.T.copy(), strict=True))

    def results(self) -> Iterator[Result]:
        """Yield ``dose`` of each frame of the last batch: (1, 7) float64.

        Columns and units are those of `COLUMNS`; NaN, and `mask` False, where unknown.
        """
        for result in self._last:
            yield replace(result, data=result.data.copy())

    def snapshot(self) -> bytes:
        """Return the account."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "account": self._account.state(),
                "frames": [self._used, self._first],
                "brightness": self._brightness,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._account.take_over(found["account"])
        self._used, self._first = found["frames"]
        self._brightness = found["brightness"]

    def _row(self, condition: Condition) -> tuple[FloatArray, float, str]:
        """Return the values of `COLUMNS`, a deviation, and what is wrong with them.

        The standard deviation is that which the rate has from counting.
        """
        self._brightness *= condition.exposure_ratio
        said = self._incoming.camera.frame_time_s
        time_s = said or condition.elapsed_s / (condition.missing + 1)
        unseen = float(condition.missing)
        if self._pauses and condition.paused and said:
            unseen = max(unseen, condition.elapsed_s / said - 1)
        brought = self._beam.of(condition, time_s, self._account.last)
        dose = self._account.add(brought.dose, brought.variance, unseen)
        row = _row(dose, self._beam, time_s)
        sigma = math.nan
        if time_s > 0:
            sigma = math.sqrt(brought.variance) * self._beam.per_A2 / time_s
        return row, sigma, self._beam.lacking or brought.reason

    def _result(
        self,
        row: FloatArray,
        sigma: float,
        index: int,
        reason: str,
        drift: Drift | None,
    ) -> Result:
        meta: dict[str, Any] = {
            "columns": list(COLUMNS),
            "units": list(COLUMNS.values()),
            "source": "counts" if self._beam.counted else "declared",
            "relative_uncertainty": self._beam.relative,
            "rate_sigma_e_per_A2_s": sigma if math.isfinite(sigma) else None,
        }
        if not self._beam.counted:
            known = self._incoming.camera.known
            meta["measured_on"] = str(known.dose_rate_measured_on or "")
            meta["brightness"] = self._brightness
        if drift is not None:
            (height, width), y, x = self._shape, -drift.dy, -drift.dx
            meta["field_px"] = [y, x, y + height, x + width]
        known_values = np.isfinite(row)
        return Result(
            "dose",
            row[None].copy(),
            "table",
            frame=index,
            first=self._first,
            used=self._used,
            expected=self._expected,
            valid=not reason,
            reason=reason,
            mask=None if known_values.all() else known_values[None],
            axes=("frame", "column"),
            meta=meta,
        )


def _beam(camera: Camera, params: Dose.Params, shape: tuple[int, int]) -> Beam:
    """Return what the dose is known from."""
    known, source = camera.known, params.source
    if source == "auto":
        rate_only = known.counts_per_electron is None and known.dose_rate_e_per_A2_s
        source = "declared" if rate_only else "counts"
    if source == "declared":
        return Declared(camera)
    return Counted(
        camera,
        math.prod(shape),
        params.counted_share,
        params.relative_uncertainty,
        params.coincidence,
    )


def _row(dose: Exposed, beam: Beam, time_s: float) -> FloatArray:
    """Return the values of `COLUMNS`."""
    per_px, per_A2 = beam.per_px, beam.per_A2  # noqa: N806 - Å
    uncertain = beam.counted or beam.relative is not None
    return np.array(
        [
            dose.own * per_px,
            dose.own * per_A2,
            dose.own * per_A2 / time_s if time_s > 0 else math.nan,
            dose.total * per_px,
            dose.total * per_A2,
            dose.sigma * per_A2 if uncertain else math.nan,
            dose.unseen * per_A2,
        ]
    )
