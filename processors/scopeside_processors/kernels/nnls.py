"""Weighted least squares with coefficients that are not negative, many times over.

One curve a frame, the same few components for all: the normal equations are small, and
an active set over them takes microseconds.
"""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_TINY = 1e-13
"""What of a component is not in the others, squared, relative to the whole of it, below
which it counts as a combination of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What curves are made of.

    Attributes
    ----------
    amount
        (n, p) float64, of each component; not negative unless it is free.
    covariance
        (n, p, p) float64, of those that are not zero, for weights that are the inverse
        variance; of one that is zero, the variance it would have beside them.
    residual
        (n,) float64: weighted squares of what is left, per degree of freedom; NaN where
        there is none.
    """

    amount: FloatArray
    covariance: FloatArray
    residual: FloatArray


def unmix(
    curves: FloatArray,
    pixels: FloatArray,
    components: FloatArray,
    free: BoolArray,
    *,
    rounds: int,
) -> Mixture:
    """Return what each curve is made of.

    Parameters
    ----------
    curves : (n, m) float64, counts per pixel; not used where `pixels` is 0
    pixels : (n, m) float64, how many pixels each point is a mean of
    components : (m, p) float64
    free : (p,) bool, the components that may be negative
    rounds : how often the weights are taken anew from the fit. In the first fit they
        are `pixels`; from then on the inverse of the variance that Poisson statistics
        give the fitted curve, of at least one count in each point.

    Notes
    -----
    Fast non-negative least squares [1]_, with free components in the active set from
    the beginning, and one step of refinement with the residual of the curve itself, as
    normal equations alone would lose half of the digits. Weights from the fit rather
    than from the counts do not favour points that have few of them by chance.

    References
    ----------
    .. [1] R. Bro, S. de Jong, J. Chemometrics 11, 393 (1997),
       doi:10.1002/(SICI)1099-128X(199709/10)11:5<393::AID-CEM483>3.0.CO;2-L
    """
    n, p = len(curves), components.shape[1]
    found = Mixture(np.zeros((n, p)), np.zeros((n, p, p)), np.full(n, np.nan))
    # To columns of unit length, so that what is small is small for all of them.
    length = np.sqrt((components**2).sum(axis=0))
    unit = np.ascontiguousarray(components / np.where(length > 0, length, 1))
    _unmix(
        np.ascontiguousarray(curves),
        np.ascontiguousarray(pixels),
        unit,
        free,
        rounds,
        found.amount,
        found.covariance,
        found.residual,
    )
    scale = np.where(length > 0, length, np.inf)
    return Mixture(
        found.amount / scale,
        found.covariance / (scale[:, None] * scale),
        found.residual,
    )


@lru_cache
def warm() -> None:
    """Compile (or load from the cache) what `unmix` needs."""
    one = np.ones((1, 2))
    unmix(one, one, np.ones((2, 1)), np.zeros(1, np.bool_), rounds=1)


@numba.njit(nogil=True, cache=True)
def _factor(gram: Array, chosen: Array, count: int, lower: Array) -> int:
    """Factor the part of `gram` that is chosen; return how many of it are independent.

    Cholesky, in place of the first rows and columns of `lower`.
    """
    for i in range(count):
        for j in range(i + 1):
            total = gram[chosen[i], chosen[j]]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                if not total > _TINY * gram[chosen[i], chosen[i]]:
                    return i
                lower[i, i] = np.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    return count


@numba.njit(nogil=True, cache=True)
def _solve(lower: Array, count: int, right: Array) -> None:
    """Solve with the factor, `right` in place."""
    for i in range(count):
        for k in range(i):
            right[i] -= lower[i, k] * right[k]
        right[i] /= lower[i, i]
    for i in range(count - 1, -1, -1):
        for k in range(i + 1, count):
            right[i] -= lower[k, i] * right[k]
        right[i] /= lower[i, i]


@numba.njit(nogil=True, cache=True)
def _choose(active: Array, chosen: Array) -> int:
    count = 0
    for j in range(active.size):
        if active[j]:
            chosen[count] = j
            count += 1
    return count


@numba.njit(nogil=True, cache=True)
def _trial(
    gram: Array, right: Array, active: Array, chosen: Array, lower: Array, trial: Array
) -> bool:
    """Solve for the active components alone; whether they are independent."""
    count = _choose(active, chosen)
    if _factor(gram, chosen, count, lower) < count:
        return False
    for i in range(count):
        trial[i] = right[chosen[i]]
    _solve(lower, count, trial)
    return True


@numba.njit(nogil=True, cache=True)
def _fit(
    gram: Array,
    right: Array,
    free: Array,
    amount: Array,
    active: Array,
    chosen: Array,
    lower: Array,
    trial: Array,
    barred: Array,
) -> None:
    """Find the amounts that `gram` and `right` ask for, and which are active."""
    p = amount.size
    amount[:] = 0
    active[:] = False
    barred[:] = False
    most = 0.0
    for j in range(p):
        most = max(most, abs(right[j]))
    # Free ones are in from the beginning, each if it is not one of those before.
    for j in range(p):
        if free[j]:
            active[j] = True
            if not _trial(gram, right, active, chosen, lower, trial):
                active[j] = False
            barred[j] = True
    if _trial(gram, right, active, chosen, lower, trial):
        for i in range(_choose(active, chosen)):
            amount[chosen[i]] = trial[i]
    for _ in range(10 * p):
        best, steepest = -1, 1e-14 * most
        for j in range(p):
            if active[j] or barred[j]:
                continue
            slope = right[j]
            for k in range(p):
                slope -= gram[j, k] * amount[k]
            if slope > steepest:
                best, steepest = j, slope
        if best < 0:
            return
        active[best] = True
        if not _trial(gram, right, active, chosen, lower, trial):
            active[best], barred[best] = False, True
            continue
        if not _step(gram, right, free, amount, active, chosen, lower, trial):
            barred[best] = True  # rounding: it would be taken out and in for ever
        elif active[best]:
            for j in range(p):
                barred[j] = free[j]


