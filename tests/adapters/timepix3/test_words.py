"""Raw words: golden ones, the encoder against the decoder, and chips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.timepix3.playing import closes, line_plan, parse, parser_of

from scopeside.errors import SourceError
from scopeside_adapters.timepix3 import tables as k
from scopeside_adapters.timepix3 import words as w
from scopeside_adapters.timepix3.layout import (
    LAYOUTS,
    Chip,
    layout_from_serval,
    layout_of,
)


def test_a_hit_is_the_word_of_the_manual():
    assert w.hits(100, 201, 123456789, 40) == 0xB6591F34828B01D6
    assert w.hits([100], [201], [123456789], [40]).tobytes().hex() == "d6018b82341f59b6"


def test_an_edge_is_the_word_of_the_manual():
    # Fine field 8 is the second half of a tick of 3.125 ns.
    assert w.tdc(w.TDC1_RISE, 1, 11) == 0x6F00100000000AE0
    assert int(w.tdc(w.TDC1_RISE, 1, 11)) >> 9 == 0x6F00100000000B00 >> 9


def test_a_chunk_is_the_header_of_the_manual():
    head = w.chunk(np.zeros(2, np.uint64), 2)[:1].tobytes()
    assert head == b"TPX3\x02\x00\x10\x00"


def test_the_global_time_is_the_words_of_the_manual():
    forty_seconds = 40 * k.TICKS_PER_S
    without_spidr = w.global_time(forty_seconds) & ~np.uint64(0xFFFF)
    assert without_spidr.tolist() == [
        0x44005F5E10000000,
        0x4500000000000000,
    ]


def one_line(hit_words, active=1000):
    """A line of one column around tick 0 of the test, and hits in it."""
    rise, fall = w.tdc(w.TDC1_RISE, 1, 5000), w.tdc(w.TDC1_FALL, 1, 5000 + active)
    return w.chunk(np.array([rise, fall, *np.atleast_1d(hit_words)], np.uint64))


@given(
    st.integers(0, 255), st.integers(0, 255), st.integers(0, 999), st.integers(0, 1023)
)
@settings(deadline=None)
def test_what_is_encoded_is_decoded(x, y, after, tot):
    words = one_line(w.hits([x], [y], [5000 + after], [tot]))
    found = parse(parser_of(line_plan(1000, 1), value="tot"), words)
    assert found.tolist() == [[after, 256 * y + x, tot]]


def test_the_golden_edge_is_read_in_full():
    rise = np.array([0x6F00100000000B00], np.uint64)  # coarse 5, fine 8: tick 11
    words = w.chunk(np.concatenate([rise, [w.tdc(w.TDC1_FALL, 1, 111)]]))
    parser = parser_of(line_plan(1, 1))
    parse(parser, words)
    assert parser.memory[k.START_AT] == 11
    assert parser.memory[k.ACTIVE] == 100


def test_fine_time_zero_counts_as_one_and_is_counted():
    rise = np.array([0x6F00100000000A00], np.uint64)
    parser = parser_of(line_plan(1, 1))
    parse(parser, w.chunk(rise))
    assert parser.memory[k.START_AT] == 10
    assert parser.memory[k.BAD_FINE] == 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_tables_of_a_layout_give_every_pixel_once(name):
    layout = LAYOUTS[name]
    high, low = layout.tables()
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    address = (w.hits(x.ravel(), y.ravel(), 0, 0) >> np.uint64(44)).astype(np.int64)
    pixel = [high[chip][address >> 8 & 0xFF] + low[chip][address & 0xFF]
             for chip in range(len(high))]  # fmt: skip
    height, width = layout.shape
    assert sorted(np.concatenate(pixel)) == list(range(height * width))
    for chip, found in zip(layout.chips, pixel, strict=True):
        row, column = chip.position_of(x.ravel(), y.ravel())
        np.testing.assert_array_equal(found, row * width + column)


def test_the_two_quads_are_those_of_the_public_programs():
    x, y = np.array([3]), np.array([7])
    places = {
        "quad": [(504, 259), (7, 252), (7, 252), (504, 3)],
        "quad_flipped": [(7, 259), (504, 508), (504, 252), (7, 3)],
    }
    places["quad"][1] = (7, 508)
    for name, expected in places.items():
        found = [chip.position_of(x, y) for chip in LAYOUTS[name].chips]
        assert [(int(r[0]), int(c[0])) for r, c in found] == expected, name


def test_a_layout_is_read_from_serval_as_it_is_turned():
    chips = [{"Chip": 0, "X": 0, "Y": 0, "Orientation": "TtBRtL"}]
    plain = [{**chips[0], "Orientation": "LtRBtT"}]
    answer = {"Original": {"Chips": plain}, "Rotated": {"Chips": chips}}
    assert layout_from_serval(answer).chips == (Chip(0, 0, 0, "TtBRtL"),)
    assert layout_from_serval({"Original": {"Chips": plain}}).chips[0].x == 0


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"Original": {"Chips": [{}]}}, "<html>"]
)
def test_what_is_no_layout_is_refused_in_words(answer):
    with pytest.raises(SourceError, match="set layout yourself"):
        layout_from_serval(answer)


@pytest.mark.parametrize(
    "chips",
    [
        [[0, 0, 0, "LtRRtL"]],
        [[0, 0, 0, "up"]],
        [[16, 0, 0, "LtRTtB"]],
        [[0, -1, 0, "LtRTtB"]],
        [[0, 0, 0, "LtRTtB"], [0, 256, 0, "LtRTtB"]],
        [[0, 1 << 20, 0, "LtRTtB"]],
        [],
    ],
)
def test_impossible_layouts_are_refused(chips):
    with pytest.raises(SourceError):
        layout_of(chips)


def test_hits_of_an_unknown_chip_are_counted_as_such():
    words = [one_line([]), w.chunk(w.hits([1, 2], [3, 4], [5001, 5002], [1, 1]), 3)]
    parser = parser_of(line_plan(1, 1))
    assert len(parse(parser, np.concatenate(words))) == 0
    assert parser.memory[k.UNKNOWN_CHIP] == 2
    assert closes(parser.memory)


def test_words_of_integrated_mode_have_no_time():
    words = w.hits([1], [3], [5001], [1]) - np.uint64(1 << 60)
    parser = parser_of(line_plan(1, 1))
    parse(parser, one_line(words))
    assert parser.memory[k.NO_TIME] == 1
    assert closes(parser.memory)


def test_other_words_are_skipped_and_unknown_ones_counted():
    known = [0x71A0 << 48, 0x71B0 << 48, 0x7200 << 48, 0x71BF << 48, 0x51 << 56,
             0x21 << 56, 0x5A << 56, 0x5C << 56]  # fmt: skip
    words = np.array([*known, 0x1 << 60, 0xF << 60, 0x58 << 56], np.uint64)
    parser = parser_of(line_plan(1, 1))
    parse(parser, w.chunk(words))
    assert parser.memory[k.UNKNOWN] == 3
