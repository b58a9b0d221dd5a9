"""Lines are told apart by the pauses between them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.ingest.linesync import LineSync

US = 1000
FRAME = 10 * US
PAUSE = 5 * FRAME


def lines_of(*lengths, columns=4, first=0, at=1_000_000):
    """Detector's counts and time stamps of lines with so many frames each."""
    times = [
        at + row * (columns * FRAME + 2 * PAUSE) + k * FRAME
        for row, length in enumerate(lengths)
        for k in range(length)
    ]
    index = np.arange(first, first + len(times), dtype=np.int64)
    return index, np.array(times, np.int64)


def test_whole_lines_keep_their_numbers():
    index, times = lines_of(4, 4, 4)
    found = LineSync(4, PAUSE).number(index, times)
    assert found.index.tolist() == index.tolist()
    assert found.short == []


def test_a_short_line_does_not_shift_the_next():
    found = LineSync(4, PAUSE).number(*lines_of(4, 2, 4))
    assert found.index.tolist() == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert found.short == [(6, 7)]


def test_surplus_frames_of_a_line_have_no_place():
    found = LineSync(4, PAUSE).number(*lines_of(4, 6, 4))
    assert found.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, -1, -1, 8, 9, 10, 11]
    assert found.short == []


def test_a_line_that_is_missing_altogether_is_skipped():
    found = LineSync(4, PAUSE).number(*lines_of(4, 4, 0, 4))
    assert found.index.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15]
    assert found.short == [(8, 11)]


def test_a_frame_that_the_detector_lost_leaves_a_hole_in_its_line():
    index, times = lines_of(4, 4)
    found = LineSync(4, PAUSE).number(np.delete(index, 5), np.delete(times, 5))
    assert found.index.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert found.short == []


def test_the_first_frame_may_bear_any_number():
    found = LineSync(4, PAUSE).number(*lines_of(4, 4, first=100))
    assert found.index.tolist() == list(range(8))


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.lists(st.integers(0, 48), max_size=6),
)
def test_it_does_not_matter_how_frames_are_cut_into_batches(lengths, cuts):
    index, times = lines_of(*lengths)
    whole = LineSync(4, PAUSE).number(index, times)
    sync, places, short = LineSync(4, PAUSE), [], []
    for part in np.split(np.arange(len(index)), sorted(cuts)):
        if len(part):
            found = sync.number(index[part], times[part])
            places += found.index.tolist()
            short += found.short
    assert places == whole.index.tolist()
    assert short == whole.short
