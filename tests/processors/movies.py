"""Small movies with known truth, for tests: texture, drift, growing disks, noise."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage


def texture(shape=(96, 96), rms=0.05, width=2.0, seed=0, margin=24):
    """Log transmission of a membrane, `margin` larger than the frame on each side."""
    rng = np.random.default_rng(seed)
    size = tuple(n + 2 * margin for n in shape)
    field = ndimage.gaussian_filter(rng.standard_normal(size), width, mode="wrap")
    return field * (rms / field.std())


def movie(drift, *, shape=(96, 96), dose=20.0, seed=0, disks=(), margin=24, **about):
    """Frames (n, h, w) u16, Poisson counts of `dose` e⁻/px; content at p + drift.

    disks: (y, x, radius(t), depth), dark, in px of frame 0; radius is a function of the
    frame's number, and y, x and depth may be functions too. Drift beyond `margin` wraps
    round.
    """
    rng = np.random.default_rng([seed, 1])
    waves = fft.rfft2(texture(shape, seed=seed, margin=margin, **about))
    ky = fft.fftfreq(waves.shape[0])[:, None]
    kx = fft.rfftfreq(shape[1] + 2 * margin)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = tuple(slice(margin, margin + n) for n in shape)
    size = tuple(n + 2 * margin for n in shape)
    frames = []
    for t, (dy, dx) in enumerate(np.asarray(drift, float)):
        ramp = np.exp(-2j * np.pi * (ky * dy + kx * dx))
        log = fft.irfft2(waves * ramp, size)[inside]
        for place_y, place_x, radius, depth in disks:
            y = place_y(t) if callable(place_y) else place_y
            x = place_x(t) if callable(place_x) else place_x
            distance = np.hypot(rows - y - dy, columns - x - dx)
            dark = depth(t) if callable(depth) else depth
            log -= dark * np.clip(radius(t) + 0.5 - distance, 0, 1)
        frames.append(rng.poisson(dose * np.exp(log)))
    return np.asarray(frames).astype(np.uint16)
