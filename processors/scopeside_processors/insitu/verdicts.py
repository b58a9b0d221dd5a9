"""Is a candidate a nucleus that grows? A probability from what was measured of it.

Boosted regression trees [1]_ on `features.NAMES`, trained on simulated movies by
``bench/train_verdicts.py``; the weights are in ``verdicts.npz`` beside this file.

References
----------
.. [1] J. H. Friedman, Annals of Statistics 29, 1189 (2001), doi:10.1214/aos/1013203451
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from scopeside_processors.insitu.features import NAMES
from scopeside_processors.kernels import trees

Array = npt.NDArray[Any]

_AT = {name: k for k, name in enumerate(NAMES)}
LEAST, MOST = 0.6, 0.995
"""Probabilities between which a nucleus is confirmed, whatever the rate of alarms."""


class Judge(Protocol):
    """Anything that turns measured numbers into a probability."""

    def probability(self, values: Array) -> float:
        """Return how likely ``values (len(NAMES),)`` are those of a nucleus."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted trees whose sum is the logarithm of the odds.

    Attributes
    ----------
    feature
        (trees, nodes) int16; -1 in a leaf.
    threshold, value
        (trees, nodes) float32; what is not more goes left. Values of leaves.
    left, right
        (trees, nodes) int16, the nodes that follow.
    missing_left
        (trees, nodes) bool: where an unknown number goes.
    prior
        Logarithm of the odds without any tree.
    alarms
        (k, 2) float64: probabilities to confirm at, and false alarms per hour and
        field at 25 frames/s among moving particles and all else that is no nucleus.
    """

    feature: Array
    threshold: Array
    value: Array
    left: Array
    right: Array
    missing_left: Array
    prior: float
    alarms: Array

    @classmethod
    @lru_cache(maxsize=1)
    def ours(cls) -> Self:
        """Return the trees of this package."""
        place = resources.files(__package__) / "verdicts.npz"
        with place.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            fields = {name: saved[name] for name in saved.files}
        fields["prior"] = float(fields["prior"])
        return cls(**fields)

    def probability(self, values: Array) -> float:
        """Return how likely ``values (len(NAMES),)`` are those of a nucleus."""
        odds = self.prior + trees.summed(
            values,
            self.feature,
            self.threshold,
            self.value,
            self.left,
            self.right,
            self.missing_left,
        )
        return 1.0 / (1.0 + math.exp(-min(max(odds, -30.0), 30.0)))

    def threshold_for(self, alarms_per_hour: float) -> float:
        """Return the probability to confirm at for so many false alarms."""
        rates = np.log(np.maximum(self.alarms[::-1, 1], 1e-3))
        levels = self.alarms[::-1, 0]
        level = float(np.interp(math.log(alarms_per_hour), rates, levels))
        return min(max(level, LEAST), MOST)


def reason_for(values: Array) -> str:
    """Return, in plain words, what ``values (len(NAMES),)`` look like if no nucleus."""

    def of(name: str) -> float:
        return float(np.nan_to_num(values[_AT[name]]))

    if of("walk_before_share") > 0.5 and of("moved_24") > 1.0:
        return "mover: it was elsewhere before"
    if of("old_here") > 0.7 and of("walk_before_share") > 0.5:
        return "present from the start"
    if of("sector_least") < -0.5 or of("lost_near") < -0.8:
        return "mover or bubble: its surroundings became brighter"
    if of("ring_4") > 0.5 and of("ring_2") > 0.5:
        return "broad change of contrast"
    if of("grows") < -3.0:
        return "lander: at full size from one frame to the next"
    if of("radius") < 1.0:
        return "embryo: never as large as a nucleus"
    return "no longer seen"
