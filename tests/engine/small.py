"""Small processors, a detector and a channel for tests of the engine, and more.

Processors are named in pipelines as ``tests.engine.small:Class``.
"""

import time
from pathlib import Path

import numpy as np
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.events import EventBatch, pack_events
from scopeside.params import Params as BaseParams
from scopeside.pipeline import Pipeline
from scopeside.processor import Order
from scopeside.result import Result
from scopeside.scan import Scan
from scopeside.state import pack, unpack

SHAPE = (2, 3)
PATIENCE_S = 20.0
IMPOSSIBLE = 9


def checked_gain(params):
    """A gain, as `change` takes it: not every one can be had live."""
    if params.gain == IMPOSSIBLE:
        raise ConfigError(f"a gain of {IMPOSSIBLE} is not possible live")
    return params.gain


class Counts:
    """ANY: the counts of each frame, as an image with a mask, and the total."""

    order = Order.ANY

    class Params(BaseParams):
        gain: int = Field(1, ge=1, le=10)
        fail_at: int = -1

    def __init__(self, acquisition, params, device="cpu"):
        n = acquisition.frames or 0
        self._gain, self._fail_at = params.gain, params.fail_at
        self._sums = np.zeros(n, np.int64)
        self._seen = np.zeros(n, bool)

    def change(self, params):
        self._gain = checked_gain(params)

    def process(self, batch):
        self._sums[batch.index] = batch.pixels.sum(axis=(1, 2)) * self._gain
        self._seen[batch.index] = True
        if self._fail_at in batch.index:
            raise ValueError("this frame cannot be")

    def results(self):
        mask = None if self._seen.all() else self._seen.copy()
        used = int(self._seen.sum())
        image = self._sums.copy()
        yield Result(
            "counts", image, "series", used=used, expected=len(image), mask=mask
        )
        yield Result("total", int(self._sums.sum()), "scalar", used=used)

    def merge(self, other):
        assert not (self._seen & other._seen).any(), "a frame was merged twice"
        self._sums += other._sums
        self._seen |= other._seen

    def snapshot(self):
        return pack({"sums": self._sums, "seen": self._seen})

    def restore(self, state):
        values = unpack(state)
        self._sums, self._seen = values["sums"].copy(), values["seen"].copy()


class Trail:
    """ORDERED: the running sum after each frame, one result a frame."""

    order = Order.ORDERED

    class Params(BaseParams):
        gain: int = 1
        fail_at: int = -1

    def __init__(self, acquisition, params, device="cpu"):
        self._gain, self._fail_at = params.gain, params.fail_at
        self._sum, self._last = 0, -1
        self._found = []

    def change(self, params):
        self._gain = checked_gain(params)

    def process(self, batch):
        self._found = []
        for frame, index in zip(batch.pixels, batch.index.tolist(), strict=True):
            assert index > self._last, "frames came out of order"
            self._last = index
            self._sum += int(frame.sum()) * self._gain
            data = np.array([index, self._sum])
            self._found.append(Result("trail", data, "series", frame=index, used=1))
            if index == self._fail_at:
                raise ValueError("this frame cannot be")

    def results(self):
        return self._found

    def snapshot(self):
        return pack({"sum": self._sum, "last": self._last})

    def restore(self, state):
        values = unpack(state)
        self._sum, self._last = values["sum"], values["last"]


class Excess:
    """KEYED: the counts of each frame beyond the mean of the first three.

    The first ones wait until the mean is known.
    """

    order = Order.KEYED
    LEARNT_FROM = 3

    class Params(BaseParams):
        gain: int = 1
        fail_at: int = -1

    def __init__(self, acquisition, params, device="cpu"):
        n = acquisition.frames or 0
        self._gain, self._fail_at = params.gain, params.fail_at
        self._excess, self._seen = np.zeros(n), np.zeros(n, bool)
        self._first, self._waiting, self._last = [], [], -1

    def change(self, params):
        self._gain = checked_gain(params)

    def process(self, batch):
        for frame, index in zip(batch.pixels, batch.index.tolist(), strict=True):
            assert index > self._last, "frames came out of order"
            self._last = index
            self._waiting.append([index, int(frame.sum()), self._gain])
            if len(self._first) < self.LEARNT_FROM:
                self._first.append(int(frame.sum()))
        if len(self._first) == self.LEARNT_FROM:
            for index, counts, gain in self._waiting:
                mean = sum(self._first) / self.LEARNT_FROM
                self._excess[index] = gain * (counts - mean)
                self._seen[index] = True
            self._waiting = []
        if self._fail_at in batch.index:
            raise ValueError("this frame cannot be")

    def results(self):
        mask = None if self._seen.all() else self._seen.copy()
        used = int(self._seen.sum())
        yield Result("excess", self._excess.copy(), "series", used=used, mask=mask)

    def merge(self, other):
        assert not (self._seen & other._seen).any(), "a frame was merged twice"
        self._excess += other._excess
        self._seen |= other._seen
        self._adopt(other)

    def snapshot(self):
        values = {"excess": self._excess, "seen": self._seen}
        return pack({**values, "context": self.context()})

    def restore(self, state):
        values = unpack(state)
        self._excess, self._seen = values["excess"].copy(), values["seen"].copy()
        self.resume(values["context"])

    def context(self):
        return pack(
            {"first": self._first, "waiting": self._waiting, "last": self._last}
        )

    def resume(self, context):
        values = unpack(context)
        self._first, self._waiting = values["first"], values["waiting"]
        self._last = values["last"]

    def _adopt(self, other):
        self._first, self._waiting = [*other._first], [*other._waiting]
        self._last = other._last


