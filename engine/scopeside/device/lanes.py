"""Frames on their way through a GPU: three streams, and memory that is used again.

One stream copies frames in, one computes, one brings results back; none waits for
more than it needs. Memory is taken in sizes of powers of two and comes back when its
holder is gone, so that in steady state nothing is allocated.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from scopeside.batch import Batch
from scopeside.device.card import Argument, Bytes, Card, Memory
from scopeside.errors import DeviceFailedError

T = TypeVar("T")
Array = npt.NDArray[Any]

ALIGNED = 16
"""Each frame begins at a multiple of so many bytes, for loads of 16 bytes."""
PATIENCE_S = 20.0
"""A card that does not answer for so long has failed."""
_SPIN_S = 0.0002
_NAP_S = 0.00005
_SMALLEST = 256
_KEPT = 64


class Pool(Generic[T]):
    """Lends memory of one kind, by sizes of powers of two."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self._free: dict[int, list[T]] = defaultdict(list)
        self.made = 0
        """How often memory had to be allocated."""

    def lend(self, size: int) -> Loan[T]:
        """Return at least `size` bytes, until the loan is dropped."""
        rounded = max(_SMALLEST, 1 << (size - 1).bit_length())
        free = self._free[rounded]
        if not free:
            self.made += 1
            free.append(self._make(rounded))
        return Loan(free.pop(), free)


class Loan(Generic[T]):
    """Memory that goes back to its pool with this object."""

    def __init__(self, what: T, home: list[T]) -> None:
        self.what = what
        self._home = home

    def __del__(self) -> None:
        self._home.append(self.what)


