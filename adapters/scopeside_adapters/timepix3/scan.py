"""What a line is: the signal that begins it, how long it is lit, how many columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.edges import plan_segments
from scopeside_adapters.timepix3.words import (
    TDC1_FALL,
    TDC1_RISE,
    TDC2_FALL,
    TDC2_RISE,
)

Signal = Literal["line", "pixel", "frame", "none"]
_RISE = {1: TDC1_RISE, 2: TDC2_RISE}
_FALL = {1: TDC1_FALL, 2: TDC2_FALL}
_CLOCK = {
    "line": k.EDGES_CLOCK,
    "pixel": k.EDGES_CLOCK,
    "frame": k.FRAME_CLOCK,
    "none": k.FREE_CLOCK,
}
_NOT_BEGUN = 2


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How times become probe positions.

    Attributes
    ----------
    signal
        What the edges of input `tdc` say: a ``line`` begins (and ends, with the
        falling edge), a ``pixel`` does, a whole ``frame`` does; or ``none``: exposures
        follow each other.
    columns, lines
        Of the scan. `lines` is how many make an acquisition; None: no end.
    period_s, active_s
        From line to line, and the part of it that is lit, where it is known.
    duty
        `active_s` as a share of the measured period.
    frame_tdc
        Input whose edge says that the next line is the first of a scan; 0: none.
    """

    signal: Signal
    columns: int
    lines: int | None
    tdc: int = 1
    invert: bool = False
    frame_tdc: int = 0
    period_s: float = 0.0
    active_s: float = 0.0
    duty: float = 0.0
    delay_ns: float = 0.0
    reorder_s: float = 0.005
    counter_step: int = 0

    @property
    def frames(self) -> int | None:
        """How many frames an acquisition has."""
        return None if self.lines is None else self.lines * self.columns

    def write(self, m: k.Array) -> None:
        """Put the plan into the memory of the kernels."""
        columns = 1 if self.signal == "pixel" else self.columns
        lines = self.lines if self.signal != "pixel" else self.frames
        begins, ends = (_FALL, _RISE) if self.invert else (_RISE, _FALL)
        m[k.COLUMNS] = columns
        m[k.SCALE] = 62 - int(columns).bit_length()
        m[k.LINES_PER_SCAN] = k.HIT_WRAP if lines is None else lines
        m[k.CLOCK] = _CLOCK[self.signal]
        m[k.RISE], m[k.FALL] = begins[self.tdc], ends[self.tdc]
        if self.signal == "none":
            m[k.RISE] = m[k.FALL] = -1
        if self.signal == "frame":
            m[k.RISE], m[k.FALL], m[k.FRAME] = -1, -1, begins[self.tdc]
        elif self.frame_tdc:
            m[k.FRAME], m[k.RESTART] = _RISE[self.frame_tdc], _NOT_BEGUN
        m[k.DELAY] = round(self.delay_ns / k.TICK_NS)
        m[k.REORDER] = round(self.reorder_s * k.TICKS_PER_S)
        m[k.STEP] = self.counter_step
        m[k.DUTY] = round(self.duty * 65536)
        m[k.PERIOD] = round(self.period_s * k.TICKS_PER_S)
        m[k.FIXED_ACTIVE] = round(self.active_s * k.TICKS_PER_S)
        if m[k.FIXED_ACTIVE]:
            m[k.ACTIVE] = m[k.FIXED_ACTIVE]
            plan_segments(m)
