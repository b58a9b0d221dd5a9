"""Small movies with known truth, for tests: texture, drift, growing disks, noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def texture(shape=(96, 96), rms=0.05, width=2.0, seed=0, margin=24):
    """Log transmission of a membrane, larger than the frame by `margin` on each side."""
    rng = np.random.default_rng(seed)
    size = tuple(n + 2 * margin for n in shape)
    field = ndimage.gaussian_filter(rng.standard_normal(size), width, mode="wrap")
    return field * (rms / field.std())


def movie(drift, *, shape=(96, 96), dose=20.0, seed=0, disks=(), margin=24, **about):
    """Frames (n, h, w) u16, Poisson counts of `dose` e⁻/px; content at p + drift.

    disks: (y, x, radius(t), depth), dark, in px of frame 0; radius is a function of the
    frame's number, and (y, x) may be functions too.
    """
    rng = np.random.default_rng([seed, 1])
    base = texture(shape, seed=seed, margin=margin, **about)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    frames = []
    for t, (dy, dx) in enumerate(np.asarray(drift, float)):
        moved = ndimage.shift(base, (dy, dx), order=3, mode="grid-wrap")
        log = moved[margin : margin + shape[0], margin : margin + shape[1]].copy()
        for y, x, radius, depth in disks:
            y, x = (v(t) if callable(v) else v for v in (y, x))
            distance = np.hypot(rows - y - dy, columns - x - dx)
            log -= depth * np.clip(radius(t) + 0.5 - distance, 0, 1)
        frames.append(rng.poisson(dose * np.exp(log)))
    return np.asarray(frames).astype(np.uint16)
