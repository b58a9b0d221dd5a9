"""What a disk takes, tried before a run."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from scopeside.acquisition import Acquisition
from scopeside.record.folder import free_bytes
from scopeside.record.settings import RecordSettings
from scopeside.runs.segment_file import SegmentFile

TRIAL_BYTES = 128 << 20
_AT_ONCE = 4 << 20


@dataclass(frozen=True, slots=True)
class DiskTrial:
    """What was found.

    Attributes
    ----------
    bytes_per_s
        Sequential, down to the disk.
    free_bytes
        That may be written, beyond what is to be left free.
    """

    bytes_per_s: float
    free_bytes: int

    def in_words(self, acquisition: Acquisition | None) -> str:
        """Return it as a sentence, with for how long it lasts if the rate is known."""
        text = (
            f"the disk takes {self.bytes_per_s / 1e6:.0f} MB/s, "
            f"{self.free_bytes / 1e9:.1f} GB may be written"
        )
        rate = rate_of(acquisition)
        if rate is None:
            return text
        return (
            f"{text}; at {rate / 1e6:.0f} MB/s that is {_time(self.free_bytes / rate)}"
        )


def try_disk(settings: RecordSettings, size: int = TRIAL_BYTES) -> DiskTrial:
    """Write a short file where and as the runs will be, and remove it.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    settings.to.mkdir(parents=True, exist_ok=True)
    room = free_bytes(settings.to) - (settings.keep_free_mib << 20)
    block = os.urandom(_AT_ONCE)  # zeros may never reach the disk
    size = max(_AT_ONCE, min(size, room // 2))
    with tempfile.TemporaryFile(dir=settings.to) as trial:
        file = SegmentFile(os.dup(trial.fileno()))
        began = time.monotonic()
        for offset in range(0, size, _AT_ONCE):
            file.write([block], offset)
        file.finish(size)
        took_s = time.monotonic() - began
    return DiskTrial(size / max(took_s, 1e-6), max(0, room))


def rate_of(acquisition: Acquisition | None) -> float | None:
    """Return what an acquisition brings, bytes a second; None if it is not known."""
    frame_s = None if acquisition is None else _frame_time(acquisition)
    if acquisition is None or frame_s is None:
        return None
    return acquisition.frame_bytes / frame_s


def _frame_time(acquisition: Acquisition) -> float | None:
    found = acquisition.calibration.get("frame_time_s")
    if not isinstance(found, int | float) or acquisition.encoding != "frames":
        return None
    return float(found) if found > 0 else None


def folder_problem(settings: RecordSettings) -> str:
    """Return why runs cannot be written where they are to be; empty if they can."""
    folder: Path = settings.to
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return f"record.to: {folder} cannot be written to: {error.strerror}"
    return ""


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
