"""One pass over raw TPX3 words: chunks, hits, edges, time to scan position.

A hit whose line is known goes into the chain of its segment at once. Hits beyond the
newest line may lie in its fly-back or in a line whose edge has not come yet: they
wait, and the next edge decides. See ``tables.py`` for units and names.

Words are read as int64, since numba turns sums of signed and unsigned numbers into
floats; every field is cut out with a mask, so that the sign does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.tables import Array

F = TypeVar("F", bound=Callable[..., Any])

MAGIC = 0x33585054  # "TPX3"
_LOW_32 = (1 << 32) - 1
_HIT = -5  # 0xB, as the sign bit makes it
_WRAP = k.HIT_WRAP - 1
_HALF = k.HIT_WRAP >> 1
_NOT_BEGUN = 2  # RESTART: no edge has told where a scan begins
_LOOK_BACK = 16  # words: behind the last hit of a chunk there are few others
_REPEATED = -2  # instead of a chip: the chunk came before
_NEAR = k.TICKS_PER_S // 1_000_000  # edges so close belong together
_NEW_COUNT = 1000  # packets: more than that backwards is a new count
_MOST_PENDING_AGE = 4  # shares of the pending room that must come free


def compiled(function: F) -> F:
    """Compile on first use, keep the result on disk, and run without the GIL."""
    return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))


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
        inside = (time - a_start) & _WRAP
        if inside >= a_long or a_pos == a_end:
            if (time - b_start) & _WRAP < b_long and b_pos != b_end:
                inside = (time - b_start) & _WRAP
                a_seg, b_seg = b_seg, a_seg
                a_start, b_start = b_start, a_start
                a_long, b_long = b_long, a_long
                a_first, b_first = b_first, a_first
                a_factor, b_factor = b_factor, a_factor
                a_pos, b_pos = b_pos, a_pos
                a_end, b_end = b_end, a_end
            elif (time - dark) & _WRAP < is_dark and waiting < room:
                # After the newest line: the next edge will tell.
                at = pending + np.uintp(2 * waiting)
                m[at] = dark + ((time - dark) & _WRAP)
                m[at + np.uintp(1)] = event
                waiting += 1
                slow += 1
                i += 1
                continue
            elif (time - gap) & _WRAP < gap_long:
                flyback += 1
                slow += 1
                i += 1
                continue
            else:
                _keep(a_seg, a_pos, b_seg, b_pos, waiting, m)
                if m[k.FREE] == 0:
                    break
                found = _take_hit(time, event, m)
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
        start = m[k.START_AT + slot] & _WRAP
        pos, end = m[k.SEG_POS_AT + seg], m[k.SEG_END_AT + seg]
        return seg, start, active, 0, factor, pos, end
    column = part << m[k.SEG_SHIFT]
    beyond = column + (1 << m[k.SEG_SHIFT])
    first = ((column << m[k.SCALE]) + factor - 1) // factor
    last = active
    if beyond < m[k.COLUMNS]:
        last = ((beyond << m[k.SCALE]) + factor - 1) // factor
    start = (m[k.START_AT + slot] + first) & _WRAP
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
        return end, _HALF, 0, 0
    begun = m[k.START_AT + before]
    unlit = begun + m[k.ACTIVE_AT + before]
    if start - begun >= 2 * m[k.PERIOD]:
        return end, _HALF, 0, 0
    return end, _HALF, unlit, start - unlit


@compiled
def _header(words: Array, i: int, stop: int, m: Array) -> int:
    """Read the header of a chunk at `i`, or look for one; return what comes next."""
    if _is_header(words[i]):
        w = words[i]
        chip = (w >> 32) & 0xFF
        m[k.LEFT] = (w >> 51) & 0x1FFF
        m[k.CHIP] = chip if chip < m[k.CHIPS_KNOWN] else -1
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
def _extended(time: int, m: Array) -> int:
    """Return the time near now that equals `time` but for wraps."""
    now = m[k.NOW]
    return int(now + ((time - now + _HALF) & _WRAP) - _HALF)


@compiled
def _set_now(now: int, m: Array) -> None:
    m[k.NOW], m[k.NOW_KNOWN], m[k.CHUNK_END] = now, 1, now


@compiled
def _end_chunk(words: Array, stop: int, m: Array) -> None:
    """Let time go on to the last hit of the chunk, if the chunk before agrees."""
    for i in range(stop - 1, max(stop - _LOOK_BACK, 0), -1):
        w = words[i]
        if w >> 60 == _HIT:
            time = _extended(((w & 0xFFFF) << 18) | ((w >> 26) & 0x3FFF0), m)
            if m[k.NOW_KNOWN]:
                m[k.NOW] = max(m[k.NOW], min(time, m[k.CHUNK_END]))
                m[k.CHUNK_END] = time
            break
    run_clock(m)


@compiled
def _other(w: int, m: Array) -> bool:
    """Take a word that is no hit; False if there is no room for another line."""
    top = (w >> 60) & 0xF
    if top == 0x6:
        if m[k.NEXT_ENTRY] - m[k.OLD_ENTRY] > m[k.LINE_MASK] - 2:
            return False
        _edge(w, m)
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
            _set_now(time & _WRAP, m)
        if m[k.CLOCK] == k.FREE_CLOCK and m[k.CLOCK_LEFT] == 0:
            m[k.CLOCK_AT] = _extended(time, m) + m[k.DELAY]
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
        _set_now(time, m)
    if m[k.GLOBAL_KNOWN] == 0:
        m[k.GLOBAL_KNOWN] = 1
        m[k.GLOBAL_OFFSET] = _extended(time & _WRAP, m) - time
        # It may be behind the hits: only what comes later can move the time.
        return
    m[k.NOW] = max(m[k.NOW], time + m[k.GLOBAL_OFFSET] - m[k.REORDER])


# -- edges ------------------------------------------------------------------------


@compiled
def _edge(w: int, m: Array) -> None:
    """Take an edge of a TDC input."""
    code = (w >> 56) & 0xF
    if code not in (m[k.RISE], m[k.FALL], m[k.FRAME]):
        return
    m[k.EDGES] += 1
    fine = (w >> 5) & 0xF
    if fine == 0:
        m[k.BAD_FINE] += 1
        fine = 1
    time = (((w >> 9) & ((1 << 35) - 1)) << 1) + (fine - 1) // 6
    if m[k.NOW_KNOWN] == 0:
        _set_now(time, m)
    if m[k.TDC_KNOWN] == 0:
        m[k.TDC_KNOWN] = 1
        m[k.TDC_OFFSET] = _extended(time & _WRAP, m) - time
    half = k.TDC_WRAP >> 1
    beyond = time + m[k.TDC_OFFSET] - m[k.NOW]
    time = m[k.NOW] + ((beyond + half) & (k.TDC_WRAP - 1)) - half
    m[k.NOW] = max(m[k.NOW], time)
    time += m[k.DELAY]
    if code == m[k.FRAME]:
        _frame_edge(time, m)
    elif code == m[k.RISE]:
        _rise(time, (w >> 44) & 0xFFF, m)
    else:
        m[k.FALLS] += 1
        _fall(time, (w >> 44) & 0xFFF, m)


@compiled
def _frame_edge(time: int, m: Array) -> None:
    """A scan begins: with this line, or with the next one."""
    if m[k.CLOCK] == k.FRAME_CLOCK:
        if m[k.NEXT_ENTRY]:
            newest = (m[k.NEXT_ENTRY] - 1) & m[k.LINE_MASK]
            time = max(time, m[k.START_AT + newest] + 2)
            _restart(time, m)
        m[k.CLOCK_AT], m[k.CLOCK_LEFT] = time, m[k.LINES_PER_SCAN]
        return
    if m[k.RESTART] == _NOT_BEGUN:
        m[k.RESTART] = 0
        if m[k.COUNTER] >= 0 and time - m[k.CLOCK_AT] < _NEAR:
            # The edge of the first line came just before that of the scan.
            _rise(m[k.CLOCK_AT], m[k.COUNTER], m)
        return
    newest = (m[k.NEXT_ENTRY] - 1) & m[k.LINE_MASK]
    short = m[k.NEXT_LINE] % m[k.LINES_PER_SCAN]
    if short == 1 % m[k.LINES_PER_SCAN] and time - m[k.START_AT + newest] < _NEAR:
        return
    m[k.RESTART] = 1 if short else 0


@compiled
def _restart(time: int, m: Array) -> None:
    """Go on with the first line of the next scan; those left out are a gap."""
    short = -m[k.NEXT_LINE] % m[k.LINES_PER_SCAN]
    if short:
        m[k.RESTARTS] += 1
        _add(time - 1, k.RESTARTED, short, m)


@compiled
def _rise(time: int, counter: int, m: Array) -> None:
    """Begin a line."""
    if m[k.RESTART] == _NOT_BEGUN:
        m[k.CLOCK_AT], m[k.COUNTER] = time, counter
        return
    if m[k.NEXT_ENTRY]:
        newest = (m[k.NEXT_ENTRY] - 1) & m[k.LINE_MASK]
        if (
            time <= m[k.START_AT + newest]
            and m[k.START_AT + newest] - time > m[k.REORDER]
        ):
            time += k.HIT_WRAP  # edges are in order: the clock began anew
            m[k.NOW] = max(m[k.NOW], time - m[k.DELAY])
        spent = time - m[k.START_AT + newest]
        if spent <= 0:
            m[k.DUPLICATE] += 1
            return
        missed = _missed(counter, spent, m)
        if missed:
            m[k.MISSED_LINES] += missed
            _add(m[k.START_AT + newest] + spent // (missed + 1), k.MISSED, missed, m)
        elif m[k.RESTART] == 0:
            _measure_period(spent, m)
    if m[k.RESTART] == 1:
        _restart(time, m)
        m[k.RESTART] = 0
    m[k.COUNTER] = counter
    m[k.OPEN_LINE] = m[k.NEXT_ENTRY]
    _add(time, k.LINE, 1, m)
    _settle(m)


@compiled
def _missed(counter: int, spent: int, m: Array) -> int:
    """Return how many lines the counter says are missing, if time had room for them."""
    if m[k.COUNTER] < 0 or m[k.PERIOD] == 0:
        return 0
    steps = (counter - m[k.COUNTER]) & 0xFFF
    if steps == 1:
        m[k.COUNTS_EDGES] = -1  # only lines are counted, whatever it looked like
    step = 2 if m[k.COUNTS_EDGES] == 1 or m[k.STEP] == 2 else 1
    if m[k.STEP] == 1:
        step = 1
    room = (spent + m[k.PERIOD] // 2) // m[k.PERIOD] - 1
    return int(max(0, min(steps // step - 1, room)))


@compiled
def _fall(time: int, counter: int, m: Array) -> None:
    """The active part of a line ends."""
    entry = m[k.OPEN_LINE]
    m[k.OPEN_LINE] = -1
    if entry < 0:
        return
    if m[k.COUNTS_EDGES] == 0 and ((counter - m[k.COUNTER]) & 0xFFF) == 1:
        m[k.COUNTS_EDGES] = 1
    spent = time - m[k.START_AT + (entry & m[k.LINE_MASK])]
    if m[k.FIXED_ACTIVE] or m[k.DUTY] or spent <= 0:
        return
    if m[k.PERIOD] and spent > 2 * m[k.PERIOD]:
        return
    m[k.ACTIVE_3], m[k.ACTIVE_2], m[k.ACTIVE_1] = m[k.ACTIVE_2], m[k.ACTIVE_1], spent
    _set_active(_middle(m[k.ACTIVE_1], m[k.ACTIVE_2], m[k.ACTIVE_3]), m)


@compiled
def _measure_period(spent: int, m: Array) -> None:
    m[k.PERIOD_3], m[k.PERIOD_2], m[k.PERIOD_1] = m[k.PERIOD_2], m[k.PERIOD_1], spent
    m[k.PERIOD] = _middle(m[k.PERIOD_1], m[k.PERIOD_2], m[k.PERIOD_3])
    if m[k.DUTY]:
        _set_active(max(1, (m[k.PERIOD] * m[k.DUTY]) >> 16), m)


@compiled
def _middle(a: int, b: int, c: int) -> int:
    """Return the median, of those that are there (0: not measured yet)."""
    if b == 0 or c == 0:
        return a
    return max(min(a, b), min(max(a, b), c))


@compiled
def _set_active(active: int, m: Array) -> None:
    """Take the duration of the active part; with the first, lines become usable."""
    first = m[k.ACTIVE] == 0
    m[k.ACTIVE] = active
    if not first:
        return
    plan_segments(m)
    for entry in range(m[k.OLD_ENTRY], m[k.NEXT_ENTRY]):
        slot = entry & m[k.LINE_MASK]
        m[k.ACTIVE_AT + slot] = active
        m[k.FACTOR_AT + slot] = (m[k.COLUMNS] << m[k.SCALE]) // active
    _settle(m)


@compiled
def plan_segments(m: Array) -> None:
    """Cut lines into segments of a few milliseconds, once their duration is known."""
    m[k.A_SEG] = m[k.B_SEG] = -1  # their numbers change
    shift = 0
    while (1 << shift) < m[k.COLUMNS] and (
        (m[k.ACTIVE] << (shift + 1)) <= k.SEGMENT_TICKS * m[k.COLUMNS]
        or (m[k.COLUMNS] >> shift) >= k.SEGMENTS // k.FEWEST_LINES
    ):
        shift += 1
    segs = (m[k.COLUMNS] + (1 << shift) - 1) >> shift
    lines = k.FEWEST_LINES
    while lines * 2 * segs <= k.SEGMENTS:
        lines *= 2
    m[k.SEG_SHIFT], m[k.SEGS], m[k.LINE_MASK] = shift, segs, lines - 1


@compiled
def _add(time: int, kind: int, lines: int, m: Array) -> None:
    """Append an entry; there is room, or `parse` had stopped before."""
    slot = m[k.NEXT_ENTRY] & m[k.LINE_MASK]
    m[k.START_AT + slot], m[k.KIND_AT + slot], m[k.LINES_AT + slot] = time, kind, lines
    m[k.LINE_AT + slot] = m[k.NEXT_LINE]
    m[k.ACTIVE_AT + slot] = m[k.ACTIVE]
    m[k.FACTOR_AT + slot] = 0
    if m[k.ACTIVE]:
        m[k.FACTOR_AT + slot] = (m[k.COLUMNS] << m[k.SCALE]) // m[k.ACTIVE]
    m[k.NEXT_LINE] += lines
    m[k.NEXT_ENTRY] += 1


@compiled
def run_clock(m: Array) -> None:
    """Begin the lines that are due by now, where no edge does."""
    if m[k.CLOCK] == k.EDGES_CLOCK or m[k.NOW_KNOWN] == 0:
        return
    if m[k.CLOCK] == k.FREE_CLOCK and m[k.CLOCK_LEFT] == 0:
        m[k.CLOCK_AT], m[k.CLOCK_LEFT] = m[k.NOW] + m[k.DELAY], -1
    before = m[k.NEXT_ENTRY]
    while (
        m[k.CLOCK_LEFT]
        and m[k.CLOCK_AT] <= m[k.NOW] + m[k.REORDER]
        and m[k.NEXT_ENTRY] - m[k.OLD_ENTRY] < m[k.LINE_MASK] - 2
    ):
        _add(m[k.CLOCK_AT], k.LINE, 1, m)
        m[k.CLOCK_AT] += m[k.PERIOD]
        m[k.CLOCK_LEFT] -= 1
    if m[k.NEXT_ENTRY] != before:
        _settle(m)


# -- hits -------------------------------------------------------------------------


@compiled
def _take_hit(time: int, event: int, m: Array) -> int:
    """Place a hit, or keep it for its cluster; return its segment, -1 if none."""
    if m[k.NOW_KNOWN] == 0:
        _set_now(time & _WRAP, m)
    time = _extended(time, m)
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
            _count_unlit(inside, m)
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
def _count_unlit(inside: int, m: Array) -> None:
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
            m[k.OUTSIDE] += 1
            return
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
            _count_unlit(time - m[k.START_AT + newest], m)
        else:
            m[k.OUTSIDE] += 1
    m[k.PENDING] = kept


@compiled
def _settle(m: Array) -> None:
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
    _give_up(np.iinfo(np.int64).max, m)
