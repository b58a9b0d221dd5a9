import numpy as np
import pytest
from scipy import ndimage
from tests.processors.movies import movie

from scopeside.state import pack, unpack
from scopeside_processors.insitu.band import Band
from scopeside_processors.insitu.hot_pixels import HotPixels
from scopeside_processors.insitu.registration import Registration
from scopeside_processors.insitu.template import Template
from scopeside_processors.kernels import contrast, correlate

SHAPE = (96, 96)


def walk(n, step=0.3, seed=3):
    path = np.cumsum(np.random.default_rng(seed).normal(0, step, (n, 2)), axis=0)
    return path - path[0]


def registered(frames, registration=None):
    registration = registration or Registration(frames[0].shape)
    return [registration.register(f, float(f.mean())) for f in frames]


def errors(found, truth, first=10):
    off = np.array([e.shift for e in found]) - truth
    return off[first:] - np.median(off[first:], axis=0)


def test_errors_are_as_large_as_the_covariance_says():
    truth = walk(80)
    found = registered(movie(truth, shape=SHAPE, dose=30, rms=0.08))
    said = np.mean([np.trace(e.covariance) / 2 for e in found[10:]])
    assert 0.4 < np.mean(errors(found, truth) ** 2) / said < 2.5


def test_a_gain_pattern_does_not_hold_content_back():
    truth = np.stack([np.linspace(0, 12, 80), np.linspace(0, -8, 80)], axis=1)
    gain = 1 + 0.03 * np.random.default_rng(0).standard_normal(SHAPE)
    frames = np.rint(movie(truth, shape=SHAPE, dose=60, rms=0.08) * gain)
    assert np.abs(errors(registered(frames.astype(np.uint16)), truth)).max() < 0.5


def test_a_pattern_alone_is_no_content():
    rng = np.random.default_rng(1)
    gain = 1 + 0.05 * rng.standard_normal(SHAPE)
    found = registered(rng.poisson(30 * gain, (60, *SHAPE)).astype(np.uint16))
    assert np.sqrt(np.trace(found[-1].covariance) / 2) > 1


def test_a_pixel_that_is_a_little_hot_does_not_hold_content_back():
    truth = np.stack([np.linspace(0, 12, 90), np.zeros(90)], axis=1)
    frames = movie(truth, shape=SHAPE, dose=5, rms=0.1)
    rng = np.random.default_rng(2)
    hot = rng.integers(0, 96, (30, 2))
    frames[:, hot[:, 0], hot[:, 1]] += rng.poisson(30, (90, 30)).astype(np.uint16)
    assert np.abs(errors(registered(frames), truth, 20)).max() < 1


def test_what_grows_is_followed_by_the_template_and_does_not_pull():
    truth = walk(90, 0.2)
    disks = [
        (30, 30, lambda t: min(14, t / 5), 0.5),
        (60, 64, lambda t: min(10, t / 8), 0.5),
    ]
    found = registered(movie(truth, shape=SHAPE, dose=40, rms=0.06, disks=disks))
    assert np.sqrt(np.mean(errors(found, truth) ** 2)) < 0.12


def test_a_frame_without_the_content_is_not_taken_in():
    frames = movie(np.zeros((50, 2)), shape=SHAPE, dose=30, rms=0.1)
    other = movie(np.zeros((5, 2)), shape=SHAPE, dose=30, rms=0.1, seed=8)
    frames[30:35] = other
    found = registered(frames)
    assert all(e.lock < 0.5 for e in found[30:35])
    assert all(e.lock > 0.9 for e in found[36:])
    assert np.hypot(*found[-1].shift) < 0.3


def test_frames_above_1024_px_are_binned_and_places_stay_in_pixels():
    rng = np.random.default_rng(4)
    coarse = rng.normal(0, 1, (260, 260))
    fine = np.kron(np.pad(coarse, 2, mode="wrap"), np.ones((8, 8)))
    moves = [(0, 0), (4, -6), (9, 3)]
    frames = [20 + 5 * fine[30 + y :, 30 + x :][:2048, :2048] for y, x in moves]
    found = registered([np.maximum(f, 0).astype(np.float32) for f in frames])
    np.testing.assert_allclose(found[1].shift, (-4, 6), atol=0.2)
    np.testing.assert_allclose(found[2].shift, (-9, -3), atol=0.2)


def test_a_snapshot_goes_on_bit_for_bit():
    frames = movie(walk(30), shape=SHAPE, dose=3, rms=0.1)
    whole = registered(frames)
    before, after = Registration(SHAPE), Registration(SHAPE)
    registered(frames[:17], before)
    after.take_over(unpack(pack(before.state())))
    for one, other in zip(whole[17:], registered(frames[17:], after), strict=True):
        np.testing.assert_array_equal(one.shift, other.shift)
        np.testing.assert_array_equal(one.covariance, other.covariance)
        assert one.lock == other.lock


