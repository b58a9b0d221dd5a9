import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.processors.movies import movie

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.state import pack, unpack
from scopeside_processors.insitu import incoming as module
from scopeside_processors.insitu.incoming import (
    BLANK,
    NOT_A_NUMBER,
    REPEATED,
    SATURATED,
    Incoming,
)
from scopeside_processors.kernels.inspect import inspect

SHAPE = (48, 40)
KINDS = ["u1", "<u2", ">u2", "i2", "u4", "i4", "f2", "f4", "f8"]


def incoming(dtype="u2", **calibration):
    about = Acquisition("a", SHAPE, np.dtype(dtype), calibration=calibration)
    return Incoming(about)


def counts(dose, n=1, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).poisson(dose, (n, *shape)).astype("u2")


def looked(doses, looker=None, **about):
    """Conditions of frames of these doses, one after another."""
    looker = looker or incoming(**about)
    frames = [counts(dose, seed=seed)[0] for seed, dose in enumerate(doses)]
    return [looker.look(frame, index) for index, frame in enumerate(frames)]


def camera(doses, seed=0):
    """Frames of an integrating camera: 12 counts an electron, offset 100, noise 4."""
    rng = np.random.default_rng(seed)
    return [
        np.rint(100 + 12 * rng.poisson(dose, SHAPE) + rng.normal(0, 4, SHAPE))
        .clip(0)
        .astype("u2")
        for dose in doses
    ]


def ratio_of(conditions):
    return math.prod(one.exposure_ratio for one in conditions)


# -- one pass over the pixels --------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_sees_what_numpy_sees(kind):
    frame = np.random.default_rng(1).integers(0, 120, (13, 37)).astype(kind)
    seen = inspect(frame, 90, 100)
    capped = np.minimum(frame, 90).astype(float)
    assert seen.total == frame.sum(dtype=float)
    assert seen.capped == capped.sum()
    assert seen.largest == frame.max()
    assert seen.full == np.count_nonzero(frame >= 100)
    assert seen.broken == 0
    assert seen.roughness == pytest.approx(np.abs(np.diff(capped[::4])).mean())


def test_the_largest_values_of_a_dtype_do_not_overflow():
    for kind in ("u1", "u2", "u4", "i1", "i2", "i4"):
        most = np.iinfo(kind).max
        frame = np.full((3, 5000), most, kind)
        seen = inspect(frame, math.inf, most)
        assert (seen.total, seen.full) == (15000 * int(most), 15000), kind


def test_negative_pixels_count():
    seen = inspect(np.array([[-5, 2, -1]], "i2"), 1, 10)
    assert (seen.total, seen.capped, seen.largest) == (-4, -5, 2)
    assert seen.roughness == pytest.approx((6 + 2) / 2)


def test_pixels_that_are_no_numbers_are_left_out():
    frame = np.array([[1, np.nan, 3], [np.inf, 5, -np.inf]], "f4")
    seen = inspect(frame, 4, 5)
    assert (seen.total, seen.capped, seen.largest) == (9, 8, 5)
    assert (seen.full, seen.broken) == (1, 3)


def test_a_level_beyond_the_dtype_is_never_reached():
    assert inspect(np.full((2, 2), 255, "u1"), math.inf, 256).full == 0


@settings(deadline=None)
@given(
    st.data(),
    st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]),
    st.tuples(st.integers(1, 9), st.integers(1, 40)),
)
def test_a_pixel_changed_or_moved_changes_the_fingerprint(data, kind, shape):
    frame = data.draw(arrays(kind, shape, elements=st.integers(0, 100)))
    y, x = (data.draw(st.integers(0, n - 1)) for n in shape)
    other = frame.copy()
    other[y, x] += 1
    kept = inspect(frame.copy(), 9, 9).fingerprint
    assert kept == inspect(frame, 2, 4).fingerprint >= 0
    assert kept != inspect(other, 9, 9).fingerprint
    rolled = np.roll(frame, 1, axis=1)
    same = inspect(rolled, 9, 9).fingerprint == kept
    assert same == np.array_equal(rolled, frame)


