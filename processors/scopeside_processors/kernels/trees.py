"""Regression trees, and what they say of a few numbers."""

# ruff: noqa: PLR0917 - a kernel takes its arrays by position

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@numba.njit(nogil=True, cache=True)
def summed(
    values: Array,
    feature: Array,
    threshold: Array,
    value: Array,
    left: Array,
    right: Array,
    missing_left: Array,
) -> float:
    """Return the sum of the leaves that ``values (k,)`` end in, one of each tree.

    The trees are (trees, nodes) arrays; see `insitu.verdicts.Trees`.
    """
    total = 0.0
    for k in range(feature.shape[0]):
        node = 0
        while feature[k, node] >= 0:
            number = values[feature[k, node]]
            if np.isnan(number):
                down = missing_left[k, node]
            else:
                down = number <= threshold[k, node]
            node = left[k, node] if down else right[k, node]
        total += value[k, node]
    return total
