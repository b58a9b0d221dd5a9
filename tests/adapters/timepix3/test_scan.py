"""From times to probe positions, without a socket."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.timepix3.playing import (
    closes,
    expected,
    line_plan,
    parse,
    parser_of,
    taken,
)

from scopeside.errors import ProtocolError
from scopeside_adapters.timepix3 import gather
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3 import words as w
from scopeside_adapters.timepix3.layout import LAYOUTS
from scopeside_adapters.timepix3.protocol import Clusters
from scopeside_adapters.timepix3.scan import ScanPlan
from scopeside_adapters.timepix3.synthetic import Beam, SyntheticScan

WRAP_S = k.HIT_WRAP / k.TICKS_PER_S


def scan_of(layout="single", seed=1, **beam):
    beam = {"shape": (12, 10), "disorder_s": 5e-6, **beam}
    return SyntheticScan(Beam(**beam), LAYOUTS[layout], seed)


def found_in(scan, parser=None, **chunks):
    rows, columns = scan.beam.shape
    parser = parser or parser_of(line_plan(columns, rows))
    words = np.concatenate(list(scan.chunks(**chunks)))
    rows = parse(parser, words)
    assert closes(parser.memory)
    return rows, parser.memory


@pytest.mark.parametrize(
    "beam",
    [
        {},
        {"jitter_s": 200e-9},
        {"disorder_s": 300e-6},
        {"edge_lag_s": 400e-6},
        {"edge_lag_s": -400e-6},
        {"counter_step": 2},
        {"flyback_s": 0.0},
        {"start_s": WRAP_S - 0.0005},
        {"start_s": 4 * WRAP_S - 0.0005},
        {"start_s": 2.5 * WRAP_S},
        {"shape": (1, 30)},
        {"shape": (30, 1)},
        {"dwell_s": 20e-3, "hits": 3, "shape": (2, 3)},
        {"hits": 0.05},
    ],
)
def test_every_hit_comes_to_its_position(beam):
    scan = scan_of(**beam)
    rows, m = found_in(scan)
    np.testing.assert_array_equal(rows, expected(scan))
    unlit = int((scan.hits.position < 0).sum())
    assert m[k.FLYBACK] + m[k.OUTSIDE] == unlit
    assert m[k.LATE] == m[k.OVERFLOW] == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_chip_has_its_place(layout):
    scan = scan_of(layout)
    parser = parser_of(line_plan(10, 12), layout)
    np.testing.assert_array_equal(found_in(scan, parser)[0], expected(scan))


def test_time_over_threshold_can_be_the_value():
    scan = scan_of()
    parser = parser_of(line_plan(10, 12), value="tot")
    np.testing.assert_array_equal(found_in(scan, parser)[0], expected(scan, tot=True))


@given(st.lists(st.integers(1, 400), max_size=30), st.integers(5, 300))
@settings(deadline=None, max_examples=30)
def test_it_does_not_matter_where_the_network_cuts(sizes, chunk):
    scan = scan_of(shape=(4, 5))
    words = np.concatenate(list(scan.chunks(size=chunk, packet_ids=True)))
    rows = parse(parser_of(line_plan(5, 4)), words, sizes)
    np.testing.assert_array_equal(rows, expected(scan))


def test_a_line_may_begin_just_before_the_end_of_the_one_before():
    scan = scan_of(flyback_s=0.0, disorder_s=0.0)
    edges, times = scan.edges()
    turned = np.argsort(times - 2 * (edges >> np.uint64(56) == 0x6F))
    sent = w.hits(scan.hits.x, scan.hits.y, scan.hits.time, scan.hits.tot)
    words = w.chunk(np.concatenate([edges[turned], sent]))
    rows = parse(parser_of(line_plan(10, 12)), words)
    np.testing.assert_array_equal(rows, expected(scan))


@pytest.mark.parametrize("step", [1, 2])
def test_missed_lines_are_found_by_the_counter(step):
    scan = scan_of(missed=(3, 4, 8), counter_step=step)
    rows, m = found_in(scan)
    whole = expected(scan)
    there = ~np.isin(whole[:, 0] // 10, (3, 4, 8))
    np.testing.assert_array_equal(rows, whole[there])
    assert m[k.MISSED_LINES] == 3
    assert m[k.NEXT_LINE] == 12


def test_a_counter_that_begins_anew_misses_nothing():
    scan = scan_of()
    words = np.concatenate(list(scan.chunks()))
    edge = words >> np.uint64(60) == 0x6
    later = edge & (np.cumsum(edge) > 10)
    words[later] &= ~np.uint64(0xFFF << 44)  # it stays at 0
    parser = parser_of(line_plan(10, 12))
    parse(parser, words)
    assert parser.memory[k.NEXT_LINE] == 12


def test_the_delay_moves_the_beam_against_the_signal():
    scan = scan_of()
    dwell = round(scan.beam.dwell_s * 1e9)
    parser = parser_of(line_plan(10, 12, delay_ns=-dwell))
    rows, _ = found_in(scan, parser)
    late = expected(scan)
    late = late[late[:, 0] % 10 < 9]
    late[:, 0] += 1
    np.testing.assert_array_equal(rows[rows[:, 0] % 10 > 0], late)


def only(words, code):
    """The words without edges of that code."""
    edge = (words >> np.uint64(56)).astype(np.int64) & 0xF
    gone = (words >> np.uint64(60) == 0x6) & (edge == code)
    return words[~gone]


@pytest.mark.parametrize("option", ["active", "duty"])
def test_rising_edges_are_enough_with_a_given_active_time(option):
    scan = scan_of(disorder_s=0.0)
    active = scan.active / k.TICKS_PER_S
    given = {"active_s": active} if option == "active" else {
        "duty": scan.active / scan.period
    }  # fmt: skip
    edges, _ = scan.edges()
    sent = w.hits(scan.hits.x, scan.hits.y, scan.hits.time, scan.hits.tot)
    words = w.chunk(np.concatenate([only(edges, w.TDC1_FALL), sent]))
    rows = parse(parser_of(line_plan(10, 12, **given)), words)
    assert len(rows) == len(expected(scan))
    wrong = (rows != expected(scan)).any(axis=1).mean()
    assert wrong < (1e-9 if option == "active" else 0.01)


def test_rising_edges_alone_are_refused_in_words():
    scan = scan_of()
    edges, _ = scan.edges()
    with pytest.raises(ProtocolError, match=r"no falling edge.*active_us or duty"):
        parse(parser_of(line_plan(10, 12)), w.chunk(only(edges, w.TDC1_FALL)))


def test_the_signal_may_be_inverted_and_on_the_other_input():
    scan = scan_of()
    words = np.concatenate(list(scan.chunks()))
    edge = words >> np.uint64(60) == 0x6
    code = (words >> np.uint64(56)) & np.uint64(0xF)
    other = np.where(code == w.TDC1_RISE, w.TDC2_FALL, w.TDC2_RISE).astype(np.uint64)
    cleared = words & ~np.uint64(0xF << 56)
    words = np.where(edge, cleared | (other << np.uint64(56)), words)
    parser = parser_of(line_plan(10, 12, tdc=2, invert=True))
    np.testing.assert_array_equal(parse(parser, words), expected(scan))


def with_frame_edges(scan, at):
    """The words of a scan with edges on TDC2 just before those lines."""
    edges, times = scan.edges()
    frame = w.tdc(w.TDC2_RISE, np.arange(len(at)), scan.line_start[list(at)] - 40)
    sent = w.hits(scan.hits.x, scan.hits.y, scan.hits.time, scan.hits.tot)
    all_times = np.concatenate([scan.line_start[list(at)] - 40, times])
    order = np.argsort(all_times, kind="stable")
    return w.chunk(np.concatenate([np.concatenate([frame, edges])[order], sent]))


def test_a_frame_signal_says_where_the_scan_begins():
    scan = scan_of(shape=(9, 10), hits=5, flyback_s=0)
    parser = parser_of(line_plan(10, 4, frame_tdc=2))
    rows = parse(parser, with_frame_edges(scan, [3, 7]))
    whole = expected(scan)
    whole = whole[whole[:, 0] >= 30]
    whole[:, 0] -= 30
    np.testing.assert_array_equal(rows, whole)
    assert closes(parser.memory)


def test_a_scan_that_is_restarted_leaves_a_gap():
    scan = scan_of(shape=(9, 10), hits=5, flyback_s=0)
    parser = parser_of(line_plan(10, 4, frame_tdc=2))
    rows = parse(parser, with_frame_edges(scan, [0, 3, 7]))
    whole = expected(scan)
    line = whole[:, 0] // 10
    whole[:, 0] += np.where(line >= 3, 10, 0)
    np.testing.assert_array_equal(rows, whole)
    assert parser.memory[k.RESTARTS] == 1


def test_one_edge_for_a_frame_is_enough_with_a_known_period():
    scan = scan_of(disorder_s=0.0)
    plan = ScanPlan(
        "frame", 10, 12, period_s=scan.period / k.TICKS_PER_S,
        active_s=scan.active / k.TICKS_PER_S,
    )  # fmt: skip
    edge = w.tdc(w.TDC1_RISE, [1], scan.line_start[:1])
    order = np.argsort(scan.hits.time)
    sent = w.hits(scan.hits.x, scan.hits.y, scan.hits.time, scan.hits.tot)[order]
    pieces = [w.chunk(part) for part in np.array_split(sent, 5)]
    parser = parser_of(plan)
    rows = parse(parser, np.concatenate([w.chunk(edge), *pieces]))
    np.testing.assert_array_equal(rows, expected(scan))
    assert closes(parser.memory)


def test_a_pixel_clock_has_an_edge_for_each_position():
    scan = scan_of(shape=(30, 1), flyback_s=0.0)
    parser = parser_of(ScanPlan("pixel", 10, 3))
    rows, _ = found_in(scan, parser)
    np.testing.assert_array_equal(rows, expected(scan))


def test_exposures_follow_each_other_without_a_signal():
    ticks = k.TICKS_PER_S // 1000
    plan = ScanPlan("none", 1, None, period_s=1e-3, active_s=1e-3)
    times = 10_000 + np.arange(40) * ticks // 4 + 5
    opened = w.control(0xF, 10_000 - 10_000 % 16)
    words = [w.chunk(opened), *(w.chunk(w.hits([1], [2], [t], [3])) for t in times)]
    parser = parser_of(plan)
    rows = parse(parser, np.concatenate(words))
    assert rows[:, 0].tolist() == np.repeat(np.arange(10), 4).tolist()
    assert closes(parser.memory)


def hit_at(time):
    return w.hits([1], [2], [time], [3])


def test_global_time_tells_how_many_wraps_a_pause_has_held():
    first, pause = 1_000_000, 3 * k.HIT_WRAP + 50_000
    words = []
    for start, number in ((first, 1), (first + pause, 2)):
        edges = [
            w.tdc(w.TDC1_RISE, number, start), w.tdc(w.TDC1_FALL, number, start + 1000),
        ]  # fmt: skip
        words += [w.chunk(w.global_time(start)), w.chunk(np.array(edges))]
        words += [w.chunk(hit_at(start + 10))]
    parser = parser_of(line_plan(1, 2))
    rows = parse(parser, np.concatenate(words))
    assert rows[:, 0].tolist() == [0, 1]
    start = parser.memory[k.START_AT : k.START_AT + 2]
    assert start[1] - start[0] == pause


def test_a_clock_that_begins_anew_does_not_stop_the_scan():
    words = []
    for number, start in enumerate(
        (5_000_000_000, 40_000_000, 30_000_000, 20_000_000), 1
    ):
        edges = [
            w.tdc(w.TDC1_RISE, number, start), w.tdc(w.TDC1_FALL, number, start + 1000),
        ]  # fmt: skip
        words += [w.chunk(np.array(edges)), w.chunk(hit_at(start + 10))]
    parser = parser_of(line_plan(1, 4))
    rows = parse(parser, np.concatenate(words))
    assert rows[:, 0].tolist() == [0, 1, 2, 3]


def test_lost_and_repeated_packets_are_counted():
    scan = scan_of()
    chunks = list(scan.chunks(size=100, packet_ids=True))
    parser = parser_of(line_plan(10, 12))
    kept = [*chunks[:4], chunks[3], *chunks[4:6], *chunks[8:]]
    parse(parser, np.concatenate(kept))
    m = parser.memory
    assert m[k.LOST_PACKETS] == 2
    assert m[k.REPEATED] > 0
    assert m[k.DUPLICATE] >= 1
    assert closes(m)


def test_packets_may_be_counted_for_each_chip():
    contents = hit_at(100)
    chunks = [
        w.chunk(np.concatenate([w.packet_id(number), contents]), chip)
        for number in range(5)
        for chip in range(4)
    ]
    parser = parser_of(line_plan(1, 1), "quad")
    parse(parser, np.concatenate(chunks))
    # The same number from another chip follows at once.
    assert parser.memory[k.LOST_PACKETS] == 0


def test_late_hits_are_counted():
    scan = scan_of(shape=(4, 10))
    chunks = list(scan.chunks())
    parser = parser_of(line_plan(10, 4))
    data = np.concatenate(chunks).view(np.int64)
    parser.feed(data, 0, len(data))
    taken(parser.memory)
    late = w.chunk(hit_at(scan.line_start[1] + 5)).view(np.int64)
    parser.feed(late, 0, len(late))
    parser.finish()
    assert parser.memory[k.LATE] == 1
    assert closes(parser.memory)


def test_hits_without_any_line_wait_in_bounded_room():
    parser = parser_of(line_plan(1, 1))
    data = w.chunk(np.repeat(hit_at(100), 8000)).view(np.int64)
    before = len(parser.memory)
    for _ in range(40):
        parser.feed(data, 0, len(data))
    assert len(parser.memory) == before
    parser.finish()
    assert parser.memory[k.OUTSIDE] == 320_000
    assert closes(parser.memory)


def test_an_exposure_takes_no_more_room_than_its_pixels():
    plan = ScanPlan("none", 1, None, period_s=1.0, active_s=1.0)
    parser = parser_of(plan)
    m = parser.memory
    data = w.chunk(np.repeat(w.hits([1, 2], [2, 3], [100, 100], [3, 3]), 4000))
    sums, scratch = np.zeros(65536, np.int64), np.empty(1 << 18, np.int64)
    for _ in range(100):
        parser.feed(data.view(np.int64), 0, len(data))
        gather.compact(10_000, sums, scratch, m)
    free = m[k.FREE]
    parser.finish()
    rows = taken(m)
    assert free * k.BLOCK > m[k.NEXT_AT] - m[k.POOL_AT] - 20_000
    assert rows[:, 2].sum() == 800_000
    assert set(rows[:, 1]) == {2 * 256 + 1, 3 * 256 + 2}


# -- clusters ----------------------------------------------------------------------


def clustered(x, y, time, tot, value="count"):
    edges = [w.tdc(w.TDC1_RISE, 1, 1000), w.tdc(w.TDC1_FALL, 1, 11_000)]
    contents = np.concatenate([np.array(edges), w.hits(x, y, time, tot)])
    parser = parser_of(line_plan(1, 1), value=value, clusters=Clusters(100, 2))
    rows = parse(parser, w.chunk(contents))
    assert closes(parser.memory)
    return rows


def test_a_cluster_is_one_event_at_its_weighted_centre():
    rows = clustered([10, 11, 12], [20, 20, 20], [2000, 2040, 2090], [1, 1, 6])
    assert rows.tolist() == [[0, 20 * 256 + 12, 1]]
    rows = clustered([10, 11, 12], [20, 20, 20], [2000, 2040, 2090], [1, 1, 6], "tot")
    assert rows.tolist() == [[0, 20 * 256 + 12, 8]]


def test_hits_apart_in_time_or_place_are_electrons_of_their_own():
    assert len(clustered([10, 10], [20, 20], [2000, 2101], [5, 5])) == 2
    assert len(clustered([10, 13], [20, 20], [2000, 2000], [5, 5])) == 2
    assert len(clustered([255, 0], [20, 21], [2000, 2000], [5, 5])) == 2


def test_clusters_hang_together_through_their_members():
    x = np.arange(10, 30, 2)
    rows = clustered(x, np.full(10, 7), 2000 + np.arange(10)[::-1] * 90, np.full(10, 3))
    assert rows.tolist() == [[0, 7 * 256 + 19, 1]]


def test_electrons_are_found_again_in_a_scan():
    scan = scan_of(hits=2, disorder_s=1e-6)
    hits = scan.hits
    apart = w.hits(hits.x, hits.y, hits.time, hits.tot)
    beside = w.hits(hits.x ^ 1, hits.y, hits.time + 8, np.ones_like(hits.tot))
    edges, _ = scan.edges()
    words = w.chunk(np.concatenate([edges, apart, beside]))
    parser = parser_of(line_plan(10, 12), clusters=Clusters(32, 1))
    rows = parse(parser, words)
    assert closes(parser.memory)
    assert len(rows) == pytest.approx(len(expected(scan)), rel=0.01)
    assert parser.memory[k.MERGED] >= len(hits.x)
