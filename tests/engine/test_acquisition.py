"""What an acquisition is, what it cannot be, and where each frame belongs."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition, check_dtype
from scopeside.batch import Batch
from scopeside.errors import ShapeError
from scopeside.scan import Scan


def acquisition(**changes):
    values = {"id": "a", "frame_shape": (2, 3), "dtype": np.dtype("u2")}
    return Acquisition(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "1 to 64 letters"),
        ({"id": "../x"}, r"begins with a letter or digit, not '\.\./x'"),
        ({"id": "a" * 65}, "1 to 64"),
        ({"id": "a/b"}, "not 'a/b'"),
        ({"id": "a\n"}, "not 'a"),
        ({"kind": "4d"}, "kind is one of .*, not '4d'"),
        ({"frame_shape": (0, 1)}, r"\(height, width\) ≥ 1"),
        ({"frames": -1}, "cannot be negative: -1"),
        ({"dtype": np.dtype("c8")}, "pixels are integers or floats"),
        ({"dtype": np.dtype("g")}, "not float128"),
        ({"dtype": np.dtype("V4")}, "pixels are"),
        ({"dtype": np.dtype(bool)}, "not bool"),
    ],
)
def test_an_impossible_acquisition_is_refused(changes, message):
    with pytest.raises(ShapeError, match=message):
        acquisition(**changes)


SCANS = st.builds(Scan, st.tuples(st.integers(1, 7), st.integers(1, 7)))


@settings(deadline=None, max_examples=50)
@given(SCANS | st.none(), st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))
def test_an_acquisition_survives_its_journey_as_json(scan, frames, started):
    made = acquisition(scan=scan, frames=frames, started_ns=started, detector="x")
    assert Acquisition.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_what_is_not_known_is_absent():
    assert not {"frames", "scan", "started_ns"} & set(acquisition().to_dict())


GOOD = {"id": "a", "shape": [2, 3], "dtype": "<u2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [2]}, "shape is two whole numbers"),
        ({"shape": [2.0, 3]}, "shape is two whole numbers"),
        ({"shape": [True, 3]}, "shape is two whole numbers"),
        ({"shape": 5}, "an acquisition cannot be"),
        ({"dtype": "nope"}, "an acquisition cannot be"),
        ({"dtype": "O"}, "pixels are"),
        ({"frames": "9"}, "frames is a whole number, not '9'"),
        ({"frames": True}, "frames is a whole number"),
        ({"scan": {"pattern": "snake"}}, "needs 'shape'"),
        ({"scan": [3, 3]}, "an acquisition cannot be"),
        ({"calibration": [1]}, "calibration is a table"),
        ({"metadata": "x"}, "metadata is a table"),
        ({"kind": ["movie"]}, "kind is one of"),
    ],
)
def test_a_wrong_message_is_refused_by_name(change, message):
    with pytest.raises(ShapeError, match=message):
        Acquisition.from_dict({**GOOD, **change})


@pytest.mark.parametrize("lacking", ["id", "shape", "dtype"])
def test_a_message_that_lacks_something_says_what(lacking):
    with pytest.raises(ShapeError, match=f"needs '{lacking}'"):
        Acquisition.from_dict({k: v for k, v in GOOD.items() if k != lacking})


def test_pixels_are_little_endian():
    assert check_dtype(">u2").str == "<u2"
    assert acquisition(dtype=np.dtype(">f4")).dtype.str == "<f4"


def test_a_frame_takes_so_many_bytes():
    assert acquisition().frame_bytes == 12


@pytest.mark.parametrize(
    ("index", "contiguous"),
    [([], True), ([4], True), ([4, 5, 6], True), ([4, 6, 5], False), ([4, 6], False)],
)
def test_a_batch_knows_whether_it_has_holes(index, contiguous):
    n = len(index)
    batch = Batch(np.zeros((n, 1, 1)), np.array(index, np.int64), np.zeros(n, np.int64))
    assert batch.contiguous is contiguous


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2,), (2,)), ((2, 1, 1), (3,), (2,)), ((2, 1, 1), (2,), (1,))]
)
def test_a_batch_whose_parts_do_not_fit_is_refused(shapes):
    with pytest.raises(ShapeError):
        Batch(*(np.zeros(shape, np.int64) for shape in shapes))
