"""How many frames an hour has, where nobody has said it: from time stamps."""

from __future__ import annotations

from typing import Any

import numpy as np

ASSUMED_S = 0.04
"""From frame to frame, where neither the acquisition nor time stamps tell."""
_FRAMES = 8
"""Frames after which time stamps have told."""


class Pace:
    """Learns the time from frame to frame."""

    def __init__(self, frame_time_s: float | None) -> None:
        self._said = frame_time_s
        self._seen: list[list[int]] = []
        self.frame_time_s = frame_time_s or ASSUMED_S

    def take(self, index: int, timestamp_ns: int) -> bool:
        """Take in a frame's stamp; return whether more is known now."""
        if self._said is not None or len(self._seen) >= _FRAMES:
            return False
        self._seen.append([index, timestamp_ns])
        if len(self._seen) < _FRAMES:
            return False
        steps = np.diff(np.array(self._seen, np.float64), axis=0)
        steps = steps[(steps[:, 0] > 0) & (steps[:, 1] > 0)]
        if not len(steps):
            return False
        self.frame_time_s = float(np.median(steps[:, 1] / steps[:, 0])) * 1e-9
        return True

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"seen": self._seen, "frame_time_s": self.frame_time_s}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._seen = [list(pair) for pair in state["seen"]]
        self.frame_time_s = state["frame_time_s"]