@numba.njit(nogil=True, cache=True)
def _step(
    gram: Array,
    right: Array,
    free: Array,
    amount: Array,
    active: Array,
    chosen: Array,
    lower: Array,
    trial: Array,
) -> bool:
    """Go towards `trial` until nothing is negative; whether anything has changed."""
    moved = False
    for _ in range(amount.size + 1):
        count = _choose(active, chosen)
        share, first = 1.0, -1
        for i in range(count):
            j = chosen[i]
            if not free[j] and trial[i] <= 0:
                part = amount[j] / (amount[j] - trial[i]) if amount[j] > 0 else 0.0
                if part < share or first < 0:
                    share, first = part, j
        for i in range(count):
            change = share * (trial[i] - amount[chosen[i]])
            moved |= change != 0
            amount[chosen[i]] += change
        if first < 0:
            return moved
        for i in range(count):
            j = chosen[i]
            if not free[j] and (j == first or (trial[i] <= 0 and amount[j] <= 0)):
                amount[j], active[j] = 0.0, False
        if not _trial(gram, right, active, chosen, lower, trial):
            return moved
    return moved


@numba.njit(nogil=True, cache=True)
def _refine(
    curve: Array,
    weight: Array,
    components: Array,
    amount: Array,
    chosen: Array,
    count: int,
    lower: Array,
    free: Array,
    left: Array,
) -> None:
    """Correct the amounts once by what the curve itself leaves."""
    left[:] = 0
    for k in range(curve.size):
        rest = curve[k]
        for i in range(count):
            rest -= components[k, chosen[i]] * amount[chosen[i]]
        for i in range(count):
            left[i] += weight[k] * components[k, chosen[i]] * rest
    _solve(lower, count, left)
    for i in range(count):
        j = chosen[i]
        if free[j] or amount[j] + left[i] > 0:
            amount[j] += left[i]


@numba.njit(nogil=True, cache=True)
def _spread(
    gram: Array, active: Array, chosen: Array, lower: Array, trial: Array, out: Array
) -> None:
    """Fill in the covariance."""
    count = _choose(active, chosen)
    if _factor(gram, chosen, count, lower) < count:
        out[:] = np.nan
        return
    for column in range(count):
        trial[:count] = 0
        trial[column] = 1
        _solve(lower, count, trial)
        for i in range(count):
            out[chosen[i], chosen[column]] = trial[i]
    for j in range(active.size):
        if active[j]:
            continue
        # Last in the factor, its variance is one over the last pivot squared.
        chosen[count] = j
        whole = _factor(gram, chosen, count + 1, lower) == count + 1
        out[j, j] = 1 / lower[count, count] ** 2 if whole else np.nan


@numba.njit(nogil=True, cache=True)
def _unmix(
    curves: Array,
    pixels: Array,
    components: Array,
    free: Array,
    rounds: int,
    amounts: Array,
    covariances: Array,
    residuals: Array,
) -> None:
    m, p = components.shape
    gram, lower = np.zeros((p, p)), np.zeros((p, p))
    right, trial, left = np.zeros(p), np.zeros(p), np.zeros(p)
    active, barred = np.zeros(p, np.bool_), np.zeros(p, np.bool_)
    chosen = np.zeros(p, np.int64)
    weight, curve = np.zeros(m), np.zeros(m)
    for f in range(curves.shape[0]):
        amount = amounts[f]
        for k in range(m):
            weight[k] = pixels[f, k]
            curve[k] = curves[f, k] if pixels[f, k] > 0 else 0.0
        for again in range(rounds + 1):
            if again:
                _reweigh(pixels[f], components, amount, weight)
            _sum_up(curve, weight, components, gram, right)
            _fit(gram, right, free, amount, active, chosen, lower, trial, barred)
            count = _choose(active, chosen)
            if _factor(gram, chosen, count, lower) == count:
                _refine(
                    curve, weight, components, amount, chosen, count, lower, free, left
                )
        _spread(gram, active, chosen, lower, trial, covariances[f])
        total, points = 0.0, -_choose(active, chosen)
        for k in range(m):
            rest = curve[k]
            for j in range(p):
                rest -= components[k, j] * amount[j]
            total += weight[k] * rest * rest
            points += weight[k] > 0
        if points > 0:
            residuals[f] = total / points


@numba.njit(nogil=True, cache=True)
def _sum_up(
    curve: Array, weight: Array, components: Array, gram: Array, right: Array
) -> None:
    gram[:] = 0
    right[:] = 0
    for k in range(curve.size):
        for i in range(right.size):
            one = weight[k] * components[k, i]
            right[i] += one * curve[k]
            for j in range(i + 1):
                gram[i, j] += one * components[k, j]
    for i in range(right.size):
        for j in range(i):
            gram[j, i] = gram[i, j]


@numba.njit(nogil=True, cache=True)
def _reweigh(pixels: Array, components: Array, amount: Array, weight: Array) -> None:
    for k in range(weight.size):
        if pixels[k] > 0:
            model = 0.0
            for j in range(amount.size):
                model += components[k, j] * amount[j]
            weight[k] = pixels[k] / max(model, 1 / pixels[k])
