"""Small movies of diffusing particles, and HOTA: how well tracks fit the truth.

HOTA: J. Luiten et al., Int. J. Comput. Vis. 129, 548 (2021),
doi:10.1007/s11263-020-01375-2; places agree by 1 - distance / reach.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def movers(dose, *, shape=(192, 192), n=12, frames=60, seed=0):
    """Frames (frames, h, w) u16 with dark spheres, and their places (frames, n, 2)."""
    rng = np.random.default_rng(seed)
    radius, step = rng.uniform(3, 6, n), np.exp(rng.uniform(np.log(0.3), np.log(2), n))
    size = np.array(shape) - 40.0
    path = np.cumsum(rng.normal(0, 1, (frames, n, 2)) * step[:, None], axis=0)
    path += rng.uniform(0, 1, (n, 2)) * size
    path = 20 + np.abs((path + size) % (2 * size) - size)
    y, x = np.mgrid[: shape[0], : shape[1]]
    movie = np.empty((frames, *shape), np.uint16)
    for t in range(frames):
        depth = np.zeros(shape)
        for (py, px), r in zip(path[t], radius, strict=True):
            square = r * r - (y - py) ** 2 - (x - px) ** 2
            depth += 0.06 * np.sqrt(np.clip(square, 0, None))
        movie[t] = rng.poisson(dose * np.exp(-depth))
    return movie, path


def hota(truth, found, reach=6.0):
    """Return HOTA of `found`, a list of {id: (y, x)}, one a frame, against `truth`.

    truth : (frames, n, 2), particles that are all there all the time
    """
    ids = sorted({i for frame in found for i in frame})
    row = {i: k for k, i in enumerate(ids)}
    frames, n = truth.shape[:2]
    near = np.zeros((frames, n, len(ids)))
    for t, frame in enumerate(found):
        for i, place in frame.items():
            away = np.hypot(*(truth[t] - place).T)
            near[t, :, row[i]] = np.clip(1 - away / reach, 0, None)
    length = np.array([sum(i in frame for frame in found) for i in ids])
    rest = near.sum(axis=1, keepdims=True) + near.sum(axis=2, keepdims=True) - near
    joint = (near / np.maximum(rest, 1e-9)).sum(axis=0)
    fit = joint / (frames + length - joint)
    return float(np.mean([_at(near, fit, length, a) for a in np.arange(1, 20) / 20]))


def _at(near, fit, length, least):
    frames, n, _ = near.shape
    pairs, hits = np.zeros(fit.shape), 0
    for one in near:
        may = one >= least
        r, c = linear_sum_assignment(np.where(may, fit * one + 1e-9, 0), maximize=True)
        kept = may[r, c]
        pairs[r[kept], c[kept]] += 1
        hits += kept.sum()
    missed, wrong = frames * n - hits, length.sum() - hits
    joined = (pairs**2 / (frames + length - pairs)).sum() / max(hits, 1)
    return np.sqrt(hits / (hits + missed + wrong) * joined)
