"""Runs that are exported, and how other people's programs look at what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.runs_made import frames_of, times_of, write_run

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.scan import Scan

Array = npt.NDArray[Any]
SHAPE = (10, 12)
TEM = {
    "beam_energy_eV": 200e3,
    "camera_length_m": 0.2,
    "semi_angle_rad": 20e-3,
    "frame_time_s": 0.002,
}
SCANNED = {
    **TEM,
    "scan_step_m": 2e-10,
    "detector_rad_per_px": 1e-4,
    "centre_px": [4.5, 5.5],
}
NAVIGATION = [("scan_y", 0.2, 0.0, "nm"), ("scan_x", 0.2, 0.0, "nm")]
"""Axes of `scan_run` as HyperSpy has them: name, scale, offset, unit."""
DETECTOR = [("detector_y", 0.1, -0.45, "mrad"), ("detector_x", 0.1, -0.55, "mrad")]


@dataclass(frozen=True)
class Made:
    """A run, and what must be found in an export of it."""

    folder: Path
    pixels: Array
    present: Array


def scan_run(
    folder: Path,
    dtype: str = "<u2",
    scan: Scan = Scan((4, 6), flyback=2),  # noqa: B008 - frozen
    absent: tuple[int, ...] = (),
    per_batch: int = 5,
) -> Made:
    """Write a scan without the frames `absent`; expected pixels by hand."""
    acquisition = Acquisition(
        "scan-1",
        SHAPE,
        np.dtype(dtype),
        kind="scan4d",
        frames=scan.frames,
        scan=scan,
        calibration=SCANNED,
        detector="simulated",
        started_ns=int(times_of(0)),
    )
    pixels = frames_of(scan.frames, SHAPE, dtype)
    write_run(folder, acquisition, batches(pixels, absent, per_batch), end=scan.frames)
    expected, present = _as_scanned(scan, pixels, absent)
    return Made(folder, expected, present)


def movie_run(
    folder: Path, dtype: str = "<u2", n: int = 9, absent: tuple[int, ...] = ()
) -> Made:
    """Write a movie of real-space images, 2 ms from frame to frame."""
    acquisition = Acquisition(
        "movie-1",
        SHAPE,
        np.dtype(dtype),
        frames=n,
        calibration={**TEM, "pixel_size_m": 5e-11},
        detector="simulated",
    )
    pixels = frames_of(n, SHAPE, dtype)
    write_run(folder, acquisition, batches(pixels, absent, 4), end=n)
    there = np.array([k not in absent for k in range(n)])
    return Made(folder, filled(pixels, there), there)


def batches(pixels: Array, absent: tuple[int, ...], per_batch: int) -> list[Batch]:
    """Cut frames into batches, without those that are absent."""
    kept = np.array([k for k in range(len(pixels)) if k not in absent])
    parts = [kept[k : k + per_batch] for k in range(0, len(kept), per_batch)]
    return [Batch(pixels[part], part, times_of(part)) for part in parts]


def filled(pixels: Array, present: Array) -> Array:
    """Return the pixels with what stands in for an absent frame."""
    out = pixels.copy()
    out[~present] = np.nan if pixels.dtype.kind == "f" else 0
    return out


def _as_scanned(
    scan: Scan, pixels: Array, absent: tuple[int, ...]
) -> tuple[Array, Array]:
    """Lay frames out as the beam went: line by line, without fly-back."""
    rows, columns = scan.shape
    line = np.arange(rows)[:, None] * (columns + scan.flyback)
    frame = scan.offset + line + np.arange(columns)
    if scan.pattern == "snake":
        frame[1::2] = frame[1::2, ::-1]
    present = ~np.isin(frame, absent)
    return filled(pixels[frame], present), present


def axes_of(signal: dict[str, Any]) -> list[tuple[str, float, float, str]]:
    """Return name, scale, offset and unit of the axes that RosettaSciIO has read."""
    return [
        (one["name"], round(one["scale"], 12), round(one["offset"], 12), one["units"])
        for one in signal["axes"]
    ]
