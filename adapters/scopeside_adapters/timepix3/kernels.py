"""One pass over raw TPX3 words: chunks, hits, and what else comes.

Words are read as int64, since numba turns sums of signed and unsigned numbers into
floats; every field is cut out with a mask, so that the sign does no harm. See
``tables.py`` for units and names.
"""

# ruff: noqa: PLR0917 - a kernel takes flat arrays by position
from __future__ import annotations

import numpy as np

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.edges import run_clock, take_edge
from scopeside_adapters.timepix3.jit import compiled
from scopeside_adapters.timepix3.places import (
    HALF,
    WRAP,
    extended,
    set_now,
    take_hit,
)
from scopeside_adapters.timepix3.tables import Array

MAGIC = 0x33585054  # "TPX3"
_LOW_32 = (1 << 32) - 1
_HIT = -5  # 0xB, as the sign bit makes it
_LOOK_BACK = 16  # words: behind the last hit of a chunk there are few others
_REPEATED = -2  # instead of a chip: the chunk came before
_NEW_COUNT = 1000  # packets: more than that backwards is a new count


@compiled
def parse(words: Array, begin: int, stop: int, m: Array) -> int:
    """Take ``words[begin:stop]`` and return how far it came.

    It ends early where there is no room for another event or line: hand on what is
    ready, and call again.
    """
    i = begin
    while i < stop:
        if m[k.LEFT] == 0:
            i = _header(words, i, stop, m)
            continue
        until = min(stop, i + m[k.LEFT])
        come = _contents(words, i, until, m)
        m[k.LEFT] -= come - i
        i = come
        if i < until:
            break
        if m[k.LEFT] == 0:
            _end_chunk(words, i, m)
    return i


@compiled
def _contents(words: Array, begin: int, stop: int, m: Array) -> int:
    """Take words of one chunk, and return how far it came.

    Two segments are at hand, a and b, each with its first tick, its duration and the
    place of its next event: most hits fall into the first, nearly all others into the
    second, or after the end of the newest line.
    """
    i = begin
    if m[k.CHIP] < 0:
        i = _skip(words, i, stop, m)
    one, tot_mask, scale = m[k.ONE] << 24, m[k.TOT_MASK] << 20, m[k.SCALE]
    pool, pending = np.uintp(m[k.POOL_AT]), np.uintp(m[k.PENDING_AT])
    waiting, room = m[k.PENDING], m[k.PENDING_ROOM]
    high = np.uintp(k.HIGH_AT + 256 * max(m[k.CHIP], 0))
    low = np.uintp(k.LOW_AT + 256 * max(m[k.CHIP], 0))
    a_seg, a_start, a_long, a_first, a_factor, a_pos, a_end = _hold(m[k.A_SEG], m)
    b_seg, b_start, b_long, b_first, b_factor, b_pos, b_end = _hold(m[k.B_SEG], m)
    dark, is_dark, gap, gap_long = _dark(m)
    slow = others = flyback = 0
    while i < stop:
        w = words[np.uintp(i)]
        if w >> 60 != _HIT:
            _keep(a_seg, a_pos, b_seg, b_pos, waiting, m)
            if not _other(w, m):
                break
            others += 1
            i += 1
            if m[k.CHIP] < 0:
                others += stop - i
                i = _skip(words, i, stop, m)
            a_seg, a_start, a_long, a_first, a_factor, a_pos, a_end = _hold(a_seg, m)
            b_seg, b_start, b_long, b_first, b_factor, b_pos, b_end = _hold(b_seg, m)
            dark, is_dark, gap, gap_long = _dark(m)
            waiting = m[k.PENDING]
            continue
        time = (((w & 0xFFFF) << 18) | ((w >> 26) & 0x3FFF0)) - ((w >> 16) & 0xF)
        event = (
            m[high + np.uintp((w >> 52) & 0xFF)]
            + m[low + np.uintp((w >> 44) & 0xFF)]
            + (((w & tot_mask) << 4) | one)
        )
        inside = (time - a_start) & WRAP
        if inside >= a_long or a_pos == a_end:
            if (time - b_start) & WRAP < b_long and b_pos != b_end:
                inside = (time - b_start) & WRAP
                a_seg, b_seg = b_seg, a_seg
                a_start, b_start = b_start, a_start
                a_long, b_long = b_long, a_long
                a_first, b_first = b_first, a_first
                a_factor, b_factor = b_factor, a_factor
                a_pos, b_pos = b_pos, a_pos
                a_end, b_end = b_end, a_end
            elif (time - dark) & WRAP < is_dark and waiting < room:
                # After the newest line: the next edge will tell.
                at = pending + np.uintp(2 * waiting)
                m[at] = dark + ((time - dark) & WRAP)
                m[at + np.uintp(1)] = event
                waiting += 1
                slow += 1
                i += 1
                continue
            elif (time - gap) & WRAP < gap_long:
                flyback += 1
                slow += 1
                i += 1
                continue
            else:
                _keep(a_seg, a_pos, b_seg, b_pos, waiting, m)
                if m[k.FREE] == 0:
                    break
                found = take_hit(time, event, m)
                waiting = m[k.PENDING]
                if found >= 0 and found != a_seg:
                    b_seg, b_start, b_long, b_first = a_seg, a_start, a_long, a_first
                    b_factor, b_pos, b_end = a_factor, a_pos, a_end
                    a_seg, a_start, a_long, a_first, a_factor, a_pos, a_end = _hold(
                        found, m
                    )
                elif found >= 0:
                    a_pos, a_end = m[k.SEG_POS_AT + a_seg], m[k.SEG_END_AT + a_seg]
                slow += 1
                i += 1
                continue
        m[pool + np.uintp(a_pos)] = event | (
            ((inside + a_first) * a_factor) >> scale << 40
        )
        a_pos += 1
        i += 1
    _keep(a_seg, a_pos, b_seg, b_pos, waiting, m)
    m[k.A_SEG], m[k.B_SEG] = a_seg, b_seg
    m[k.HITS] += i - begin - others
    m[k.FLYBACK] += flyback
    m[k.EVENTS] += i - begin - others - slow
    return i


