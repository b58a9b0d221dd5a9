"""How well and how fast motion and growth are measured, against what can be.

    python bench/insitu_laws.py [--tracks 400] [--only diffusion …]

Tracks and radii are simulated (`tests/processors/walks.py`), always the same; other
ones than the kinds of motion were learnt from. Times are those of one thread's
processor, of a track or a series.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from tests.processors import walks  # noqa: E402

from scopeside.acquisition import Acquisition  # noqa: E402 - found by the lines above
from scopeside.batch import Batch  # noqa: E402
from scopeside.result import Result  # noqa: E402
from scopeside_processors.insitu.change_points import change_points  # noqa: E402
from scopeside_processors.insitu.diffusing import Diffusing  # noqa: E402
from scopeside_processors.insitu.diffusion import (  # noqa: E402
    blur_coefficient,
    bound,
    diffusion,
)
from scopeside_processors.insitu.growth_laws import growth_law  # noqa: E402
from scopeside_processors.insitu.kinetics import Kinetics  # noqa: E402
from scopeside_processors.insitu.motion import KINDS, motion  # noqa: E402
from scopeside_processors.insitu.size_distribution import (  # noqa: E402
    SHAPES,
    coarsening_density,
    size_distribution,
)
from scopeside_processors.insitu.steps import steps_of  # noqa: E402
from scopeside_processors.insitu.track import COLUMNS  # noqa: E402
from scopeside_processors.kernels.increments import POWER, step_covariance  # noqa: E402

Row = tuple[str, ...]
FloatArray = npt.NDArray[np.float64]


def diffusion_rows(tracks: int) -> list[Row]:
    """Return what, positions, error (px), bias, rms and bound (%), and µs."""
    found = []
    for n in (30, 100, 300):
        for error in (0.0, 0.5, 1.0):
            rng = np.random.default_rng([n, int(10 * error)])
            paths = [walks.brownian(n, rng, error) for _ in range(tracks)]
            steps = steps_of(paths[0])
            for method in ("likelihood", "covariance", "msd"):
                free = bound(steps, 1.0, error**2, blur_coefficient(1.0))
                d = _timed(diffusion, paths, method=method)
                found.append(_of_d(method, n, error, d, free))
            told = bound(steps, 1.0, error**2, blur_coefficient(1.0), known=True)
            d = _timed(diffusion, paths, localisation=error)
            found.append(_of_d("known error", n, error, d, told))
    return found


def _of_d(
    what: str, n: int, error: float, found: tuple[list[Any], float], least: float
) -> Row:
    values = np.array(found[0])
    bias, rms = values.mean() - 1, np.sqrt(np.mean((values - 1) ** 2))
    inside = np.mean([d.interval[0] < 1 < d.interval[1] for d in found[0]])
    shares = [f"{100 * share:.1f}" for share in (bias, rms, least)]
    ends = f"{rms / least:.2f}", f"{100 * inside:.0f}", f"{found[1]:.0f}"
    return (what, str(n), f"{error:.1f}", *shares, *ends)


def exponent_rows(tracks: int) -> list[Row]:
    """Return α, positions, error, bias, rms, bound, said error, and µs."""
    found = []
    for alpha in (0.5, 1.0, 1.5):
        for n in (100, 300):
            for error in (0.0, 0.5):
                rng = np.random.default_rng([n, int(10 * alpha), int(10 * error)])
                paths = [
                    walks.fractional(n, rng, error, alpha) for _ in range(tracks // 4)
                ]
                motions, took = _timed(motion, paths)
                values = np.array([m.alpha for m in motions])
                said = float(np.median([m.alpha_sigma for m in motions]))
                rms = np.sqrt(np.mean((values - alpha) ** 2))
                least = exponent_bound(alpha, error**2, n - 1)
                numbers = (values.mean() - alpha, rms, least, said)
                found.append(
                    (
                        f"{alpha:.1f}",
                        str(n),
                        f"{error:.1f}",
                        *(f"{number:.3f}" for number in numbers),
                        f"{took:.0f}",
                    )
                )
    return found


def exponent_bound(alpha: float, noise: float, steps: int) -> float:
    """Return the Cramér-Rao bound of α where K and the error are unknown too."""

    def covariance(a: float, v: float) -> FloatArray:
        first = step_covariance(POWER, a, v, 1.0, steps)
        lag = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        return first[lag]

    h, here = 1e-4, covariance(alpha, noise)
    slopes = [
        here,  # of log K, with the noise in units of it
        (covariance(alpha + h, noise) - covariance(alpha - h, noise)) / (2 * h),
        (covariance(alpha, noise + h) - covariance(alpha, noise)) / h,
    ]
    solved = [np.linalg.solve(here, slope) for slope in slopes]
    # Half the trace, for each of both coordinates.
    information = np.array([[float((a * b.T).sum()) for b in solved] for a in solved])
    return float(np.sqrt(np.linalg.inv(information)[1, 1]))


def kind_rows(tracks: int) -> list[Row]:
    """Return for each kind what it is taken for, in per cent."""
    rng = np.random.default_rng(2024)
    table = np.zeros((len(KINDS), len(KINDS)))
    said: list[float] = []
    right: list[bool] = []
    for k in range(3 * tracks):
        kind = k % len(KINDS)
        found = motion(walks.any_walk(rng, KINDS[kind]))
        assert found.kind is not None
        guess = KINDS.index(found.kind)
        table[kind, guess] += 1
        said.append(found.probabilities[found.kind])
        right.append(guess == kind)
    shares = 100 * table / table.sum(axis=1, keepdims=True)
    rows = [
        (kind, *(f"{share:.0f}" for share in row))
        for kind, row in zip(KINDS, shares, strict=True)
    ]
    return rows + _reliability(np.array(said), np.array(right))


def _reliability(said: FloatArray, right: npt.NDArray[np.bool_]) -> list[Row]:
    rows = []
    for low, high in ((0.2, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 0.95), (0.95, 1.01)):
        among = (said >= low) & (said < high)
        if among.any():
            mean, share = 100 * said[among].mean(), 100 * right[among].mean()
            text = f"says {mean:.0f}", f"right {share:.0f}", f"of {among.sum()}"
            rows.append((*text, *[""] * (len(KINDS) - 2)))
    return rows


def growth_rows(tracks: int) -> list[Row]:
    """Return for radii from 3 to 12 px ± 0.2 what is found of the law."""
    found = []
    laws = {"linear": 1.0, "parabolic": 1 / 2, "cubic": 1 / 3}
    for points in (30, 60, 120):
        for law, n in laws.items():
            t = np.linspace(10, 10 * 4 ** (1 / n), points)
            rng = np.random.default_rng([points, int(60 * n)])
            radii = [
                3 * (t / 10) ** n + rng.normal(0, 0.2, points) for _ in range(tracks)
            ]
            fits, took = _timed(lambda r, t=t: growth_law(t, r, 0.2), radii)
            exponents = np.array([g.laws["power"].exponent for g in fits])
            rms = np.sqrt(np.mean((exponents - n) ** 2))
            best = [g.best.law for g in fits]
            fixed = [max(laws, key=lambda k: g.laws[k].probability) for g in fits]
            rate = 3 ** (1 / n) / 10
            inside = [g.laws[law].rate_low < rate < g.laws[law].rate_high for g in fits]
            changed = [bool(change_points(t, r, 0.2)) for r in radii]
            bound_together = [
                bool(
                    change_points(t, 3 * (t / 10) ** n + _correlated(rng, points), 0.2)
                )
                for _ in range(tracks)
            ]
            shares = (
                np.mean([k == law for k in fixed]),
                np.mean([k == law for k in best]),
                np.mean(inside),
                np.mean(changed),
                np.mean(bound_together),
            )
            found.append(
                (
                    law,
                    str(points),
                    f"{exponents.mean() - n:+.3f}",
                    f"{rms:.3f}",
                    *(f"{100 * share:.0f}" for share in shares),
                    f"{took:.0f}",
                )
            )
    return found


def _correlated(rng: np.random.Generator, points: int) -> FloatArray:
    """Return errors of 0.2 px with a correlation of ½ from one to the next."""
    errors = rng.normal(0, 0.2, points)
    for k in range(1, points):
        errors[k] = 0.5 * errors[k - 1] + 0.75**0.5 * errors[k]
    return errors


def size_rows(tracks: int) -> list[Row]:
    """Return how often a distribution is told, and fails its own test at 5 %."""
    found = []
    u = np.linspace(0, 2.25, 4001)
    for shape in SHAPES:
        for n in (50, 200):
            rng = np.random.default_rng([n, len(shape)])
            if shape == "lognormal":
                radii = list(rng.lognormal(0, 0.3, (tracks // 4, n)))
            else:
                whole = np.cumsum(coarsening_density(u, shape))
                drawn = rng.uniform(size=(tracks // 4, n))
                radii = list(np.interp(drawn, whole / whole[-1], u))
            fits, took = _timed(size_distribution, radii)
            right = [max(f, key=lambda s: f[s].probability) == shape for f in fits]
            fails = [f[shape].p_value < 0.05 for f in fits]
            shares = (np.mean(right), np.mean(fails))
            texts = (f"{100 * share:.0f}" for share in shares)
            found.append((shape, str(n), *texts, f"{took:.0f}"))
    return found


def processor_rows(tracks: int) -> list[Row]:
    """Return ms a frame of 512² with 100 growing movers whose tracks are given."""
    n = max(tracks, 100)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[24:500:50, 24:500:50].reshape(2, -1)
    steps = rng.normal(0, 0.02, (n, 2, 100))
    places = np.stack([y, x]) + np.cumsum(steps, axis=0)
    frame = _spheres(rng, y, x)
    found = []
    about = Acquisition("bench", (512, 512), frame.dtype)
    for name, processor in (
        ("kinetics", Kinetics(about, Kinetics.Params(profile="track"))),
        ("kinetics, rims", Kinetics(about, Kinetics.Params())),
        ("diffusion", Diffusing(about, Diffusing.Params())),
    ):
        took = []
        for t in range(n):
            shared = {"tracks": [_tracks(t, places[t])]}
            batch = Batch(frame, np.array([t]), np.array([t]), shared=shared)
            began = time.thread_time()
            processor.process(batch)
            took.append(1e3 * (time.thread_time() - began))
        # The first half compiles, and its series are short.
        size = len(processor.snapshot()) / 1e6
        late = np.array(took[n // 2 :])
        quantiles = (f"{q:.1f}" for q in (*np.quantile(late, [0.5, 0.99]), size))
        found.append((name, *quantiles))
    return found


def _spheres(rng: np.random.Generator, y: FloatArray, x: FloatArray) -> FloatArray:
    rows, columns = np.mgrid[:512, :512]
    loss = np.zeros((512, 512))
    for row, column in zip(y, x, strict=True):
        d = np.hypot(rows - row, columns - column)
        loss += 0.5 * np.sqrt(np.maximum(1 - (d / 8) ** 2, 0))
    return rng.poisson(10 * np.exp(-loss))[None].astype(np.uint16)


def _tracks(frame: int, places: FloatArray) -> Result:
    table = np.zeros((places.shape[1], len(COLUMNS)))
    radius = np.full(places.shape[1], 7.0 + 0.005 * frame)
    said = {
        "id": np.arange(places.shape[1]),
        "y": places[0],
        "x": places[1],
        "measured_y": places[0],
        "measured_x": places[1],
        "seen": 1.0,
        "measured_radius": radius,
    }
    for name, values in said.items():
        table[:, COLUMNS.index(name)] = values
    return Result("tracks", table, frame=frame, meta={"columns": list(COLUMNS)})


def _timed(
    work: Callable[..., Any], items: list[FloatArray], **options: Any
) -> tuple[list[Any], float]:
    """Return what comes of all, and the time that one took, µs."""
    work(items[0], **options)
    began = time.thread_time()
    found = [work(item, **options) for item in items]
    return found, (time.thread_time() - began) / len(items) * 1e6


TABLES: dict[str, tuple[tuple[str, ...], Callable[[int], list[Row]]]] = {
    "diffusion": (
        ("method", "positions", "error px", "bias %", "rms %", "bound %", "ratio",
         "in interval %", "µs"),
        diffusion_rows,
    ),
    "exponent": (
        ("α", "positions", "error px", "bias", "rms", "bound", "said", "µs"),
        exponent_rows,
    ),
    "kinds": (("true kind", *KINDS), kind_rows),
    "growth": (
        ("law", "radii", "bias of n", "rms of n", "of 1, ½, ⅓ right %", "of all %",
         "rate in interval %", "false changes %", "correlated %", "µs"),
        growth_rows,
    ),
    "processors": (
        ("processor", "ms p50", "ms p99", "snapshot MB"),
        processor_rows,
    ),
    "sizes": (("shape", "radii", "right %", "rejected %", "µs"), size_rows),
}  # fmt: skip


def rows(tracks: int = 400) -> dict[str, list[Row]]:
    """Return the rows of all tables, by name."""
    return {name: make(tracks) for name, (_, make) in TABLES.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    said = parser.parse_args()
    for name in said.only:
        columns, make = TABLES[name]
        table = Table(*columns, title=name)
        for row in make(said.tracks):
            table.add_row(*row)
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
