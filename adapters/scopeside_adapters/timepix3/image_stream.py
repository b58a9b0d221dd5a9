"""Reads images from a connection, until the peer hangs up."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState, Sink, StopRequested
from scopeside.errors import ProtocolError, SourceLostError
from scopeside_adapters.medipix import PixelFormat
from scopeside_adapters.medipix_pixels import unpack
from scopeside_adapters.timepix3.images import LONGEST_JSON, ImageFollows, read_header
from scopeside_adapters.timepix3.link import receive

About = Callable[[str, ImageFollows], Acquisition]
_LEAST_ROOM = 1 << 22
_LONGEST_S = 1e8


@dataclass(slots=True)
class _Run:
    """An acquisition that is open, its first image, and the index that is next."""

    expected: int | None
    first: ImageFollows
    began_ns: int
    next: int = 0

    def index_of(self, image: ImageFollows) -> int:
        """Return which frame it is; below `next` if it is old."""
        if image.number is None or self.first.number is None:
            return self.next
        return image.number - self.first.number

    def stamp_of(self, image: ImageFollows) -> int:
        """Return when it was taken, as far as the detector says it; ns."""
        if image.time_s is None or self.first.time_s is None:
            return time.time_ns()
        passed = image.time_s - self.first.time_s
        if abs(passed) > _LONGEST_S:
            return time.time_ns()
        return self.began_ns + round(passed * 1e9)


class ImageStream:
    """Takes the images of one connection; ends acquisitions, and begins the next.

    Parameters
    ----------
    about
        Gives the acquisition that begins with an image, under an id.
    largest
        Bytes that an image may have.
    threshold
        Images of other thresholds are left out; None: than that of the first.
    look
        Called now and then, for what else is to be told.
    """

    def __init__(
        self,
        sink: Sink,
        about: About,
        name: str,
        *,
        largest: int,
        threshold: int | None = None,
        silence_s: float = 30.0,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink = sink
        self._about = about
        self._name = name
        self._largest = largest
        self._threshold = threshold
        self._silence_s = silence_s
        self._look = look
        self._room = bytearray(_LEAST_ROOM)
        self._begin = self._end = 0
        self._next: ImageFollows | None = None
        self._run: _Run | None = None
        self._waiting: list[tuple[int, int, int]] = []  # where, index, time stamp
        self._left_out = 0
        self._heard = time.monotonic()

    def receive(self, connection: socket.socket) -> None:
        """Take images until the peer hangs up."""
        try:
            while self._read(connection):
                self._take_whole()
                self._make_room()
        except ProtocolError as error:
            message = f"{self._name}: {error}"
            self._sink.reject(1, error.cause, message)
            self._finish("failed", message)
        except SourceLostError as error:
            self._finish("failed", str(error))
        else:
            self._hung_up()

    # -- bytes --------------------------------------------------------------------

    def _read(self, connection: socket.socket) -> bool:
        """Receive what is there; False once the peer has hung up."""
        n = receive(connection, memoryview(self._room)[self._end :], self._name)
        if self._sink.stopping:
            raise StopRequested
        self._look()
        if n:
            self._heard = time.monotonic()
            self._end += n
        elif time.monotonic() - self._heard > self._silence_s:
            reason = f"{self._name} sent nothing for {self._silence_s:g} s"
            self._finish("failed", reason)
        return n != 0

    def _take_whole(self) -> None:
        """Deliver the images that have come as a whole."""
        try:
            while True:
                if self._next is None:
                    self._next = read_header(
                        self._room, self._begin, self._end, self._largest
                    )
                image = self._next
                if image is None or self._end - self._begin < _bytes_of(image):
                    return
                self._sort(image, self._begin + image.header_bytes)
                self._begin += _bytes_of(image)
                self._next = None
        finally:
            self._deliver()

    def _make_room(self) -> None:
        """See that the image that comes next finds room, behind or at the front."""
        need = LONGEST_JSON if self._next is None else _bytes_of(self._next)
        if self._begin < self._end and self._begin + need <= len(self._room):
            return
        left = memoryview(self._room)[self._begin : self._end]
        if need > len(self._room):
            self._room = bytearray(2 * need)
        memoryview(self._room)[: len(left)] = left
        self._begin, self._end = 0, len(left)

    # -- images -------------------------------------------------------------------

    def _sort(self, image: ImageFollows, start: int) -> None:
        """Give an image its place, in the acquisition that it belongs to."""
        if self._is_left_out(image):
            self._left_out += 1
            return
        run = self._run
        if run is not None:
            first = run.first
            index = run.index_of(image)
            if (image.shape, image.dtype) != (first.shape, first.dtype):
                self._finish("stopped", f"{self._name} {_change(first, image)}")
            elif index < run.next - 1:
                self._finish_short("numbered its images anew")
            elif index < run.next:
                self._sink.reject(1, "duplicate", f"frame {index} came twice")
                return
            elif index > run.next:
                self._miss(run, index)
        self._put(self._run or self._start(image), image, start)

    def _is_left_out(self, image: ImageFollows) -> bool:
        if image.threshold is None:
            return False
        if self._threshold is None:
            self._threshold = image.threshold
        return image.threshold != self._threshold

    def _miss(self, run: _Run, index: int) -> None:
        """Declare what did not come before `index`, which may be beyond the end."""
        expected = index if run.expected is None else run.expected
        self._sink.gap(run.next, min(index, expected) - 1, "never_sent")
        run.next = min(index, expected)
        if index >= expected and run.expected is not None:
            self._finish("stopped", f"{self._name} left out the last images")

    def _start(self, image: ImageFollows) -> _Run:
        about = self._about(self._sink.new_id(), image)
        self._sink.start(about)
        self._run = _Run(about.frames, image, time.time_ns())
        return self._run

    def _put(self, run: _Run, image: ImageFollows, start: int) -> None:
        self._waiting.append((start, run.next, run.stamp_of(image)))
        run.next += 1
        if run.next == run.expected:
            self._finish("complete")

    def _deliver(self) -> None:
        """Unpack what waits into slots: one copy, in which bytes change places."""
        waiting, self._waiting = self._waiting, []
        if self._left_out:
            n, self._left_out = self._left_out, 0
            self._sink.reject(
                n,
                "other_threshold",
                f"images of other thresholds than {self._threshold} are left out",
            )
        if self._run is None:
            return
        first, data = self._run.first, np.frombuffer(self._room, np.uint8)
        pixels = PixelFormat(0, first.dtype, first.shape, first.size)
        facts = np.array(waiting, np.int64).reshape(-1, 3)
        while len(facts):
            with self._sink.slot() as slot:
                n = min(slot.capacity, len(facts))
                starts = np.ascontiguousarray(facts[:n, 0])
                unpack(data, starts, pixels, slot.pixels[:n], flip=False)
                slot.index[:n] = facts[:n, 1]
                slot.timestamp_ns[:n] = facts[:n, 2]
                slot.commit(n)
            facts = facts[n:]

    # -- ends ---------------------------------------------------------------------

    def _hung_up(self) -> None:
        left = self._end - self._begin
        if left:
            message = f"{self._name} hung up after {left} bytes of an image"
            self._sink.reject(1, "truncated", message)
            self._finish("failed", message)
        else:
            self._finish_short("hung up")

    def _finish_short(self, why: str) -> None:
        """End what may be short: complete if nobody said how long it should be."""
        run = self._run
        if run is None or run.expected is None:
            self._finish("complete")
            return
        reason = f"{why} after {run.next} of {run.expected} images"
        self._finish("stopped", f"{self._name} {reason}")

    def _finish(self, state: EndState, reason: str = "") -> None:
        self._deliver()
        run, self._run = self._run, None
        if run is not None:
            self._sink.end(state, reason, run.next)


def _bytes_of(image: ImageFollows) -> int:
    return image.header_bytes + image.size


def _change(before: ImageFollows, after: ImageFollows) -> str:
    old, new = (f"{i.shape[0]}×{i.shape[1]} {i.dtype}" for i in (before, after))
    return f"changed its images from {old} to {new}"
