"""What a policy has asked for, what became of it, and when frames showed it."""

from __future__ import annotations

import statistics
from collections import deque

import numpy as np
import numpy.typing as npt

from scopeside.control.policy import Outcome
from scopeside.control.proposal import Wish

FloatArray = npt.NDArray[np.float64]

PASSING = frozenset(
    {
        "busy", "rate", "flood", "expired", "stale", "gap", "old_epoch",
        "engine_restarting", "low_confidence", "invalid_evidence", "no_readback",
    }
)  # fmt: skip
"""Causes of a refusal that says nothing against the next wish."""
PATIENCE = 500
"""Frames after which an outcome, or the sight of it, is waited for no more."""
LONGEST_PAUSE = 32
"""Frames between two wishes if all are refused."""
_SAMPLES = 5
_STILL_M = 1e-13


class Asked:
    """Set-points of one policy, one under way at a time.

    Parameters
    ----------
    patience
        Refusals in a row, of causes that do not pass, after which a wish is let go.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._refused = 0
        self._open: Wish | None = None
        self._waited = False
        self._asked_in = 0
        self._pause, self._not_before = 0, 0
        self._held_up = 0
        self._unseen: deque[tuple[int, FloatArray]] = deque()
        self._latencies: deque[float] = deque([1.0], _SAMPLES)
        self._last: FloatArray | None = None

    @property
    def age(self) -> float:
        """Frames between one that a set-point is made from, and those that show it."""
        return statistics.median(self._latencies)

    def begin(self) -> None:
        """Forget what was asked; how long it takes is remembered."""
        self._open, self._last = None, None
        self._refused = self._pause = self._not_before = self._held_up = 0
        self._asked_in = 0
        self._waited = False
        self._unseen.clear()

    def pauses(self, frame: int) -> bool:
        """Whether nothing is asked for in `frame` as the last wish was refused."""
        return frame < self._not_before

    def free(self, frame: int, every: int) -> bool:
        """Whether a wish may be made in `frame`: none is open, and it is time."""
        if frame < self._asked_in:
            self.begin()  # the detector counts anew
        waited = frame - self._asked_in
        if self._open is not None and waited > PATIENCE:
            self._give_up()
        ready = (
            self._open is None
            and not self.pauses(frame)
            and (waited >= every or not self._asked_in)
        )
        self._held_up += not ready
        return ready

    def ask(self, frame: int, view: FloatArray, wish: Wish) -> None:
        """Take note of a wish."""
        self._open, self._asked_in = wish, frame
        self._unseen.append((frame, view))

    def told(self, outcome: Outcome) -> bool:
        """Take note of what became of it; return whether it is to be let go.

        That is so after many refusals, and of what waits for a person: by the time that
        he answers it is old. Meanwhile it is tried now and then whether he has armed.
        """
        if self._open is None or outcome.wish != self._open:
            return False  # of an acquisition before, or one that a person had to see
        match outcome.state:
            case "done":
                self._open, self._waited = None, False
                self._refused = self._pause = 0
            case "observed":
                self._give_up()
            case "waiting":
                self._waited = True
                self._rest(LONGEST_PAUSE)
                return True
            case "refused" | "failed":
                self._refused += outcome.cause not in PASSING
                self._rest(min(2 * self._pause or 1, LONGEST_PAUSE))
                return self._waited or self._refused >= self._patience
        return False

    def goal(self, view: FloatArray) -> FloatArray:
        """Return where the view is going, if it is not there: `view` is that seen."""
        return self._unseen[-1][1] if self._unseen else view

    def near(self, view: FloatArray, now: FloatArray, tolerance_m: float) -> bool:
        """Whether `now` is where the view was, or where it was asked to be."""
        goals = [view, *(goal for _, goal in self._unseen)]
        return min(_distance(now, goal) for goal in goals) <= tolerance_m

    def look(self, frame: int, view: FloatArray, tolerance_m: float) -> bool:
        """Take in the view of a frame; return whether somebody else has moved it.

        That is so if it is not near to what was asked for nor to what was before.
        """
        last, self._last = self._last, view
        while self._unseen and frame - self._unseen[0][0] > PATIENCE:
            self._unseen.popleft()
        if last is None:
            return False
        change = _distance(view, last)
        if change <= _STILL_M:
            return False
        ours = [_distance(view, goal) for _, goal in self._unseen]
        nearest = min(ours, default=np.inf)
        if nearest <= max(change / 4, _STILL_M):
            self._shown(frame, ours.index(nearest))
        if min(nearest, change) <= tolerance_m:
            return False
        self._unseen.clear()
        return True

    @property
    def expects(self) -> bool:
        """Whether the view is to change by a wish of ours."""
        return bool(self._unseen)

    def _shown(self, frame: int, number: int) -> None:
        """Take note that the set-point `number` is seen."""
        asked_in, _ = self._unseen[number]
        # One that is seen late, as the one after it had to wait, is older on average.
        waited = self._held_up / 2
        self._latencies.append(frame - asked_in + waited)
        self._held_up = 0
        for _ in range(number + 1):
            self._unseen.popleft()

    def _rest(self, frames: int) -> None:
        """Give up the wish that is open, and ask for nothing for so many frames."""
        self._give_up()
        self._pause = frames
        self._not_before = self._asked_in + 1 + frames

    def _give_up(self) -> None:
        """Expect nothing any more of the wish that is open."""
        self._open = None
        if self._unseen:
            self._unseen.pop()


def _distance(one: FloatArray, other: FloatArray) -> float:
    return float(np.hypot(*(one - other)))
