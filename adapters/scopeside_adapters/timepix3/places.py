"""Puts hits at their positions: which line, which column, which segment.

A hit whose line is known goes into the chain of its segment at once. Hits beyond the
newest line may lie in its fly-back or in a line whose edge has not come yet: they
wait, and the next edge decides. See ``tables.py`` for units and names.
"""

from __future__ import annotations

import numpy as np

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.jit import compiled
from scopeside_adapters.timepix3.tables import Array

WRAP = k.HIT_WRAP - 1
HALF = k.HIT_WRAP >> 1
_FOREVER = np.iinfo(np.int64).max
_MOST_PENDING_AGE = 4  # shares of the pending room that must come free


@compiled
def extended(time: int, m: Array) -> int:
    """Return the time near now that equals `time` but for wraps."""
    now = m[k.NOW] + m[k.LEAD]
    return int(now + ((time - now + HALF) & WRAP) - HALF)


@compiled
def set_now(now: int, m: Array) -> None:
    """Begin to count time."""
    m[k.NOW], m[k.NOW_KNOWN], m[k.CHUNK_END] = now, 1, now


@compiled
def take_hit(time: int, event: int, m: Array) -> int:
    """Place a hit, or keep it for its cluster; return its segment, -1 if none."""
    if m[k.NOW_KNOWN] == 0:
        set_now(time & WRAP, m)
    time = extended(time, m)
    if m[k.CLUSTER] == 0:
        return int(place(time, event, m))
    n = m[k.HELD]
    if n == m[k.HELD_ROOM]:
        m[k.OVERFLOW] += 1
        return -1
    at = m[k.HELD_AT] + 2 * n
    m[at], m[at + 1] = time, event
    m[k.HELD] = n + 1
    return -1


@compiled
def place(time: int, event: int, m: Array) -> int:
    """Put an event at its position; return its segment, -1 if none took it.

    Every hit is counted in one place.
    """
    if m[k.NEXT_ENTRY] == 0 or m[k.ACTIVE] == 0:
        _wait(time, event, m)
        return -1
    entry = _entry_at(time, m)
    if entry < 0:
        m[k.LATE if m[k.OLD_ENTRY] else k.OUTSIDE] += 1
        return -1
    slot = entry & m[k.LINE_MASK]
    inside = time - m[k.START_AT + slot]
    if m[k.KIND_AT + slot] != k.LINE:
        m[k.OUTSIDE] += 1
        return -1
    if inside >= m[k.ACTIVE_AT + slot]:
        if entry == m[k.NEXT_ENTRY] - 1:
            _wait(time, event, m)
        else:
            count_unlit(inside, m)
        return -1
    column = (inside * m[k.FACTOR_AT + slot]) >> m[k.SCALE]
    part = column >> m[k.SEG_SHIFT]
    if entry < m[k.OLD_ENTRY] or (entry == m[k.OLD_ENTRY] and part < m[k.OLD_SEG]):
        m[k.LATE] += 1
        return -1
    seg = slot * m[k.SEGS] + part
    if not _push(seg, event | (column << 40), m):
        m[k.OVERFLOW] += 1
        return -1
    m[k.EVENTS] += 1
    return int(seg)


@compiled
def count_unlit(inside: int, m: Array) -> None:
    """Count a hit between two lines: in the fly-back, or in a pause of the scan."""
    known = m[k.PERIOD]
    if known == 0 or inside < 2 * known:
        m[k.FLYBACK] += 1
    else:
        m[k.OUTSIDE] += 1