def test_a_snapshot_takes_about_five_bytes_a_pixel():
    registration = Registration((512, 512))
    registered(movie(np.zeros((3, 2)), shape=(512, 512), dose=3), registration)
    assert len(pack(registration.state())) < 6 * 512 * 512


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (3, 2), (5, 9), (33, 64)])
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_frames_of_a_few_pixels_and_flat_ones_are_survived(shape, level):
    rng = np.random.default_rng(0)
    frames = 4 + rng.poisson(level, (20, *shape)).astype(np.float32)
    assert all(np.isfinite(e.shift).all() for e in registered(frames))


def test_who_has_stood_out_thrice_is_hot_until_it_is_long_ago():
    hot, pixel, none = HotPixels(), np.array([7]), np.zeros(0, np.int64)
    assert [hot.take(pixel).tolist() for _ in range(3)] == [[7]] * 3
    assert hot.known.tolist() == [7]
    assert hot.take(none).tolist() == [7]
    for _ in range(200):
        hot.take(none)
    assert hot.take(none).tolist() == []


def test_surroundings_are_taken_off_a_ramp():
    y, x = np.mgrid[:64, :64].astype(np.float32)
    frame = 100 + y + 2 * x
    means = np.zeros((8, 8), np.float32)
    contrast.block_means(frame, means)
    np.testing.assert_allclose(means[0, 0], 100 + 3.5 + 7)
    flat, out = np.ones(64, np.float32), np.zeros((64, 64), np.float32)
    found = contrast.contrast(
        frame, 2.0, 50.0, means, flat, flat, out, np.zeros(4, np.int64)
    )
    assert found == 0
    np.testing.assert_allclose(out[8:-8, 8:-8], 0, atol=1e-4)


def test_a_lone_bright_pixel_stands_out_and_a_bright_patch_does_not():
    frame = np.full((32, 32), 10, np.uint16)
    frame[5, 6] = 90
    frame[20:24, 20:24] = 90
    frame.flags.writeable = False
    flat, out = np.ones(32, np.float32), np.zeros((32, 32), np.float32)
    means, standing = np.full((2, 2), 10, np.float32), np.zeros(64, np.int64)
    found = contrast.contrast(frame, 10.0, 45.0, means, flat, flat, out, standing)
    assert standing[:found].tolist() == [5 * 32 + 6]
    contrast.cool(frame, 10.0, flat, flat, standing[:found], out)
    assert out[5, 6] == 0
    assert out[21, 21] == 8


@pytest.mark.parametrize("shape", [(64, 64), (65, 90)])
def test_a_picture_and_its_spectrum_are_one(shape):
    band = Band(shape)
    spectrum = band.cut(
        np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    )
    np.testing.assert_allclose(
        band.spectrum(band.picture(spectrum)), spectrum, rtol=1e-4, atol=1e-3
    )


def test_what_surprises_in_white_noise_is_its_variance():
    band = Band(SHAPE)
    rng = np.random.default_rng(5)
    known = np.zeros((2, 2), np.float32)
    for _ in range(200):
        noise = rng.standard_normal(SHAPE).astype(np.float32)
        picture = band.picture(band.cut(noise))
        correlate.surprise(picture, np.zeros_like(picture), 0.02, 1.0, known)
    expected = SHAPE[0] * SHAPE[1] * band.cells.sum()
    np.testing.assert_allclose(known, expected * (1 - 0.98**200), rtol=0.1)


def test_blocks_that_pull_as_noise_does_are_in_accord():
    rng = np.random.default_rng(6)
    template, noise = rng.standard_normal((2, 128, 128)).astype(np.float32)
    trust = np.ones((32, 32), np.float32)
    pulls, slopes = correlate.discord(template + noise, template, trust, 8)
    assert 0.8 < pulls / slopes < 1.25
    moved = np.roll(template, 1, axis=0)
    pulls, slopes = correlate.discord(moved, template, trust, 8)
    assert pulls / slopes > 3


def test_a_new_template_is_trusted_by_halves_after_four_frames():
    template = Template(Band(SHAPE))
    template.frames = 4
    assert template.settled == 0.5


def test_noise_that_a_camera_has_blurred_is_no_content():
    truth = walk(60)
    counted = movie(truth, shape=SHAPE, dose=4, rms=0.15)
    rng = np.random.default_rng(7)
    frames = [
        ndimage.gaussian_filter(12.0 * f, 0.7) + rng.normal(100, 4, SHAPE)
        for f in counted
    ]
    registration = Registration(SHAPE)
    found = [registration.register(f, float(f.mean()) - 100) for f in frames]
    assert all(e.lock > 0.9 for e in found[5:])
    assert np.abs(errors(found, truth)).max() < 1.5
