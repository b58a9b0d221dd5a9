"""The orientation of what the beam passes, as an image of the scan.

Either the in-plane angle of an unknown lattice, or the orientation of a known crystal.
What is kept is sparse, so that a worker's share is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, refine, ring
from scopeside_processors.stem.annulus import Centres
from scopeside_processors.stem.crystal_indexing import Indexing
from scopeside_processors.stem.frames import check_frames
from scopeside_processors.stem.inplane import Lattice
from scopeside_processors.stem.orientationparams import OrientationParams
from scopeside_processors.stem.values import FrameValues

Array = npt.NDArray[Any]


class Orientation:
    """Maps orientations over one scan."""

    order: ClassVar[Order] = Order.ANY
    fixed: ClassVar[tuple[str, ...]] = ("method", "fold", "crystal", "step_deg")

    class Params(OrientationParams):
        """Which angle is wanted, and from what."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            ring.warm(dtype)
        refine.warm()

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no GPU twin yet
    ) -> None:
        self._acquisition = acquisition
        self._use(params)
        self._seen = FrameValues(acquisition, self._method.tables, self._method.reasons)

    def _use(self, params: Params) -> None:
        centres = Centres(self._acquisition, _centre(params, self._acquisition))
        kind = Lattice if params.method == "lattice" else Indexing
        method: Lattice | Indexing = kind(self._acquisition, params, centres)
        self._params, self._centres, self._method = params, centres, method

    def change(self, params: Params) -> None:
        """Use other rings, limits or results; frames that were seen keep their values.

        Raises
        ------
        ConfigError
            If method, fold, crystal or step_deg are others, which values of earlier
            frames depend on.
        """
        for key in self.fixed:
            if getattr(params, key) != getattr(self._params, key):
                raise ConfigError(
                    f"orientation: {key} can be changed only between acquisitions"
                )
        self._use(params)

    def process(self, batch: Batch) -> None:
        """Find the orientations of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        if not len(batch.index):
            return
        flag = np.zeros(len(batch.index), np.uint8)
        rows = {
            name: np.zeros((len(flag), columns), dtype)
            for name, (columns, dtype) in self._method.tables.items()
        }
        for centre, which in self._centres.groups(batch.index):
            flag[which], found = self._method.values(batch.pixels, which, centre)
            for name, values in found.items():
                rows[name][which] = values
        self._seen.add(batch.index, flag, **rows)

    def merge(self, other: Self) -> None:
        """Take over the positions that `other` has seen."""
        self._seen.merge(other._seen)

    def results(self) -> Iterator[Result]:
        """Yield the wanted results, (rows, columns), or (frames,) without a scan.

        Of a lattice: ``angle``, float64, rad, 0 ≤ angle < 2π/fold, from the columns'
        direction towards rows; ``strength``, float64, 0 to 1; ``confidence``, float64,
        0 to 1; ``colour`` (rows, columns, 3) uint8. ``meta["fold"]`` says the fold.

        Of a library: ``angle``, float64, rad, 0 to 2π, the turn of the template in the
        plane; ``orientation`` (rows, columns, 3) float64, Bunge's φ1, Φ, φ2, rad, see
        `rotations`; ``zone`` int32, a row of ``zones`` (n, 3) float64;
        ``correlation`` and ``reliability`` float64, 0 to about 1.

        Where a frame has no value, floats are NaN and `mask` is False; ``validity``
        and ``meta["invalid"]`` say why.
        """
        if not len(self._seen):
            for name in self._params.wanted:
                reason = "no frame with a position yet"
                yield invalid(name, reason, **self._seen.account())
            return
        yield from self._method.results(self._seen)

    def snapshot(self) -> bytes:
        """Return the positions seen and their values."""
        return pack(self._seen.snapshot())

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        self._seen.restore(unpack(state))


def _centre(
    params: OrientationParams, acquisition: Acquisition
) -> tuple[float, float] | None:
    """Return the centre that the parameters say; None if the calibration does.

    Raises
    ------
    ConfigError
        If the calibration has to say it and does not.
    """
    if params.centre is None:
        return None
    if params.centre != "calibration":
        return params.centre
    known = Centres(acquisition, None).calibration
    if known.known.descan_px is None:
        known.need("centre_px", "orientation")
    return None