@compiled
def _entry_at(time: int, m: Array) -> int:
    """Return the entry that `time` lies in or after; -1 before all that are known."""
    mask = m[k.LINE_MASK]
    newest = m[k.NEXT_ENTRY] - 1
    if time >= m[k.START_AT + (newest & mask)]:
        return int(newest)
    oldest = max(0, newest - mask)
    if time < m[k.START_AT + (oldest & mask)]:
        return -1
    # Lines are regular, so a guess is right or one off; else bisect.
    guess = newest - 1
    if m[k.PERIOD]:
        guess -= (m[k.START_AT + (newest & mask)] - time) // m[k.PERIOD]
    low, high = oldest, newest  # m[k.START_AT + (low] <= time < m[k.START_AT + (high]
    for probe in range(guess - 1, guess + 3):
        if oldest <= probe <= newest:
            if m[k.START_AT + (probe & mask)] <= time:
                low = max(low, probe)
            else:
                high = min(high, probe)
    while high - low > 1:
        middle = (low + high) >> 1
        if m[k.START_AT + (middle & mask)] <= time:
            low = middle
        else:
            high = middle
    return int(low)


@compiled
def _push(seg: int, event: int, m: Array) -> bool:
    """Append an event to a segment; False if the pool is empty."""
    pos = m[k.SEG_POS_AT + seg]
    if pos == m[k.SEG_END_AT + seg]:
        if m[k.FREE] == 0:
            return False
        m[k.FREE] -= 1
        block = m[m[k.FREE_AT] + m[k.FREE]]
        if m[k.SEG_HEAD_AT + seg] < 0:
            m[k.SEG_HEAD_AT + seg] = block
        else:
            m[m[k.NEXT_AT] + (pos - 1) // k.BLOCK] = block
        m[k.SEG_BLOCKS_AT + seg] += 1
        pos = block * k.BLOCK
        m[k.SEG_END_AT + seg] = pos + k.BLOCK
    m[m[k.POOL_AT] + pos] = event
    m[k.SEG_POS_AT + seg] = pos + 1
    return True


@compiled
def _wait(time: int, event: int, m: Array) -> None:
    """Keep a hit until an edge tells where it belongs."""
    room = m[k.PENDING_ROOM]
    if m[k.PENDING] == room:
        _give_up(m[k.NOW] - m[k.REORDER], m)
        if m[k.PENDING] > room - room // _MOST_PENDING_AGE:
            # Or every hit that follows would look through all of them again.
            _give_up(_FOREVER, m)
    at = m[k.PENDING_AT] + 2 * m[k.PENDING]
    m[at], m[at + 1] = time, event
    m[k.PENDING] += 1


@compiled
def _give_up(before: int, m: Array) -> None:
    """Take waiting hits of a time for which no edge can come any more."""
    kept, at = 0, m[k.PENDING_AT]
    newest = (m[k.NEXT_ENTRY] - 1) & m[k.LINE_MASK]
    for i in range(m[k.PENDING]):
        time = m[at + 2 * i]
        if time >= before:
            m[at + 2 * kept], m[at + 2 * kept + 1] = time, m[at + 2 * i + 1]
            kept += 1
        elif m[k.NEXT_ENTRY] and m[k.ACTIVE] and time >= m[k.START_AT + newest]:
            count_unlit(time - m[k.START_AT + newest], m)
        else:
            m[k.OUTSIDE] += 1
    m[k.PENDING] = kept


@compiled
def settle(m: Array) -> None:
    """Place the waiting hits, now that a line is known."""
    if m[k.ACTIVE] == 0 or m[k.PENDING] == 0:
        return
    n, at = m[k.PENDING], m[k.PENDING_AT]
    m[k.PENDING] = 0
    newest = m[k.NEXT_ENTRY] - 1
    start = m[k.START_AT + (newest & m[k.LINE_MASK])]
    before = (newest - 1) & m[k.LINE_MASK]
    begun, active = m[k.START_AT + before], m[k.ACTIVE_AT + before]
    usual = newest > 0 and m[k.KIND_AT + before] == k.LINE and active > 0
    dark, pause = begun + active, begun + 2 * m[k.PERIOD]
    unlit = 0
    for i in range(n):
        time = m[at + 2 * i]
        if usual and dark <= time < start and time < pause:
            unlit += 1
        else:
            # What still has no line goes back to an earlier or the same place.
            place(time, m[at + 2 * i + 1], m)
    m[k.FLYBACK] += unlit


@compiled
def finish(m: Array) -> None:
    """Nothing more will come: count what still waits."""
    _give_up(_FOREVER, m)
