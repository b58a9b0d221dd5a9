"""Dose rates that a counting detector has measured, and what held when."""

from __future__ import annotations

import math
from collections import deque

from scopeside.control.dose_beam import SIGMAS, Rate
from scopeside.control.dose_settings import Calibration

REMEMBERED = 4096


class CountedRates:
    """Remembers what was counted; each value holds since the one before it.

    Parameters
    ----------
    calibration
        One that counts: what is believed, and for how long.
    """

    def __init__(self, calibration: Calibration) -> None:
        assert calibration.at_least_e_per_A2_s is not None
        assert calibration.at_most_e_per_A2_s is not None
        assert calibration.holds_s is not None
        self._least = calibration.at_least_e_per_A2_s
        self._relative = calibration.uncertainty or 0.0
        most = calibration.at_most_e_per_A2_s
        self._most = Rate(most, most)
        self._holds_ns = int(calibration.holds_s * 1e9)
        self._found: deque[tuple[int, Rate]] = deque(maxlen=REMEMBERED)

    def add(self, rate: float, sigma: float, t_ns: int) -> None:
        """Take in the rate of frames until `t_ns`; what is older than known is not."""
        if not self._found or t_ns > self._found[-1][0]:
            deviation = math.hypot(sigma, self._relative * rate)
            self._found.append((t_ns, Rate(rate, rate + SIGMAS * deviation)))

    def now(self, now_ns: int) -> Rate:
        """Return what is to be counted for the time that is not measured yet."""
        if self._found:
            t_ns, rate = self._found[-1]
            if now_ns - t_ns <= self._holds_ns and rate.nominal >= self._least:
                return rate
        return self._most

    def over(
        self, first_ns: int, last_ns: int, now_ns: int, *, dark: bool
    ) -> Rate | None:
        """Return what held between two times: the mean, and the highest upper bound.

        Parameters
        ----------
        dark : the beam was off in a part of it, so that few electrons are believed

        Returns
        -------
        Rate or None
            None while it may still be measured.
        """
        if not self._found or self._found[-1][0] < last_ns:
            return self._most if now_ns - last_ns > self._holds_ns else None
        while len(self._found) > 1 and self._found[1][0] <= first_ns:
            self._found.popleft()  # spans come in order
        upper = weighted = weight = 0.0
        before_ns = 0
        for t_ns, rate in self._found:
            since_ns, before_ns = max(before_ns, t_ns - self._holds_ns), t_ns
            low_ns, high_ns = max(since_ns, first_ns), min(t_ns, last_ns)
            if high_ns <= low_ns:
                continue
            believed = rate.nominal >= self._least
            counts = rate if believed or dark else self._most
            weight += high_ns - low_ns
            weighted += counts.nominal * (high_ns - low_ns)
            if believed or not dark:
                upper = max(upper, counts.upper)
        missing = (last_ns - first_ns) - weight
        if missing > 0 or upper == 0.0:  # nobody counted, or nothing believable
            upper = max(upper, self._most.upper)
            weighted += max(missing, 0.0) * self._most.nominal
        return Rate(weighted / max(last_ns - first_ns, 1), upper)
