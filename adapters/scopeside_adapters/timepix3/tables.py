"""What the compiled loops of the raw stream keep between two calls.

All of it lies in one array of int64, the *memory*: numba counts references of every
array that a function is given, which costs more than the work on a hit.

Times are whole *ticks* of 1.5625 ns since the detector began to count, extended
beyond the wraps of the words. A *line* is what one edge of the line signal begins;
with a pixel clock or exposures it has one column. An *entry* is a line, or a run of
lines that were missed. A *segment* is a part of a line that is handed on as a whole;
its events lie in a chain of blocks of the pool.

The numbers below are compiled into the kernels, whose cache looks only at their own
files: after a change here, or in a kernel that others call, touch those.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TICK_NS = 1.5625
TICKS_PER_S = 640_000_000
HIT_WRAP = 1 << 34
"""Ticks after which the time of a hit begins anew (26.8 s)."""
TDC_WRAP = 1 << 36
"""Ticks after which the time of an edge begins anew (107.4 s)."""
CHIPS = 16
BLOCK = 512
"""Events in a block of the pool."""
SEGMENTS = 1 << 16
"""Segments that can be open."""
FEWEST_LINES = 16
SEGMENT_TICKS = TICKS_PER_S // 250
"""A segment lasts 4 ms at most, unless it is one position."""

# Single numbers of the memory.
(
    NOW, NOW_KNOWN, CHUNK_END, LEFT, CHIP, CHIPS_KNOWN, COLUMNS, SCALE, SEG_SHIFT,
    SEGS, LINE_MASK, NEXT_ENTRY, OLD_ENTRY, OLD_SEG, NEXT_LINE, LINES_PER_SCAN, ACTIVE,
    FIXED_ACTIVE, DUTY, ACTIVE_1, ACTIVE_2, ACTIVE_3, PERIOD, PERIOD_1, PERIOD_2,
    PERIOD_3, COUNTER, STEP, COUNTS_EDGES, OPEN_LINE, RISE, FALL, FRAME, RESTART,
    DELAY, CLOCK, CLOCK_AT, CLOCK_LEFT, PENDING, FREE, TDC_OFFSET, TDC_KNOWN,
    GLOBAL_LOW, GLOBAL_OFFSET, GLOBAL_KNOWN, PACKET, REORDER, ONE, TOT_MASK, CLUSTER,
    HELD, PENDING_ROOM, HELD_ROOM, POOL_AT, NEXT_AT, FREE_AT, PENDING_AT, HELD_AT,
    A_SEG, B_SEG, LEAD, FIRST_LINE,
) = range(62)  # fmt: skip

# Counts: where each hit went, and what else was seen.
(
    HITS, EVENTS, FLYBACK, LATE, OUTSIDE, UNKNOWN_CHIP, NO_TIME, OVERFLOW, MERGED,
    REPEATED, CHUNKS, GARBAGE, RESYNCS, UNKNOWN, LOST_PACKETS, EDGES, FALLS,
    MISSED_LINES, RESTARTS, BAD_FINE, GLOBALS, DUPLICATE,
) = range(64, 86)  # fmt: skip
COUNTS = slice(64, 96)

# Where the arrays of the memory begin.
PACKET_AT = 96  # of each chip: the last packet id, -1 for none
HIGH_AT = 128  # of each chip: share of PixAddr's upper half in the address
LOW_AT = HIGH_AT + 256 * CHIPS  # share of its lower half
_ENTRIES = LOW_AT + 256 * CHIPS
(
    START_AT,  # of an entry, ticks
    ACTIVE_AT,  # of an entry, ticks; 0 while unknown
    FACTOR_AT,  # columns << SCALE over the active ticks
    LINE_AT,  # number of the entry's (first) line
    LINES_AT,  # how many lines the entry stands for
    KIND_AT,
    SEG_POS_AT,  # where the next event of a segment goes
    SEG_END_AT,  # where its block ends
    SEG_HEAD_AT,  # its first block, -1 for none
    SEG_BLOCKS_AT,  # how many blocks it has
    _POOL,
) = range(_ENTRIES, _ENTRIES + 11 * SEGMENTS, SEGMENTS)

LINE, MISSED, RESTARTED = range(3)
"""Kinds of an entry."""
EDGES_CLOCK, FRAME_CLOCK, FREE_CLOCK = range(3)
"""Who says when a line begins: its edge, the edge of a frame, or nobody."""


CAUSES = {
    FLYBACK: "flyback",
    LATE: "late",
    OUTSIDE: "outside",
    UNKNOWN_CHIP: "unknown_chip",
    NO_TIME: "no_time",
    OVERFLOW: "overflow",
    MERGED: "merged",
    REPEATED: "repeated",
}
"""Where hits go that are no events, by the number of their count."""


def new_memory(
    high: Array, low: Array, *, pool_events: int, pending: int, held: int = 0
) -> Array:
    """Return the memory for a camera whose addresses are ``high[…] + low[…]``.

    Parameters
    ----------
    high, low : (chips, 256), by the upper and the lower byte of PixAddr
    pool_events : how many events may be open
    pending, held : how many hits may wait for their line, and for their cluster
    """
    blocks = max(pool_events // BLOCK, 64)
    pool, following = _POOL, _POOL + blocks * BLOCK
    free, waiting = following + blocks, following + 2 * blocks
    clusters = waiting + 2 * pending
    m = np.zeros(clusters + 2 * held, np.int64)
    m[[POOL_AT, NEXT_AT, FREE_AT, PENDING_AT, HELD_AT]] = (
        pool, following, free, waiting, clusters,
    )  # fmt: skip
    m[[PENDING_ROOM, HELD_ROOM, FREE]] = pending, held, blocks
    m[free:waiting] = np.arange(blocks)
    m[[COUNTER, OPEN_LINE, PACKET, FRAME, GLOBAL_LOW, A_SEG, B_SEG]] = -1
    m[PACKET_AT : PACKET_AT + CHIPS] = -1
    m[SEG_HEAD_AT : SEG_HEAD_AT + SEGMENTS] = -1
    m[LINE_MASK] = FEWEST_LINES - 1
    for chip, (upper, lower) in enumerate(zip(high, low, strict=True)):
        if upper.min() >= 0:
            m[CHIPS_KNOWN] |= 1 << chip
        m[HIGH_AT + 256 * chip : HIGH_AT + 256 * (chip + 1)] = upper
        m[LOW_AT + 256 * chip : LOW_AT + 256 * (chip + 1)] = lower
    return m