class Lanes:
    """The streams of one card and what is on them; used by one thread."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.rooms: Pool[Memory] = Pool(card.memory)
        self.hosts: Pool[Bytes] = Pool(card.host_memory)
        self.copying = card.stream()
        self.computing = card.stream()
        self.returning = card.stream()
        self._computed, self._returned = card.mark(), card.mark()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def room(self, size: int) -> Loan[Memory]:
        """Lend `size` bytes of the card; what they hold is anything."""
        return self.rooms.lend(size)

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` gave for `key`, made anew only if long unused."""
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        found: T = self._kept[key]
        return found

    def upload(self, array: Array) -> Loan[Memory]:
        """Return a copy of an array on the card, there before any kernel runs."""
        flat = np.ascontiguousarray(array).reshape(1, -1).view(np.uint8)
        room = self.room(flat.size)
        self.card.copy_in(room.what.address, flat.size, flat, self.computing)
        self.settle()  # `flat` may go now
        return room

    def clear(self, room: Loan[Memory], size: int) -> None:
        """Fill the beginning of a room with zeros before the next kernel."""
        self.card.clear(room.what.address, size, self.computing)

    def run(
        self,
        source: str,
        name: str,
        grid: tuple[int, int],
        block: int,
        arguments: Sequence[Argument],
    ) -> None:
        """Run a kernel after those before it."""
        kernel = self.card.kernel(source, name)
        self.card.launch(kernel, grid, block, arguments, self.computing)

    def bring(
        self, room: Loan[Memory], shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> Callable[[], Array]:
        """Have results copied back when all kernels so far are done.

        Returns
        -------
        callable
            Gives the array; to be called after `settle`. It is a copy.
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        host = self.hosts.lend(size)
        self.card.set_mark(self._computed, self.computing)
        self.card.wait_for(self.returning, self._computed)
        self.card.copy_out(host.what[:size], room.what.address, self.returning)

        def brought() -> Array:
            # `room` is named so that nobody else gets it before.
            assert room is not None
            return host.what[:size].view(kind).reshape(shape).copy()

        return brought

    def settle(self) -> None:
        """Wait until all kernels are done and all results are back.

        Raises
        ------
        DeviceFailedError
            If the card reports an error, or nothing for `PATIENCE_S`.
        """
        for mark, stream in (
            (self._computed, self.computing),
            (self._returned, self.returning),
        ):
            self.card.set_mark(mark, stream)
            self.wait(mark)

    def wait(self, mark: Any) -> None:
        """Wait for a mark, as `settle` does."""
        began = time.monotonic()
        while not self.card.passed(mark):
            waited = time.monotonic() - began
            if waited > PATIENCE_S:
                raise DeviceFailedError(
                    f"{self.card.name} has not answered for {PATIENCE_S:g} s"
                )
            if waited > _SPIN_S:
                time.sleep(_NAP_S)


@dataclass(frozen=True, slots=True)
class CardFrames:
    """A batch whose frames also lie in a GPU's memory.

    Attributes
    ----------
    batch
        The same frames in this machine's memory.
    lanes
        Where kernels on them run; they come after the copy.
    room
        Where on the card; the first frame is at its beginning.
    pitch
        From one frame to the next, bytes, a multiple of `ALIGNED`. What follows the
        last pixel of a frame can be read and means nothing.
    """

    batch: Batch
    lanes: Lanes
    room: Loan[Memory]
    pitch: int

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def address(self) -> int:
        """Where the first frame is."""
        return self.room.what.address


@dataclass(slots=True)
class _Place:
    """Room for one batch, and the mark behind its copy."""

    room: Loan[Memory]
    size: int
    copied: Any
    rows: Bytes | None = None
    """What is copied; named here so that it stays until then."""


class Ring:
    """Places for some batches on a card: one is worked on while others come in."""

    def __init__(self, lanes: Lanes, places: int, size: int) -> None:
        self._lanes = lanes
        self._free = [
            _Place(lanes.room(size), size, lanes.card.mark()) for _ in range(places)
        ]
        self._coming: dict[Hashable, _Place] = {}

    @property
    def coming(self) -> int:
        """Batches that are being copied or wait to be worked on."""
        return len(self._coming)

    def ahead(self, batch: Batch) -> bool:
        """Begin to copy a batch that will be asked for; False if there is no place."""
        key = _key(batch)
        if key in self._coming:
            return True
        if not self._free:
            return False
        place = self._free[-1]
        self._copy(batch, place)
        self._free.pop()  # only now, should the card have failed
        self._coming[key] = place
        return True

    def frames(self, batch: Batch) -> CardFrames:
        """Return a batch's frames on the card; kernels will wait for their copy."""
        while not self.ahead(batch):
            self._done(next(iter(self._coming)))  # one that nobody has asked for
        place = self._coming[_key(batch)]
        self._lanes.card.wait_for(self._lanes.computing, place.copied)
        return CardFrames(batch, self._lanes, place.room, pitch_of(batch))

    def leave(self, batch: Batch) -> None:
        """Give a batch's place back; all kernels on it are done."""
        self._done(_key(batch))

    def _copy(self, batch: Batch, place: _Place) -> None:
        lanes, pitch = self._lanes, pitch_of(batch)
        if pitch * len(batch) > place.size:
            place.size = pitch * len(batch)
            place.room = lanes.room(place.size)
        place.rows = batch.pixels.reshape(len(batch), -1).view(np.uint8)
        lanes.card.copy_in(place.room.what.address, pitch, place.rows, lanes.copying)
        lanes.card.set_mark(place.copied, lanes.copying)

    def clear(self) -> None:
        """Give all places back; the lanes have settled, and copies are waited for."""
        for place in self._coming.values():
            self._lanes.wait(place.copied)
            self._free.append(place)
        self._coming.clear()

    def _done(self, key: Hashable) -> None:
        """Give a place back."""
        if (place := self._coming.pop(key, None)) is not None:
            self._free.append(place)


def pitch_of(batch: Batch) -> int:
    """Return how far apart frames lie on a card, bytes."""
    size = batch.pixels[0].nbytes if len(batch) else 0
    return -(-size // ALIGNED) * ALIGNED


def _key(batch: Batch) -> Hashable:
    """Return what tells a batch from all others of its acquisition."""
    first = int(batch.index[0]) if len(batch) else -1
    return batch.epoch, first, len(batch), batch.pixels.ctypes.data
