"""Values by place: sparse as they came, dense when looked at."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside_processors.stem.keyed import Keyed


@settings(deadline=None)
@given(st.permutations(range(20)), st.lists(st.integers(0, 20), max_size=5))
def test_looking_in_between_changes_nothing(order, cuts):
    places = np.array(order, np.int64)
    keyed = Keyed(2, np.int64)
    for part in np.split(places, sorted(cuts)):
        keyed.append(part, np.stack([part, -part], axis=1))
        keyed.dense(20)
    dense, seen = keyed.dense(20)
    assert seen.all()
    assert dense.tolist() == [list(range(20)), [-k for k in range(20)]]
    assert keyed.places.tolist() == order
    assert keyed.values[:, 0].tolist() == order


def test_places_without_a_value_are_empty():
    keyed = Keyed(1, np.float64)
    keyed.append(np.array([2]), np.array([[7.0]]))
    dense, seen = keyed.dense(4)
    np.testing.assert_array_equal(dense, [[np.nan, np.nan, 7.0, np.nan]])
    assert seen.tolist() == [False, False, True, False]


def test_a_series_grows_and_keeps_what_it_has():
    keyed = Keyed(1, np.int64)
    for k in range(50):
        keyed.append(np.array([k]), np.array([[k]]))
        dense, _ = keyed.dense(k + 1)
        assert dense[0].tolist() == list(range(k + 1))
