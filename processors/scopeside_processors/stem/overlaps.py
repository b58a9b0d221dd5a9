"""Which frequencies of a scan the pattern shows, and the cells they are read from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scopeside.errors import ConfigError
from scopeside_processors.kernels.ssb import INSIDE
from scopeside_processors.stem.calibration import Calibration, Known
from scopeside_processors.stem.probe import disk_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Shape = tuple[int, int]

WHO = "ssb"
_LEAST_CELLS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The overlaps of the disk with itself, moved by the frequencies of a scan.

    Attributes
    ----------
    disk, light
        (height + 2 margin, width + 2 margin) float64, amplitude of the disk on the
        camera, and its square, see `disk_of`.
    margin
        Pixels around the frame, where the disk may also lie.
    frame_shape, scan_shape
        (height, width), pixels; (rows, columns).
    centre
        (2,) pixels of the frame.
    wavelength_m, semi_angle_rad
        Of the beam.
    frequencies
        (q, 2) int64, (ky, kx) in cycles a scan, sorted by kx, then ky: those with an
        overlap, kx ≥ 0, without (0, 0), their opposites and the Nyquist frequencies.
    angles, shifts
        (q, 2) float64: by which angle each moves the disk, in the axes of the scan,
        rad; by how many pixels of the camera.
    by_pixel
        (3, 2) float64: the angle of pixel (0, 0) of `disk`, per row, per column, in
        the axes of the scan, rad.
    aliased
        Whether the steps are so coarse that the pattern shows frequencies beyond the
        Nyquist frequency, which then come back as lower ones.
    """

    disk: FloatArray
    light: FloatArray
    margin: int
    frame_shape: Shape
    scan_shape: Shape
    centre: FloatArray
    wavelength_m: float
    semi_angle_rad: float
    frequencies: IntArray
    angles: FloatArray
    shifts: FloatArray
    by_pixel: FloatArray
    aliased: bool


def overlaps_of(calibration: Calibration, scan_shape: Shape) -> Overlaps:
    """Return the overlaps in a scan of ``scan_shape``; the last ones are kept.

    Raises
    ------
    ConfigError
        If the calibration lacks a value, the beam is not on the camera, or no
        frequency of the scan has an overlap.
    """
    known = calibration.known
    stamp = (0, 0)
    if isinstance(known.aperture, Path):
        try:
            status = known.aperture.stat()
        except OSError as error:
            raise ConfigError(f"{WHO}: aperture: {error}") from error
        stamp = status.st_mtime_ns, status.st_size
    shape = calibration.frame_shape
    return _overlaps(known.model_dump_json(), shape, scan_shape, stamp)


@lru_cache(maxsize=4)
def _overlaps(
    known: str, frame_shape: Shape, scan_shape: Shape, _file: tuple[int, int]
) -> Overlaps:
    calibration = Calibration(Known.model_validate_json(known), frame_shape)
    wavelength = calibration.wavelength_m(WHO)
    semi = calibration.need("semi_angle_rad", WHO)
    step = np.array(calibration.need("scan_step_m", WHO))
    pitch = np.array(calibration.need("detector_rad_per_px", WHO))
    centre = np.array(calibration.need("centre_px", WHO))
    if not ((centre > -0.5) & (centre < np.array(frame_shape) - 0.5)).all():
        raise ConfigError(
            f"{WHO}: centre_px {centre.tolist()} lies outside of frames of "
            f"{frame_shape}"
        )
    frequencies, angles = _frequencies(scan_shape, step, wavelength, semi)
    margin = math.ceil(semi / pitch.min()) + 2
    per_pixel = calibration.to_scan() * pitch
    first = -per_pixel @ (centre + margin)
    return Overlaps(
        *disk_of(calibration, margin, WHO),
        margin,
        frame_shape,
        scan_shape,
        centre,
        wavelength,
        semi,
        frequencies,
        angles,
        angles @ np.linalg.inv(per_pixel).T,
        np.stack([first, per_pixel[:, 0], per_pixel[:, 1]]),
        bool((wavelength / (2 * step) < 2 * semi).any()),
    )


def _frequencies(
    scan_shape: Shape, step: FloatArray, wavelength: float, semi: float
) -> tuple[IntArray, FloatArray]:
    """Return the frequencies with an overlap, and by which angle they move the disk."""
    if (wavelength / step < 2 * semi).any():
        raise ConfigError(
            f"{WHO}: scan_step_m {step.tolist()} is too coarse: every frequency of the "
            f"scan is mixed with others; steps of {wavelength / (4 * semi):.3g} m show "
            "all that this beam can"
        )
    rows, columns = scan_shape
    ky = np.arange(-((rows - 1) // 2), (rows - 1) // 2 + 1)
    kx = np.arange((columns - 1) // 2 + 1)
    every = np.stack([np.tile(ky, len(kx)), np.repeat(kx, len(ky))], axis=1)
    angles = every * (wavelength / (step * scan_shape))
    there = np.hypot(angles[:, 0], angles[:, 1]) < 2 * semi
    there &= (every[:, 1] > 0) | (every[:, 0] > 0)
    if not there.any():
        raise ConfigError(
            f"{WHO}: no disks overlap: a scan of {scan_shape} positions, "
            f"{step.tolist()} m apart, has no frequency below "
            f"{2 * semi / wavelength:.3g} per m"
        )
    return every[there], angles[there]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The disk cut into cells.

    Attributes
    ----------
    side
        Pixels along a cell.
    rows
        (m, 3) int64: row, first and one past the last column of cells of each
        stretch; no two of a row touch.
    origin
        (2,) int64, pixel of the frame at which cell (0, 0) begins.
    energy
        Sum of the squared amplitude over all cells, pixels.
    """

    side: int
    rows: IntArray
    origin: IntArray
    energy: float

    @property
    def count(self) -> int:
        """Number of cells."""
        return int((self.rows[:, 2] - self.rows[:, 1]).sum())

    @property
    def starts(self) -> IntArray:
        """The first cell of each stretch, (m,)."""
        lengths = self.rows[:, 2] - self.rows[:, 1]
        found: IntArray = np.cumsum(lengths) - lengths
        return found


@lru_cache(maxsize=64)
def cells_of(overlaps: Overlaps, side: int) -> Cells:
    """Return the disk cut into cells of `side` by `side` pixels; the last are kept.

    Raises
    ------
    ConfigError
        If too few of them are left, as when the disk lies outside of the frame.
    """
    origin = (np.rint(overlaps.centre).astype(np.int64) - side // 2) % side
    height, width = overlaps.frame_shape
    count = ((height - origin[0]) // side, (width - origin[1]) // side)
    top, left = origin + overlaps.margin
    disk, light = (
        part[top : top + count[0] * side, left : left + count[1] * side]
        .reshape(count[0], side, count[1], side)
        .mean(axis=(1, 3))
        for part in (overlaps.disk, overlaps.light)
    )
    held = disk >= INSIDE
    if np.count_nonzero(held) < _LEAST_CELLS:
        raise ConfigError(
            f"{WHO}: the disk holds {np.count_nonzero(held)} cells of {side}×{side} "
            f"pixels; it needs {_LEAST_CELLS}: check semi_angle_rad, "
            "detector_rad_per_px and centre_px"
        )
    edge = np.zeros((count[0], 1), np.int8)
    steps = np.diff(np.hstack([edge, held.astype(np.int8), edge]), axis=1)
    row, first = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    energy = float(light[held].sum()) * side**2
    return Cells(side, np.stack([row, first, stop], axis=1), origin, energy)
