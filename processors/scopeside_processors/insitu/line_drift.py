"""How the specimen drifted while one image was scanned, line by line.

The lines of a scan are taken one after the other, so that drift shears and bends the
image. Each line is compared with a template, the drift-corrected mean of the scans
before, and the lines are held together by a walk: a step from line to line is as large
as steps have been so far. Neither the lines alone (too few counts) nor the whole image
(no bend) can tell.

1. Bundles of 16 lines are correlated with the template over a window of drifts, and the
   best path through the windows is found (Viterbi), so that a bend of many pixels or a
   jump in mid-scan is not mistaken for the next atom column.
2. From there, each line's likelihood is made a parabola by its slope down and across
   the template, and a Kalman smoother over all lines finds the path; a few times over.
   The variance of a step follows by expectation-maximisation.
"""

# ruff: noqa: PLR0917 - the steps of one search share what they work on

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from scopeside_processors.kernels.lines import compare_lines, smooth_walk

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

BUNDLE = 16
"""Lines that are searched for together."""
_ROUNDS = 6
_START = 4.0
"""Variance of the first line about what was expected, px²."""
_LEAST_WALK, _MOST_WALK = 1e-6, 4.0
"""Variance of a step, px²."""
JUMP = 20.0
"""What a jump costs: its likelihood must be e²⁰ times that of no jump."""
TRUST = 100.0
"""How much a comparison can say, nats: a template is never quite what is scanned, and
in good light the misfit alone would send a crystal's lines to the next atom column. A
jump has to match better by a fifth."""
_STEPS = 5
"""Rounds of expectation and maximisation for each new slope."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """What lines are compared with: (3, rows, columns) float32, and its spectrum.

    Attributes
    ----------
    images
        The mean of earlier scans without what is noise in it, and its slopes.
    spectrum
        (rows, frequencies) complex64, of each line.
    energy
        (rows,) float64, sum of the squares of each line, less its mean.
    known
        (rows,) float64, share of each line that was ever scanned.
    """

    images: Float32Array
    spectrum: npt.NDArray[np.complex64]
    energy: FloatArray
    known: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LineDrift:
    """What was found of one scan.

    Attributes
    ----------
    drift : (rows, 2) float64 px, towards larger rows and columns, from the template
    covariance : (rows, 2, 2) float64 px²
    whole : (2, 2) float64 px², covariance of the scan as a whole
    noise : variance of a pixel about the template, counts²
    walk : variance of a step from line to line, px²
    gain : how much more likely the lines are with the template than without, nats
    """

    drift: FloatArray
    covariance: FloatArray
    whole: FloatArray
    noise: float
    walk: float
    gain: float


def template_of(
    mean: Float32Array,
    noise: float | None = None,
    seen: npt.NDArray[np.bool_] | None = None,
) -> Template:
    """Return a template without what is noise in it.

    Parameters
    ----------
    mean : (rows, columns) float32, a mean of scans
    seen : the same shape, which pixels of it were ever scanned; None for all
    noise : variance of a pixel of it, or None: the floor of its own spectrum then

    Notes
    -----
    Wiener's filter: each frequency keeps the share of its power, smoothed over 7 × 7
    frequencies, that is above the noise. What noise alone would give by chance (its
    mean and two standard deviations) is taken for noise.
    """
    whole = seen is None or bool(seen.all())
    level = mean - (mean if whole else mean[seen]).mean(dtype=np.float64)
    if seen is not None:
        level = np.where(seen, level, 0)
    spectrum = scipy.fft.rfft2(level.astype(np.float32), workers=1)
    power = (np.abs(spectrum) ** 2).astype(np.float32)
    power[0, 0] = 0
    # Along the columns it is half a spectrum: its edge is mirrored, not wrapped.
    smooth = scipy.ndimage.uniform_filter(power, 7, mode=("wrap", "mirror"))
    floor = mean.size * noise if noise is not None else _floor(smooth)
    share = np.maximum(0, 1 - (1 + 2 / 7) * floor / np.maximum(smooth, 1e-30))
    spectrum *= share.astype(np.float32)
    clean = scipy.fft.irfft2(spectrum, s=mean.shape, workers=1).astype(np.float32)
    down, across = (_slope(clean, axis) for axis in (0, 1))
    lines = clean - clean.mean(axis=1, keepdims=True)
    return Template(
        np.stack([clean, down, across]),
        scipy.fft.rfft(lines, axis=1, workers=1),
        np.sum(lines**2, axis=1, dtype=np.float64),
        np.ones(len(mean)) if seen is None else seen.mean(axis=1),
    )


def _floor(power: Float32Array) -> float:
    """Return the power of white noise: the least that the highest frequencies have."""
    rows, columns = power.shape
    fast = np.abs(scipy.fft.fftfreq(rows)) > 0.35
    high = power[fast, : max(1, columns - 3)]
    other = power[:, int(0.7 * columns) : max(1, columns - 3)]
    return float(min(np.median(part) for part in (high, other) if part.size))


def _slope(image: Float32Array, axis: int) -> Float32Array:
    """Return the derivative along `axis`, exact to the fourth order."""
    weights = np.array([1, -8, 0, 8, -1], np.float32) / 12
    found: Float32Array = scipy.ndimage.correlate1d(
        image, weights, axis=axis, mode="nearest"
    )
    return found


def line_drift(
    frame: Float32Array,
    template: Template,
    expected: FloatArray,
    walk: float,
    reach: int = 8,
) -> LineDrift:
    """Return the drift of each line of a scan from the template.

    Parameters
    ----------
    frame : (rows, columns) float32, of the same mean as the template's was
    template : as `template_of` gives it
    expected : (rows, 2) px, the path that drift is expected on
    walk : variance of a step about the expected one, px²
    reach : how far from the expected path is searched, px

    Returns
    -------
    LineDrift
        Lines that show nothing have the drift that their neighbours tell, with a
        covariance that says so.
    """
    frame = frame - frame.mean(axis=1, keepdims=True)
    noise = _first_noise(frame, template)
    path = expected
    if reach:
        path = expected + _coarse(frame, template, expected, noise, walk, reach)
    return _fine(frame, template, expected, path, noise, walk)


def _first_noise(frame: Float32Array, template: Template) -> float:
    power = float(np.mean(frame**2, dtype=np.float64))
    known = float(template.energy.sum()) / frame.size
    return max(power - known, 0.1 * power, 1e-12)


def _coarse(
    frame: Float32Array,
    template: Template,
    expected: FloatArray,
    noise: float,
    walk: float,
    reach: int,
) -> FloatArray:
    """Return (rows, 2) px, how far the best path through all bundles is from that."""
    rows = len(frame)
    spectrum = scipy.fft.rfft(frame, axis=1, workers=1)
    edges = np.arange(0, max(rows - BUNDLE // 2, 1), BUNDLE)
    edges = np.append(edges, rows)
    middles = (edges[1:] + edges[:-1] - 1) / 2
    maps = []
    for first, stop in itertools.pairwise(edges):
        near = np.rint(expected[first:stop].mean(axis=0)).astype(int)
        pair = spectrum[first:stop], np.arange(first, stop)
        found = _likelihood(*pair, template, near, reach, frame.shape[1]) / noise
        found = best_nearby(found)
        maps.append(found / (1 + max(found.max(), 0) / TRUST))
    # A path is searched on whole pixels: what is below is left to the fine search.
    best = _viterbi(maps, max(walk * BUNDLE, 0.25))
    near = np.array(
        [
            np.rint(expected[a:b].mean(axis=0)) - expected[a:b].mean(axis=0)
            for a, b in itertools.pairwise(edges)
        ]
    )
    away = best - reach + near
    lines = np.arange(rows)
    return np.stack([np.interp(lines, middles, away[:, k]) for k in (0, 1)], axis=1)


def _likelihood(
    lines: npt.NDArray[np.complex64],
    rows: npt.NDArray[np.int64],
    template: Template,
    near: npt.NDArray[np.int64],
    reach: int,
    width: int,
) -> FloatArray:
    """Return (2·reach + 1, 2·reach + 1) counts²: log-likelihood times the noise."""
    offsets = np.arange(-reach, reach + 1)
    at = rows[None, :] - near[0] - offsets[:, None]
    there = (at >= 0) & (at < len(template.energy))
    at = np.where(there, at, 0)
    other = template.spectrum[at] * there[:, :, None]
    product = np.einsum("rk,ork->ok", lines, other.conj())
    found = scipy.fft.irfft(product, n=width, axis=1, workers=1)
    energy = np.sum(template.energy[at] * there, axis=1)
    window: FloatArray = found[:, (near[1] + offsets) % width].astype(np.float64)
    window -= energy[:, None] / 2
    # Lines that lie where nothing was scanned before speak for no place and against
    # none: without this, a crystal at the edge would be moved by a column, inwards.
    known = (np.sum(template.known[at] * there, axis=1) / len(rows))[:, None]
    best = float(np.where(known >= 0.5, window / np.maximum(known, 0.5), 0).max())
    window += (1 - known) * best
    return window


def best_nearby(found: FloatArray) -> FloatArray:
    """Return the best value within half a pixel of each place, from its neighbours."""
    best: FloatArray = found.copy()
    for axis in (0, 1):
        line = np.moveaxis(found, axis, 0)
        slope = (line[2:] - line[:-2]) / 2
        bend = np.minimum(line[2:] - 2 * line[1:-1] + line[:-2], -1e-12)
        step = np.clip(-slope / bend, -0.5, 0.5)
        np.moveaxis(best, axis, 0)[1:-1] += slope * step + bend * step**2 / 2
    return best


def _viterbi(maps: list[FloatArray], variance: float) -> FloatArray:
    """Return (bundles, 2), where in each map the most likely path goes."""
    n = len(maps[0])
    away = np.subtract.outer(np.arange(n), np.arange(n)) ** 2 / (2 * variance)
    score = maps[0]
    back = []
    for found in maps[1:]:
        # The best place before, first down, then across; or from anywhere by a jump.
        down = score[None, :, :] - away[:, :, None]
        from_row = down.argmax(axis=1)
        best = down.max(axis=1)
        across = best[:, None, :] - away[None, :, :]
        from_column = across.argmax(axis=2)
        kept = across.max(axis=2)
        row = np.take_along_axis(from_row, from_column, axis=1)
        origin = row * n + from_column
        top = int(score.argmax())
        jumped = kept < score.flat[top] - JUMP
        back.append(np.where(jumped, top, origin))
        score = np.where(jumped, score.flat[top] - JUMP, kept) + found
    place = int(score.argmax())
    path = [place]
    for origin in reversed(back):
        place = int(origin.flat[place])
        path.append(place)
    return np.stack(np.divmod(np.array(path[::-1]), n), axis=1).astype(np.float64)


def _fine(
    frame: Float32Array,
    template: Template,
    expected: FloatArray,
    path: FloatArray,
    noise: float,
    walk: float,
) -> LineDrift:
    rows = len(frame)
    scores, matrices = np.empty((rows, 2)), np.empty((rows, 3))
    rest, covariance = np.empty((rows, 2)), np.empty((rows, 3))
    path = path.copy()
    for _ in range(_ROUNDS):
        compare_lines(frame, template.images, path, scores, matrices, rest)
        noise, each = _noise_of(rest, noise)
        information = matrices / each[:, None]
        y, x = path.T
        pull = scores / each[:, None]
        pull[:, 0] += information[:, 0] * y + information[:, 1] * x
        pull[:, 1] += information[:, 1] * y + information[:, 2] * x
        for _ in range(_STEPS):
            walk = smooth_walk(
                information, pull, expected, _START, walk, path, covariance
            )
            walk = min(max(walk, _LEAST_WALK), _MOST_WALK)
    full = covariance[:, [0, 1, 1, 2]].reshape(rows, 2, 2)
    gain = _gain(frame, rest, each)
    return LineDrift(path, full, _whole(information), noise, walk, gain)


def _whole(information: FloatArray) -> FloatArray:
    """Return the covariance of one drift that all lines share."""
    total = information.sum(axis=0)[[0, 1, 1, 2]].reshape(2, 2)
    least = np.eye(2) / _START
    found: FloatArray = np.linalg.inv(total + least)
    return found


def _noise_of(rest: FloatArray, before: float) -> tuple[float, FloatArray]:
    """Return the variance of a pixel, and of one of each line: bad lines have more."""
    known = rest[:, 1] > 0
    if not known.any():
        return before, np.full(len(rest), before)
    of_line = rest[known, 0] / rest[known, 1]
    noise = max(float(np.median(of_line)), 1e-12)
    each = np.full(len(rest), noise)
    each[known] = np.maximum(of_line, noise)
    return noise, each


def _gain(frame: Float32Array, rest: FloatArray, each: FloatArray) -> float:
    """Return the log-likelihood of the lines less that of lines without a template."""
    known = rest[:, 1] > 0
    alone = np.mean(frame**2, axis=1, dtype=np.float64) * rest[:, 1]
    return float(np.sum((alone - rest[:, 0])[known] / each[known]) / 2)
