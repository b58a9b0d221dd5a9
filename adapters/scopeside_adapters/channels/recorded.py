"""The `replay` channel: samples that were recorded beside the frames."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from scopeside.channel import ChannelSink
from scopeside.errors import SourceError
from scopeside.params import LocalPath, Params


class RecordedSamplesParams(Params):
    """``[[channel]] kind = "replay"``."""

    path: LocalPath
    """A file of the folder ``channels`` of a recorded run: times_ns and values."""


class RecordedSamples:
    """Delivers all recorded samples at once: they are joined by their times."""

    Params: ClassVar[type[RecordedSamplesParams]] = RecordedSamplesParams

    def __init__(self, params: RecordedSamplesParams) -> None:
        self._path = params.path

    @staticmethod
    def expects(params: RecordedSamplesParams) -> int:
        """Return how many samples will come."""
        return len(_read(params.path)[0])

    def check(self) -> list[str]:
        """Return why the file cannot be read, if it cannot."""
        try:
            _read(self._path)
        except SourceError as error:
            return [f"path: {error}"]
        return []

    def run(self, sink: ChannelSink) -> None:
        """Deliver them."""
        times, values = _read(self._path)
        if len(times):
            sink.samples(times, values)


def _read(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return times (ns) and values, (n,) each."""
    try:
        with np.load(path, allow_pickle=False) as found:
            times, values = found["times_ns"], found["values"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} cannot be read as samples: {error}") from error
    if times.ndim != 1 or times.shape != values.shape:
        raise SourceError(
            f"{path} has times {times.shape} and values {values.shape}, not (n,) each"
        )
    return times.astype(np.int64), values.astype(np.float64)
