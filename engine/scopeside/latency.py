"""A histogram of times from a frame to its result, cheap to keep and to send."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

_PER_DECADE = 20
_FLOOR_S = 1e-5


class Latencies:
    """Counts of frames by age, in logarithmic bins 12 % wide."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: Counter[int] = Counter(counts or {})

    def add(self, seconds: float, frames: int) -> None:
        """Count `frames` that were `seconds` old."""
        self._counts[_bin(seconds)] += frames

    def merge(self, other: Self) -> None:
        """Count what `other` has counted as well."""
        self._counts.update(other._counts)

    @property
    def counts(self) -> dict[int, int]:
        """Frames by bin, for a message."""
        return dict(self._counts)

    def quantile(self, share: float) -> float | None:
        """Return the age that `share` of the frames do not exceed, s; upper edge."""
        total = self._counts.total()
        if total == 0:
            return None
        wanted = math.ceil(share * total)
        seen = 0
        for number in sorted(self._counts):
            seen += self._counts[number]
            if seen >= wanted:
                return _upper(number)
        return _upper(max(self._counts))

    def summary_ms(self) -> dict[str, float | None]:
        """Return p50, p95, p99 and max in milliseconds; None without frames."""
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        found = {name: self.quantile(share) for name, share in shares.items()}
        return {
            name: None if value is None else round(value * 1e3, 3)
            for name, value in found.items()
        }

    def cumulative(self, edges_s: Iterable[float]) -> list[int]:
        """Return how many frames were not older than each of `edges_s`."""
        return [
            sum(
                n
                for number, n in self._counts.items()
                if _upper(number) <= edge * 1.001
            )
            for edge in edges_s
        ]

    @property
    def frames(self) -> int:
        """How many frames were counted."""
        return self._counts.total()

    @property
    def sum_s(self) -> float:
        """Their ages together, s, from the bins."""
        return sum(_upper(number) * n for number, n in self._counts.items())


def _bin(seconds: float) -> int:
    return max(
        0, math.ceil(_PER_DECADE * math.log10(max(seconds, _FLOOR_S) / _FLOOR_S))
    )


def _upper(number: int) -> float:
    return float(_FLOOR_S * 10 ** (number / _PER_DECADE))
