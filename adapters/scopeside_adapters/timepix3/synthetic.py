"""A scan whose hits are known one by one, and the words that a camera makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scopeside_adapters.timepix3 import words as w
from scopeside_adapters.timepix3.layout import SIDE, CameraLayout
from scopeside_adapters.timepix3.tables import TICKS_PER_S, Array

_MARGIN = 0.02  # of a dwell: no hit lies so close to the edge of its position


@dataclass(frozen=True, slots=True)
class Beam:
    """How a scan is made. Times in seconds.

    Attributes
    ----------
    hits
        Mean number at each position.
    dwell_s, flyback_s
        At a position, and between two lines.
    jitter_s, disorder_s, edge_lag_s
        Of the line's edges; by which hits come out of order; by which edges come
        after hits of their time.
    start_s
        On the detector's clock.
    missed
        Lines whose edges do not come.
    """

    shape: tuple[int, int] = (64, 64)
    hits: float = 10.0
    dwell_s: float = 10e-6
    flyback_s: float = 50e-6
    jitter_s: float = 0.0
    disorder_s: float = 20e-6
    edge_lag_s: float = 0.0
    start_s: float = 1.0
    counter_step: int = 1
    missed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits in the order of their positions, those of the fly-back last.

    Attributes
    ----------
    position
        (m,) flat probe position, -1 in the fly-back.
    chip, x, y, tot
        (m,) each: chip number, its own pixel, time over threshold.
    time
        (m,) ticks.
    """

    position: Array
    chip: Array
    x: Array
    y: Array
    tot: Array
    time: Array


class SyntheticScan:
    """One scan.

    Attributes
    ----------
    line_start
        (rows,) ticks.
    hits
        All of them.
    """

    def __init__(self, beam: Beam, layout: CameraLayout, seed: int) -> None:
        self.beam = beam
        self.layout = layout
        self._rng = np.random.default_rng(seed)
        rows, columns = beam.shape
        self._dwell = _ticks(beam.dwell_s)
        self.active = columns * self._dwell
        self.period = self.active + _ticks(beam.flyback_s)
        jitter = self._rng.normal(0, _ticks(beam.jitter_s), rows).round()
        self.line_start = (
            _ticks(beam.start_s) + np.arange(rows) * self.period + jitter
        ).astype(np.int64)
        self.hits = self._make_hits()

    @property
    def end(self) -> int:
        """Tick at which the scan is over."""
        return int(self.line_start[-1] + self.period)

    def address(self) -> Array:
        """Return the flat pixel of each hit in the frame, (m,)."""
        out = np.zeros(len(self.hits.x), np.int64)
        for chip in self.layout.chips:
            mine = self.hits.chip == chip.number
            row, column = chip.position_of(self.hits.x[mine], self.hits.y[mine])
            out[mine] = row * self.layout.shape[1] + column
        return out

    def frames(self, *, tot: bool = False) -> Array:
        """Return what each position has counted, (positions, height, width) uint32."""
        rows, columns = self.beam.shape
        lit = self.hits.position >= 0
        pixels = self.layout.shape[0] * self.layout.shape[1]
        flat = self.hits.position[lit] * pixels + self.address()[lit]
        weight = self.hits.tot[lit] if tot else None
        counts = np.bincount(flat, weight, minlength=rows * columns * pixels)
        return counts.astype(np.uint32).reshape(rows * columns, *self.layout.shape)

    def chunks(
        self, *, size: int = 1000, packet_ids: bool = False, first_packet: int = 0
    ) -> Iterator[w.Words]:
        """Yield the chunks in the order in which they are sent."""
        words, chips, order = self._arrivals()
        packet = first_packet
        for begin in range(0, len(order), size):
            part = order[begin : begin + size]
            for chip in np.unique(chips[part]):
                contents = words[part[chips[part] == chip]]
                if packet_ids:
                    contents = np.concatenate([w.packet_id(packet), contents])
                    packet += 1
                yield w.chunk(contents, int(chip))

    # ---------------------------------------------------------------------------

    def _make_hits(self) -> Hits:
        beam, rng = self.beam, self._rng
        rows, columns = beam.shape
        n = rng.poisson(beam.hits, rows * columns)
        lit = np.repeat(np.arange(rows * columns), n)
        within = rng.uniform(_MARGIN, 1 - _MARGIN, len(lit))
        time = self.line_start[lit // columns] + (
            (lit % columns + within) * self._dwell
        ).astype(np.int64)
        dark = self.period - self.active
        unlit = rng.poisson(beam.hits * dark / self._dwell, rows)
        line = np.repeat(np.arange(rows), unlit)
        late = self.line_start[line] + self.active
        # Neither at the edge of the fly-back nor, with jitter, in the next line.
        spent = rng.uniform(0.1, 0.8, len(line)) * dark
        position = np.concatenate([lit, np.full(len(line), -1)])
        time = np.concatenate([time, late + spent.astype(np.int64)])
        chip, x, y = self._pixels(len(position))
        return Hits(position, chip, x, y, rng.integers(1, 200, len(position)), time)

    def _pixels(self, n: int) -> tuple[Array, Array, Array]:
        """Draw pixels of a disk around the middle of the frame, brighter within."""
        rng = self._rng
        numbers = np.array([chip.number for chip in self.layout.chips])
        height, width = self.layout.shape
        radius = rng.uniform(0, 1, n) * min(height, width) / 2 * 0.9
        angle = rng.uniform(0, 2 * np.pi, n)
        row = (height / 2 + radius * np.sin(angle)).astype(np.int64)
        column = (width / 2 + radius * np.cos(angle)).astype(np.int64)
        tile = {(c.y // SIDE, c.x // SIDE): k for k, c in enumerate(self.layout.chips)}
        chip, x, y = np.zeros(n, np.int64), column % SIDE, row % SIDE
        for (down, across), k in tile.items():
            chip[(row // SIDE == down) & (column // SIDE == across)] = numbers[k]
        return chip, x, y

    def _arrivals(self) -> tuple[w.Words, Array, Array]:
        """Return all words, their chips, and the order in which they arrive."""
        beam, hits = self.beam, self.hits
        sent = w.hits(hits.x, hits.y, hits.time, hits.tot)
        disorder = self._rng.normal(0, _ticks(beam.disorder_s), len(sent))
        edges, times = self.edges()
        words = np.concatenate([edges, sent])
        chip = np.concatenate([np.zeros(len(edges), np.int64), hits.chip])
        lag = _ticks(beam.edge_lag_s)
        due = np.concatenate([times + lag, hits.time + disorder])
        return words, chip, np.argsort(due, kind="stable")

    def edges(self) -> tuple[w.Words, Array]:
        """Return the words of all edges that come, in order, and their ticks."""
        rows = len(self.line_start)
        line = np.arange(rows)
        come = ~np.isin(line, self.beam.missed)
        step = self.beam.counter_step
        begin, end = self.line_start, self.line_start + self.active
        rise = w.tdc(w.TDC1_RISE, step * line + 1, begin)
        fall = w.tdc(w.TDC1_FALL, step * line + step, end)
        words = np.concatenate([fall[come], rise[come]])
        times = np.concatenate([end[come], begin[come]])
        order = np.argsort(times, kind="stable")
        return words[order], times[order]


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS_PER_S)
