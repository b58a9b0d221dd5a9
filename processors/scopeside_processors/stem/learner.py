"""What `cluster` learns on the way, frame by frame: components, and classes in them.

All of it is a function of the patterns in their order, whatever the batches: what is
to be learnt next, and when, is counted in frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from scopeside_processors.mixture import Mixture, Spread, fit
from scopeside_processors.stem.components import Components, Method, learn, transfer

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK = 64
"""Patterns that better the components at once."""
FAR = 6.0
"""A pattern is new when it is so many standard deviations further from the components
than those that they were learnt from."""
MOST_VERSIONS = 60
"""Components are bettered so often at most."""
SAMPLE = 1024
"""Patterns, spread over all that were seen, among which classes are found."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be learnt.

    Attributes
    ----------
    method, components
        See `stem.components.learn`.
    classes
        Their number, or the numbers among which BIC chooses.
    spread
        See `stem.mixture.fit`.
    first
        Patterns that the first components are learnt from.
    seed
        Of all that is drawn at random.
    """

    method: Method
    components: int
    classes: int | range
    spread: Spread
    first: int
    seed: int


class Learner:
    """Learns from patterns; says what each of them is in terms of what is known."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.seen = 0
        self.components: Components | None = None
        self.steps: list[tuple[FloatArray, FloatArray]] = []
        self.mixture: Mixture | None = None
        self.names = np.empty(0, np.int64)
        self._named = 0
        self._usual = np.zeros(2)
        self._waiting: list[FloatArray] = []
        self._sample = _Sample(plan.components)
        self._fit_at = 0

    @property
    def version(self) -> int:
        """How often the components have been bettered."""
        return len(self.steps)

    def begin(self, patterns: FloatArray) -> None:
        """Learn the first components from ``patterns (n, p)``."""
        plan = self._plan
        self.components = learn(patterns, plan.components, plan.method, plan.seed)
        _, rest = self.components.loadings(patterns)
        self._usual = np.array([rest.mean(), rest.std()])
        self._fit_at = len(patterns)

    def take(self, patterns: FloatArray) -> Iterator[tuple[FloatArray, int]]:
        """Yield (loadings, version) of patterns, in pieces, and learn from them."""
        at = 0
        while at < len(patterns):
            loads = self._piece(patterns[at:])
            yield loads, self.version
            at += len(loads)
            self._learn_if_due()

    def now(self, loadings: FloatArray, version: IntArray) -> FloatArray:
        """Return loadings (n, k), each of its version (n,), in the components now.

        Each version has as many as stand out; what is beyond them is 0.
        """
        assert self.components is not None
        number = len(self.components.shown)
        out = np.zeros((len(loadings), number))
        for known in np.unique(version):
            which = version == known
            rows = loadings[which]
            for turn, shift in self.steps[known:]:
                rows = _times(rows[:, : len(turn)], turn) + shift
                rows = rows if self.components.method == "pca" else rows.clip(0)
            out[which] = rows[:, :number]
        return out

    def classify(self, loadings: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the class of each of ``loadings (n, k)``, and its probability."""
        assert self.mixture is not None
        found, chance = self.mixture.classify(loadings)
        return self.names[found], chance

    # -- learning ---------------------------------------------------------------

    def _piece(self, patterns: FloatArray) -> FloatArray:
        """Take patterns until something is to be learnt; return their loadings."""
        assert self.components is not None
        patterns = patterns[: max(1, self._fit_at - self.seen)]
        loads, rest = self.components.loadings(patterns)
        count = self.seen + np.arange(len(patterns))
        if self.version < MOST_VERSIONS:
            # A block of patterns is looked at whenever their number has doubled.
            turn = count // self._plan.first
            block = (turn > 0) & (turn & (turn - 1) == 0)
            block &= count % self._plan.first < BLOCK
            mean, spread = self._usual
            new = rest > mean + FAR * max(spread, 1e-6 * abs(mean))
            chosen = np.flatnonzero(block | new)[: BLOCK - len(self._waiting)]
            self._waiting += [patterns[k].copy() for k in chosen]
            if len(self._waiting) == BLOCK:
                loads = loads[: chosen[-1] + 1]
        self._sample.add(count[: len(loads)], loads, self.version)
        self.seen += len(loads)
        return loads

    def _learn_if_due(self) -> None:
        bettered = len(self._waiting) >= BLOCK
        if not bettered and self.seen < self._fit_at:
            return
        assert self.components is not None
        before = None
        if self.mixture is not None:
            known = self.now(*self._sample.points())
            before = self.names[self.mixture.classify(known)[0]]
        if bettered:
            patterns = np.array(self._waiting)
            self._waiting = []
            old, self.components = self.components, self.components.bettered(patterns)
            self.steps.append(transfer(old, self.components))
            _, rest = self.components.loadings(patterns)
            # What is new stays strange to components that are too few: ask less of it.
            self._usual = np.maximum(self._usual, [np.median(rest), rest.std() / FAR])
        self._fit(before)
        while self._fit_at <= self.seen:
            self._fit_at += max(self._plan.first, self._fit_at // 2)

    def _fit(self, before: IntArray | None) -> None:
        """Find the classes anew; those that are still there keep their names."""
        assert self.components is not None
        plan, noise = self._plan, self.components.variance
        points = self.now(*self._sample.points())
        self.mixture = fit(points, plan.classes, plan.seed, plan.spread, noise)
        self.names = self._names(self.mixture.classify(points)[0], before)
        self._named = max(self._named, int(self.names.max()) + 1)

    def _names(self, label: IntArray, before: IntArray | None) -> IntArray:
        """Return names of the new classes: of the old one that each has most of."""
        assert self.mixture is not None
        number = len(self.mixture.share)
        if before is None:
            order = np.argsort(-self.mixture.share, kind="stable")
            names = np.empty(number, np.int64)
            names[order] = np.arange(number)
            return names
        shared = np.zeros((number, self._named), np.int64)
        np.add.at(shared, (label, before), 1)
        names = np.full(number, -1)
        for one, name in zip(*linear_sum_assignment(-shared), strict=True):
            if shared[one, name]:
                names[one] = name
        fresh = names < 0
        names[fresh] = self._named + np.arange(np.count_nonzero(fresh))
        return names

    # -- state ------------------------------------------------------------------

    def to_values(self) -> dict[str, Any]:
        """Return plain values, for `scopeside.state.pack`."""
        mixture = self.mixture
        return {
            "seen": self.seen,
            "components": self.components and self.components.to_values(),
            "steps": [list(step) for step in self.steps],
            "mixture": mixture and [mixture.share, mixture.mean, mixture.factor],
            "names": [self.names, self._named],
            "usual": self._usual,
            "waiting": self._waiting,
            "sample": self._sample.to_values(),
            "fit_at": self._fit_at,
        }

    def from_values(self, values: Mapping[str, Any]) -> None:
        """Take over what `to_values` gave."""
        self.seen = values["seen"]
        found = values["components"]
        self.components = found and Components.from_values(found)
        self.steps = [(turn, shift) for turn, shift in values["steps"]]
        mixture = values["mixture"]
        self.mixture = mixture and Mixture(*map(np.array, mixture))
        self.names, self._named = values["names"]
        self._usual = values["usual"]
        self._waiting = list(values["waiting"])
        self._sample.from_values(values["sample"])
        self._fit_at = values["fit_at"]


class _Sample:
    """Loadings of some patterns, spread over all that were seen.

    It holds every pattern whose count is a multiple of `every`, which doubles when
    there are twice `SAMPLE` of them.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._every = 1
        self._count: list[int] = []
        self._loads: list[FloatArray] = []
        self._version: list[int] = []

    def add(self, count: IntArray, loads: FloatArray, version: int) -> None:
        for k in np.flatnonzero(count % self._every == 0):
            self._count.append(int(count[k]))
            self._loads.append(np.pad(loads[k], (0, self._columns - loads.shape[1])))
            self._version.append(version)
        while len(self._count) > 2 * SAMPLE:
            self._every *= 2
            kept = [k for k, n in enumerate(self._count) if n % self._every == 0]
            self._count = [self._count[k] for k in kept]
            self._loads = [self._loads[k] for k in kept]
            self._version = [self._version[k] for k in kept]

    def points(self) -> tuple[FloatArray, IntArray]:
        return np.array(self._loads), np.array(self._version, np.int64)

    def to_values(self) -> list[Any]:
        if not self._count:
            return [self._every, [], [], []]
        return [self._every, self._count, np.array(self._loads), self._version]

    def from_values(self, values: list[Any]) -> None:
        self._every, self._count, loads, self._version = values
        self._loads = list(loads)


def _times(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return ``rows @ matrix``, with the same bits for any number of rows."""
    out = np.zeros((len(rows), matrix.shape[1]))
    for i in range(matrix.shape[0]):
        out += rows[:, i, None] * matrix[i]
    return out
