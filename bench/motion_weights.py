"""Learns how probable each kind of motion is, given the likelihoods of all.

    python bench/motion_weights.py [tracks]

Simulates tracks of all kinds (`tests/processors/walks.py`), fits a multinomial logistic
regression to their features, says how well its probabilities hold on other tracks, and
writes `processors/scopeside_processors/insitu/motion_weights.py`. Takes a minute per
3000 tracks; the same tracks give the same weights.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / part) for part in ("engine", "processors"))]

from tests.processors.walks import any_walk  # noqa: E402

from scopeside_processors.insitu import motion  # noqa: E402 - found by the line above

FloatArray = npt.NDArray[np.float64]
TARGET = ROOT / "processors/scopeside_processors/insitu/motion_weights.py"
RIDGE = 1e-4
"""Punishes large weights."""


def simulated(tracks: int, seed: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the features (n, 16) of so many tracks, and the numbers of their kinds."""
    rng = np.random.default_rng([seed, 5])
    kinds = np.arange(tracks) % len(motion.KINDS)
    rows = [
        motion.features(motion.fits_of(any_walk(rng, motion.KINDS[kind])))
        for kind in kinds
    ]
    return np.array(rows), kinds


def learnt(features: FloatArray, kinds: npt.NDArray[np.int64]) -> FloatArray:
    """Return the weights (16, 6) of a regression."""
    truth = np.eye(len(motion.KINDS))[kinds]

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(-1, truth.shape[1])
        shares = probabilities(features, weights)
        lost = -float((truth * np.log(shares + 1e-12)).sum()) / len(kinds)
        slope = features.T @ (shares - truth) / len(kinds) + 2 * RIDGE * weights
        return lost + RIDGE * float((flat**2).sum()), slope.ravel()

    start = np.zeros(features.shape[1] * truth.shape[1])
    options = {"maxiter": 3000}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return np.round(found.x.reshape(-1, truth.shape[1]), 3)


def probabilities(features: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (n, 6)."""
    scores = features @ weights
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: FloatArray = shares / shares.sum(axis=1, keepdims=True)
    return found


def calibration(
    shares: FloatArray, kinds: npt.NDArray[np.int64]
) -> list[tuple[float, float, int]]:
    """Return what is said of the likeliest kind, how often it is right, of how many."""
    said, right = shares.max(axis=1), shares.argmax(axis=1) == kinds
    edges = (0.2, 0.5, 0.7, 0.85, 0.95, 1.01)
    rows = []
    for low, high in pairwise(edges):
        among = (said >= low) & (said < high)
        if among.any():
            mean = float(said[among].mean())
            rows.append((mean, float(right[among].mean()), int(among.sum())))
    return rows


def module_of(weights: FloatArray) -> str:
    """Return the text of the module that holds the weights."""
    lines = [f"    ({', '.join(f'{w:g}' for w in row)})," for row in weights]
    return "\n".join(
        [
            '"""Weights of the kinds of motion; written by bench/motion_weights.py."""',
            "",
            "WEIGHTS: tuple[tuple[float, ...], ...] = (",
            *lines,
            ")",
            '"""(16, 6): a row a feature (`motion.features`), a column a kind."""',
            "",
        ]
    )


def main(tracks: int) -> None:
    """Learn, write, and print how well the probabilities hold."""
    weights = learnt(*simulated(tracks, seed=0))
    TARGET.write_text(module_of(weights), encoding="utf-8")
    features, kinds = simulated(tracks // 3, seed=1)
    shares = probabilities(features, weights)
    for said, right, of in calibration(shares, kinds):
        print(f"says {said:.2f}, right {right:.2f} of {of}")
    table = np.zeros((len(motion.KINDS),) * 2)
    np.add.at(table, (kinds, shares.argmax(axis=1)), 1)
    for kind, row in zip(motion.KINDS, table, strict=True):
        print(f"{kind:12}", *(f"{share:5.2f}" for share in row / row.sum()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9000)