# -- a usable frame ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dose", [0.3, 1, 10, 100])
def test_an_even_movie_can_be_used_throughout(dose, kind):
    looker = incoming(kind)
    frames = counts(dose, 20).astype(kind)
    found = [looker.look(frame, i) for i, frame in enumerate(frames)]
    assert all(one.usable and not one.reason for one in found)
    assert not any(one.missing or one.unsettled or one.recovered for one in found)
    assert ratio_of(found) == 1
    assert found[3].mean == pytest.approx(float(frames[3].mean(dtype=float)))


def test_the_offset_of_an_integrating_camera_is_taken_off():
    looker = incoming(counts_per_electron=12.0, offset_counts=100.0)
    (condition,) = (looker.look(f, 0) for f in camera([10]))
    assert condition.mean == pytest.approx(120, rel=0.05)


def test_frames_that_were_never_seen_are_counted():
    looker = incoming()
    found = [looker.look(f, i) for f, i in zip(counts(5, 4), (2, 3, 7, 8), strict=True)]
    assert [one.missing for one in found] == [2, 0, 3, 0]


def test_a_frame_that_comes_late_misses_none():
    looker = incoming()
    order = (0, 2, 1, 3)
    found = [looker.look(f, i) for f, i in zip(counts(5, 4), order, strict=True)]
    assert [one.missing for one in found] == [0, 1, 0, 0]


