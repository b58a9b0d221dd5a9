"""Plug-ins of the tests, as a user would bring them: ``module:Class``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.detector import Sink
from scopeside.events import pack_events
from scopeside.params import Params as Base
from scopeside.processor import Order
from scopeside.result import Result
from scopeside.settings import AcquisitionSettings
from scopeside.state import pack, unpack


class Trail:
    """A recursive mean: it depends on every frame and on their order."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """How much state there is besides."""

        ballast: int = 0
        """Bytes."""

    def __init__(
        self, acquisition: Acquisition, params: Params, device: str = "cpu"
    ) -> None:
        self._ballast = np.zeros(params.ballast, np.uint8)
        self._mean = np.zeros(acquisition.frame_shape)
        self._frame = -1
        self._used = 0

    def process(self, batch: Batch) -> None:
        for index, pixels in zip(batch.index, batch.pixels, strict=True):
            self._mean += 0.1 * (pixels - self._mean)
            self._frame = int(index)
            self._used += 1

    def results(self) -> Iterable[Result]:
        yield Result("mean", self._mean.copy(), frame=self._frame, used=self._used)

    def snapshot(self) -> bytes:
        state = {"mean": self._mean, "frame": self._frame, "used": self._used}
        return pack({**state, "ballast": self._ballast})

    def restore(self, state: bytes) -> None:
        said = unpack(state)
        self._mean = said["mean"].copy()
        self._frame, self._used = said["frame"], said["used"]


class Count:
    """Counts frames, and does on some what the parameters say."""

    order: ClassVar[Order] = Order.ANY

    class Params(Base):
        """What to do, and on which frame."""

        sleep_s: float = 0.0
        """Sleep for so long at each batch, s."""
        die_at: int | None = None
        """Kill the process at the batch with this frame."""
        die_once: Path | None = None
        """But only if this file is not there yet; it is made."""
        fail_at: int | None = None
        """Raise an error at the batch with this frame."""
        hang_at: int | None = None
        """Sleep for ever at the batch with this frame."""

    def __init__(
        self, acquisition: Acquisition, params: Params, device: str = "cpu"
    ) -> None:
        self._params = params
        self._n = 0

    def process(self, batch: Batch) -> None:
        params = self._params
        time.sleep(params.sleep_s)
        if params.fail_at in batch.index:
            raise ValueError(f"frame {params.fail_at} is unbearable")
        if params.hang_at in batch.index:
            time.sleep(3600)
        if params.die_at in batch.index:
            once = params.die_once
            if once is None or not once.exists():
                if once is not None:
                    once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        self._n += len(batch)

    def results(self) -> Iterable[Result]:
        yield Result("n", self._n, "scalar", used=self._n)

    def merge(self, other: Self) -> None:
        self._n += other._n

    def snapshot(self) -> bytes:
        return pack({"n": self._n})

    def restore(self, state: bytes) -> None:
        self._n = unpack(state)["n"]


class SparseCamera:
    """A detector that sends a file of events, each probe position a frame."""

    resumes = False

    class Params(Base):
        """What to send."""

        path: Path
        """An .npz file with place (the frame), value and address of each event."""
        shape: tuple[int, int]
        """Height and width, pixels."""
        frames: int
        """How many."""
        fps: float
        """Frames a second."""
        faulty: bool = False
        """Send every batch twice, with events outside of its frames."""

    def __init__(self, params: Params, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings

    def check(self) -> list[str]:
        return []

    def run(self, sink: Sink) -> None:
        params = self._params
        with np.load(params.path) as file:
            place, value, address = (file[k] for k in ("place", "value", "address"))
        about = Acquisition(
            sink.new_id(), params.shape, np.dtype("<u2"), encoding="events"
        )
        sink.start(about, batch_frames=100)
        began = time.monotonic()
        for first in range(0, params.frames, 100):
            while time.monotonic() < began + first / params.fps and not sink.stopping:
                time.sleep(0.005)
            n = min(100, params.frames - first)
            mine = (place >= first) & (place < first + n)
            words = pack_events(place[mine] - first, value[mine], address[mine])
            for _ in range(2 if params.faulty else 1):
                self._send(sink, first, n, words)
        sink.end(total=params.frames)

    def _send(self, sink: Sink, first: int, n: int, words: Any) -> None:
        if self._params.faulty:
            height, width = self._params.shape
            words = np.append(words, pack_events([n, 0], 1, [0, height * width]))
        with sink.slot() as slot:
            slot.index[:n] = np.arange(first, first + n)
            slot.timestamp_ns[:n] = time.time_ns()
            slot.words[: len(words)] = words
            slot.commit(n, words=len(words))


class Stamps:
    """ANY: the time stamp of each frame."""

    order = Order.ANY

    class Params(Base):
        pass

    def __init__(self, acquisition: Any, params: Any, device: Any = "cpu") -> None:
        self._stamps = np.zeros(acquisition.frames, np.int64)

    def process(self, batch: Any) -> None:
        self._stamps[batch.index] = batch.timestamp_ns

    def merge(self, other: Any) -> None:
        self._stamps += other._stamps

    def results(self) -> Any:
        yield Result("stamps", self._stamps.copy(), "series")

    def snapshot(self) -> bytes:
        return pack({"stamps": self._stamps})

    def restore(self, state: bytes) -> None:
        self._stamps = unpack(state)["stamps"].copy()


class Doomed:
    """A channel that takes its process down with it."""

    class Params(Base):
        pass

    def __init__(self, params: Any) -> None:
        pass

    def check(self) -> list[str]:
        return []

    def run(self, sink: Any) -> None:
        os._exit(9)


def lines(**tables: Any) -> str:
    """A pipeline file from nested tables, as TOML."""
    return "\n".join(_lines("", tables)) + "\n"


def _lines(name: str, table: dict[str, Any]) -> list[str]:
    plain = {k: v for k, v in table.items() if not _is_table(v)}
    out = [f"[{name}]"] if name and plain else []
    out += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, list) and _is_table(value):
            for item in value:
                inner = _lines(path, item)
                head = f"[[{path}]]"
                out += [head, *(line for line in inner if line != f"[{path}]")]
        elif isinstance(value, dict) and _is_table(value):
            out += _lines(path, value)
    return out


def _is_table(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return f'"{value}"'
    return repr(value)
