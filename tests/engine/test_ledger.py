"""The account of frames, against a plain set."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.ledger import Account, FrameRanges

RUN = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)
RUNS = st.lists(RUN, max_size=12)


def frames_of(runs):
    return {frame for a, b in runs for frame in range(a, b + 1)}


@settings(deadline=None, max_examples=200)
@given(RUNS)
def test_adding_tells_how_many_frames_were_new(runs):
    ranges, model = FrameRanges(), set()
    for first, last in runs:
        new = frames_of([(first, last)]) - model
        assert ranges.add(first, last) == len(new)
        model |= new
    assert frames_of(ranges) == model
    assert len(ranges) == len(model)
    assert ranges.highest == max(model, default=-1)


@settings(deadline=None, max_examples=100)
@given(RUNS)
def test_runs_are_in_order_and_never_touch(runs):
    found = FrameRanges(runs).runs()
    assert all(b + 1 < c for (_, b), (c, _) in pairwise(found))
    assert all(a <= b for a, b in found)


@settings(deadline=None, max_examples=200)
@given(RUNS, RUN)
def test_questions_are_answered_as_a_set_would(runs, asked):
    ranges, model, wanted = FrameRanges(runs), frames_of(runs), frames_of([asked])
    assert ranges.overlaps(*asked) == bool(model & wanted)
    assert ranges.covers(*asked) == (wanted <= model)
    assert frames_of(ranges.holes(*asked)) == wanted - model


@settings(deadline=None, max_examples=50)
@given(RUNS)
def test_the_order_of_adding_does_not_matter(runs):
    assert FrameRanges(runs).runs() == FrameRanges(runs[::-1]).runs()


def test_runs_are_listed_up_to_a_number():
    ranges = FrameRanges([(0, 1), (5, 6), (9, 9)])
    assert ranges.runs(2) == [[0, 1], [5, 6]]


def test_an_empty_set_has_one_hole():
    assert list(FrameRanges().holes(3, 7)) == [(3, 7)]


def test_an_account_closes_when_every_frame_has_ended():
    account = Account(announced=10, processed=6)
    account.dropped["queue_full"] += 3
    assert (account.in_flight, account.closed) == (1, False)
    account.failed["ValueError"] += 1
    assert (account.in_flight, account.closed) == (0, True)


def test_an_account_with_a_frame_too_many_is_not_closed():
    account = Account(announced=1, processed=2)
    assert not account.closed


counters = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 99), st.integers(0, 99), counters, counters)
def test_an_account_survives_its_journey(announced, processed, dropped, failed):
    said = {
        "announced": announced,
        "processed": processed,
        "dropped": dropped,
        "failed": failed,
    }
    account = Account.from_dict(said)
    assert Account.from_dict(account.to_dict()) == account
    assert account.to_dict()["in_flight"] == (
        announced - processed - sum(dropped.values()) - sum(failed.values())
    )


@pytest.mark.parametrize("index", range(5))
def test_following_frames_make_one_run(index):
    ranges = FrameRanges((k, k) for k in range(index, index + 1000))
    assert ranges.runs() == [[index, index + 999]]
