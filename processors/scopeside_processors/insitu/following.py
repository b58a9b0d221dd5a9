"""The particles of each frame, from whoever follows them.

A `track` step earlier in the chain leaves its tables in ``Batch.shared``; where there
is none, one of our own finds the particles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.result import Result
from scopeside_processors.insitu.track import SHARED, Track

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """The particles that were seen in one frame.

    Attributes
    ----------
    frame
        Its index.
    ids : (n,) int64
    places : (n, 2) float64
        (y, x) as measured in this frame, without drift: px of frame 0.
    in_frame : (n, 2) float64
        (y, x) in px of this frame.
    radius : (n,) float64
        As measured in this frame, px.
    birth : (n,) float64
        Index of the frame in which it was there first.
    reason
        Why nothing is known of this frame; empty if it is.
    """

    frame: int
    ids: IntArray
    places: FloatArray
    in_frame: FloatArray
    radius: FloatArray
    birth: FloatArray
    reason: str = ""


def followed(tracks: Result) -> Followed:
    """Return the particles of a table of tracks that were seen, not only foretold."""
    if not tracks.valid:
        one, two = np.zeros(0), np.zeros((0, 2))
        ids = np.zeros(0, np.int64)
        return Followed(tracks.frame, ids, two, two, one, one, tracks.reason)
    table = np.asarray(tracks.data, np.float64)
    at = {name: k for k, name in enumerate(tracks.meta["columns"])}
    table = table[table[:, at["seen"]] > 0]
    return Followed(
        tracks.frame,
        table[:, at["id"]].astype(np.int64),
        table[:, [at["measured_y"], at["measured_x"]]],
        table[:, [at["y"], at["x"]]],
        table[:, at["measured_radius"]],
        table[:, at["birth_frame"]],
    )


class Following:
    """Has the particles of one batch after another.

    Parameters
    ----------
    acquisition
    params
        Of the `track` step that is run if there is none earlier in the chain.
    """

    def __init__(self, acquisition: Acquisition, params: Track.Params) -> None:
        self._track = Track(acquisition, params)
        self._own = False

    def of(self, batch: Batch) -> list[Followed]:
        """Return the particles of each frame of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        if SHARED not in batch.shared:
            self._own = True
            self._track.process(batch)
        return [followed(tracks) for tracks in batch.shared[SHARED]]

    def state(self) -> dict[str, Any]:
        """Return plain values, for a snapshot."""
        return {"track": self._track.snapshot() if self._own else None}

    def take_over(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        if state["track"] is not None:
            self._own = True
            self._track.restore(state["track"])
