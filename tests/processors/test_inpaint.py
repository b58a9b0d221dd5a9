"""Gaps of a sparse scan, filled in to be looked at."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.scan import Scan
from scopeside.testing import check_processor
from scopeside_processors.stem.inpaint import REACH, closed, inpaint
from scopeside_processors.stem.virtual import Virtual

SHAPE = (48, 52)


def plane(shape=SHAPE):
    row, column = np.indices(shape)
    return 3.0 + 0.5 * row - 0.25 * column


def scattered(share, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).random(shape) < share


def lissajous(shape=SHAPE):
    t = np.linspace(0, 2 * np.pi, 20000)
    mask = np.zeros(shape, bool)
    y, x = np.sin(9 * t), np.sin(11 * t + 1)
    rows, columns = (np.array(shape) - 1) / 2
    mask[
        np.rint(rows * (1 + y)).astype(int), np.rint(columns * (1 + x)).astype(int)
    ] = 1
    return mask


def spiral(shape=SHAPE):
    turn = np.linspace(0, 12 * np.pi, 20000)
    y, x = turn * np.sin(turn), turn * np.cos(turn)
    mask = np.zeros(shape, bool)
    at = np.rint([23 + 20 * y / turn.max(), 25 + 20 * x / turn.max()]).astype(int)
    mask[tuple(at)] = True
    return mask


MASKS = {
    "10 %": scattered(0.1),
    "50 %": scattered(0.5),
    "lissajous": lissajous(),
    "spiral": spiral(),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_a_plane_is_filled_with_a_plane(mask):
    found = inpaint(np.where(mask, plane(), 99), mask, tolerance=1e-9, steps=5000)
    filled = np.isfinite(found)
    np.testing.assert_allclose(found[filled], plane()[filled], atol=1e-4)
    assert filled[mask].all()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_what_is_shown_is_near_what_no_time_limit_would_give(mask):
    row, column = np.indices(SHAPE)
    image = np.where(mask, np.cos(row / 5) + np.sin(column / 6), 0)
    quick, whole = (
        inpaint(image, mask),
        inpaint(image, mask, tolerance=1e-9, steps=9999),
    )
    off = (quick - whole)[np.isfinite(whole)]
    assert np.sqrt(np.mean(off**2)) < 0.02


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.int64, np.uint16, np.float32, np.float64]),
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.integers(0, 4000),
    ),
    st.integers(0, 2**32),
    st.floats(0, 1),
)
def test_what_was_measured_is_left_as_it_is(image, seed, share):
    mask = np.random.default_rng(seed).random(image.shape) < share
    kept = image.copy()
    found = inpaint(image, mask)
    np.testing.assert_array_equal(found[mask], image[mask])
    np.testing.assert_array_equal(image, kept)
    if mask.all():
        assert found.tobytes() == image.astype(found.dtype).tobytes()


def test_where_nothing_was_measured_nothing_is_made_up():
    assert np.isnan(inpaint(np.ones((5, 6)), np.zeros((5, 6), bool))).all()


def test_a_single_value_is_not_spread():
    mask = np.zeros((25, 60), bool)
    mask[12, 30] = True
    assert np.argwhere(closed(mask, 4)).tolist() == [[12, 30]]


def test_near_a_border_an_image_goes_on_up_to_it():
    mask = np.zeros((30, 60), bool)
    mask[:, 6:30] = True
    assert np.flatnonzero(closed(mask, 6)[15]).tolist() == list(range(30))
    assert np.flatnonzero(closed(mask, 5)[15]).tolist() == list(range(6, 30))


def test_an_image_is_not_continued_beyond_what_was_visited():
    mask = np.zeros((100, 40), bool)
    mask[:30] = scattered(0.3, (30, 40))
    mask[29] = True
    found = inpaint(np.where(mask, 1.0, 0), mask)
    assert np.isfinite(found[:30]).all()
    assert np.isnan(found[30:]).all()


def test_wide_gaps_stay_empty():
    mask = np.zeros((60, 8 * REACH), bool)
    mask[:, : 2 * REACH] = mask[:, -2 * REACH :] = True
    found = inpaint(np.ones(mask.shape), mask)
    np.testing.assert_array_equal(np.isnan(found), ~mask)
    narrow = np.ones((60, 100), bool)
    narrow[:, 40:55] = False
    assert np.isfinite(inpaint(np.ones(narrow.shape), narrow)).all()


def test_a_measured_nan_is_filled_in():
    image = plane()
    image[20, 20] = np.nan
    found = inpaint(image, np.ones(SHAPE, bool), tolerance=1e-9, steps=999)
    assert found[20, 20] == pytest.approx(plane()[20, 20], abs=1e-4)


def test_large_numbers_keep_their_contrast():
    mask = scattered(0.4)
    image = np.where(mask, 1e12 + plane(), 0)
    found = inpaint(image, mask, tolerance=1e-9, steps=5000)
    np.testing.assert_allclose(found - 1e12, plane(), atol=1e-2)


# -- as a result of `virtual` ---------------------------------------------------------

SCAN = (24, 26)
PARAMS = {"detectors": {"bf": {"disk": [1, 1, 1]}}, "inpaint": True}


def sparse(share=0.3, seed=0):
    """An acquisition that visits some positions in disorder, and its frames."""
    rng = np.random.default_rng(seed)
    path = rng.permutation(SCAN[0] * SCAN[1])[: int(share * SCAN[0] * SCAN[1])]
    scan = Scan(SCAN, "positions", visited=path.astype("<u4").tobytes())
    about = Acquisition("a", (3, 3), np.dtype("u2"), kind="scan4d", scan=scan)
    return about, rng.poisson(50, (len(path), 3, 3)).astype(np.uint16)


def test_an_inpainted_image_says_so():
    about, frames = sparse()
    image, filled = scopeside.apply("virtual", frames, about, **PARAMS)
    assert (image.name, filled.name) == ("bf", "bf_inpainted")
    np.testing.assert_array_equal(filled.mask, image.mask)
    np.testing.assert_array_equal(filled.data[filled.mask], image.data[image.mask])
    invented = np.isfinite(filled.data) & ~filled.mask
    assert filled.meta["inpainted"] == pytest.approx(invented.mean())
    assert filled.meta["inpainted"] > 0.6
    assert (image.used, filled.used) == (187, 187)
    assert image.meta == {"outside": 0}


def test_the_order_of_visit_does_not_matter():
    about, frames = sparse()
    expected = list(scopeside.apply("virtual", frames, about, **PARAMS))[1]
    order = np.random.default_rng(3).permutation(len(frames))
    path = about.scan.path[order].astype("<u4").tobytes()
    scan = Scan(SCAN, "positions", visited=path)
    other = Acquisition("a", (3, 3), np.dtype("u2"), kind="scan4d", scan=scan)
    found = list(scopeside.apply("virtual", frames[order], other, **PARAMS))[1]
    assert found.data.tobytes() == expected.data.tobytes()


def test_a_whole_scan_is_left_as_it_is():
    about, frames = sparse(1.0)
    image, filled = scopeside.apply("virtual", frames, about, **PARAMS)
    assert filled.data.tobytes() == image.data.astype(float).tobytes()
    assert filled.meta["inpainted"] == 0
    assert filled.mask is None


def test_before_the_first_position_there_is_nothing_to_fill():
    about, _ = sparse()
    one = Virtual(about, Virtual.Params.model_validate(PARAMS))
    assert [r.reason for r in one.results()] == ["no frame with a position yet"] * 2


def test_each_scan_is_filled_by_itself():
    scan = Scan((6, 7), scans=2)
    about = Acquisition("a", (3, 3), np.dtype("u2"), kind="scan4d", scan=scan)
    one = Virtual(about, Virtual.Params.model_validate(PARAMS))
    index = np.arange(0, 42, 2)
    one.process(Batch(np.ones((21, 3, 3), np.uint16), index, index))
    _, filled = one.results()
    np.testing.assert_allclose(filled.data[0], 5)
    assert np.isnan(filled.data[1]).all()


def test_without_a_scan_there_is_nothing_to_fill():
    (series,) = scopeside.apply("virtual", np.ones((4, 3, 3), np.uint8), **PARAMS)
    assert series.name == "bf"


def test_names_that_would_stand_twice_are_refused():
    both = {"bf": {"disk": [1, 1, 1]}, "bf_inpainted": {"disk": [1, 1, 1]}}
    with pytest.raises(ConfigError, match="bf_inpainted a second time"):
        validate(Virtual.Params, {"detectors": both, "inpaint": True}, where="v")


def test_inpainting_keeps_the_laws_of_a_processor():
    about, frames = sparse(0.03)
    check_processor(Virtual, frames, acquisition=about, params=PARAMS)
