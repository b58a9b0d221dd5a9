"""visit and adaptive_scan: where the beam goes next, each place once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.processors.desk import NM, SIDE, Desk, acquisition, drift, scan

from scopeside.control.actions import checked
from scopeside.plugins import policy_class
from scopeside.result import Result
from scopeside_processors.policies.adaptive_scan import (
    AdaptiveScan,
    AdaptiveScanParams,
    next_cells,
)
from scopeside_processors.policies.path import short_path
from scopeside_processors.policies.visit import Visit, VisitParams

FRAMES = 10


def table(
    rows, *, frame=FRAMES - 1, columns=("id", "y", "x", "area"), name="particles"
):
    data = np.asarray(rows, float).reshape(-1, len(columns))
    return Result(name, data, "table", frame=frame, meta={"columns": list(columns)})


def visiting(about=None, values=None, **params):
    said = {"dwell_s": 0.01, "most": 100, **params}
    policy = Visit(VisitParams(**said))
    return Desk(policy, about or acquisition(frames=FRAMES), **(values or {}))


def found(at, rows, *, processor="particles", **about):
    at.frame = FRAMES - 1
    return at.hear(table(rows, **about), processor=processor)


def points(wishes):
    """Places in px of the frame, of the one wish; checked as the guard does."""
    (wish,) = wishes
    assert wish.action == "place_beam"
    fields = checked(wish.action, dict(wish.fields))
    return (np.array(fields["points"]) * SIDE - 0.5).round(6).tolist()


def test_both_are_found_by_their_names():
    assert policy_class("visit") is Visit
    assert policy_class("adaptive_scan") is AdaptiveScan


def test_what_was_found_is_visited_on_a_short_way():
    at = visiting()
    rows = [[1, 10, 10, 5], [2, 80, 80, 5], [3, 20, 12, 5], [4, 70, 78, 5]]
    wishes = found(at, rows)
    assert points(wishes) == [[10, 10], [20, 12], [70, 78], [80, 80]]
    assert wishes[0].fields["dwell_s"] == 0.01


def test_only_the_last_value_counts():
    at = visiting()
    assert at.hear(table([[1, 10, 10, 5]], frame=3), processor="particles") == []
    assert found(at, [[1, 10, 10, 5]]) != []
    final = visiting(acquisition())  # nobody has said how many frames there will be
    result = table([[1, 10, 10, 5]], frame=3)
    assert final.hear(result, processor="particles", final=True) != []


def test_each_place_is_visited_once():
    at = visiting()
    (wish,) = found(at, [[1, 10, 10, 5], [2, 50, 50, 5]])
    at.tell(wish)
    assert points(found(at, [[7, 11, 10, 5], [8, 90, 90, 5]])) == [[90, 90]]


def test_a_visit_that_was_refused_may_be_asked_for_again():
    at = visiting()
    (wish,) = found(at, [[1, 10, 10, 5]])
    assert found(at, [[1, 10, 10, 5]]) == []  # it is not decided yet
    at.tell(wish, "refused", "not_armed")
    assert points(found(at, [[1, 10, 10, 5]])) == [[10, 10]]


def test_the_budget_is_for_all_visits_together_and_the_best_come_first():
    at = visiting(most=3, rank="area")
    (wish,) = found(at, [[1, 10, 10, 1], [2, 30, 30, 9], [3, 50, 50, 5]])
    at.tell(wish)
    assert len(wish.fields["points"]) == 3
    assert found(at, [[4, 90, 90, 9]]) == []
    few = visiting(most=2, rank="area")
    rows = [[1, 10, 10, 1], [2, 30, 30, 9], [3, 50, 50, 5]]
    assert points(found(few, rows)) == [[30, 30], [50, 50]]


def test_places_outside_of_the_field_or_not_finite_are_left_out():
    at = visiting()
    rows = [[1, -3, 10, 5], [2, 10, 101, 5], [3, np.nan, 10, 5], [4, 100, 0, 5]]
    assert points(found(at, rows)) == [[100, 0]]


def test_a_table_without_places_is_not_visited():
    at = visiting()
    assert found(at, [[1, 2]], columns=("id", "area")) == []
    assert found(at, []) == []
    ranked = visiting(rank="beauty")
    assert found(ranked, [[1, 10, 10, 5]]) == []


def test_places_are_not_visited_when_the_view_has_moved_since():
    at = visiting(values={"fov_m": 101 * NM})
    at.frame = FRAMES - 1
    at.set(view_offset_x_m=5 * NM)
    assert found(at, [[1, 10, 10, 5]]) == []


def test_another_part_of_the_specimen_has_places_of_its_own():
    at = visiting(most=3)
    (wish,) = found(at, [[1, 10, 10, 5], [2, 60, 60, 5]])
    at.tell(wish)
    at.timeline.take(1, {**at.values, "view_offset_x_m": 500 * NM})
    # The same pixels, but not the same places; of the budget one is left.
    assert points(found(at, [[1, 10, 10, 5], [2, 60, 60, 5]])) == [[10, 10]]


def test_nuclei_are_where_the_specimen_has_taken_them():
    at = visiting(on="nucleation.nuclei", moved_by="drift.drift")
    assert at.policy.wants == ("nucleation.nuclei", "drift.drift")
    early = table([[1, 10, 10, 5]], frame=4, name="nuclei")
    assert at.hear(early, processor="nucleation") == []
    at.frame = 5
    assert at.hear(drift([2, 1], 5)) == []
    at.frame = FRAMES - 1
    assert points(at.hear(drift([6, -3], FRAMES - 1))) == [[16, 7]]


def test_spots_of_an_image_are_visited():
    image = np.ones((SIDE, SIDE))
    image[::2] += 0.01
    image[20, 30], image[70, 60] = 9.0, 5.0
    mask = np.ones(image.shape, bool)
    at = visiting(scan(SIDE, SIDE), on="virtual.adf")
    result = Result("adf", image, frame=SIDE * SIDE - 1, mask=mask)
    assert points(at.hear(result, processor="virtual", final=True)) == [
        [20, 30],
        [70, 60],
    ]


def test_an_image_during_which_the_view_has_moved_shows_no_places():
    image = np.zeros((SIDE, SIDE))
    image[20, 30] = 9.0
    at = visiting(scan(SIDE, SIDE), on="virtual.adf")
    at.frame = 5
    at.set(view_offset_x_m=5 * NM)
    at.frame = 9
    assert at.hear(Result("adf", image), processor="virtual", final=True) == []


def test_invalid_results_and_those_after_lost_ones_are_not_acted_on():
    at = visiting()
    at.frame = FRAMES - 1
    result = table([[1, 10, 10, 5]])
    assert at.hear(result, processor="particles", missed=1) == []
    wrong = Result("particles", None, "table", frame=FRAMES - 1, valid=False)
    assert at.hear(wrong, processor="particles") == []


@given(arrays.arrays(float, (6, 2), elements=st.floats(0, 100)))
@settings(deadline=None, max_examples=30)
def test_a_short_path_goes_everywhere_once_and_is_nearly_the_shortest(places):
    order = short_path(places)
    assert sorted(order) == list(range(6))

    def length(path):
        return np.hypot(*np.diff(places[list(path)], axis=0).T).sum()

    best = min(length(p) for p in permutations(range(6)) if p[0] == order[0])
    assert length(order) <= 1.5 * best + 1e-9


def test_a_path_that_crosses_itself_is_untangled():
    # Always to the nearest: 0, 1, 3, 2, and back across; the last two change places.
    places = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, -1.2], [0.0, 4.0]])
    steps = np.hypot(*np.diff(places[short_path(places)], axis=0).T)
    assert steps.sum() == pytest.approx(1.2 + 5.2)


# -- adaptive_scan -----------------------------------------------------------------


def scanning(rows=8, columns=8, **params):
    said = {"on": "virtual.adf", "dwell_s": 0.01, "most": 20, "block": 4, **params}
    return Desk(AdaptiveScan(AdaptiveScanParams(**said)), scan(rows, columns))


def image_of(at, values, mask=None):
    result = Result("adf", np.asarray(values, float), frame=63, mask=mask)
    return at.hear(result, processor="virtual", final=True)


def cells(wishes, rows=8, columns=8):
    (wish,) = wishes
    fields = checked(wish.action, dict(wish.fields))
    found_at = np.array(fields["points"]) * (rows, columns) - 0.5
    return {tuple(np.rint(cell).astype(int).tolist()) for cell in found_at}


def some(known):
    """(values, mask) of a grid of 8 × 8 of which only `known` is seen."""
    values, mask = np.zeros((8, 8)), np.zeros((8, 8), bool)
    for (row, column), value in known.items():
        values[row, column], mask[row, column] = value, True
    return values, mask


def test_without_detail_the_widest_gap_is_filled_first():
    known = np.full((1, 9), np.nan)
    known[0, 0] = 1.0
    # Farthest from 0; then the middle of what is left; then the middles of the halves.
    assert next_cells(known, 4)[:, 1].tolist() == [8, 4, 2, 6]


def test_where_values_differ_a_gap_is_worth_more():
    known = np.full((1, 41), np.nan)
    known[0, [0, 2, 4, 6, 8, 10]] = [0, 9, 0, 9, 0, 9]
    known[0, [30, 32, 34, 36, 38, 40]] = 3.0
    chosen = next_cells(known, 20)[:, 1]
    detail, plain = (chosen < 11).sum(), (chosen > 29).sum()
    assert detail == 5  # all gaps there
    assert plain < detail


def test_of_a_grid_of_which_nothing_or_all_is_known_no_cell_is_next():
    assert len(next_cells(np.full((4, 4), np.nan), 5)) == 0
    assert len(next_cells(np.ones((4, 4)), 5)) == 0
    assert len(next_cells(np.array([[1.0, np.nan]]), 5)) == 1


def test_blocks_are_asked_for_until_the_budget_is_spent():
    at = scanning(most=10, block=4)
    known = {(0, 0): 1.0, (7, 7): 2.0}
    asked = []
    for _ in range(5):
        for wish in image_of(at, *some(known)):
            new = cells([wish])
            asked.append(len(new))
            assert not new & set(known)
            known |= dict.fromkeys(new, 1.5)
            at.tell(wish)
    assert asked == [4, 4, 2]


def test_a_block_that_was_refused_costs_nothing_and_is_asked_for_again():
    at = scanning()
    (wish,) = image_of(at, *some({(0, 0): 1.0}))
    assert image_of(at, *some({(0, 0): 1.0})) == []  # it is not decided yet
    at.tell(wish, "refused", "busy")
    assert image_of(at, *some({(0, 0): 1.0})) == [wish]


def test_a_coarse_image_fills_a_finer_grid():
    at = scanning(grid=(16, 16), block=2, most=1000)
    wishes = image_of(at, np.arange(16.0).reshape(4, 4))
    # Pixel (0, 0) of 4 × 4 has its middle in cell (2, 2) of 16 × 16.
    coarse = {(4 * r + 2, 4 * c + 2) for r in range(4) for c in range(4)}
    assert not cells(wishes, 16, 16) & coarse


def test_another_view_begins_anew():
    at = scanning()
    at.tell(image_of(at, *some({(0, 0): 1.0}))[0])
    at.set(view_offset_x_m=NM)
    at.frame = 9
    at.about = replace(at.about, started_ns=at.t_ns - 1000)
    (wish,) = image_of(at, *some({(7, 7): 1.0}))
    assert (0, 0) in cells([wish])


@pytest.mark.parametrize("wrong", [np.zeros(4), np.full((8, 8), np.nan)])
def test_what_is_no_image_or_shows_nothing_brings_no_wish(wrong):
    assert image_of(scanning(), wrong) == []


def test_a_value_that_is_not_final_brings_no_wish():
    at = scanning()
    result = Result("adf", np.ones((8, 8)), frame=3)
    assert at.hear(result, processor="virtual") == []


@given(
    arrays.arrays(
        float,
        st.tuples(st.integers(1, 7), st.integers(1, 7)),
        elements=st.one_of(st.just(math.nan), st.floats(-1e9, 1e9)),
    ),
    st.integers(1, 60),
)
@settings(deadline=None)
def test_next_cells_are_unknown_ones_each_once_and_the_same_each_time(known, count):
    chosen = next_cells(known, count)
    assert np.isnan(known[tuple(chosen.T)]).all()
    assert len({tuple(cell) for cell in chosen.tolist()}) == len(chosen)
    missing = int(np.isnan(known).sum())
    expected = 0 if missing == known.size else min(count, missing)
    assert len(chosen) == expected
    assert np.array_equal(chosen, next_cells(known, count))
