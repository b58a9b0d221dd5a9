"""Frame numbers to indices: holes, repetitions, jumps back, wrap, two counters."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scopeside_adapters.merlin.numbers import Numbers


def take(numbers, *sequence):
    return numbers.take(np.array(sequence))


def test_numbers_in_order_are_indices_from_zero():
    numbers = Numbers()
    assert take(numbers, 1, 2, 3).index.tolist() == [0, 1, 2]
    assert take(numbers, 4, 5).index.tolist() == [3, 4]
    assert (numbers.next, numbers.received, numbers.last) == (5, 5, 5)


def test_what_is_skipped_is_missing_once_the_next_batch_has_not_brought_it():
    numbers = Numbers()
    assert take(numbers, 1, 2, 5, 6).missing == ()
    assert take(numbers, 7, 8).missing == ((2, 3),)
    assert take(numbers, 9).missing == ()
    assert numbers.received == 7


def test_what_is_skipped_at_the_end_is_missing():
    numbers = Numbers()
    take(numbers, 1, 4)
    assert numbers.remaining() == ((1, 2),)
    assert numbers.remaining() == ()


def test_a_frame_that_comes_late_is_not_missing_but_named():
    numbers = Numbers()
    taken = take(numbers, 1, 3, 2, 4)
    assert taken.index.tolist() == [0, 2, 1, 3]
    assert taken.back == "frame 2 came after frame 3"
    assert take(numbers, 5).missing == ()


def test_a_frame_that_comes_late_in_the_next_batch_is_not_missing():
    numbers = Numbers()
    take(numbers, 1, 3)
    assert take(numbers, 2, 4).missing == ()


def test_a_repetition_is_named():
    numbers = Numbers()
    taken = take(numbers, 1, 2, 2, 3)
    assert taken.back == "frame 2 came after frame 2"
    assert (taken.index.tolist(), numbers.received) == ([0, 1, 1, 2], 3)


def test_number_one_in_mid_series_is_another_acquisition():
    numbers = Numbers()
    taken = take(numbers, 1, 2, 3, 4, 1, 2)
    assert (taken.index.tolist(), taken.restarts) == ([0, 1, 2, 3], 4)


def test_the_first_frame_twice_is_no_other_acquisition():
    assert take(Numbers(), 1, 1, 2).restarts is None


def test_numbers_of_six_digits_begin_again_and_indices_go_on():
    numbers = Numbers(begin=999_997)
    assert take(numbers, 999_998, 999_999, 0, 1).index.tolist() == [
        *range(999_997, 1_000_001)
    ]
    numbers = Numbers(begin=999_998)
    assert take(numbers, 999_999, 1, 2).index.tolist() == [999_998, 999_999, 1_000_000]


def test_numbers_beyond_the_announced_one_are_left_out():
    numbers = Numbers(most=4)
    taken = take(numbers, 1, 2, 900_000, 3)
    assert (taken.which.tolist(), taken.index.tolist()) == ([0, 1, 3], [0, 1, 2])
    assert (taken.beyond, numbers.next) == (1, 3)


def test_a_detector_may_count_from_zero():
    assert take(Numbers(), 0, 1, 2).index.tolist() == [0, 1, 2]


def test_two_counters_that_are_numbered_in_turn_share_an_index():
    numbers = Numbers()
    take(numbers, 1)
    numbers.widen()
    assert take(numbers, 3, 5, 9).index.tolist() == [1, 2, 4]
    assert numbers.remaining() == ((3, 3),)


@given(st.permutations(range(1, 9)), st.integers(1, 7))
def test_every_frame_ends_as_received_or_missing_whatever_the_order(order, cut):
    numbers = Numbers()
    missing = []
    for part in (order[:cut], order[cut:-1]):
        if part and not any(number == 1 for number in part[1:]):
            taken = take(numbers, *part)
            missing += taken.missing
    missing += numbers.remaining()
    lost = sum(b - a + 1 for a, b in missing)
    assert numbers.received + lost <= 8
    assert all(a <= b < numbers.next for a, b in missing)
