"""Sum, mean, maximum and variance of each pixel over all frames."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside import params
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.device.lanes import CardFrames, Lanes
from scopeside.device.twin import Finish
from scopeside.events import EventBatch
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.kernels import USUAL_PIXELS, events
from scopeside_processors.kernels import sum as kernels
from scopeside_processors.kernels.cuda import patterns
from scopeside_processors.stem import on_card
from scopeside_processors.stem.dead import Dead, dead_of
from scopeside_processors.stem.frames import check_events, check_frames, exceeds
from scopeside_processors.stem.variance import Squares

Array = npt.NDArray[Any]
Pattern = Literal["sum", "mean", "max", "variance"]

LARGEST = 1 << 40
"""Pixels of 8 bytes beyond it could overflow a sum of `MOST` frames."""
MOST = 1 << 23


class Sum:
    """Sums up the patterns of an acquisition.

    Integers are exact, whatever the order of the frames. Floats are summed with the
    rounding errors kept apart (see `kernels.sum.add_floats`).
    """

    order: ClassVar[Order] = Order.ANY
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "gpu")

    class Params(params.Params):
        """Which patterns are wanted."""

        of: Annotated[tuple[Pattern, ...], Field(min_length=1)] = ("sum", "mean", "max")
        """Any of sum, mean, max and variance; the last takes about twice as long."""
        dead: Dead = None
        """Pixels that are 0 in all patterns: a .npy file of the frame's shape, 1 or
        True where a pixel is dead, or [[y, x], …]."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        for dtype in USUAL_PIXELS if acquisition is None else [acquisition.dtype]:
            kernels.warm(dtype)
            kernels.warm_squares(dtype)
            if acquisition is not None and acquisition.encoding == "events":
                events.warm(dtype)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",
    ) -> None:
        self._acquisition = acquisition
        self._device = device
        self._on_card: patterns.RunningPattern | None = None
        self._wanted = params.of
        self._used = 0
        self._first, self._last = -1, -1
        self._overflowed = False
        self._dead = dead_of(params.dead, acquisition.frame_shape)
        self._squares: Squares | None = None
        if "variance" in params.of:
            self._squares = Squares(acquisition.frame_shape, acquisition.dtype)
        self._total, self._rest, self._peak = _of_no_frames(acquisition)

    def process(self, batch: Batch) -> None:
        """Add the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_frames(batch, self._acquisition)
        if not len(batch):
            return
        if self._total.dtype.kind == "f":
            kernels.add_floats(batch.pixels, self._total, self._rest, self._peak)
        else:
            kernels.add_integers(batch.pixels, self._total, self._peak)
        if self._squares is not None:
            self._squares.add(batch.pixels)
        self._overflowed |= exceeds(batch.pixels, LARGEST)
        first, last = int(batch.index.min()), int(batch.index.max())
        self._stands_on(len(batch), first, last)

    @classmethod
    def prepare_card(cls, lanes: Lanes) -> None:
        """Compile the kernels of the GPU twin."""
        patterns.compile_all(lanes)

    def takes_card(self) -> bool:
        """Return whether a GPU can do it: all but the variance."""
        summed = self._squares is None and on_card.takes(self._acquisition)
        return self._device == "gpu" and summed

    def launch(self, frames: CardFrames) -> Finish:
        """Have a GPU add the frames; see `scopeside.device.twin.OnCard`.

        The sums stay on the card until they are asked for.
        """
        check_frames(frames.batch, self._acquisition)
        if self._on_card is None:
            about = self._acquisition
            self._on_card = patterns.RunningPattern(
                frames.lanes, about.frame_shape, about.dtype
            )
        self._on_card.add(frames)
        index = frames.batch.index

        def finish() -> None:
            self._stands_on(len(index), int(index.min()), int(index.max()))

        return finish

    def process_events(self, batch: EventBatch) -> None:
        """Add the events of `batch`.

        ``sum`` and ``mean`` count every event. A pixel of ``max`` is one of a frame,
        and so at most what its dtype can hold. With ``variance`` frames are made, and
        that is so for all patterns.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        check_events(batch, self._acquisition)
        if not len(batch):
            return
        if self._squares is not None:
            for _, frames in batch.portions():
                self.process(frames)
            return
        events.add_sum(batch, self._total)
        if "max" in self._wanted:
            events.raise_peak(batch, self._peak)
        first, last = int(batch.index.min()), int(batch.index.max())
        self._stands_on(len(batch), first, last)

    def merge(self, other: Self) -> None:
        """Add what `other` has summed."""
        if not other._used:
            return
        self._bring_back()
        other._bring_back()
        self._add(other._total, other._rest, other._peak)
        if self._squares is not None and other._squares is not None:
            self._squares.merge(other._squares)
        self._overflowed |= other._overflowed
        self._stands_on(other._used, other._first, other._last)

    def results(self) -> Iterator[Result]:
        """Yield the wanted patterns, (height, width) each, in counts.

        ``sum`` is int64, or float64 of float frames; ``mean`` is float64; ``max`` has
        the dtype of the frames; ``variance`` is float64, counts². Dead pixels are 0,
        and ``meta["dead"]`` counts them. Invalid before the first frame, and where
        pixels of 4 bytes (for the variance) or 8, or their number, are too large for
        exact sums.
        """
        self._bring_back()
        reason = "" if self._used else "no frame yet"
        wide = self._acquisition.dtype.itemsize == 8 and self._total.dtype.kind == "i"
        if self._overflowed or (wide and self._used > MOST):
            reason = "pixels too large for exact sums of 64 bits"
        for name in self._wanted:
            if reason:
                yield invalid(name, reason, **self._account())
            elif name == "variance":
                yield self._variance()
            else:
                yield self._result(name)

    def snapshot(self) -> bytes:
        """Return the sums, if there are any."""
        self._bring_back()
        state: dict[str, Any] = {
            "frames": [self._used, self._first, self._last],
            "overflowed": self._overflowed,
        }
        if self._used:
            state |= {"total": self._total, "peak": self._peak}
            if self._rest.size:
                state["rest"] = self._rest
            if self._squares is not None:
                state["squares"] = self._squares.snapshot()
        return pack(state)

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._used, self._first, self._last = found["frames"]
        self._overflowed = found["overflowed"]
        if self._used:
            # Copies, as what is unpacked cannot be written to.
            self._total = found["total"].copy()
            if self._rest.size:
                self._rest = found["rest"].copy()
            self._peak = found["peak"].copy()
            if self._squares is not None:
                self._squares.restore(found["squares"])

    def _bring_back(self) -> None:
        """Add what a GPU has summed so far."""
        found = None if self._on_card is None else self._on_card.take()
        if found is not None:
            self._add(*found)

    def _add(self, total: Array, rest: Array, peak: Array) -> None:
        if self._total.dtype.kind == "f":
            kernels.merge_floats(self._total, self._rest, total, rest)
        else:
            self._total += total
        self._peak = np.maximum(self._peak, peak)

    def _stands_on(self, frames: int, first: int, last: int) -> None:
        self._first = min(self._first, first) if self._used else first
        self._last = max(self._last, last) if self._used else last
        self._used += frames

    def _account(self) -> dict[str, Any]:
        expected, scan = self._acquisition.frames, self._acquisition.scan
        if expected is None and scan is not None:
            expected = scan.frames
        return {
            "frame": self._last,
            "first": self._first,
            "used": self._used,
            "expected": expected,
            "meta": {"dead": len(self._dead)} if len(self._dead) else {},
        }

    def _result(self, name: Pattern) -> Result:
        total = self._total.copy()
        if total.dtype.kind == "f":
            # What rounding left out of an infinite sum is no number.
            np.add(total, self._rest, out=total, where=np.isfinite(total))
        # Adding zero makes -0.0 to 0.0: which came first must not be seen.
        data = {"sum": total, "mean": total / self._used, "max": self._peak + 0}[name]
        if name == "max":
            data = data.astype(self._acquisition.dtype)
        return self._pattern(name, data, "counts")

    def _variance(self) -> Result:
        assert self._squares is not None  # as it is wanted
        if self._squares.overflows(self._used):
            reason = "pixels too large for exact sums of squares of 64 bits"
            return invalid("variance", reason, **self._account())
        found = self._squares.variance(self._total, self._rest, self._used)
        return self._pattern("variance", found, "counts²")

    def _pattern(self, name: Pattern, data: Array, units: str) -> Result:
        data[self._dead.held] = 0
        return Result(name, data, units=units, axes=("y", "x"), **self._account())


def _of_no_frames(acquisition: Acquisition) -> tuple[Array, Array, Array]:
    """Return sum, what its rounding left out (of floats), and maximum."""
    shape, dtype = acquisition.frame_shape, acquisition.dtype
    if dtype.kind == "f":
        # Kernels know no floats of 16 bits.
        kind = np.float32 if dtype.itemsize == 2 else dtype
        return np.zeros(shape), np.zeros(shape), np.full(shape, -np.inf, kind)
    lowest = np.full(shape, np.iinfo(dtype).min, dtype)
    return np.zeros(shape, np.int64), np.zeros((0, 0)), lowest