def test_a_restarted_detector_may_count_from_zero_again():
    looker = incoming()
    where = ((0, 0), (1, 0), (0, 1), (2, 1), (9, 2))
    frames = counts(5, 5)
    found = [looker.look(f, i, 0, e) for f, (i, e) in zip(frames, where, strict=True)]
    assert [one.missing for one in found] == [0, 0, 0, 1, 6]


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"\(48, 40\); one is \(48, 41\)"):
        incoming().look(np.ones((48, 41), "u2"), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"counts_per_electron": 0},
        {"offset_counts": "none"},
        {"saturated_at": -1},
        {"pixel_size_m": [1e-10, 0]},
        {"frame_time_s": math.nan},
    ],
)
def test_a_calibration_that_cannot_be_is_refused_by_its_key(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        incoming(**wrong)


# -- blank ---------------------------------------------------------------------------


@pytest.mark.parametrize("dose", [0.3, 10])
def test_a_blanked_beam_is_seen_and_the_first_frame_after_it(dose):
    found = looked([dose] * 3 + [0] * 2 + [dose] * 3)
    assert [one.reason for one in found] == [""] * 3 + [BLANK] * 2 + [""] * 3
    assert [one.recovered for one in found] == [False] * 5 + [True, False, False]
    assert found[3].blank
    assert found[3].mean == 0
    assert ratio_of(found) == 1


def test_a_dim_first_frame_is_not_blank():
    found = looked([0.02] + [5] * 4)
    assert all(one.usable for one in found)
    assert found[1].unsettled
    assert found[2].exposure_changed
    assert ratio_of(found) == pytest.approx(250, rel=0.5)


def test_a_flash_at_the_start_does_not_make_all_others_blank():
    found = looked([900] + [5] * 8)
    assert [one.usable for one in found] == [True, False, False] + [True] * 6
    assert ratio_of(found) == pytest.approx(5 / 900, rel=0.05)


def test_hot_pixels_do_not_hide_a_blanked_beam():
    frames = counts(0.3, 6)
    frames[4] = 0
    frames[:, 5, 7] = 65535
    looker = incoming()
    found = [looker.look(frame, i) for i, frame in enumerate(frames)]
    assert [one.blank for one in found] == [False] * 4 + [True, False]


@pytest.mark.parametrize(
    ("dose", "said"),
    [(dose, {"offset_counts": 100.0}) for dose in (0.3, 1, 3, 30)]
    + [(3, {}), (30, {})],
)
def test_dark_frames_with_offset_and_noise_are_blank(dose, said):
    if said:
        said = said | {"counts_per_electron": 12.0}
    looker = incoming(**said)
    frames = camera([dose] * 6 + [0] * 3 + [dose] * 2)
    found = [looker.look(frame, i) for i, frame in enumerate(frames)]
    assert [one.blank for one in found] == [False] * 6 + [True] * 3 + [False] * 2
    assert ratio_of(found) == 1


def test_a_first_frame_without_a_beam_is_blank_where_the_offset_is_known():
    looker = incoming(offset_counts=100.0, counts_per_electron=12.0)
    found = [looker.look(frame, i) for i, frame in enumerate(camera([0, 0, 5]))]
    assert [one.blank for one in found] == [True, True, False]


@pytest.mark.parametrize("each", [0.99, 0.9, 0.7])
def test_a_beam_that_fades_can_be_used_until_it_is_gone(each):
    doses = [20 * each**i for i in range(18)]
    found = looked([*doses, 0, 0])
    assert [one.usable for one in found] == [True] * 18 + [False] * 2


def test_a_blanked_beam_stays_blank_for_as_long_as_it_lasts():
    found = looked([8] * 6 + [0.05] * 60 + [8])
    assert [one.usable for one in found] == [True] * 6 + [False] * 60 + [True]


# -- saturated, not a number, repeated -----------------------------------------------


def test_a_frame_at_full_scale_is_saturated_but_not_one_with_hot_pixels():
    frames = counts(50, 3).astype("u1")
    frames[1, :, :20] = 255
    frames[2, 3, :4] = 255
    looker = incoming("u1")
    found = [looker.look(frame, i) for i, frame in enumerate(frames)]
    assert [one.reason for one in found] == ["", SATURATED, ""]
    assert found[1].saturated == 0.5
    assert found[2].saturated == pytest.approx(4 / (48 * 40))


def test_where_a_camera_saturates_may_be_said():
    frames = np.minimum(counts(50, 2), 40)
    assert incoming(saturated_at=40).look(frames[0], 0).reason == SATURATED
    assert incoming(saturated_at=41).look(frames[0], 0).usable
    floats = frames.astype("f4")
    assert incoming("f4", saturated_at=40).look(floats[0], 0).reason == SATURATED
    assert incoming("f4").look(floats[0], 0).usable


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_a_number_makes_a_frame_useless(value):
    frames = counts(5, 3).astype("f4")
    frames[1, 4, 4] = value
    looker = incoming("f4")
    found = [looker.look(frame, i) for i, frame in enumerate(frames)]
    assert [one.reason for one in found] == ["", NOT_A_NUMBER, ""]
    assert found[1].mean == pytest.approx(5, rel=0.1)


def test_a_frame_without_any_number_has_no_mean():
    nothing = np.full(SHAPE, np.nan, "f4")
    assert math.isnan(incoming("f4").look(nothing, 0).mean)


@pytest.mark.parametrize("order", ["AABB", "ABAB", "ABBA", "ABCABC", "ABCDDCBA"])
def test_a_video_that_stutters_shows_no_picture_twice(order):
    frames = dict(zip("ABCD", counts(5, 4), strict=True))
    looker = incoming()
    found = [looker.look(frames[name], i) for i, name in enumerate(order)]
    again = [name in order[:i] for i, name in enumerate(order)]
    assert [one.repeated for one in found] == again
    assert [one.reason == REPEATED for one in found] == again


# -- exposure ------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.7, 1.5, 2, 10, 100])
def test_another_exposure_is_declared_in_its_second_frame(factor):
    found = looked([10] * 6 + [10 * factor] * 8)
    assert all(one.usable for one in found)
    assert next(i for i, one in enumerate(found) if one.exposure_changed) == 7
    assert found[6].unsettled
    assert ratio_of(found) == pytest.approx(factor, rel=0.05)


def test_one_bright_frame_is_a_flash_and_no_other_exposure():
    found = looked([10] * 5 + [30] + [10] * 5)
    assert [one.unsettled for one in found] == [False] * 5 + [True] + [False] * 5
    assert ratio_of(found) == 1


def test_a_frame_exposed_in_part_at_each_level_does_not_spoil_the_ratio():
    found = looked([10] * 5 + [17, 40, 40, 40])
    assert ratio_of(found) == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("flicker", [0.02, 0.05, 0.1])
def test_flicker_is_no_other_exposure(flicker):
    rng = np.random.default_rng(7)
    found = looked(10 * np.exp(flicker * rng.standard_normal(400)))
    assert all(one.usable and not one.exposure_changed for one in found)


def test_an_exposure_changed_while_blanked_is_declared_after_it():
    found = looked([10] * 6 + [0, 0] + [25] * 3)
    assert found[8].recovered
    assert ratio_of(found) == pytest.approx(2.5, rel=0.05)


# -- time ----------------------------------------------------------------------------


def at(times_s, **about):
    looker = incoming(**about)
    frames = counts(5, len(times_s))
    return [
        looker.look(frame, i, round(1e9 * t))
        for i, (frame, t) in enumerate(zip(frames, times_s, strict=True))
    ]


def test_time_from_frame_to_frame_is_told():
    found = at([100, 100.5, 101, 101.5])
    assert math.isnan(found[0].elapsed_s)
    assert [one.elapsed_s for one in found[1:]] == [0.5] * 3
    assert not any(one.paused or one.note for one in found)


def test_a_pause_is_noted_and_the_frame_can_be_used():
    found = at([0, 1, 2, 3, 30, 31, 32])
    assert [one.paused for one in found] == [False] * 4 + [True, False, False]
    assert "far behind" in found[4].note
    assert all(one.usable for one in found)


def test_missing_frames_are_no_pause():
    looker = incoming(frame_time_s=1.0)
    frames = counts(5, 4)
    found = [
        looker.look(frame, i, i * 10**9)
        for i, frame in zip((0, 1, 2, 50), frames, strict=True)
    ]
    assert not any(one.paused for one in found)
    assert found[3].elapsed_s == 48


def test_a_clock_that_is_set_back_is_noted_and_time_goes_on_as_usual():
    found = at([50, 51, 10, 11], frame_time_s=1.0)
    assert [one.elapsed_s for one in found[1:]] == [1, 1, 1]
    assert "before" in found[2].note
    assert all(one.usable for one in found)


def test_without_time_stamps_the_frame_time_is_taken():
    assert at([0, 0, 0], frame_time_s=0.04)[2].elapsed_s == 0.04
    assert math.isnan(at([0, 0, 0])[2].elapsed_s)


# -- state ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0.2, 5, 5, 5, 12, 70]), st.integers(0, 5)),
        min_size=2,
        max_size=20,
    ),
    st.data(),
)
def test_nothing_is_lost_in_a_snapshot(story, data):
    frames = [counts(dose, seed=seed, shape=(6, 5))[0] for dose, seed in story]
    about = Acquisition("a", (6, 5), np.dtype("u2"))
    one, other = Incoming(about), Incoming(about)
    cut = data.draw(st.integers(1, len(frames) - 1))
    for i, frame in enumerate(frames):
        if i == cut:
            kept = unpack(pack(other.state()))
            other = Incoming(about)
            other.take_over(kept)
        assert repr(one.look(frame, i, i)) == repr(other.look(frame, i, i))


