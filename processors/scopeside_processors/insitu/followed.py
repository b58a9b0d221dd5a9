"""The particles of each frame, from whoever follows them.

Earlier in the chain a `track` or `nucleation` step leaves its tables in
``batch.shared`` (``tracks``, ``nuclei``); where there is none, a `track` step of its own
finds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.processor import Processor
from scopeside.result import Result

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SHARED = ("tracks", "nuclei")


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """The particles in one frame.

    Attributes
    ----------
    frame
        Its index.
    ids : (n,) int64
    places : (n, 2) float64
        (y, x) in px of frame 0: without drift, where it is known.
    in_frame : (n, 2) float64
        (y, x) in px of this frame.
    radius : (n,) float64
        px; NaN where unknown.
    birth : (n,) float64
        Index of the frame of its birth where that was found; else NaN.
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


def followed(result: Result) -> Followed:
    """Return the particles of a table of tracks or nuclei."""
    if not result.valid or result.data is None:
        none = np.zeros(0)
        nowhere = np.zeros((0, 2))
        ids = np.zeros(0, np.int64)
        return Followed(result.frame, ids, nowhere, nowhere, none, none, result.reason)
    table = np.asarray(result.data, np.float64)
    columns = list(result.meta["columns"])
    seen = np.ones(len(table), np.bool_)
    if "seen" in columns:  # a place that was only foretold is no measurement
        seen = table[:, columns.index("seen")] > 0
    table = table[seen]

    def column(name: str) -> FloatArray:
        if name not in columns:
            return np.full(len(table), np.nan)
        return table[:, columns.index(name)]

    in_frame = np.stack([column("y"), column("x")], axis=1)
    places = np.stack([column("specimen_y"), column("specimen_x")], axis=1)
    if "specimen_y" not in columns:
        places = in_frame - np.asarray(result.meta.get("drift", (0.0, 0.0)))
    return Followed(
        result.frame,
        column("id").astype(np.int64),
        places,
        in_frame,
        column("radius_px"),
        column("birth_frame"),
    )
