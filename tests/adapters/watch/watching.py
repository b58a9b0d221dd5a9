"""What the tests of the watch detector do again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tests.doubles import MemorySink

from scopeside.detector import StopRequested
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.file.watch.source import WatchDetector
from scopeside_adapters.file.watch.writers import header, record

PATIENCE_S = 20.0
FRAMES = np.random.default_rng(2024).poisson(40, (30, 6, 8)).astype("<u2")
QUICK = {"settle_s": 0.02, "hole_s": 0.05, "silence_s": 0.4, "poll_s": 0.01}


def detector(path: Path, settings: dict[str, Any] | None = None, **params: Any):
    """Return a watch detector that does not wait long."""
    return WatchDetector(
        WatchDetector.Params.model_validate({"path": path, **QUICK, **params}),
        AcquisitionSettings.model_validate(settings or {}),
    )


def until(condition: Any, what: str = "it") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.002)


@contextmanager
def watching(
    path: Path,
    settings: dict[str, Any] | None = None,
    sink: MemorySink | None = None,
    **params: Any,
) -> Iterator[MemorySink]:
    """Run the detector in a thread; what it raises is raised at the end."""
    sink = sink or MemorySink()
    raised: list[BaseException] = []
    source = detector(path, settings, **params)

    def run() -> None:
        try:
            source.run(sink)
        except StopRequested:
            pass
        except Exception as error:  # noqa: BLE001 - it is raised below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sink
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
        if raised:
            raise raised[0]
    assert not thread.is_alive()


def watched(path: Path, acquisitions: int = 1, **params: Any) -> MemorySink:
    """Watch until so many acquisitions have ended."""
    with watching(path, **params) as sink:
        until(lambda: len(sink.ends) >= acquisitions, "an end")
    return sink


class Camera:
    """Writes a file frame by frame, as slowly as the test likes."""

    def __init__(self, path: Path, frames: np.ndarray = FRAMES) -> None:
        self.path = path
        self._suffix = path.suffix
        self._frames = frames
        self._n = 0
        self._file = path.open("wb", buffering=0)
        self._file.write(header(self._suffix, frames.shape[1:], frames.dtype))

    def write(self, n: int) -> None:
        """Write `n` frames more."""
        for frame in self._frames[self._n : self._n + n]:
            self._file.write(record(self._suffix, self._n, frame, 1_000_000_000))
            self._n += 1

    def write_bytes(self, data: bytes) -> None:
        self._file.write(data)

    def truncate(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)

    def close(self) -> None:
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def received(sink: MemorySink) -> int:
    return sum(len(batch.index) for batch in sink.batches)
