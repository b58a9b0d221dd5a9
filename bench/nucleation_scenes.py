"""Simulated movies with known truth, drawn at random: nuclei, and all that is none.

A scene has a membrane with texture, liquid that wells, drift, flicker, and particles:
nuclei that grow by a law, embryos that dissolve, particles that were there, move
freely, on a leash or straight on, or land; bubbles and steps of contrast. Sizes,
contrast, dose and numbers are drawn from wide ranges: what learns relies on none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Array = npt.NDArray[Any]
Radius = Callable[[float], float]

FRAMES = 260
SIDE = 256
_MARGIN = 12.0
_EXTRA = 40


@dataclass(frozen=True)
class Particle:
    """A sphere or disk: `path` (frames, 2) px of frame 0, and its radius by frame."""

    kind: str
    path: Array
    radius: Radius
    born: float = -1e9
    flat: float = 0.0


@dataclass
class Scene:
    """One movie, from its seed; `hard` has no nuclei but everything else."""

    seed: int
    nuclei: bool = True
    particles: list[Particle] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = self._rng = np.random.default_rng([self.seed, 41])
        self.radius_px = float(rng.choice([2.5, 3.0, 3.0, 3.5, 4.0, 5.0]))
        self._contrast()
        walk = rng.normal(0, rng.uniform(0.05, 0.3), (FRAMES, 2))
        self.drift = np.cumsum(walk, axis=0) - walk[0]
        self.drift = np.clip(self.drift, -14, 14)
        size = SIDE + 2 * _EXTRA
        noise = rng.standard_normal((size, size)).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, rng.uniform(1.5, 5.0), mode="wrap")
        rms = rng.uniform(0.0, 0.045)
        self._texture = fft.rfft2(noise * np.float32(rms / noise.std()))
        self._waves = rng.normal(0, [0.012, 0.012, 2.0, 0.008], (5, 4))
        self._liquid = rng.uniform(0, 0.08) * np.sqrt(2 / 5)
        flicker = ndimage.gaussian_filter1d(rng.standard_normal(FRAMES), 2)
        flicker += 0.3 * rng.standard_normal(FRAMES)
        self.flicker = 1 + rng.uniform(0, 0.05) * flicker / flicker.std()
        self._places: list[Array] = []
        self._populate()
        self._events()

    def _contrast(self) -> None:
        rng = self._rng
        while True:
            self.dose = float(np.exp(rng.uniform(np.log(0.3), np.log(30.0))))
            self.absorbance = float(np.exp(rng.uniform(np.log(0.01), np.log(0.08))))
            signal = np.sqrt(2 * np.pi * self.dose) * self.absorbance
            if 0.35 < signal * self.radius_px**2 < 5.0:
                return

    def _place(self, apart: float) -> Array:
        for _ in range(500):
            place = self._rng.uniform(_MARGIN, SIDE - _MARGIN, 2)
            if all(np.hypot(*(place - p)) > apart for p in self._places):
                break
        self._places.append(place)
        return np.asarray(place)

    def _populate(self) -> None:
        rng, r = self._rng, self.radius_px
        for _ in range(rng.integers(3, 7) if self.nuclei else 0):
            self._nucleus()
        for _ in range(rng.integers(0, 5)):
            self._still("static", rng.uniform(0.9, 2.7) * r, -1e9)
        for _ in range(rng.integers(0, 3) if rng.random() < 0.4 else 0):
            born = rng.uniform(35, FRAMES - 20)
            self._still("lander", rng.uniform(0.9, 2.7) * r, born)
        for _ in range(rng.integers(0, 9)):
            self._embryo()
        for _ in range(rng.integers(0, 9) if rng.random() < 0.8 else 0):
            self._mover()

    def _nucleus(self) -> None:
        rng, r = self._rng, self.radius_px
        tau = float(np.exp(rng.uniform(np.log(4), np.log(50))))
        born = rng.uniform(30, FRAMES * 0.88 - tau)
        law, most = rng.uniform(0.3, 1.0), r * rng.uniform(1.5, 5.0)

        def radius(t: float) -> float:
            return float(min(most, r * (max(t - born, 0.0) / tau) ** law))

        path = np.tile(self._place(7.0 * r), (FRAMES, 1))
        flat = 1.3 if rng.random() < 0.2 else 0.0
        self.particles.append(Particle("nucleus", path, radius, born, flat))

    def _still(self, kind: str, size: float, born: float) -> None:
        path = np.tile(self._place(6.0 * self.radius_px), (FRAMES, 1))
        self.particles.append(
            Particle(kind, path, lambda t: size if t >= born else 0.0, born)
        )

    def _embryo(self) -> None:
        rng = self._rng
        life, born = rng.uniform(12, 90), rng.uniform(0, FRAMES - 15)
        most = self.radius_px * rng.uniform(0.35, 0.78)

        def radius(t: float) -> float:
            part = (t - born) / life
            return float(most * np.sqrt(4 * part * (1 - part))) if 0 < part < 1 else 0.0

        path = np.tile(self._place(5.0 * self.radius_px), (FRAMES, 1))
        self.particles.append(Particle("embryo", path, radius, born))

    def _mover(self) -> None:
        rng, r = self._rng, self.radius_px
        step = r * np.exp(rng.uniform(np.log(0.06), np.log(0.9)))
        moves = rng.normal(0, step, (FRAMES, 2))
        kind, start = rng.random(), rng.uniform(10, SIDE - 10, 2)
        if kind < 0.12:  # on a leash
            path = np.zeros((FRAMES, 2))
            for t in range(1, FRAMES):
                path[t] = 0.97 * path[t - 1] + 0.5 * moves[t]
        elif kind < 0.24:  # straight on
            way = rng.normal(0, 0.12 * r, 2)
            path = np.cumsum(0.3 * moves + way, axis=0)
        elif kind < 0.36:  # held up now and then
            stuck = ndimage.gaussian_filter1d(rng.standard_normal(FRAMES), 15)
            path = np.cumsum(moves * (stuck > 0)[:, None], axis=0)
        else:
            path = np.cumsum(moves, axis=0)
        size = r * rng.uniform(0.8, 2.2)
        path = np.abs((start + path) % (2 * SIDE) - SIDE)
        self.particles.append(Particle("mover", path, lambda _: size))

    def _events(self) -> None:
        rng = self._rng
        self.bubbles = [
            (rng.uniform(20, SIDE - 20, 2), rng.uniform(30, FRAMES - 30),
             rng.uniform(15, 60), rng.uniform(8, 30), rng.uniform(0.04, 0.16))
            for _ in range(rng.integers(0, 3))
        ]  # fmt: skip
        self.steps = [
            (rng.uniform(0, SIDE, 2), rng.uniform(30, FRAMES - 10),
             rng.uniform(2, 20), rng.uniform(40, 160), rng.normal(0, 0.07))
            for _ in range(rng.integers(0, 3))
        ]  # fmt: skip

    def frames(self) -> Iterator[Array]:
        """Yield (SIDE, SIDE) uint16 counts."""
        rng = np.random.default_rng([self.seed, 42])
        axis = np.linspace(-1, 1, SIDE)
        light = 1 - 0.12 * (axis[:, None] ** 2 + axis[None] ** 2) / 2
        for t in range(FRAMES):
            passed = ndimage.gaussian_filter(np.exp(self._log(t)), 0.7)
            yield rng.poisson(passed * light * self.dose * self.flicker[t]).astype("u2")

    def _log(self, t: int) -> Array:
        size = SIDE + 2 * _EXTRA
        dy, dx = self.drift[t]
        phase = np.exp(-2j * np.pi * dy * fft.fftfreq(size))[:, None]
        phase = phase * np.exp(-2j * np.pi * dx * fft.rfftfreq(size))
        image = fft.irfft2(self._texture * phase, s=(size, size))
        log = np.array(image[_EXTRA:-_EXTRA, _EXTRA:-_EXTRA], np.float32)
        y, x = np.arange(SIDE) - dy, np.arange(SIDE) - dx
        for ky, kx, start, speed in self._waves:
            wave = np.cos((ky * y + start + speed * t)[:, None] + kx * x)
            log += np.float32(self._liquid) * wave.astype(np.float32)
        for particle in self.particles:
            self._draw(log, particle, t)
        for place, born, life, size, amount in self.bubbles:
            part = (t - born) / life
            if 0 < part < 1:
                away = np.hypot(y[:, None] - place[0], x - place[1])
                away = away - size * np.sqrt(np.sin(np.pi * part))
                bright = 0.5 * (1 - np.tanh(away / 1.5))
                log += amount * (bright - 0.5 * np.exp(-(((away - 2) / 1.5) ** 2)))
        for place, at, ramp, width, amount in self.steps:
            away = (y[:, None] - place[0]) ** 2 + (x - place[1]) ** 2
            share = 1 / (1 + np.exp(np.clip(-4 * (t - at) / ramp, -50, 50)))
            log += amount * share * np.exp(-away / (2 * width**2))
        return log

    def _draw(self, log: Array, particle: Particle, t: int) -> None:
        radius = particle.radius(t)
        if radius <= 0:
            return
        y, x = particle.path[t] + self.drift[t]
        reach = int(radius) + 3
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        part = log[top : int(y) + reach + 1, left : int(x) + reach + 1]
        fine = (np.arange(3 * max(part.shape, default=0)) - 1) / 3
        rows, columns = (
            fine[: 3 * part.shape[0]] + top,
            fine[: 3 * part.shape[1]] + left,
        )
        inside = radius**2 - (rows[:, None] - y) ** 2 - (columns - x) ** 2
        thick = 2 * np.sqrt(np.clip(inside, 0, None))
        if particle.flat:
            thick = np.where(inside > 0, particle.flat * radius, 0.0)
        mean = thick.reshape(part.shape[0], 3, part.shape[1], 3).mean(axis=(1, 3))
        part -= (self.absorbance * mean).astype(np.float32)

    def truth_of(self, t: int, y: float, x: float) -> tuple[str, int]:
        """Return what is at a place, px of frame 0, and its number; or ("none", -1)."""
        found, least = ("none", -1), np.inf
        for k, particle in enumerate(self.particles):
            away = float(np.hypot(*(particle.path[t] - (y, x))))
            radius, nucleus = particle.radius(t), particle.kind == "nucleus"
            reach = max(2.0, 1.2 * radius / self.radius_px) * self.radius_px
            if particle.born <= t and away <= reach and (nucleus or least > 0):
                rank = -1.0 if nucleus else away
                if rank < least:
                    found, least = (particle.kind, k), rank
        return found
