"""``adaptive_scan``: the beam goes next where most is still unknown.

Farthest-point sampling, the distance weighted by how much the values nearby differ
(Y. Eldar, M. Lindenbaum, M. Porat, Y. Y. Zeevi, IEEE Trans. Image Process. 6, 1305
(1997), doi:10.1109/83.623193): wide gaps are filled first, and sooner where there
is detail.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field
from scipy.spatial import KDTree

from scopeside.acquisition import Acquisition
from scopeside.control.instrument import Value
from scopeside.control.policy import Knows, Outcome, Seen
from scopeside.control.proposal import Wish
from scopeside.params import Params
from scopeside_processors.policies import field
from scopeside_processors.policies.found import is_last
from scopeside_processors.policies.path import short_path

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Side = Annotated[int, Field(ge=2, le=1024)]

_NEIGHBOURS = 6
_PLAIN = 0.1
"""Weight of a gap where values do not differ, of that where they do as all do."""


class AdaptiveScanParams(Params):
    """``[[control.policy]]`` with ``kind = "adaptive_scan"``."""

    on: str
    """An image over the scanned field, as processor.result, such as virtual.adf."""
    dwell_s: Annotated[float, Field(gt=0)]
    """The beam rests so long on each place, s."""
    most: Annotated[int, Field(ge=1, le=100_000)]
    """Places that are asked for at most, all blocks together."""
    block: Annotated[int, Field(ge=1, le=2000)] = 64
    """Places that are asked for at a time."""
    grid: tuple[Side, Side] | None = None
    """[rows, columns] of the places that can be asked for; absent: those of the first
    image."""


class AdaptiveScan:
    """Asks for a block of places with each image, until there have been enough."""

    Params: ClassVar[type[BaseModel]] = AdaptiveScanParams

    def __init__(self, params: AdaptiveScanParams) -> None:
        self._params = params
        self._known: FloatArray | None = None
        self._where: dict[str, Value] = {}
        self._spent = 0
        self._open: tuple[Wish, int] | None = None

    @property
    def wants(self) -> tuple[str, ...]:
        """The image."""
        return (self._params.on,)

    def begin(self, acquisition: Acquisition) -> None:
        """Go on: the next image adds to what is known."""

    def hear(self, seen: Seen, microscope: Knows) -> Iterable[Wish]:
        """Take in a final image; ask for the next block."""
        result = seen.result
        if not is_last(seen) or not result.valid or result.kind != "image":
            return ()
        image = np.asarray(result.data)
        if image.ndim != 2 or image.dtype.kind not in "iufb":
            return ()
        held, now = field.through(seen, microscope), microscope.now
        if held is None or now is None or seen.missed:
            return ()
        if not field.same(field.where(held), self._where):
            self._known, self._where = None, field.where(held)
        self._learn(image.astype(np.float64), result.mask)
        left = self._params.most - self._spent
        if self._open is not None or left < 1:
            return ()
        if not field.same(field.where(now), self._where):
            return ()  # the places are not where they were seen
        assert self._known is not None
        cells = next_cells(self._known, min(self._params.block, left))
        if not len(cells):
            return ()
        cells = cells[short_path(cells.astype(np.float64))]
        points = ((cells + 0.5) / np.array(self._known.shape)).tolist()
        fields: dict[str, Any] = {"points": points, "dwell_s": self._params.dwell_s}
        known = np.count_nonzero(np.isfinite(self._known))
        why = f"{len(points)} places more; {known} of {self._known.size} are known"
        wish = Wish("place_beam", fields, why)
        self._open = wish, len(points)
        return (wish,)

    def told(self, outcome: Outcome) -> Iterable[Wish]:
        """Count what was asked for; the next image says what came of it."""
        if self._open is not None and outcome.wish == self._open[0]:
            if outcome.state in ("done", "observed"):
                self._spent += self._open[1]
            if outcome.state not in ("waiting", "sent"):
                self._open = None
        return ()

    def _learn(self, image: FloatArray, mask: BoolArray | None) -> None:
        """Enter what an image shows into the grid, each pixel at its middle."""
        if self._known is None:
            self._known = np.full(self._params.grid or image.shape, np.nan)
        seen = np.isfinite(image)
        if mask is not None and mask.shape == image.shape:
            seen &= mask
        at = np.argwhere(seen)
        size = np.array(self._known.shape)
        cells = ((at + 0.5) * size / np.array(image.shape)).astype(np.int64)
        self._known[tuple(cells.T)] = image[seen]


def next_cells(known: FloatArray, count: int) -> npt.NDArray[np.int64]:
    """Return the cells of a grid that are worth most to be known next.

    Parameters
    ----------
    known : (rows, columns)
        Values; NaN where unknown.
    count
        How many cells.

    Returns
    -------
    (n, 2) int64
        The most valuable first; `count` or as many as are unknown. None of a grid of
        which nothing is known.

    Notes
    -----
    A cell is worth its distance to the nearest that is known or chosen, times the
    standard deviation of the known values next to it (and a tenth of that of all).
    """
    at, unknown = np.argwhere(np.isfinite(known)), np.argwhere(~np.isfinite(known))
    if not len(at) or not len(unknown):
        return np.empty((0, 2), np.int64)
    values = known[tuple(at.T)]
    tree = KDTree(at)
    nearest, which = tree.query(unknown, min(_NEIGHBOURS, len(at)))
    nearest, which = nearest.reshape(len(unknown), -1), which.reshape(len(unknown), -1)
    away = nearest[:, 0].copy()
    scale = float(values.std()) or 1.0
    weight = values[which].std(axis=1) / scale + _PLAIN
    chosen: list[int] = []
    for _ in range(min(count, len(unknown))):
        best = int(np.argmax(away * weight))
        chosen.append(best)
        away = np.minimum(away, np.hypot(*(unknown - unknown[best]).T))
    return unknown[chosen]
