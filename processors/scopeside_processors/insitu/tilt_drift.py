"""How far the specimen has moved from tilt to tilt of a series."""

from __future__ import annotations

import math
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
from scopeside_processors.insitu.tilts import Placed, TiltFollower
from scopeside_processors.kernels.binning import binned
from scopeside_processors.kernels.shift import to_specimen

Array = npt.NDArray[Any]
Quantity = Literal["tilt_drift", "corrected"]

_SIDE = 512
"""Pixels a side, at most, that are compared; larger frames are binned."""
_MOST_TILT = 85.0
"""Degrees from where on a specimen is seen edge on."""


class TiltDrift:
    """Places each picture of a tilt series on those of the nearest tilts before it."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """What is wanted."""

        of: Annotated[tuple[Quantity, ...], Field(min_length=1)] = ("tilt_drift",)
        """Any of tilt_drift and corrected."""

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - a tilt takes seconds
    ) -> None:
        if acquisition.kind != "tilt_series":
            raise ConfigError(
                f"tilt_drift takes an acquisition of kind 'tilt_series', not "
                f"{acquisition.kind!r}"
            )
        self._params = params
        self._tilts, axis = _geometry(acquisition)
        shape = acquisition.frame_shape
        self._bin = 2 ** max(0, math.ceil(math.log2(max(shape) / _SIDE)))
        small = shape[0] // self._bin, shape[1] // self._bin
        if min(small) < 32:
            raise ConfigError(
                f"tilt_drift takes frames of 32 pixels a side, not {shape}"
            )
        self._incoming = Incoming(acquisition)
        self._follower = TiltFollower(small, axis)
        self._first = -1
        self._used = 0
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the pictures of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        conditions = self._incoming.of_batch(batch)
        for k, condition in enumerate(conditions):
            self._results += self._take(batch.pixels[k], int(batch.index[k]), condition)

    def results(self) -> Iterator[Result]:
        """Yield what is wanted of each picture of the last batch.

        ``tilt_drift`` (2,) float64, px; ``corrected`` (height, width) float32, counts,
        NaN and `mask` False where nothing was seen.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return the pictures that are kept."""
        return pack(
            {
                "incoming": self._incoming.state(),
                "follower": self._follower.state(),
                "first": self._first,
                "used": self._used,
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._incoming.take_over(found["incoming"])
        self._follower.take_over(found["follower"])
        self._first, self._used = found["first"], found["used"]

    def _take(self, frame: Array, index: int, condition: Condition) -> list[Result]:
        if not condition.usable:
            return self._invalid(condition.reason, index)
        if index >= len(self._tilts):
            return self._invalid("tilt_deg of the calibration ends before it", index)
        picture = binned(frame, self._bin) / np.float32(self._bin**2)
        picture -= np.float32(self._incoming.camera.offset)
        found = self._follower.place(picture, self._tilts[index])
        if not found.found:
            return self._invalid("it is not found on those of the nearest tilts", index)
        self._first = index if self._first < 0 else self._first
        self._used += 1
        return [self._result(name, frame, index, found) for name in self._params.of]

    def _result(
        self, name: Quantity, frame: Array, index: int, found: Placed
    ) -> Result:
        drift = found.drift * self._bin
        covariance = found.covariance * self._bin**2
        about: dict[str, Any] = {
            "frame": index,
            "first": self._first,
            "used": self._used,
            "meta": {
                "covariance": covariance.tolist(),
                "confidence": found.confidence,
                "tilt_deg": self._tilts[index],
            },
        }
        if name == "tilt_drift":
            return Result(name, drift, "series", units="px", axes=("yx",), **about)
        image = np.empty(frame.shape, np.float32)
        inside = to_specimen(frame, (drift[0], drift[1]), image, "linear", np.nan)
        if inside.empty:
            return invalid(name, "the field of the first picture is out of sight")
        mask = inside.mask((frame.shape[0], frame.shape[1]))
        return Result(
            name, image, "image", mask=mask, units="counts", axes=("y", "x"), **about
        )

    def _invalid(self, reason: str, index: int) -> list[Result]:
        return [invalid(name, reason, frame=index) for name in self._params.of]


def _geometry(acquisition: Acquisition) -> tuple[list[float], float]:
    """Return the tilts, and the direction of the axis, degrees.

    Raises
    ------
    ConfigError
        If the calibration does not say them, or says what cannot be.
    """
    tilts = acquisition.calibration.get("tilt_deg")
    axis = acquisition.calibration.get("tilt_axis_deg")
    if not isinstance(tilts, list | tuple) or not tilts:
        raise ConfigError(
            f"tilt_drift needs tilt_deg, a list with the tilt of each frame, in the "
            f"table [acquisition.calibration], not {tilts!r:.40}"
        )
    numbers = [*tilts, axis]
    if not all(type(n) in {int, float} and math.isfinite(n) for n in numbers):
        raise ConfigError(
            f"tilt_drift needs tilt_axis_deg and tilt_deg as numbers of degrees in the "
            f"table [acquisition.calibration], not {axis!r:.40} and {tilts!r:.40}"
        )
    if max(abs(n) for n in tilts) > _MOST_TILT:
        raise ConfigError(
            f"tilt_drift: tilt_deg lies between -{_MOST_TILT:g} and {_MOST_TILT:g}, "
            f"not {max(tilts, key=abs):g}"
        )
    return [float(n) for n in tilts], float(numbers[-1])
