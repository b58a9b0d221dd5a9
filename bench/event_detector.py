"""A detector that copies events from memory; the engine is the limit."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink, Slot
from scopeside.events import Words, pack_events, warm
from scopeside.params import Params
from scopeside.settings import AcquisitionSettings
from scopeside.slab import EVENT_FRAMES

SHAPE = (256, 256)
DTYPE = np.dtype("<u2")
LIBRARY = 16
"""Batches that are sent again and again, together larger than the caches."""


class EventDetector:
    """Repeats a library of batches; it waits for room."""

    class Params(Params):
        """What to deliver."""

        per_position: int = Field(64, ge=1)
        """Events of a probe position."""
        positions: int = Field(1 << 20, ge=1)
        """Of a scan; then another acquisition begins."""
        words: int = Field((2 << 20) // 8, ge=1)
        """Of a batch."""
        seconds: float = Field(20.0, gt=0)
        """For how long, s."""

    def __init__(self, params: Params, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        self._library: list[tuple[int, Words]] = []

    def check(self) -> list[str]:
        """Nothing can go wrong."""
        return []

    def prepare(self) -> None:
        """Compile what events need, and make some."""
        warm(DTYPE)
        size = self._params.words, self._params.per_position, EVENT_FRAMES
        self._library = [batch_of(*size, seed) for seed in range(LIBRARY)]

    def run(self, sink: Sink) -> None:
        """Deliver for `seconds`."""
        ends = time.perf_counter() + self._params.seconds
        while time.perf_counter() < ends:
            self._scan(sink, itertools.cycle(self._library), ends)

    def _scan(
        self, sink: Sink, batches: Iterator[tuple[int, Words]], ends: float
    ) -> None:
        """Deliver one scan, or what there is time for."""
        about = Acquisition(
            sink.new_id(), SHAPE, DTYPE, detector="memory", encoding="events"
        )
        sink.start(about)
        frames = 0
        for n, words in batches:
            if frames + n > self._params.positions or time.perf_counter() > ends:
                break
            with sink.slot() as slot:
                _fill(slot, frames, n, words)
            frames += n
        sink.end("stopped", "it is long enough", total=frames)


def batch_of(
    words: int, per_position: int, frames: int, seed: int
) -> tuple[int, Words]:
    """Return how many frames a batch has, and its words.

    Electrons of a disk in the middle and, half of them, all over the detector; a
    little out of order, as the chips of a detector bring them.
    """
    rng = np.random.default_rng(seed)
    n = min(frames, max(1, words // per_position))
    m = min(words, n * per_position)
    height, width = SHAPE
    at = rng.normal((height / 2, width / 2), height / 16, (m, 2))
    at[::2] = rng.uniform(0, SHAPE, (len(at[::2]), 2))
    row, column = np.clip(at, 0, (height - 1, width - 1)).astype(np.int64).T
    late = rng.integers(0, 1 + per_position // 4, m)
    place = np.arange(m)[np.argsort(np.arange(m) + late)] // per_position
    return n, pack_events(np.minimum(place, n - 1), 1, row * width + column)


def _fill(slot: Slot, first: int, n: int, words: Words) -> None:
    np.copyto(slot.words[: len(words)], words)
    slot.index[:n] = np.arange(first, first + n)
    slot.timestamp_ns[:n] = time.time_ns()
    slot.commit(n, words=len(words))
