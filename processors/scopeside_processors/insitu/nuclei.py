"""All nuclei of a movie that were ever confirmed, as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

COLUMNS = (
    "id", "y", "x", "radius_px", "birth_frame", "confirmed_frame", "dissolved_frame",
    "confidence",
)  # fmt: skip
UNITS = ("", "px", "px", "px", "frame", "frame", "frame", "")
MOST = 10_000
"""Rows that are kept; of more, those that were confirmed last."""


class Nuclei:
    """Keeps what is last known of each nucleus, in the order of confirmation."""

    def __init__(self) -> None:
        self._rows: dict[int, list[float]] = {}
        self.confirmed = 0
        """How many there were, whether they are kept or not."""

    def take(
        self,
        event: dict[str, Any],
        place: tuple[float, float],
        frame: int,
    ) -> bool:
        """Take in an event; return whether the table is another now.

        Parameters
        ----------
        event : with id, status, radius_px, birth_frame, confidence
        place : on the specimen, px of frame 0
        frame : that it was said in
        """
        name, status = int(event["id"]), event["status"]
        row = self._rows.get(name)
        if status == "confirmed":
            since = float(frame) if row is None else row[5]
            self.confirmed += row is None
            self._rows[name] = [
                float(name), *place, float(event["radius_px"]),
                float(event["birth_frame"]), since, np.nan, float(event["confidence"]),
            ]  # fmt: skip
            while len(self._rows) > MOST:
                del self._rows[next(iter(self._rows))]
            return True
        if row is None:
            return False
        if status == "rejected":  # what was confirmed turns out to be none
            del self._rows[name]
            self.confirmed -= 1
        else:
            row[6], row[7] = float(frame), float(event["confidence"])
        return True

    def table(self) -> FloatArray:
        """Return (n, 8) float64: `COLUMNS`; dissolved_frame is NaN of the others."""
        return np.array(list(self._rows.values()), np.float64).reshape(-1, len(COLUMNS))

    def state(self) -> dict[str, Any]:
        """Return what it goes on from, for a snapshot."""
        return {"rows": self.table(), "confirmed": self.confirmed}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._rows = {int(row[0]): row for row in state["rows"].tolist()}
        self.confirmed = state["confirmed"]