def test_a_movie_that_drifts_and_grows_can_be_used_throughout():
    drift = np.cumsum(np.full((40, 2), 0.4), axis=0)
    frames = movie(drift, shape=SHAPE, disks=[(20, 20, lambda t: t / 4, 0.5)])
    looker = incoming()
    found = [looker.look(frame, i) for i, frame in enumerate(frames)]
    assert all(one.usable and not one.exposure_changed for one in found)


def test_a_batch_is_read_once_for_all_processors_of_a_chain(monkeypatch):
    frames = counts(5, 6)
    frames[3] = 0
    batch = Batch(frames, np.arange(6), np.arange(6) * 10**9)
    looker, one, other = incoming(), incoming(), incoming()
    expected = [looker.look(f, i, i * 10**9) for i, f in enumerate(frames)]
    assert repr(one.of_batch(batch)) == repr(tuple(expected))
    monkeypatch.setattr(module, "inspect", None)
    assert repr(other.of_batch(batch)) == repr(tuple(expected))


def test_frames_that_were_replaced_are_looked_at_anew():
    batch = Batch(counts(5, 2), np.arange(2), np.zeros(2, np.int64))
    incoming().of_batch(batch)
    found = incoming().of_batch(batch.with_pixels(counts(0, 2)))
    assert [one.blank for one in found] == [True, True]


def test_a_batch_of_frames_of_another_size_is_refused():
    batch = Batch(np.ones((1, 4, 4), "u2"), np.arange(1), np.arange(1))
    with pytest.raises(ShapeError, match="some are"):
        incoming().of_batch(batch)
