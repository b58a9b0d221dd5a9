"""Hands on what lies in closed segments: as event words, sorted, or as frames.

See ``tables.py`` for the names; nothing here looks at raw words.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.jit import compiled
from scopeside_adapters.timepix3.tables import Array

NOTHING, SEGMENT, GAP = range(3)
_PLACE = 40
_REST = (1 << _PLACE) - 1
_ADDRESS = (1 << 24) - 1
_MOST = 0xFFFF


@compiled
def next_is(horizon: int, end_line: int, m: Array) -> int:
    """Return what can be handed on before line `end_line`: a SEGMENT, a GAP, NOTHING.

    A segment is ready when its time ends at or before `horizon`.
    """
    entry = m[k.OLD_ENTRY]
    slot = entry & m[k.LINE_MASK]
    if entry == m[k.NEXT_ENTRY] or m[k.LINE_AT + slot] >= end_line:
        return NOTHING
    if m[k.KIND_AT + slot] != k.LINE:
        return GAP
    if m[k.ACTIVE_AT + slot] == 0 or _end_of(m[k.OLD_SEG], slot, m) > horizon:
        return NOTHING
    return SEGMENT


@compiled
def _end_of(seg: int, slot: int, m: Array) -> int:
    column = min((seg + 1) << m[k.SEG_SHIFT], m[k.COLUMNS])
    return int(m[k.START_AT + slot] + (m[k.ACTIVE_AT + slot] * column) // m[k.COLUMNS])


@compiled
def _columns(seg: int, m: Array) -> int:
    first = seg << m[k.SEG_SHIFT]
    return int(min(first + (1 << m[k.SEG_SHIFT]), m[k.COLUMNS]) - first)


@compiled
def size(seg: int, m: Array) -> int:
    """Return how many events a segment (its number in the ring) holds."""
    if m[k.SEG_BLOCKS_AT + seg] == 0:
        return 0
    return int(
        m[k.SEG_BLOCKS_AT + seg] * k.BLOCK
        - (m[k.SEG_END_AT + seg] - m[k.SEG_POS_AT + seg])
    )


@compiled
def oldest(m: Array, about: Array) -> None:
    """Describe the oldest segment: line, first column, columns, events, start."""
    slot = m[k.OLD_ENTRY] & m[k.LINE_MASK]
    about[0] = m[k.LINE_AT + slot]
    about[1] = m[k.OLD_SEG] << m[k.SEG_SHIFT]
    about[2] = _columns(m[k.OLD_SEG], m)
    about[3] = size(slot * m[k.SEGS] + m[k.OLD_SEG], m)
    about[4] = m[k.START_AT + slot] + (m[k.ACTIVE_AT + slot] * about[1]) // m[k.COLUMNS]
    about[5] = m[k.ACTIVE_AT + slot] // m[k.COLUMNS]
    about[6] = m[k.LINES_AT + slot]
    about[7] = m[k.KIND_AT + slot]


@compiled
def step(m: Array) -> None:
    """Leave the oldest segment, or gap, behind; it has been taken."""
    slot = m[k.OLD_ENTRY] & m[k.LINE_MASK]
    m[k.OLD_SEG] += 1
    if m[k.KIND_AT + slot] != k.LINE or m[k.OLD_SEG] == m[k.SEGS]:
        m[k.OLD_SEG] = 0
        m[k.OLD_ENTRY] += 1


@compiled
def take(
    horizon: int, end_line: int, words: Array, index: Array, stamps: Array,
    first_line: int, since: int, m: Array, taken: Array,
) -> None:  # fmt: skip
    """Fill a slot with as many ready segments as fit; `taken` is (frames, events).

    `first_line` has the index 0; `stamps` are nanoseconds after tick `since`.
    """
    frames = events = 0
    while next_is(horizon, end_line, m) == SEGMENT:
        slot = m[k.OLD_ENTRY] & m[k.LINE_MASK]
        seg = slot * m[k.SEGS] + m[k.OLD_SEG]
        columns, n = _columns(m[k.OLD_SEG], m), size(seg, m)
        if frames + columns > len(index) or events + n > len(words):
            break
        first = m[k.OLD_SEG] << m[k.SEG_SHIFT]
        at = (m[k.LINE_AT + slot] - first_line) * m[k.COLUMNS] + first
        begin, active = m[k.START_AT + slot] - since, m[k.ACTIVE_AT + slot]
        for c in range(columns):
            index[frames + c] = at + c
            ticks = begin + (active * (first + c)) // m[k.COLUMNS]
            stamps[frames + c] = (ticks * 25) >> 4
        drain(seg, words[events:], (frames - first) << _PLACE, m)
        frames += columns
        events += n
        step(m)
    taken[0], taken[1] = frames, events


@compiled
def drain(seg: int, out: Array, shift: int, m: Array) -> None:
    """Move the events of a segment to `out`, `shift` added, and free its blocks."""
    block, left, at = m[k.SEG_HEAD_AT + seg], size(seg, m), 0
    while left > 0:
        n = min(left, k.BLOCK)
        begin = block * k.BLOCK
        source, target = m[m[k.POOL_AT] + begin : begin + n], out[at : at + n]
        for i in range(n):
            target[i] = source[i] + shift
        at += n
        left -= n
        following = m[m[k.NEXT_AT] + block]
        m[m[k.FREE_AT] + m[k.FREE]] = block
        m[k.FREE] += 1
        block = following
    m[k.SEG_HEAD_AT + seg] = -1
    m[k.SEG_BLOCKS_AT + seg] = m[k.SEG_POS_AT + seg] = m[k.SEG_END_AT + seg] = 0


@compiled
def sort_by_place(words: Array, places: int, out: Array, bounds: Array) -> None:
    """Order events by place: those of place p are ``out[bounds[p]:bounds[p + 1]]``."""
    bounds[: places + 1] = 0
    for i in range(len(words)):
        bounds[(words[i] >> _PLACE) + 1] += 1
    for p in range(places):
        bounds[p + 1] += bounds[p]
    for i in range(len(words)):
        place = words[i] >> _PLACE
        out[bounds[place]] = words[i]
        bounds[place] += 1
    for p in range(places, 0, -1):
        bounds[p] = bounds[p - 1]
    bounds[0] = 0


@compiled
def merge_pixels(words: Array, sums: Array) -> int:
    """Add up the values of one place's events that share a pixel, in place.

    `sums` (pixels,) int64 is zero and is left so. A pixel whose sum does not fit one
    event keeps several. Returns how many events are left.
    """
    if len(words) == 0:
        return 0
    place = words[0] & ~_REST
    for i in range(len(words)):
        sums[words[i] & _ADDRESS] += (words[i] >> 24) & _MOST
    n = 0
    for i in range(len(words)):
        address = words[i] & _ADDRESS
        while sums[address] > 0:
            value = min(sums[address], _MOST)
            words[n] = place | (value << 24) | address
            n += 1
            sums[address] -= value
    return n


@compiled
def add_to_frames(words: Array, first: int, frames: Array) -> int:
    """Add events to ``frames (n, pixels)``, the first of which is place `first`.

    A pixel that is full stays so; returns how many counts were cut off.
    """
    most, cut = _most(frames), 0
    for i in range(len(words)):
        place = (words[i] >> _PLACE) - first
        address = words[i] & _ADDRESS
        value = (words[i] >> 24) & _MOST
        total = frames[place, address] + value
        if total > most:
            cut += total - most
            total = most
        frames[place, address] = total
    return cut


@compiled
def _most(frames: Array) -> int:
    return (1 << (8 * frames.itemsize)) - 1


@compiled
def compact(limit: int, sums: Array, scratch: Array, m: Array) -> None:
    """Merge the pixels of open segments of one position with `limit` events or more.

    So an exposure of seconds takes no more room than its pixels do.
    """
    if m[k.SEG_SHIFT] or m[k.ACTIVE] == 0:
        return
    for entry in range(m[k.OLD_ENTRY], m[k.NEXT_ENTRY]):
        slot = entry & m[k.LINE_MASK]
        for part in range(m[k.SEGS]):
            seg = slot * m[k.SEGS] + part
            n = size(seg, m)
            if n < limit or n > len(scratch):
                continue
            drain(seg, scratch, 0, m)
            n = merge_pixels(scratch[:n], sums)
            refill(seg, scratch[:n], m)


@compiled
def refill(seg: int, words: Array, m: Array) -> None:
    """Put events back into an empty segment; their blocks have just been freed."""
    at = 0
    while at < len(words):
        n = min(k.BLOCK, len(words) - at)
        m[k.FREE] -= 1
        block = m[m[k.FREE_AT] + m[k.FREE]]
        if at == 0:
            m[k.SEG_HEAD_AT + seg] = block
        else:
            m[m[k.NEXT_AT] + (m[k.SEG_END_AT + seg] - 1) // k.BLOCK] = block
        begin = block * k.BLOCK
        for i in range(n):
            m[m[k.POOL_AT] + begin + i] = words[at + i]
        m[k.SEG_BLOCKS_AT + seg] += 1
        m[k.SEG_END_AT + seg] = begin + k.BLOCK
        m[k.SEG_POS_AT + seg] = begin + n
        at += n
