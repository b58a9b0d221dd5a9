"""A camera that writes files: ``scopeside simulate watch``, faulty on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.errors import ConfigError
from scopeside.params import LocalPath, Params
from scopeside_adapters.faults import Fault, Faults, ResetRequested
from scopeside_adapters.file.watch.writers import header, named, picture, record
from scopeside_adapters.pace import Pace

Array = npt.NDArray[Any]
Side = Annotated[int, Field(ge=1, le=1 << 14)]

_GROWING = (".mrc", ".mrcs", ".seq", ".tvips", ".npy", ".raw")


class WatchSimulatorParams(Params):
    """``scopeside simulate watch``: what is written, and where to."""

    path: LocalPath
    """A file that grows (.mrc, .seq, .tvips, .npy, .raw), or a folder."""
    pictures: Literal[".tif", ".png", ".mrc"] = ".tif"
    """What is written into a folder, one frame a file."""
    frames: int = Field(100, ge=1)
    """How many frames are taken."""
    shape: tuple[Side, Side] = (256, 256)
    """Height and width of a frame, pixels."""
    dtype: Literal["uint8", "uint16", "float32"] = "uint16"
    """Of a pixel."""
    fps: float | None = Field(10.0, gt=0, le=1e5)
    """Frames a second; none: as fast as the disk takes them."""
    seed: int = 0
    """Equal seeds give equal frames."""
    rename: bool = True
    """Whether a picture is written under another name and then moved into place."""
    faults: Mapping[int, Fault] = {}
    """What goes wrong, by frame: drop, duplicate (a picture is written again),
    reorder, truncate (cut short; a file that grows ends there), stall, reset (the file
    is begun anew)."""
    stall_s: float = Field(0.5, ge=0)
    """How long a stall lasts, s."""


def frames_of(params: WatchSimulatorParams) -> Iterator[Array]:
    """Yield the frames (height, width), which seed and number determine."""
    for number in range(params.frames):
        counts = np.random.default_rng((params.seed, number)).poisson(5, params.shape)
        yield counts.astype(params.dtype)


class WatchSimulator:
    """Writes a file or a folder as a camera does."""

    Params: ClassVar[type[WatchSimulatorParams]] = WatchSimulatorParams

    def __init__(self, params: WatchSimulatorParams) -> None:
        self._params = params

    def run(self, say: Callable[[str], None]) -> None:
        """Write all frames, at the rate of the camera.

        Raises
        ------
        ConfigError
            If the file cannot hold such frames, or cannot be written.
        """
        path = self._params.path
        try:
            if path.suffix.lower() in _GROWING:
                self._grow(path, say)
            elif path.suffix and not path.is_dir():
                raise ConfigError(f"no camera is simulated that writes {path.suffix!r}")
            else:
                self._fill(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
        say(f"{self._params.frames} frames written to {path}")

    def _grow(self, path: Path, say: Callable[[str], None]) -> None:
        params, suffix = self._params, path.suffix.lower()
        begin = header(suffix, params.shape, np.dtype(params.dtype))
        records = (
            (number, record(suffix, number, frame, time.time_ns()))
            for number, frame in self._paced()
        )
        with path.open("wb", buffering=0) as file:
            file.write(begin)
            try:
                for data in self._faults.apply(records, _cut):
                    file.write(data)
                    if isinstance(data, _Cut):
                        say("the file ends in mid-frame, as asked for")
                        return
            except ResetRequested:
                file.truncate(0)
                file.seek(0)
                file.write(begin)
                for data in dict(records).values():
                    file.write(data)

    def _fill(self, folder: Path) -> None:
        params = self._params
        folder.mkdir(parents=True, exist_ok=True)
        pictures = (
            (number, (number, picture(params.pictures, frame)))
            for number, frame in self._paced()
        )
        try:
            for number, data in self._faults.apply(pictures, _cut_picture):
                self._put(named(folder, number).with_suffix(params.pictures), data)
        except ResetRequested:
            for left in folder.glob(f"frame_*{params.pictures}"):
                left.unlink()

    def _put(self, path: Path, data: bytes) -> None:
        if not self._params.rename:
            path.write_bytes(data)
            return
        aside = path.with_suffix(".tmp")
        aside.write_bytes(data)
        aside.replace(path)

    def _paced(self) -> Iterator[tuple[int, Array]]:
        pace = Pace(self._params.fps)
        for number, frame in enumerate(frames_of(self._params)):
            while pace.due(number + 1) <= number:
                pace.wait(number)
            yield number, frame

    @property
    def _faults(self) -> Faults:
        return Faults(self._params.faults, self._params.stall_s)


class _Cut(bytes):
    """A record that was cut short."""


def _cut(data: bytes) -> bytes:
    return _Cut(data[: len(data) // 2])


def _cut_picture(item: tuple[int, bytes]) -> tuple[int, bytes]:
    number, data = item
    return number, data[: len(data) // 2]
