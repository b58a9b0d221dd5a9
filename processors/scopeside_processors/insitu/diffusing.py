"""How the particles of a movie diffuse, each and together, over a sliding window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.params import Params as Base
from scopeside.processor import Device, Order
from scopeside.result import Result, invalid
from scopeside.state import pack, unpack
from scopeside_processors.insitu.diffusion import diffusion
from scopeside_processors.insitu.following import Followed, Following
from scopeside_processors.insitu.motion import KINDS, motion
from scopeside_processors.insitu.scale import Scale
from scopeside_processors.insitu.track import Track
from scopeside_processors.insitu.trails import COLUMNS, Trails

FloatArray = npt.NDArray[np.float64]

TABLES = ("diffusion", "ensemble_diffusion")
ENSEMBLE = ("frame", "particles", "d_median", "d_lower", "d_upper", *KINDS)
"""Columns of the history: median and quartiles of D, and shares of the kinds."""
ROWS = 256
"""Of the history: when they are there, every second one is dropped."""
NOBODY = "no particle has been followed long enough yet"
_ENOUGH = 10
"""Positions from which on a particle counts in the history."""


class Diffusing:
    """Measures how the particles of a movie move."""

    order: ClassVar[Order] = Order.ORDERED

    class Params(Base):
        """Over how many frames, how often, and how many particles."""

        window: Annotated[int, Field(ge=16, le=1024)] = 128
        """Frames over which motion is looked at."""
        every: Annotated[int, Field(ge=1)] = 25
        """Frames from one set of tables to the next; the last frame of an acquisition
        that says how many it has brings one too."""
        exposure: Annotated[float, Field(ge=0, le=1)] = 1.0
        """Part of a frame's time for which the shutter is open; 0 for snapshots."""
        fits_per_frame: Annotated[int, Field(ge=1)] = 1
        """Particles whose kind of motion is worked out again in a frame; D is for four
        times as many."""
        max_particles: Annotated[int, Field(ge=1, le=5000)] = 300
        """Particles that are kept; who was not seen for longest gives way."""
        track: Track.Params = Track.Params()
        """How particles are followed where no `track` step comes before."""

    @classmethod
    def prepare(cls, acquisition: Acquisition | None = None) -> None:
        """Load the kernels for an acquisition, or for what cameras usually deliver."""
        Track.prepare(acquisition)
        walk = np.cumsum(np.cos(np.arange(32.0).reshape(16, 2) ** 2), axis=0)
        diffusion(walk)
        motion(walk)

    def __init__(
        self,
        acquisition: Acquisition,
        params: Params,
        device: Device = "cpu",  # noqa: ARG002 - there is no twin
    ) -> None:
        self._params = params
        self._following = Following(acquisition, params.track)
        self._trails = Trails(params.max_particles, params.window, params.exposure)
        self._scale = Scale.of(acquisition)
        self._end = -1 if acquisition.frames is None else acquisition.frames - 1
        self._rows = np.zeros((0, len(ENSEMBLE)))
        self._every, self._waited = 1, 0
        self._first, self._used = -1, 0
        self._results: list[Result] = []

    def process(self, batch: Batch) -> None:
        """Take in the particles of the frames of `batch`.

        Raises
        ------
        ShapeError
            If its frames are not as the acquisition says.
        """
        self._results = []
        for found in self._following.of(batch):
            self._take(found)
            last = found.frame == self._end
            fits = None if last else self._params.fits_per_frame
            self._trails.update(found.frame, fits)
            if last or (found.frame + 1) % self._params.every == 0:
                self._results += self._tables(found)

    def results(self) -> Iterator[Result]:
        """Yield tables ``diffusion`` and ``ensemble_diffusion`` every so many frames.

        (particles, columns) and (times, columns) float64; ``meta["columns"]`` has the
        names. D is in px²/frame; with a scale, columns in m²/s come after.
        """
        yield from self._results

    def snapshot(self) -> bytes:
        """Return the trails, and the history."""
        return pack(
            {
                "following": self._following.state(),
                "trails": self._trails.state(),
                "rows": self._rows,
                "counts": [self._every, self._waited, self._first, self._used],
            }
        )

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` gave."""
        found = unpack(state)
        self._following.take_over(found["following"])
        self._trails.take_over(found["trails"])
        self._rows = found["rows"].copy()
        self._every, self._waited, self._first, self._used = found["counts"]

    def _take(self, found: Followed) -> None:
        if found.reason:
            return
        self._first = found.frame if self._first < 0 else self._first
        self._used += 1
        self._trails.add(found.ids, found.places, found.frame)

    def _tables(self, found: Followed) -> list[Result]:
        table = self._trails.table()
        if len(table) == 0:
            reason = found.reason or NOBODY
            return [
                invalid(name, reason, frame=found.frame, used=self._used)
                for name in TABLES
            ]
        self._note(table, found.frame)
        return [
            self._result("diffusion", "particle", table, COLUMNS, found.frame),
            self._result(
                "ensemble_diffusion", "time", self._rows.copy(), ENSEMBLE, found.frame
            ),
        ]

    def _note(self, table: FloatArray, frame: int) -> None:
        """Add a row to the history."""
        self._waited += 1
        if self._waited < self._every:
            return
        self._waited = 0
        at = {name: k for k, name in enumerate(COLUMNS)}
        d = table[table[:, at["positions"]] >= _ENOUGH, at["d"]]
        d = d[np.isfinite(d)]
        middle = np.quantile(d, [0.5, 0.25, 0.75]) if len(d) else np.full(3, np.nan)
        shares = table[:, [at[kind] for kind in KINDS]]
        known = shares[np.isfinite(shares).all(axis=1)]
        mean = known.mean(axis=0) if len(known) else np.full(len(KINDS), np.nan)
        self._rows = np.vstack([self._rows, [frame, len(d), *middle, *mean]])
        if len(self._rows) == ROWS:
            self._rows = self._rows[1::2].copy()
            self._every *= 2

    def _result(
        self, name: str, rows: str, table: FloatArray, columns: tuple[str, ...], at: int
    ) -> Result:
        names = list(columns)
        if self._scale.known:
            lengths = [name for name in names if name.startswith("d_") or name == "d"]
            of = [names.index(name) for name in lengths]
            table = np.column_stack([table, table[:, of] * self._scale.diffusion])
            names += [f"{name}_m2_s" for name in lengths]
        meta = {"columns": names, "window": self._params.window, **self._scale.meta}
        return Result(
            name,
            table,
            "table",
            frame=at,
            first=max(self._first, at - self._params.window + 1),
            used=min(self._used, self._params.window),
            axes=(rows, "column"),
            meta=meta,
        )