@compiled
def _hold(seg: int, m: Array) -> tuple[int, int, int, int, int, int, int]:
    """Return a segment's number, start, duration, place in its line, and room.

    The duration is 0, so that no hit falls into it, where the segment is none, or has
    been handed on.
    """
    if seg < 0:
        return -1, 0, 0, 0, 0, 0, 0
    slot, part = seg // m[k.SEGS], seg % m[k.SEGS]
    old = m[k.OLD_ENTRY]
    late = ((slot - old) & m[k.LINE_MASK]) >= m[k.NEXT_ENTRY] - old
    if late or (slot == old & m[k.LINE_MASK] and part < m[k.OLD_SEG]):
        return -1, 0, 0, 0, 0, 0, 0
    factor, active = m[k.FACTOR_AT + slot], m[k.ACTIVE_AT + slot]
    if factor == 0:
        return -1, 0, 0, 0, 0, 0, 0
    if m[k.SEGS] == 1:
        start = m[k.START_AT + slot] & WRAP
        pos, end = m[k.SEG_POS_AT + seg], m[k.SEG_END_AT + seg]
        return seg, start, active, 0, factor, pos, end
    column = part << m[k.SEG_SHIFT]
    beyond = column + (1 << m[k.SEG_SHIFT])
    first = ((column << m[k.SCALE]) + factor - 1) // factor
    last = active
    if beyond < m[k.COLUMNS]:
        last = ((beyond << m[k.SCALE]) + factor - 1) // factor
    start = (m[k.START_AT + slot] + first) & WRAP
    return (
        seg, start, last - first, first, factor,
        m[k.SEG_POS_AT + seg], m[k.SEG_END_AT + seg],
    )  # fmt: skip


@compiled
def _keep(
    a_seg: int, a_pos: int, b_seg: int, b_pos: int, waiting: int, m: Array
) -> None:
    """Write back what `_contents` holds at hand."""
    if a_seg >= 0:
        m[k.SEG_POS_AT + a_seg] = a_pos
    if b_seg >= 0:
        m[k.SEG_POS_AT + b_seg] = b_pos
    m[k.PENDING] = waiting


@compiled
def _dark(m: Array) -> tuple[int, int, int, int]:
    """Return two times between lines, each its first tick and its duration.

    After the newest line, where hits wait for the next edge; and before it, where
    they are in the fly-back of the line before.
    """
    if m[k.NEXT_ENTRY] == 0 or m[k.ACTIVE] == 0 or m[k.CLUSTER]:
        return 0, 0, 0, 0
    slot = (m[k.NEXT_ENTRY] - 1) & m[k.LINE_MASK]
    start = m[k.START_AT + slot]
    end = start + m[k.ACTIVE_AT + slot]
    before = (m[k.NEXT_ENTRY] - 2) & m[k.LINE_MASK]
    if m[k.NEXT_ENTRY] == 1 or m[k.KIND_AT + before] != k.LINE:
        return end, HALF, 0, 0
    begun = m[k.START_AT + before]
    unlit = begun + m[k.ACTIVE_AT + before]
    if start - begun >= min(2 * m[k.PERIOD], HALF):
        return end, HALF, 0, 0
    return end, HALF, unlit, start - unlit


@compiled
def _header(words: Array, i: int, stop: int, m: Array) -> int:
    """Read the header of a chunk at `i`, or look for one; return what comes next."""
    if _is_header(words[i]):
        w = words[i]
        chip = (w >> 32) & 0xFF
        m[k.LEFT] = (w >> 51) & 0x1FFF
        known = chip < k.CHIPS and (m[k.CHIPS_KNOWN] >> chip) & 1
        m[k.CHIP] = chip if known else -1
        m[k.CHUNKS] += 1
        return i + 1
    m[k.RESYNCS] += 1
    while i < stop:
        m[k.GARBAGE] += 1
        i += 1
        if i < stop and _is_header(words[i]):
            after = i + 1 + ((words[i] >> 51) & 0x1FFF)
            # The pattern occurs by chance: another header must follow, as far as
            # can be seen.
            if after >= stop or _is_header(words[after]):
                break
    return i


