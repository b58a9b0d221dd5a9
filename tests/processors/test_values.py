"""Values of frames: sparse as they came, dense when looked at."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition
from scopeside.scan import Scan
from scopeside.state import pack, unpack
from scopeside_processors.stem.values import NOT_SEEN, FrameValues, Table


def values(scan=None, frames=None, dtype=np.int64):
    about = Acquisition("a", (2, 2), np.dtype("u1"), frames=frames, scan=scan)
    return FrameValues(about, {"two": (2, dtype)})


def add(found, *index):
    rows = np.array([[k, -k] for k in index]).reshape(-1, 2)
    found.add(np.array(index, np.int64), two=rows)


@settings(deadline=None)
@given(st.permutations(range(20)), st.lists(st.integers(0, 20), max_size=5))
def test_looking_in_between_changes_nothing(order, cuts):
    found = values(Scan((4, 5)))
    for part in np.split(np.array(order), sorted(cuts)):
        add(found, *part.tolist())
        found.images("two")
    assert found.mask is None
    assert found.images("two").reshape(2, 20).tolist() == [
        list(range(20)),
        [-k for k in range(20)],
    ]


def test_places_without_a_frame_are_empty():
    found = values(Scan((1, 4)), dtype=np.float64)
    add(found, 2)
    nan = np.nan
    np.testing.assert_array_equal(found.images("two")[0], [[nan, nan, 2.0, nan]])
    assert found.mask.tolist() == [[False, False, True, False]]


def test_a_series_grows_and_keeps_what_it_has():
    found = values()
    for k in range(50):
        add(found, k)
        assert found.images("two")[0].tolist() == list(range(k + 1))


def test_a_result_is_its_holders_own():
    found = values(Scan((1, 2)))
    add(found, 0)
    result = found.result("one", found.images("two")[0], "counts")
    add(found, 1)
    found.images("two")
    assert result.data.tolist() == [[0, 0]]
    assert result.mask.tolist() == [[True, False]]


def test_the_mask_covers_what_lies_beyond_the_scan():
    found = values(Scan((1, 2)))
    add(found, 1)
    pairs = np.moveaxis(found.images("two"), 0, -1)
    result = found.result("pairs", pairs, "px", ("yx",))
    assert result.mask.tolist() == [[[False, False], [True, True]]]
    assert result.axes == ("scan_y", "scan_x", "yx")


def test_frames_beside_the_scan_are_counted():
    found = values(Scan((1, 2), flyback=1))
    add(found, 1, 2, 7)
    assert found.account()["meta"] == {"outside": 2}
    assert len(found) == 1


def test_a_table_keeps_what_it_had_when_it_grows():
    table = Table(2, np.int64)
    for i in range(100):
        table.append(np.full((i % 3, 2), i))
    expected = [i for i in range(100) for _ in range(i % 3)]
    assert len(table) == len(expected)
    assert table.rows[:, 1].tolist() == expected


def flagging():
    about = Acquisition("a", (2, 2), np.dtype("u1"), scan=Scan((2, 2)))
    return FrameValues(about, {"a": (1, np.float64)}, ["no counts", "edge"])


def test_a_flagged_frame_is_invalid_at_its_position_alone():
    values = flagging()
    rows = np.array([[1.0], [2.0], [3.0]])
    values.add(np.arange(3), flag=np.array([0, 2, 0], np.uint8), a=rows)
    result = values.result("a", values.images("a")[0], "px")
    np.testing.assert_array_equal(result.data, [[1, np.nan], [3, np.nan]])
    np.testing.assert_array_equal(result.mask, [[True, False], [True, False]])
    assert result.meta["invalid"] == {"edge": 1}
    assert result.used == 3


def test_validity_names_the_reason_at_each_position():
    values = flagging()
    values.add(np.arange(3), flag=np.array([0, 2, 1], np.uint8), a=np.zeros((3, 1)))
    found = values.validity()
    np.testing.assert_array_equal(found.data, [[0, 2], [1, NOT_SEEN]])
    assert found.meta["reasons"] == {"1": "no counts", "2": "edge"}


def test_flags_travel_with_a_share():
    one = flagging()
    one.add(np.arange(2), flag=np.array([1, 0], np.uint8), a=np.ones((2, 1)))
    sent = flagging()
    sent.restore(unpack(pack(one.snapshot())))
    whole = flagging()
    whole.merge(sent)
    assert whole.account()["meta"]["invalid"] == {"no counts": 1}
