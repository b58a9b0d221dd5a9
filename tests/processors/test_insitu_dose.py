import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside import apply
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.testing import check_processor
from scopeside_processors.insitu.dose import COLUMNS, SHARED, Dose
from scopeside_processors.insitu.exposure import (
    Account,
    Coincidence,
    before_loss,
    pixel_area_A2,
)
from scopeside_processors.insitu.stabilise import STILL

SHAPE = (8, 10)
COUNTING = {"counts_per_electron": 1.0, "pixel_size_m": 2e-10, "frame_time_s": 0.5}
DECLARED = {
    "dose_rate_e_per_A2_s": 6.0,
    "dose_rate_measured_on": "2026-11-20",
    "dose_rate_relative_uncertainty": 0.1,
    "pixel_size_m": 2e-10,
    "frame_time_s": 0.5,
}


def flat(*doses):
    """Frames with so many counts per pixel, no two of them the same picture."""
    frames = np.zeros((len(doses), *SHAPE), "u2")
    for k, dose in enumerate(doses):
        frames[k] = dose
        if dose:
            frames[k].flat[2 * k : 2 * k + 2] += np.array([1, -1], "i2").astype("u2")
    return frames


def doses(frames, known, **params):
    return list(apply("dose", frames, known, **params))


def column(results, name):
    return [result.data[0, list(COLUMNS).index(name)] for result in results]


def fed(frames, index, known, times_s=None, **params):
    """Results of frames with these indices, one batch each."""
    frames = np.asarray(frames)
    about = Acquisition("a", SHAPE, frames.dtype, calibration=known)
    processor = Dose(about, Dose.Params(**params))
    found = []
    for k, i in enumerate(index):
        stamp = 0 if times_s is None else round(1e9 * times_s[k])
        one = np.array([i]), np.array([stamp])
        processor.process(Batch(frames[k : k + 1], *one))
        found += processor.results()
    return found


# -- worked out by hand --------------------------------------------------------------


def test_counted_electrons_make_the_dose():
    found = doses(flat(8, 4, 12), COUNTING)  # a pixel has 4 Å²
    assert all(result.valid for result in found)
    assert column(found, "e_per_px") == [8, 4, 12]
    assert column(found, "e_per_A2") == pytest.approx([2, 1, 3])
    assert column(found, "rate_e_per_A2_s") == pytest.approx([4, 2, 6])
    assert column(found, "cumulative_e_per_px") == [8, 12, 24]
    assert column(found, "cumulative_e_per_A2") == pytest.approx([2, 3, 6])
    assert column(found, "unseen_e_per_A2") == [0, 0, 0]
    assert [(r.frame, r.first, r.used, r.expected) for r in found] == [
        (k, 0, k + 1, 3) for k in range(3)
    ]
    assert found[0].meta["columns"] == list(COLUMNS)
    assert found[0].meta["units"] == list(COLUMNS.values())


def test_counts_of_an_integrating_camera_become_electrons():
    known = COUNTING | {"counts_per_electron": 12.0, "offset_counts": 100.0}
    assert column(doses(flat(160, 220), known), "e_per_px") == pytest.approx([5, 10])


def test_the_share_that_is_not_counted_costs_the_specimen_all_the_same():
    found = doses(flat(8), COUNTING, counted_share=0.5)
    assert column(found, "cumulative_e_per_A2") == pytest.approx([4])


def test_counting_and_calibration_make_the_uncertainty():
    counting = doses(flat(8, 8), COUNTING)
    sigma = math.sqrt(16 / 80) / 4
    assert column(counting, "uncertainty_e_per_A2")[1] == pytest.approx(sigma)
    assert counting[0].meta["relative_uncertainty"] is None
    both = doses(flat(8, 8), COUNTING, relative_uncertainty=0.05)
    expected = math.hypot(sigma, 0.05 * 4)
    assert column(both, "uncertainty_e_per_A2")[1] == pytest.approx(expected)


def test_a_declared_dose_rate_makes_the_dose_where_counts_are_not_electrons():
    found = doses(flat(50, 40, 60), DECLARED)
    assert column(found, "e_per_A2") == pytest.approx([3, 3, 3])
    assert column(found, "e_per_px") == pytest.approx([12, 12, 12])
    assert column(found, "cumulative_e_per_A2") == pytest.approx([3, 6, 9])
    assert column(found, "uncertainty_e_per_A2") == pytest.approx([0.3, 0.6, 0.9])
    assert found[0].meta["source"] == "declared"
    assert found[0].meta["measured_on"] == "2026-11-20"