@compiled
def _is_header(w: int) -> bool:
    return (w & _LOW_32) == MAGIC and ((w >> 48) & 7) == 0


@compiled
def _skip(words: Array, i: int, until: int, m: Array) -> int:
    """Count the hits of a chip that the layout does not know, or of a repetition."""
    cause = k.REPEATED if m[k.CHIP] == _REPEATED else k.UNKNOWN_CHIP
    while i < until:
        if words[i] >> 60 == _HIT:
            m[k.HITS] += 1
            m[cause] += 1
        i += 1
    return i


@compiled
def _end_chunk(words: Array, stop: int, m: Array) -> None:
    """Let time go on to the last hit of the chunk, if the chunk before agrees."""
    for i in range(stop - 1, max(stop - _LOOK_BACK, 0), -1):
        w = words[i]
        if w >> 60 == _HIT:
            time = extended(((w & 0xFFFF) << 18) | ((w >> 26) & 0x3FFF0), m)
            if m[k.NOW_KNOWN]:
                other = time if m[k.LEAD] else m[k.CHUNK_END]
                m[k.NOW] = max(m[k.NOW], min(time, other))
                m[k.CHUNK_END], m[k.LEAD] = time, 0
            break
    run_clock(m)


@compiled
def _other(w: int, m: Array) -> bool:
    """Take a word that is no hit; False if there is no room for another line."""
    top = (w >> 60) & 0xF
    if top == 0x6:
        if m[k.NEXT_ENTRY] - m[k.OLD_ENTRY] > m[k.LINE_MASK] - 2:
            return False
        take_edge(w, m)
    elif top == 0xA:
        m[k.HITS] += 1
        m[k.NO_TIME] += 1
    elif top == 0x4:
        _global_time(w, m)
    elif top == 0x5:
        _control(w, m)
    elif (w >> 56) & 0xFF not in (0x71, 0x72, 0x21):
        m[k.UNKNOWN] += 1
    return True


@compiled
def _control(w: int, m: Array) -> None:
    sub = (w >> 56) & 0xF
    if sub == 0x0:
        _packet(w & ((1 << 48) - 1), m)
    elif sub == 0xF:
        # The shutter opens: exposures without a signal begin here.
        time = ((w >> 12) & ((1 << 34) - 1)) << 4
        if m[k.NOW_KNOWN] == 0:
            set_now(time & WRAP, m)
        if m[k.CLOCK] == k.FREE_CLOCK and m[k.CLOCK_LEFT] == 0:
            m[k.CLOCK_AT] = extended(time, m) + m[k.DELAY]
            m[k.CLOCK_LEFT] = -1
    elif sub not in (0xA, 0xC, 0x1):
        m[k.UNKNOWN] += 1


@compiled
def _packet(number: int, m: Array) -> None:
    """Compare a packet id with the one before: of all chips, or of this chip.

    Which of the two Serval counts is not written down; what fits is right.
    """
    chip = max(m[k.CHIP], 0)
    whole, own = m[k.PACKET], m[k.PACKET_AT + chip]
    if number == whole:
        m[k.DUPLICATE] += 1
        m[k.CHIP] = _REPEATED
        return
    if whole - _NEW_COUNT < number < whole and number != own + 1:
        # It has been overtaken, so it is not lost after all.
        m[k.LOST_PACKETS] = max(0, m[k.LOST_PACKETS] - 1)
        return
    if whole >= 0 and number != whole + 1 and own >= 0 and number > own + 1:
        before = max(own, whole) if whole < number else own
        m[k.LOST_PACKETS] += number - before - 1
    m[k.PACKET] = number
    m[k.PACKET_AT + chip] = number


@compiled
def _global_time(w: int, m: Array) -> None:
    """Take the 48-bit clock: it tells how many wraps a pause has held."""
    sub = (w >> 56) & 0xF
    if sub == 0x4:
        m[k.GLOBAL_LOW] = (w >> 16) & _LOW_32
        return
    if sub != 0x5 or m[k.GLOBAL_LOW] < 0:
        return
    m[k.GLOBALS] += 1
    time = ((((w >> 16) & 0xFFFF) << 32) | m[k.GLOBAL_LOW]) << 4
    m[k.GLOBAL_LOW] = -1
    if m[k.NOW_KNOWN] == 0:
        set_now(time, m)
    if m[k.GLOBAL_KNOWN] == 0:
        m[k.GLOBAL_KNOWN] = 1
        m[k.GLOBAL_OFFSET] = extended(time & WRAP, m) - time
        # It may be behind the hits: only what comes later can move the time.
        return
    m[k.NOW] = max(m[k.NOW], time + m[k.GLOBAL_OFFSET] - m[k.REORDER])
