"""Frames of a liquid cell, with everything about them known.

Particles nucleate at known times and places and grow by a known law, in a liquid of
uneven thickness that drifts under the beam; the camera adds flicker, shot noise and
hot pixels. Bright field: the particles are dark.

A point s of the specimen (pixels of frame 0, rows and columns) is seen in frame i at
``centre + zoom · (s + drift[i] + shift - centre)``, where shift and zoom come from
the microscope and are 0 and 1 in its nominal state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.params import Params
from scopeside.scan import IntArray
from scopeside_adapters.simulator.kernels import (
    absorb,
    draw_counts,
    poisson_tables,
    set_liquid,
)
from scopeside_adapters.simulator.state import State

Array = npt.NDArray[Any]
_WAVES = 4


class MovieParams(Params):
    """``[detector.movie]``: what happens in the liquid cell."""

    pixel_size_m: float = Field(0.4e-9, gt=0.0)
    """Size of a pixel on the specimen, m."""
    beam_energy_eV: float = Field(300e3, gt=0.0)  # noqa: N815 - the unit is eV
    """Beam energy, eV."""
    drift_px: tuple[float, float] = (0.02, -0.03)
    """Steady drift of the content per frame (down, right), pixels."""
    wander_px: float = Field(0.05, ge=0.0)
    """Standard deviation of a random step of the drift per frame, pixels."""
    jumps: int = Field(0, ge=0, le=1000)
    """Number of sudden jumps of the content."""
    jump_px: float = Field(10.0, ge=0.0)
    """Length of such a jump, pixels."""
    nuclei: int = Field(12, ge=0, le=10_000)
    """Number of particles that nucleate during the movie."""
    growth_px: float = Field(1.5, gt=0.0)
    """Radius of a particle in the frame of its birth, pixels."""
    growth_exponent: float = Field(0.5, ge=0.0, le=3.0)
    """Its radius grows as (frames since birth + 1) to this power: 1/2 for growth
    limited by diffusion, 1 by reaction."""
    largest_px: float = Field(30.0, gt=0.0)
    """Radius at which growth ends, pixels."""
    contrast: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the electrons that a particle takes away."""
    edge_px: float = Field(0.8, gt=0.0)
    """Standard deviation of the blur of its edge, pixels."""
    fiducials: int = Field(24, ge=0, le=10_000)
    """Small particles that are there from the start and never grow."""
    fiducial_px: float = Field(2.5, gt=0.0)
    """Their radius, pixels."""
    unevenness: float = Field(0.15, ge=0.0, le=0.9)
    """Largest relative deviation of the background from its mean."""
    flicker: float = Field(0.02, ge=0.0, le=0.3)
    """Standard deviation of the beam current from frame to frame, relative."""
    hot_pixels: int = Field(20, ge=0, le=100_000)
    """Number of pixels that count without a beam."""
    hot_counts: float = Field(50.0, ge=0.0, le=1e6)
    """What they count per frame on average."""


@dataclass(frozen=True, slots=True)
class MovieTruth:
    """What a movie was made from.

    Attributes
    ----------
    drift
        (frames, 2) displacement (dy, dx) of the content since frame 0, pixels.
    birth
        (nuclei,) int64, the first frame in which each is seen.
    nuclei
        (nuclei, 2) where (y, x) in the frame of the specimen, pixels.
    fiducials
        (fiducials, 2) likewise.
    flicker
        (frames,) beam current relative to nominal.
    hot_pixels
        (hot pixels, 2) int64, detector pixels (y, x).
    """

    drift: Array
    birth: IntArray
    nuclei: Array
    fiducials: Array
    flicker: Array
    hot_pixels: IntArray