def test_a_dose_rate_without_uncertainty_leaves_that_of_the_dose_open():
    known = {k: v for k, v in DECLARED.items() if "uncertainty" not in k}
    (found,) = doses(flat(50), known)
    assert found.valid
    assert math.isnan(column([found], "uncertainty_e_per_A2")[0])
    assert found.mask.tolist() == [[True] * 5 + [False, True]]


def test_a_brighter_movie_is_told_where_the_dose_rate_was_declared():
    found = doses(flat(*[50] * 6, *[100] * 3), DECLARED)
    assert found[5].meta["brightness"] == 1
    assert found[-1].meta["brightness"] == pytest.approx(2, rel=0.01)


def test_source_says_which_of_both_is_taken():
    both = DECLARED | {"counts_per_electron": 1.0}
    assert column(doses(flat(8), both), "e_per_A2") == pytest.approx([2])
    found = doses(flat(8), both, source="declared")
    assert column(found, "e_per_A2") == pytest.approx([3])


# -- what is not known ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "params", "key"),
    [
        ({}, {}, "counts_per_electron"),
        ({"counts_per_electron": 1.0}, {}, "pixel_size_m"),
        (COUNTING, {"source": "declared"}, "dose_rate_e_per_A2_s"),
        (DECLARED, {"source": "counts"}, "counts_per_electron"),
    ],
)
def test_the_key_that_is_missing_is_named(known, params, key):
    for result in doses(flat(8, 0, 8), known, **params):
        assert not result.valid
        assert key in result.reason
        assert "[acquisition.calibration]" in result.reason
        assert math.isnan(column([result], "cumulative_e_per_A2")[0])


def test_electrons_per_pixel_are_given_without_the_size_of_a_pixel():
    found = doses(flat(8, 4), {"counts_per_electron": 1.0})
    assert column(found, "e_per_px") == [8, 4]
    assert column(found, "cumulative_e_per_px") == [8, 12]


def test_without_a_frame_time_there_is_a_dose_but_no_rate():
    known = {k: v for k, v in COUNTING.items() if k != "frame_time_s"}
    found = doses(flat(8, 8), known)
    assert all(result.valid for result in found)
    assert np.isnan(column(found, "rate_e_per_A2_s")).all()
    stamped = fed(flat(8, 8), [0, 1], known, [5, 5.25])
    assert column(stamped, "rate_e_per_A2_s")[1] == pytest.approx(8)


def test_a_declared_rate_needs_the_time_of_a_frame():
    known = {k: v for k, v in DECLARED.items() if k != "frame_time_s"}
    (found,) = doses(flat(8), known)
    assert not found.valid
    assert "frame_time_s" in found.reason


@pytest.mark.parametrize(
    "wrong",
    [{"dose_rate_e_per_A2_s": 0}, {"dose_rate_relative_uncertainty": -1}],
)
def test_a_calibration_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        doses(flat(8), wrong)


# -- frames that are missing, blank or bad -------------------------------------------


def test_missing_frames_count_as_if_the_beam_had_been_on():
    found = fed(flat(8, 4), [0, 3], COUNTING)
    assert column(found, "cumulative_e_per_A2") == pytest.approx([2, 2 + 2 * 2 + 1])
    assert column(found, "unseen_e_per_A2") == pytest.approx([0, 4])
    wide = column(found, "uncertainty_e_per_A2")[1]
    assert wide == pytest.approx(math.hypot(math.sqrt(12 / 80) / 4, 4 / math.sqrt(12)))


@pytest.mark.parametrize("known", [COUNTING, DECLARED])
def test_blank_frames_and_those_missing_between_them_cost_nothing(known):
    found = fed(flat(8, 0, 0, 8), [0, 1, 6, 7], known)
    totals = column(found, "cumulative_e_per_A2")
    assert totals[0] == totals[1] == totals[2]
    assert totals[3] == pytest.approx(2 * totals[0])
    assert column(found, "unseen_e_per_A2")[3] == 0
    assert all(result.valid for result in found)


def test_frames_missing_beside_a_blank_one_count():
    found = fed(flat(8, 0), [0, 2], COUNTING)
    assert column(found, "unseen_e_per_A2")[1] == pytest.approx(2)


@pytest.mark.parametrize("known", [COUNTING, DECLARED])
def test_a_pause_counts_unless_one_says_that_the_beam_was_off(known):
    times = [0, 0.5, 1, 1.5, 11.5]
    frames = flat(8, 8, 8, 8, 8)
    each = column(fed(frames[:1], [0], known), "e_per_A2")[0]
    found = fed(frames, range(5), known, times)
    assert column(found, "unseen_e_per_A2")[4] == pytest.approx(19 * each)
    off = fed(frames, range(5), known, times, pauses=False)
    assert column(off, "unseen_e_per_A2")[4] == 0


