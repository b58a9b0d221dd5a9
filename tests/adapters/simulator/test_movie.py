"""The simulated movie: what is drawn is what the truth says."""

from dataclasses import replace

import numpy as np
import pytest

from scopeside_adapters.simulator.movie import Movie, MovieParams
from scopeside_adapters.simulator.state import State

SHAPE = (96, 128)
PIXEL_M = 0.4e-9
# 10 electrons per pixel of 16 Å².
NOMINAL = State(fov_m=128 * PIXEL_M, exposure_s=0.01, dose_rate_e_per_A2_s=62.5)
CALM = {"drift_px": (0.0, 0.0), "wander_px": 0.0, "flicker": 0.0, "hot_pixels": 0}
EMPTY = {"nuclei": 0, "fiducials": 0, "unevenness": 0.0}


def movie(*, frames=200, seed=5, **params):
    return Movie(MovieParams(**params), frames, SHAPE, seed=seed, nominal=NOMINAL)


def rendered(model, index, dtype="uint16", state=NOMINAL):
    out = np.empty((len(index), *SHAPE), dtype)
    model.render(np.asarray(index), out, state)
    return out


def darkness_centre(picture, near, reach=8):
    """Where the missing counts around `near` have their centre."""
    y0, x0 = np.round(near).astype(int)
    window = np.s_[y0 - reach : y0 + reach + 1, x0 - reach : x0 + reach + 1]
    y, x = np.indices(SHAPE)
    missing = picture.max() - picture[window]
    return np.array([(missing * y[window]).sum(), (missing * x[window]).sum()]) / (
        missing.sum()
    )


def test_an_empty_cell_shows_the_dose():
    model = movie(**CALM, **EMPTY)
    np.testing.assert_allclose(model.expected(0), 10.0)
    assert rendered(model, range(20)).mean() == pytest.approx(10.0, rel=0.003)


def test_noisy_frames_average_to_what_is_expected():
    model = movie(**CALM, growth_exponent=0.0)
    late = range(170, 200)
    z = (rendered(model, late).mean(axis=0) - model.expected(199)) / np.sqrt(
        model.expected(199) / 30
    )
    assert abs(z.mean()) < 0.03
    assert 0.97 < z.std() < 1.03


def test_the_size_of_the_batches_does_not_matter():
    whole = rendered(movie(), range(6))
    model = movie()
    again = [rendered(model, part) for part in ([4, 5], [0], [1, 2, 3])]
    np.testing.assert_array_equal(whole, np.concatenate([again[1], again[2], again[0]]))


def test_drift_moves_a_particle_by_what_the_truth_says():
    model = movie(
        **{**CALM, **EMPTY, "drift_px": (0.05, -0.08), "wander_px": 0.02, "nuclei": 1},
        growth_exponent=0.0,
        growth_px=3.0,
        seed=1,
    )
    truth = model.truth()
    birth, place = truth.birth[0], truth.nuclei[0]
    for frame in (birth, birth + 20):
        seen = darkness_centre(model.expected(frame), place + truth.drift[frame])
        np.testing.assert_allclose(seen, place + truth.drift[frame], atol=0.01)


def test_drift_begins_at_nothing_and_jumps_as_often_as_asked():
    drift = movie(**CALM, jumps=3, jump_px=7.0).truth().drift
    steps = np.linalg.norm(np.diff(drift, axis=0), axis=1)
    np.testing.assert_array_equal(drift[0], 0)
    np.testing.assert_allclose(steps[steps > 0], [7.0, 7.0, 7.0])


def test_particles_are_born_in_their_frame_and_grow_by_the_law():
    model = movie(growth_px=2.0, growth_exponent=0.5, largest_px=9.0)
    truth = model.truth()
    birth = truth.birth[4]
    at = [model.radii(birth + age)[4] for age in (-1, 0, 3, 15, 150)]
    assert at == pytest.approx([0.0, 2.0, 4.0, 8.0, 9.0])


def test_a_particle_is_seen_from_its_birth_on():
    model = movie(**{**CALM, **EMPTY, "nuclei": 1})
    birth = model.truth().birth[0]
    assert np.ptp(model.expected(birth - 1)) < 1e-9
    y, x = np.round(model.truth().nuclei[0]).astype(int)
    assert model.expected(birth)[y, x] < 7.0


def test_a_large_particle_takes_away_its_share_of_the_electrons():
    model = movie(
        **{**CALM, **EMPTY, "nuclei": 1},
        growth_px=6.0,
        growth_exponent=0.0,
        contrast=0.4,
    )
    missing = (10.0 - model.expected(199)).sum()
    assert missing == pytest.approx(4.0 * np.pi * (36 + 0.8**2), rel=0.02)


def test_flicker_scales_whole_frames():
    model = movie(**{**CALM, **EMPTY, "flicker": 0.1})
    means = [model.expected(frame).mean() for frame in range(5)]
    np.testing.assert_allclose(means, 10 * model.truth().flicker[:5])
    assert np.ptp(means) > 0.1


@pytest.mark.parametrize(
    ("field", "direction"),
    [
        ("image_shift_x_m", 1),
        ("stage_x_m", 1),
        ("beam_shift_x_m", -1),
        ("view_offset_x_m", -1),
    ],
)
def test_a_shift_moves_the_content(field, direction):
    model = movie(**CALM)
    still = model.expected(50)
    moved = model.expected(50, replace(NOMINAL, **{field: 6 * PIXEL_M}))
    undone = np.roll(moved, -6 * direction, axis=1)
    np.testing.assert_allclose(undone[:, 8:-8], still[:, 8:-8], rtol=1e-9)


def test_a_shift_down_the_rows_moves_the_content_down():
    model = movie(**CALM)
    moved = model.expected(50, replace(NOMINAL, image_shift_y_m=6 * PIXEL_M))
    np.testing.assert_allclose(moved[6:], model.expected(50)[:-6], rtol=1e-9)


def test_half_the_field_of_view_shows_the_middle_twice_as_large():
    model = movie(**CALM)
    zoomed = model.expected(50, replace(NOMINAL, fov_m=NOMINAL.fov_m / 2))
    middle = model.expected(50)[24:72, 32:96]
    # A pixel holds a quarter of the area, hence of the electrons.
    assert zoomed.mean() == pytest.approx(middle.mean() / 4, rel=0.02)


def test_only_hot_pixels_count_while_blanked():
    model = movie(hot_pixels=7, hot_counts=80.0)
    dark = rendered(model, [3], state=replace(NOMINAL, blanked=True))[0]
    assert np.argwhere(dark).tolist() == model.truth().hot_pixels.tolist()
    assert dark[dark > 0].mean() == pytest.approx(80, rel=0.2)


def test_the_dose_rate_scales_the_counts():
    model = movie(hot_pixels=0)
    state = replace(NOMINAL, dose_rate_e_per_A2_s=125.0)
    np.testing.assert_allclose(model.expected(9, state), 2 * model.expected(9))


@pytest.mark.parametrize("frames", [1, 2, 11])
def test_a_short_movie_has_a_truth_too(frames):
    model = movie(frames=frames, jumps=5)
    assert model.truth().drift.shape == (frames, 2)
    assert rendered(model, [frames - 1]).any()