class Movie:
    """Draws any frame of a movie.

    Parameters
    ----------
    params
        What happens.
    frames
        How long the movie is.
    frame_shape
        (height, width), pixels.
    seed
        For everything that is drawn by lot.
    nominal
        The state of the microscope that shifts and fields of view are relative to.
    """

    def __init__(
        self,
        params: MovieParams,
        frames: int,
        frame_shape: tuple[int, int],
        *,
        seed: int,
        nominal: State,
    ) -> None:
        self.frame_shape = frame_shape
        self.frames = frames
        rng = np.random.default_rng(seed)
        self._truth = _draw_truth(params, frames, frame_shape, rng)
        self._waves = _liquid(params, frame_shape, rng)
        self._params = params
        self._seed = np.uint64(seed)
        self._nominal = nominal

    def truth(self) -> MovieTruth:
        """Return what the movie is made from."""
        return self._truth

    def radii(self, frame: int) -> Array:
        """Return (nuclei,) radii in pixels of the specimen; 0 before birth."""
        age = np.maximum(frame - self._truth.birth + 1, 0)
        grown = self._params.growth_px * age.astype(float) ** (
            self._params.growth_exponent
        )
        return np.where(age > 0, np.minimum(grown, self._params.largest_px), 0.0)

    def shift_px(self, state: State) -> Array:
        """Return (dy, dx) by which the microscope displaces the content, pixels."""
        return np.array(state.content_shift_m) / self._params.pixel_size_m

    def electrons_per_px(self, state: State) -> float:
        """Return the expected counts of a pixel of mean thickness, without flicker."""
        pixel_A = state.fov_m / self.frame_shape[1] * 1e10  # noqa: N806 - Å
        return state.electrons_per_A2 * pixel_A**2

    def expected(self, frame: int, state: State | None = None) -> Array:
        """Return the expected counts (height, width) of a frame."""
        out = np.empty(self.frame_shape)
        self._set_expected(frame, self._nominal if state is None else state, out)
        return out

    def render(self, index: IntArray, out: Array, state: State) -> None:
        """Fill `out` (n, height, width) with the frames `index`, noise and all."""
        expected = np.empty(self.frame_shape)
        largest = np.iinfo(out.dtype).max
        for frame, pixels in zip(index.tolist(), out, strict=True):
            self._set_expected(frame, state, expected)
            draw_counts(expected, self._seed, frame, poisson_tables(), largest, pixels)

    def _set_expected(self, frame: int, state: State, out: Array) -> None:
        truth, params = self._truth, self._params
        zoom = self._nominal.fov_m / state.fov_m
        centre = (np.array(self.frame_shape) - 1) / 2
        moved = truth.drift[frame] + self.shift_px(state)
        level = self.electrons_per_px(state) * truth.flicker[frame]
        origin = centre - moved - centre / zoom
        set_liquid(out, level, self._waves, origin, zoom)
        places = np.concatenate([truth.fiducials, truth.nuclei])
        radii = np.concatenate(
            [
                np.full(len(truth.fiducials), params.fiducial_px),
                self.radii(frame),
            ]
        )
        for (y, x), radius in zip(
            (places - origin) * zoom, (radii * zoom).tolist(), strict=True
        ):
            if radius > 0:
                absorb(out, y, x, radius, params.contrast, params.edge_px * zoom)
        out[tuple(truth.hot_pixels.T)] += params.hot_counts


def _draw_truth(
    params: MovieParams,
    frames: int,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> MovieTruth:
    hot = rng.choice(
        shape[0] * shape[1], min(params.hot_pixels, shape[0] * shape[1]), replace=False
    )
    return MovieTruth(
        drift=_drift(params, frames, rng),
        birth=np.sort(
            rng.integers(frames // 10, max(frames * 8 // 10, 1), params.nuclei)
        ),
        nuclei=rng.uniform(0.1, 0.9, (params.nuclei, 2)) * shape,
        # They also lie beyond the edges, where drift and shifts will bring them in.
        fiducials=rng.uniform(-0.5, 1.5, (params.fiducials, 2)) * shape,
        flicker=np.maximum(0.1, 1 + params.flicker * rng.standard_normal(frames)),
        hot_pixels=np.stack(np.divmod(np.sort(hot), shape[1]), axis=1),
    )


def _drift(params: MovieParams, frames: int, rng: np.random.Generator) -> Array:
    steps = params.wander_px * rng.standard_normal((frames, 2)) + params.drift_px
    jumps = min(params.jumps, max(0, frames - 1))
    when = 1 + rng.choice(max(1, frames - 1), jumps, replace=False)
    angle = rng.uniform(0, 2 * np.pi, jumps)
    steps[when] += params.jump_px * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    steps[0] = 0.0
    drift: Array = np.cumsum(steps, axis=0)
    return drift


def _liquid(
    params: MovieParams, shape: tuple[int, int], rng: np.random.Generator
) -> Array:
    """Return the plane waves of the background, as `set_liquid` takes them."""
    amplitude = rng.uniform(0.5, 1.0, _WAVES)
    amplitude *= params.unevenness / amplitude.sum()
    turns = rng.uniform(0.3, 1.5, (_WAVES, 2)) * rng.choice([-1, 1], (_WAVES, 2))
    k = 2 * np.pi * turns / np.array(shape)
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    return np.column_stack([amplitude, k, phase])
