"""What the tests of the file detector do again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.doubles import MemorySink

from scopeside.settings import AcquisitionSettings
from scopeside_adapters.file.source import FileDetector, FileParams

Array = npt.NDArray[Any]


def detector(path: Path, settings: dict[str, Any] | None = None, **params: Any):
    """Return a file detector for `path`."""
    return FileDetector(
        FileParams.model_validate({"path": path, **params}),
        AcquisitionSettings.model_validate(settings or {}),
    )


def play(path: Path, settings: dict[str, Any] | None = None, **params: Any):
    """Play a file into a sink whose slots hold three frames, and return the sink."""
    sink = MemorySink(capacity=3)
    detector(path, settings, **params).run(sink)
    return sink


def assert_delivers(sink: MemorySink, frames: Array) -> None:
    """Assert that the sink holds exactly `frames` (n, height, width)."""
    got = sink.frames()
    np.testing.assert_array_equal(got.pixels, frames)
    np.testing.assert_array_equal(got.index, np.arange(len(frames)))
    assert sink.acquisitions[0].frame_shape == frames.shape[1:]
    assert sink.acquisitions[0].dtype == got.pixels.dtype
    assert sink.ends == [("complete", "", len(frames))]


def series(shape: tuple[int, ...], dtype: str = "<u2") -> Array:
    """Return pixels that all differ from their neighbours."""
    counts = np.random.default_rng(7).integers(0, 120, shape)
    return counts.astype(dtype)


def cut(path: Path, keep: int) -> Path:
    """Cut a file off after `keep` bytes (from the end if negative)."""
    path.write_bytes(path.read_bytes()[:keep])
    return path
