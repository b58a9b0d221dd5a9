"""What patterns are correlated with to find disks: templates whose sum is zero.

The sum is zero so that a flat background gives nothing.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from scopeside_processors.stem.disk_filters import disk

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Template = Literal["disk", "ring"]


@lru_cache(maxsize=16)
def spectrum_of(
    template: Template, radius: float, edge: float, shape: tuple[int, int]
) -> Array:
    """Return the conjugate spectrum (height, width // 2 + 1) complex64 of a template.

    Parameters
    ----------
    template
        disk: a disk within a trench that outweighs it; ring: its rim, inside positive
        and outside negative, for disks with a strong texture.
    radius, edge : of the disk, pixels
    shape : of the frames
    """
    y, x = (scipy.fft.fftfreq(n, 1 / n) for n in shape)
    r = np.hypot(y[:, None], x[None])
    inside = disk(r, radius, edge)
    if template == "disk":
        outer = disk(r, max(radius * math.sqrt(2), radius + 1.5), edge) - inside
    else:
        rim = max(1.5, 0.3 * radius)
        outer = disk(r, radius + rim, edge) - inside
        inside = inside - disk(r, max(radius - rim, 0.0), edge)
    return _spectrum(inside / inside.sum() - outer / outer.sum())


def spectrum_of_image(image: FloatArray) -> Array:
    """Return the same of an image of the convergence disk, (height, width).

    Its centre of mass is where a disk is; what surrounds it, within half its size, is
    the trench.
    """
    height, width = image.shape
    inside = image / image.max()
    middle = scipy.ndimage.center_of_mass(inside)
    size = math.sqrt(float((inside > 0.5).sum()) / math.pi)
    y, x = np.mgrid[:height, :width]
    r = np.hypot(y - middle[0], x - middle[1])
    outer = (r < max(1.5 * size, size + 2)) * (1 - np.clip(inside, 0, 1))
    found = inside / inside.sum() - outer / outer.sum()
    shift = scipy.ndimage.fourier_shift(
        scipy.fft.rfft2(found), [-middle[0], -middle[1]], n=width
    )
    spectrum: Array = np.conj(shift).astype(np.complex64)
    return spectrum


def correlate(frames: Array, spectrum: Array, power: float = 1.0) -> Array:
    """Return the correlation of each frame with a template, (n, height, width) float32.

    Parameters
    ----------
    frames : (n, height, width), counts, any real dtype
    spectrum : as `spectrum_of` gives it
    power : 1 is cross-correlation, 0 phase correlation, between them the magnitude of
        the product of spectra is taken to this power [1]_

    References
    ----------
    .. [1] T. C. Pekin et al., Ultramicroscopy 176, 170 (2017),
       doi:10.1016/j.ultramic.2016.12.021
    """
    product = scipy.fft.rfft2(frames.astype(np.float32)) * spectrum
    if power < 1:
        size = np.abs(product)
        # Nothing remains nothing: the mean of a template is zero but for rounding.
        small = 1e-6 * size.max(axis=(1, 2), keepdims=True)
        product *= np.where(size > small, size, np.inf) ** (power - 1)
    found: Array = scipy.fft.irfft2(product, s=frames.shape[1:])
    return found


def _spectrum(template: FloatArray) -> Array:
    spectrum: Array = np.conj(scipy.fft.rfft2(template)).astype(np.complex64)
    return spectrum
