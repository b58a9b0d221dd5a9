"""The map of the dose: no cell has less than it got, whatever the bounds."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.control.dose_beam import Box
from scopeside.control.dose_map import TILE, DoseMap

SIDE = st.floats(0, 200)
PLACE = st.floats(-300, 300)
BOX = st.builds(lambda y, x, h, w: Box(y, x, y + h, x + w), PLACE, PLACE, SIDE, SIDE)


def lit(where, box, upper):
    where.add([box], upper, [(box, 1.0)])


def test_more_tiles_than_a_map_may_have_are_refused_before_they_are_unpacked():
    kept = {**DoseMap(1.0).to_dict(), "tiles": [[0, 0, "!"]] * 3}
    with pytest.raises(ValueError, match="more than 2 tiles"):
        DoseMap.from_dict(kept, max_tiles=2)


def test_a_cell_that_is_touched_counts_as_a_whole():
    found = DoseMap(10.0)
    lit(found, Box(12, 12, 18, 28), 2.0)
    assert found.at(11, 19) == (pytest.approx(0.6 * 0.8), 2)
    assert found.at(19, 21) == (pytest.approx(0.6 * 0.8), 2)
    assert found.at(9, 19) == (0, 0)
    assert found.at(11, 31) == (0, 0)


def test_where_two_fields_overlap_the_upper_dose_counts_once():
    found = DoseMap(1.0)
    boxes = [Box(0, 0, 9, 9), Box(0, 5, 9, 14)]
    found.add(boxes, 2.0, [(box, 1.0) for box in boxes])
    assert found.at(0.5, 0.5) == (1, 2)
    assert found.at(0.5, 7.5) == (2, 2)
    assert found.at(0.5, 12.5) == (1, 2)


def test_fields_lie_on_both_sides_of_zero_and_of_tiles():
    found = DoseMap(1.0)
    lit(found, Box(-70, -70, 70, 70), 1.0)
    points = [(y, x) for y in (-69.5, -0.5, 0.5, 69.5) for x in (-69.5, 0.5, 69.5)]
    assert {found.at(*point) for point in points} == {(1, 1)}
    assert found.tiles == 16


def test_a_map_that_is_full_counts_what_lies_beyond_as_one_place():
    found = DoseMap(1.0, max_tiles=1)
    lit(found, Box(1, 1, 5, 5), 1.0)
    for k in range(1, 4):
        lit(found, Box(1, k * 1000, 5, k * 1000 + 5), 2.0)
    assert found.at(1, 1) == (1, 1)
    assert found.at(2, 2001) == (3, 6)
    assert found.worst(Box(-5000, 0, -4999, 1)) == 6
    assert found.rest == 6


def test_a_field_of_too_many_cells_costs_no_memory():
    found = DoseMap(1e-10)
    lit(found, Box(0, 0, 1e-9, 1e-9), 1.0)
    lit(found, Box(-1e-3, -1e-3, 1e-3, 1e-3), 1.0)
    assert found.tiles == 4
    assert found.at(0.5e-9, 0.5e-9) == (2, 2)
    assert found.at(5e-4, 5e-4) == (1, 1)
    assert found.worst(Box(-1, -1, 1, 1)) == 2


def test_a_tile_that_is_made_later_begins_with_what_was_counted_for_all():
    found = DoseMap(1.0, max_tiles=4)
    lit(found, Box(0, 0, 1e6, 1e6), 3.0)
    lit(found, Box(10, 10, 11, 11), 1.0)
    assert found.at(10.5, 10.5) == (2, 4)
    assert found.at(30, 30) == (1, 3)


def test_everywhere_is_everywhere():
    found = DoseMap(1.0)
    lit(found, Box(0, 0, 5, 5), 1.0)
    found.add_everywhere(1.0, 2.0)
    assert (found.at(1, 1), found.at(900, 900)) == ((2, 3), (1, 2))
    assert found.highest == (2, 3)


def test_places_that_are_absurdly_far_are_counted():
    found = DoseMap(1e-10)
    lit(found, Box(-1e300, 1e300, -1e299, 1.1e300), 1.0)
    assert found.highest[1] == 1


def test_counts_lie_where_they_are_put():
    found = DoseMap(1.0)
    counts = np.zeros((3, 70))
    counts[1, 65] = 2
    found.add_counts(-1, -1, counts, 1.0, 1.5)
    assert found.at(0.5, TILE + 0.5) == (2, 3)
    assert found.highest == (2, 3)
    window = found.window(found.cells(Box(-0.5, 63.5, 1.5, 65.5)))
    assert window.tolist() == [[0, 0, 0], [0, 3, 0], [0, 0, 0]]


@given(
    st.lists(
        st.tuples(st.lists(BOX, min_size=1, max_size=3), st.floats(0, 9)), max_size=6
    ),
    st.integers(1, 30),
    PLACE,
    PLACE,
)
def test_no_point_has_less_than_it_got(fields, max_tiles, y, x):
    found = DoseMap(7.0, max_tiles)
    truth = 0.0
    for boxes, dose in fields:
        found.add(boxes, dose, [(box, dose / len(boxes)) for box in boxes])
        truth += dose * any(
            b.top <= y <= b.bottom and b.left <= x <= b.right for b in boxes
        )
    nominal, upper = found.at(y, x)
    assert upper >= truth * (1 - 1e-12)
    assert nominal <= upper * (1 + 1e-12)
    assert found.worst(Box(y, x, y, x)) >= upper
    again = DoseMap.from_dict(json.loads(json.dumps(found.to_dict())), max_tiles)
    assert again.at(y, x) == (nominal, upper)
    assert again.highest == found.highest


@pytest.mark.parametrize(
    "wrong",
    [
        {"rest": [0, float("nan")]},
        {"rest": [0]},
        {"tiles": [[0, 0, "!"]]},
        {"tiles": [[0, 0, ""]]},
        {"cell_m": "no"},
    ],
)
def test_what_is_no_map_is_not_read(wrong):
    with pytest.raises((ValueError, TypeError)):
        DoseMap.from_dict({**DoseMap(1.0).to_dict(), **wrong})


def test_a_tile_that_would_unpack_to_much_is_not_read():
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(bytes(1 << 24))).decode()
    with pytest.raises(ValueError, match="buffer size"):
        DoseMap.from_dict({**DoseMap(1.0).to_dict(), "tiles": [[0, 0, bomb]]})
