"""Edges and clocks: when a line begins, for how long it is lit, which were missed.

See ``tables.py`` for units and names.
"""

from __future__ import annotations

from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3.jit import compiled
from scopeside_adapters.timepix3.places import WRAP, extended, set_now, settle
from scopeside_adapters.timepix3.tables import Array

_NOT_BEGUN = 2  # RESTART: no edge has told where a scan begins
_NEAR = k.TICKS_PER_S // 1_000_000  # edges so close belong together


@compiled
def take_edge(w: int, m: Array) -> None:
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
        set_now(time, m)
    if m[k.TDC_KNOWN] == 0:
        m[k.TDC_KNOWN] = 1
        m[k.TDC_OFFSET] = extended(time & WRAP, m) - time
    half = k.TDC_WRAP >> 1
    beyond = time + m[k.TDC_OFFSET] - m[k.NOW]
    time = m[k.NOW] + ((beyond + half) & (k.TDC_WRAP - 1)) - half
    if time > m[k.NOW]:
        m[k.NOW], m[k.LEAD] = time, 0
    time += m[k.DELAY]
    if code == m[k.FRAME]:
        _frame_edge(time, m)
    elif code == m[k.RISE]:
        rise(time, (w >> 44) & 0xFFF, m)
    else:
        m[k.FALLS] += 1
        fall(time, (w >> 44) & 0xFFF, m)


@compiled
def _frame_edge(time: int, m: Array) -> None:
    """Begin a scan, with this line or with the next one."""
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
            rise(m[k.CLOCK_AT], m[k.COUNTER], m)
        return
    newest = (m[k.NEXT_ENTRY] - 1) & m[k.LINE_MASK]
    short = (m[k.NEXT_LINE] - m[k.FIRST_LINE]) % m[k.LINES_PER_SCAN]
    if short == 1 % m[k.LINES_PER_SCAN] and time - m[k.START_AT + newest] < _NEAR:
        return
    m[k.RESTART] = 1 if short else 0


@compiled
def _restart(time: int, m: Array) -> None:
    """Go on with the first line of the next scan; those left out are a gap."""
    short = (m[k.FIRST_LINE] - m[k.NEXT_LINE]) % m[k.LINES_PER_SCAN]
    if short:
        m[k.RESTARTS] += 1
        _add(time - 1, k.RESTARTED, short, m)


@compiled
def rise(time: int, counter: int, m: Array) -> None:
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
            m[k.TDC_OFFSET] += k.HIT_WRAP
            m[k.COUNTER] = -1  # and so did the counter
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
    settle(m)


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
def fall(time: int, counter: int, m: Array) -> None:
    """End the active part of a line."""
    entry = m[k.OPEN_LINE]
    m[k.OPEN_LINE] = -1
    if entry < 0:
        return
    if m[k.COUNTS_EDGES] == 0 and ((counter - m[k.COUNTER]) & 0xFFF) == 1:
        m[k.COUNTS_EDGES] = 1
    spent = time - m[k.START_AT + (entry & m[k.LINE_MASK])]
    if spent <= 0 and entry > 0:
        # Without a fly-back the next line may begin just before this one ends.
        before = (entry - 1) & m[k.LINE_MASK]
        m[k.OPEN_LINE] = entry
        spent = time - m[k.START_AT + before] if m[k.KIND_AT + before] == k.LINE else 0
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
    settle(m)


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
        settle(m)