def test_a_frame_that_is_no_number_counts_as_the_one_before():
    frames = flat(8, 8, 8).astype("f4")
    frames[1, 2, 2] = np.nan
    found = doses(frames, COUNTING)
    assert [result.valid for result in found] == [True, False, True]
    assert found[1].reason == "not a number"
    assert column(found, "cumulative_e_per_A2") == pytest.approx([2, 4, 6])


def test_a_saturated_frame_counts_at_least_as_the_one_before():
    known = COUNTING | {"saturated_at": 20}
    found = doses(flat(18, 30, 18), known)
    assert [result.reason for result in found] == ["", "saturated", ""]
    assert column(found, "e_per_px") == [18, 30, 18]


def test_a_picture_that_is_shown_again_has_cost_as_much_again():
    frames = flat(8, 8)
    frames[1] = frames[0]
    assert column(doses(frames, COUNTING), "cumulative_e_per_px") == [8, 16]


# -- electrons that come too close to each other -------------------------------------


@given(st.floats(0, 5), st.floats(0.1, 20), st.integers(1, 400))
def test_losses_of_coincidence_are_undone(came, area, frames):
    counted = frames / area * -math.expm1(-area * came / frames)
    if area * counted / frames > 0.999:
        return
    found = before_loss(counted, Coincidence(area_px=area, frames=frames))
    assert found == pytest.approx(came, rel=1e-6, abs=1e-12)
    assert before_loss(counted, None) == counted <= found * (1 + 1e-9)


def test_a_camera_that_loses_electrons_has_seen_fewer_than_came():
    found = doses(flat(8), COUNTING, coincidence={"area_px": 9, "frames": 400})
    expected = -400 / 9 * math.log(1 - 9 * 8 / 400)
    assert column(found, "e_per_px") == pytest.approx([expected])


def test_more_than_a_camera_can_count_is_said_and_counted_as_a_bound():
    found = doses(flat(8, 60), COUNTING, coincidence={"area_px": 9, "frames": 400})
    assert [result.valid for result in found] == [True, False]
    assert "can count" in found[1].reason
    assert column(found, "e_per_px")[1] == pytest.approx(60)


# -- the stream ----------------------------------------------------------------------


def test_those_after_it_find_the_doses_in_the_batch():
    about = Acquisition("a", SHAPE, np.dtype("u2"), calibration=COUNTING)
    processor = Dose(about, Dose.Params())
    batch = Batch(flat(8, 4), np.arange(2), np.zeros(2, np.int64))
    processor.process(batch)
    shared = batch.shared[SHARED]
    assert list(shared) == list(COLUMNS)
    assert shared["cumulative_e_per_px"].tolist() == [8, 12]


def test_the_field_is_given_in_pixels_of_the_specimen_where_drift_is_known():
    about = Acquisition("a", SHAPE, np.dtype("u2"), calibration=COUNTING)
    processor = Dose(about, Dose.Params())
    batch = Batch(flat(8), np.arange(1), np.zeros(1, np.int64))
    moved = STILL.__class__(2.0, -3.0, STILL.covariance, 1.0, jumped=False, segment=0)
    batch.shared["drift"] = (moved,)
    processor.process(batch)
    (result,) = processor.results()
    assert result.meta["field_px"] == [-2, 3, 6, 13]


@pytest.mark.parametrize("known", [COUNTING, DECLARED, {}])
def test_keeps_the_laws_of_a_processor(known):
    frames = np.random.default_rng(0).poisson(5, (9, *SHAPE)).astype("u2")
    frames[4] = 0
    about = Acquisition("a", SHAPE, frames.dtype, frames=9, calibration=known)
    check_processor(Dose, frames, acquisition=about)


@given(
    st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 10)), min_size=1, max_size=20)
)
def test_an_account_never_goes_down_and_is_the_sum_of_its_frames(frames):
    account, totals = Account(0.1), [0.0]
    for own, unseen in frames:
        found = account.add(own, own / 100, unseen)
        assert found.total >= totals[-1]
        totals.append(found.total)
    seen = sum(own for own, _ in frames)
    assert found.total == pytest.approx(seen + found.unseen)
    assert found.sigma >= 0.1 * found.total * (1 - 1e-9)


def test_the_area_of_a_pixel_may_differ_along_rows_and_columns():
    assert pixel_area_A2((1e-10, 3e-10)) == pytest.approx(3)
    assert math.isnan(pixel_area_A2(None))
