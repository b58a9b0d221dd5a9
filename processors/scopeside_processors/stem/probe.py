"""The probe that makes the pattern: its disk on the camera, and its aberrations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scopeside.errors import ConfigError
from scopeside_processors.stem.calibration import Calibration

FloatArray = npt.NDArray[np.float64]

_CORNER = 0.1
"""Share of the disk that each corner of an image in FFT order holds, at least."""


@dataclass(frozen=True, slots=True)
class Aberrations:
    """What the lens does to the phase of the probe.

    Attributes
    ----------
    defocus_m
        C1, positive is overfocus.
    astigmatism_m
        A1 as (real, imaginary): C12 cos 2φ and C12 sin 2φ, with the angle φ from the
        scan's columns (x) towards its rows (y).
    spherical_m
        C3, also called Cs.
    """

    defocus_m: float = 0.0
    astigmatism_m: tuple[float, float] = (0.0, 0.0)
    spherical_m: float = 0.0

    @property
    def none(self) -> bool:
        """Whether the probe is free of them."""
        return not (self.defocus_m or any(self.astigmatism_m) or self.spherical_m)

    def kick(self, wavelength_m: float) -> FloatArray:
        """Return the coefficients (4,) of χ(y, x), rad, for angles in rad.

        χ = 2π/λ (½ C1 α² + ½ Re(A1 ω*²) + ¼ C3 α⁴) with ω = x + iy and α = |ω|
        [1]_ is the sum of them times α², x² - y², 2xy and α⁴. The aperture function
        is its amplitude times exp(-iχ).

        References
        ----------
        .. [1] O. L. Krivanek, N. Dellby, A. R. Lupini, Ultramicroscopy 78, 1-11
           (1999), doi:10.1016/S0304-3991(99)00013-3
        """
        real, imag = self.astigmatism_m
        second = np.array([self.defocus_m, real, imag]) * math.pi / wavelength_m
        return np.append(second, math.pi * self.spherical_m / (2 * wavelength_m))


def disk_of(
    calibration: Calibration, margin: int, who: str
) -> tuple[FloatArray, FloatArray]:
    """Return the amplitude of the probe's disk on the camera, and its light.

    Parameters
    ----------
    margin
        Pixels around the frame that are added, in which it may also lie.
    who
        The processor that needs it.

    Returns
    -------
    Twice (height + 2 margin, width + 2 margin) float64, 1 inside
        The mean amplitude in each pixel, and the mean of its square. With an
        `aperture` in the calibration they are those of the image. Where that is one
        of the camera, of the frame's shape, its counts are both: apertures have sharp
        edges, and what lies between is the share of a pixel that is lit. Where it is
        an aperture function in FFT order, with angle 0 at [0, 0] and the camera's
        angle per pixel, of any shape, its values are the amplitude. Without an image,
        it is a sharp disk of `semi_angle_rad`.

    Raises
    ------
    ConfigError
        If what it takes is not known, or the file is of no use.
    """
    shape = tuple(n + 2 * margin for n in calibration.frame_shape)
    image = _image(calibration, who)
    if image is None:
        disk = _model(calibration, margin, shape, who)
        return disk, disk
    if _in_fft_order(image):
        disk = _inside_1(_placed(image, calibration, margin, shape, who))
        return disk, disk**2
    disk = _inside_1(np.pad(_as_camera_image(calibration, who), margin))
    return disk, disk


def _inside_1(disk: FloatArray) -> FloatArray:
    inside = disk[disk > disk.max() / 2]
    return disk / np.median(inside) if inside.size else disk


def _image(calibration: Calibration, who: str) -> FloatArray | None:
    said = calibration.known.aperture
    if said is None:
        return None
    try:
        found = np.load(said, allow_pickle=False) if isinstance(said, Path) else said
        image = np.asarray(found, np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{who}: aperture {said!r:.80}: {error}") from error
    usable = image.ndim == 2 and np.isfinite(image).all()
    if not usable or image.min() < 0 or image.max() <= 0:
        raise ConfigError(
            f"{who}: aperture is no image (height, width), or holds NaN, negative "
            "values, or nothing"
        )
    return image


def _as_camera_image(calibration: Calibration, who: str) -> FloatArray:
    image = calibration.aperture(who)
    assert image is not None
    return image


def _in_fft_order(image: FloatArray) -> bool:
    """Return whether the disk lies around [0, 0], across the corners."""
    height, width = (n // 2 for n in image.shape)
    corners = [
        image[rows, columns].sum() / image.sum()
        for rows in (slice(height), slice(height, None))
        for columns in (slice(width), slice(width, None))
    ]
    middle = image[height // 2 : -(height // 2), width // 2 : -(width // 2)].sum()
    return bool(min(corners) > _CORNER and middle < _CORNER * image.sum())


def _placed(
    image: FloatArray,
    calibration: Calibration,
    margin: int,
    shape: tuple[int, ...],
    who: str,
) -> FloatArray:
    """Return an image in FFT order as one around the centre."""
    centred = np.fft.fftshift(image)
    centre = np.array(calibration.need("centre_px", who)) + margin
    places = np.indices(shape).reshape(2, -1) - centre[:, None]
    places += np.array([n // 2 for n in image.shape])[:, None]
    disk: FloatArray = ndimage.map_coordinates(centred, places, order=1)
    return disk.reshape(shape)


def _model(
    calibration: Calibration, margin: int, shape: tuple[int, ...], who: str
) -> FloatArray:
    """Return the share of each pixel inside of a disk, nearly."""
    pitch = np.array(calibration.need("detector_rad_per_px", who))
    centre = np.array(calibration.need("centre_px", who)) + margin
    y, x = np.indices(shape) - centre[:, None, None]
    angle = np.hypot(y * pitch[0], x * pitch[1])
    semi = calibration.need("semi_angle_rad", who)
    disk: FloatArray = np.clip((semi - angle) / pitch.mean() + 0.5, 0, 1)
    return disk
