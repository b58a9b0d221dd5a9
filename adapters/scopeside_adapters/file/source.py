"""The `file` detector: plays a file or a folder as if a detector sent it."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, StrictBool

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
from scopeside.errors import ScopesideError, SourceError
from scopeside.params import LocalPath, Params
from scopeside.scan import Scan
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.frames import Facts, FrameLostError, Frames, IntArray
from scopeside_adapters.file.raw import RawLayout
from scopeside_adapters.pace import Pace

Positions = Annotated[int, Field(ge=1, strict=True)]


class FileParams(Params):
    """``[detector] kind = "file"``."""

    path: LocalPath
    """A file, or a folder of TIFF, PNG or JPEG pictures."""
    fps: float | None = Field(None, gt=0, le=1e6)
    """Frames a second; absent: as fast as the pipeline takes them."""
    loop: StrictBool | Positions = False
    """true: again and again; a number: so many times. Each pass is an acquisition."""
    scan: tuple[Positions, Positions] | None = None
    """Probe positions as [rows, columns]; [acquisition] scan comes first."""
    key: str | None = None
    """Which of several data sets: an array of a .npz, a data set of an HDF5 file, a
    TIFF series or a signal by number; in a folder a pattern such as "*.tif"."""
    raw: RawLayout | None = None
    """How a file of bare pixels is laid out: { shape = [512, 512], dtype = "<u2" }."""


class FileDetector:
    """Delivers recorded frames, at a given rate or as fast as they are taken."""

    Params = FileParams
    resumes = False  # a new process would begin the file again

    def __init__(self, params: FileParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings

    def _open(self) -> Frames:
        asked = self._params
        return open_frames(asked.path, asked.key, asked.raw)

    def check(self) -> list[str]:
        """Open the file and return what is wrong with it or with the scan."""
        try:
            with self._open() as frames:
                self._scan(frames.facts)
                return frames.problems()
        except ScopesideError as error:
            return [str(error)]

    def preview(self) -> Acquisition:
        """Return the acquisition that the file is."""
        with self._open() as frames:
            return self._acquisition(frames.facts, "preview", time.time_ns())

    def run(self, sink: Sink) -> None:
        """Play the file once, or as often as `loop` says."""
        loop = self._params.loop
        passes = count() if loop is True else range(loop or 1)
        with self._open() as frames:
            for _ in passes:
                if not self._play(frames, sink):
                    return

    def _play(self, frames: Frames, sink: Sink) -> bool:
        """Deliver one acquisition; return whether it was whole."""
        facts = frames.facts
        began = time.time_ns()
        sink.start(self._acquisition(facts, sink.new_id(), began))
        if facts.missing:
            sink.note(facts.missing)
        try:
            sent = self._deliver(frames, sink, began)
        except FrameLostError as error:
            reason = f"{self._params.path}: {error}"
            sink.end("failed", reason, total=error.frame)
            return False
        if sent < facts.count:
            sink.end("stopped", "the engine is asked to end", total=sent)
            return False
        sink.end("failed" if facts.missing else "complete", facts.missing, total=sent)
        return not facts.missing

    def _deliver(self, frames: Frames, sink: Sink, began: int) -> int:
        """Fill slots with what is due; return how many frames were sent."""
        pace = Pace(self._params.fps)
        sent, total = 0, frames.facts.count
        while sent < total and not sink.stopping:
            due = pace.due(total)
            if due <= sent:
                pace.wait(sent)
                continue
            with sink.slot() as slot:
                n = min(pace.due(total) - sent, slot.capacity)
                try:
                    frames.read_into(sent, slot.pixels[:n])
                except FrameLostError as error:
                    n = error.frame - sent
                    if n:
                        self._stamp(frames, slot, sent, n, began)
                    raise
                self._stamp(frames, slot, sent, n, began)
            sent += n
        return sent

    def _stamp(self, frames: Frames, slot: Any, first: int, n: int, began: int) -> None:
        """Give the frames in `slot` numbers and times, and hand them on."""
        index = np.arange(first, first + n)
        stamps = frames.timestamps_ns(first, n)
        slot.index[:n] = index
        slot.timestamp_ns[:n] = self._times(index, began) if stamps is None else stamps
        slot.commit(n)

    def _times(self, index: IntArray, began: int) -> IntArray:
        if self._params.fps is None:
            return np.full(len(index), time.time_ns())
        return began + (index * (1e9 / self._params.fps)).astype(np.int64)

    def _acquisition(self, facts: Facts, name: str, began: int) -> Acquisition:
        scan = self._scan(facts)
        path = self._params.path
        return self._settings.complete(
            Acquisition(
                id=name,
                kind="movie" if scan is None else "scan4d",
                frame_shape=facts.frame_shape,
                dtype=facts.dtype,
                frames=facts.expected,
                scan=scan,
                calibration=facts.calibration,
                detector=f"file {path.name}",
                started_ns=began,
                metadata={**facts.metadata, "path": str(path)},
            )
        )

    def _scan(self, facts: Facts) -> Scan | None:
        """Return the scan that is asked for, else the file's own.

        Raises
        ------
        SourceError
            If it does not take as many frames as the file has.
        """
        scan = self._settings.scan_of(self._params.scan or facts.scan_shape)
        expected = facts.expected
        if scan is None or expected is None or scan.frames == expected:
            return scan
        flyback = f" with {scan.flyback} fly-back frames a row" if scan.flyback else ""
        raise SourceError(
            f"scan {list(scan.shape)}{flyback} needs {scan.frames} frames, "
            f"{_name(self._params.path)} has {expected}"
        )


def _name(path: Path) -> str:
    return path.name or str(path)
