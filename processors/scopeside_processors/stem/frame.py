"""The newest frame, as the camera sent it: for those who want to see one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.scan import Scan
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS
from scopeside_processors.kernels import binning as kernel
from scopeside_processors.stem.frames import check_frames
from scopeside_processors.stem.recent import Recent

Array = npt.NDArray[Any]

NAME = "frame"
_UNSEEN = -1


def place_in(scan: Scan | None, index: int) -> dict[str, int]:
    """Return ``scan``, ``row`` and ``column`` of a frame; nothing where it has none."""
    if scan is None:
        return {}
    place = int(scan.position_of(np.array([index]))[0])
    if place < 0:
        return {}  # before the first position, or while the beam flies back
    number, within = divmod(place, scan.positions)
    row, column = divmod(within, scan.shape[1])
    return {"scan": number, "row": row, "column": column}


class Frame:
    """Keeps the frame with the highest index, and lets go of all others.

    On an edge that lets frames go (``latest``) it costs one copy of a frame a batch.
    """

    order: ClassVar[Order] = Order.ANY

    class Params(Base):
        """How large the picture is."""

        binning: Annotated[int, Field(ge=1, le=64)] = 1
        """Pixels of the camera to one of the picture, each way; they are summed."""
        sample: Annotated[int, Field(ge=0, le=256)] = 0
        """Patterns of the last positions of a scan that come with each picture, 64
        pixels a side at most; 0: none."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load what bins an acquisition, or what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernel.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is nothing to compute
    ) -> None:
        self._acquisition = acquisition
        self._binning = min(params.binning, *acquisition.frame_shape)
        self._index = _UNSEEN
        self._time_ns = 0
        self._frame: Array | None = None
        self._recent: Recent | None = None
        if params.sample and acquisition.scan is not None:
            self._recent = Recent(acquisition, acquisition.scan, params.sample)

    def process(self, batch: Batch) -> None:
        """Keep the newest frame of `batch`, if it is newer than what is kept.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        if not len(batch):
            return
        if self._recent is not None:
            self._recent.take(batch)
        newest = int(np.argmax(batch.index))
        index = int(batch.index[newest])
        if index > self._index:
            frame = batch.pixels[newest]
            binned = self._binning > 1
            self._frame = (
                kernel.binned(frame, self._binning) if binned else frame.copy()
            )
            self._index, self._time_ns = index, int(batch.timestamp_ns[newest])

    def merge(self, other: Self) -> None:
        """Take the frame of `other` if it is newer."""
        if other._index > self._index:
            self._index, self._time_ns = other._index, other._time_ns
            self._frame = other._frame
        if self._recent is not None and other._recent is not None:
            self._recent.merge(other._recent)

    def results(self) -> Iterator[Result]:
        """Yield ``frame``: (height, width), counts, in the dtype of the camera.

        Binned: (height // binning, width // binning) float32. ``meta``: ``index`` of
        the frame and its time ``t_ns``; ``scan``, ``row`` and ``column`` where the beam
        was, absent where it was at no position; ``binning``. Invalid before the first
        frame. With `sample` also ``patterns``, see `Recent.result`.
        """
        yield self._newest()
        if self._recent is not None:
            yield self._recent.result()

    def _newest(self) -> Result:
        if self._frame is None:
            return invalid(NAME, "no frame yet", expected=1)
        about: dict[str, Any] = {"index": self._index, "t_ns": self._time_ns}
        about |= place_in(self._acquisition.scan, self._index)
        if self._binning > 1:
            about["binning"] = self._binning
        return Result(
            NAME,
            self._frame.copy(),
            frame=self._index,
            first=self._index,
            used=1,
            expected=1,
            units="counts",
            axes=("y", "x"),
            meta=about,
        )

    def snapshot(self) -> bytes:
        """Return the frame, if there is one."""
        state: dict[str, Any] = {"index": self._index, "time_ns": self._time_ns}
        if self._frame is not None:
            state["frame"] = self._frame
        if self._recent is not None:
            state["recent"] = self._recent.to_values()
        return pack(state)

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._index, self._time_ns = found["index"], found["time_ns"]
        self._frame = found.get("frame")
        if self._recent is not None:
            self._recent.from_values(found["recent"])
