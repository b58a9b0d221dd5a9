"""Tracks of particles that move in known ways, for tests and benchmarks.

All have D = 1 px²/frame where they move freely; the shutter is always open.
"""

from __future__ import annotations

import numpy as np

PARTS = 16
"""Places within a frame's time that a position is the mean of."""


def seen(path, rng, error):
    """Positions (n, 2) in frames of a path (n * PARTS, 2), with an error."""
    mean = path.reshape(-1, PARTS, 2).mean(axis=1)
    return mean + rng.normal(0, error, mean.shape)


def brownian(n, rng, error=0.0, velocity=0.0):
    angle = rng.uniform(0, 2 * np.pi)
    heading = velocity / PARTS * np.array([np.sin(angle), np.cos(angle)])
    steps = rng.normal(0, np.sqrt(2 / PARTS), (n * PARTS, 2)) + heading
    return seen(np.cumsum(steps, axis=0), rng, error)


def directed(n, rng, error=0.0, velocity=0.7):
    return brownian(n, rng, error, velocity)


def fractional(n, rng, error=0.0, alpha=0.5):
    """By circulant embedding of its steps, which is exact."""
    m = n * PARTS
    k = np.arange(m + 1.0)
    covariance = 0.5 * ((k + 1) ** alpha + np.abs(k - 1) ** alpha - 2 * k**alpha)
    around = np.concatenate([covariance, covariance[-2:0:-1]])
    power = np.maximum(np.fft.fft(around).real, 0)
    noise = rng.normal(size=(len(power), 2)) + 1j * rng.normal(size=(len(power), 2))
    steps = np.fft.fft(np.sqrt(power / len(power))[:, None] * noise, axis=0).real[:m]
    scale = np.sqrt(2 * PARTS**-alpha)
    return seen(scale * np.cumsum(steps, axis=0), rng, error)


def resting(n, rng, error=0.0, alpha=0.7):
    """CTRW: jumps after times at rest whose distribution has no mean."""
    times, places = [0.0], [np.zeros(2)]
    while times[-1] < n:
        times.append(times[-1] + 0.7 * rng.uniform() ** (-1 / alpha))
        places.append(places[-1] + rng.normal(0, np.sqrt(2), 2))
    now = (np.arange(n * PARTS) + 0.5) / PARTS
    return seen(np.array(places)[np.searchsorted(times, now) - 1], rng, error)


def confined(n, rng, error=0.0, radius=4.0):
    """In a disk whose wall throws it back."""
    steps = rng.normal(0, np.sqrt(2 / PARTS), (n * PARTS, 2))
    path = np.empty_like(steps)
    place = radius * np.sqrt(rng.uniform()) * _unit(rng)
    for k, step in enumerate(steps):
        place = place + step
        distance = np.hypot(*place)
        if distance > radius:
            place = place * (2 * radius - distance) / distance
        path[k] = place
    return seen(path, rng, error)


def immobile(n, rng, error=1.0):
    return rng.normal(0, error, (n, 2))


def _unit(rng):
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


def any_walk(rng, kind, shortest=30, longest=300):
    """A track of a kind ("brownian" …) whose law, error and length are drawn."""
    n = int(np.exp(rng.uniform(np.log(shortest), np.log(longest))))
    error = np.exp(rng.uniform(np.log(0.03), np.log(3)))
    low = rng.uniform() < 0.5
    if kind == "fractional":
        alpha = rng.uniform(0.2, 0.75) if low else rng.uniform(1.25, 1.8)
        return fractional(n, rng, error, alpha)
    if kind == "ctrw":
        return resting(n, rng, error, rng.uniform(0.4, 0.9))
    if kind == "confined":
        return confined(n, rng, error, np.exp(rng.uniform(np.log(2), np.log(8))))
    if kind == "directed":
        return directed(n, rng, error, np.exp(rng.uniform(np.log(0.2), np.log(2))))
    if kind == "immobile":
        return immobile(n, rng, error)
    return brownian(n, rng, error)