class Double:
    """ANY, replaces the frames by their double; says nothing."""

    order = Order.ANY
    Params = BaseParams

    def __init__(self, acquisition, params, device="cpu"):
        pass

    def process(self, batch):
        return batch.with_pixels(batch.pixels * 2)

    def results(self):
        return ()

    def merge(self, other):
        pass

    def snapshot(self):
        return pack({})

    def restore(self, state):
        pass


class Hits(Counts):
    """ANY, `Counts` that takes events; `seen` is how it was fed."""

    def __init__(self, acquisition, params, device="cpu"):
        super().__init__(acquisition, params, device)
        self.seen = []

    def process(self, batch):
        self.seen.append(("frames", len(batch)))
        super().process(batch)

    def process_events(self, batch):
        self.seen.append(("events", len(batch)))
        np.add.at(self._sums, batch.index[batch.place], batch.value * self._gain)
        self._seen[batch.index] = True
        if self._fail_at in batch.index:
            raise ValueError("this frame cannot be")


class Brighter(Double):
    """ANY, replaces the events by twice their value."""

    def process_events(self, batch):
        words = pack_events(batch.place, 2 * batch.value, batch.address)
        return batch.with_words(words)


class Lacking:
    """Is no processor: it has no results, snapshot and restore."""

    order = Order.ANY
    Params = BaseParams

    def process(self, batch):
        pass


class Unmergeable(Trail):
    """Says that order does not matter, and cannot be merged."""

    order = Order.ANY


class Misordered(Counts):
    order = "any"


class Forgetful(Counts):
    """Says that it learns, and cannot say what it has learnt."""

    order = Order.KEYED


class Nothing:
    """A detector that delivers nothing and complains of what it is told."""

    class Params(BaseParams):
        complaint: str = ""

    def __init__(self, params, settings):
        self._complaint = params.complaint

    def check(self):
        return [self._complaint] if self._complaint else []

    def run(self, sink):
        pass


def acquisition(name="a", frames=12, **more):
    return Acquisition(name, SHAPE, np.dtype(np.uint16), frames=frames, **more)


def scan(rows, columns):
    return acquisition(frames=rows * columns, scan=Scan((rows, columns)))


def batch(first, n, epoch=1):
    """Frames `first` … whose pixels all hold the index."""
    index = np.arange(first, first + n)
    pixels = np.broadcast_to(index[:, None, None], (n, *SHAPE)).astype(np.uint16)
    return Batch(pixels, index, index * 1000, epoch)


def raw(*chains):
    """Tables of a pipeline whose chains are (name, {step kind: params}, …)."""
    return {
        "detector": {"kind": "tests.engine.small:Nothing"},
        "chain": [
            {
                "name": name,
                "processor": [
                    {"kind": f"tests.engine.small:{kind}", **params}
                    for kind, params in steps.items()
                ],
                **more,
            }
            for name, steps, more in chains
        ],
        "slab": {"mib": 1, "batch_kib": 4},
    }


def pipeline(*chains):
    return Pipeline.from_raw(raw(*chains), folder=Path.cwd())


def event_batch(first, n, epoch=1):
    """The events of the frames of `batch`, the last frame's first."""
    frames = batch(first, n, epoch)
    place, pixel = np.nonzero(frames.pixels.reshape(n, -1))
    value = frames.pixels.reshape(n, -1)[place, pixel]
    words = pack_events(place, value, pixel)[::-1]
    return EventBatch(
        words, frames.index, frames.timestamp_ns, SHAPE, np.dtype("<u2"), epoch
    )


def eventually(happens, turn, what="it"):
    """Turn until something `happens`; a test that waits too long fails."""
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, f"{what} did not happen"
        turn()


class Mute:
    """A channel that never says anything."""

    class Params(BaseParams):
        complaint: str = ""

    def __init__(self, params):
        self._complaint = params.complaint

    def check(self):
        return [self._complaint] if self._complaint else []

    def run(self, sink):
        while not sink.stopping:
            time.sleep(0.01)
