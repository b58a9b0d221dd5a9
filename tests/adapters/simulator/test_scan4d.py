"""The simulated scan: what is drawn is what the truth says."""

from dataclasses import replace

import numpy as np
import pytest

from scopeside.acquisition import Scan
from scopeside_adapters.simulator.kernels import draw_counts, poisson_tables
from scopeside_adapters.simulator.scan4d import Scan4D, Scan4DParams
from scopeside_adapters.simulator.state import State

NOMINAL = State(fov_m=12 * 0.5e-9)
ELECTRONS = 1500.0


def scan4d(*, scan=None, shape=(128, 128), seed=3, electrons=ELECTRONS, **params):
    return Scan4D(
        Scan4DParams(**params),
        scan or Scan((8, 12)),
        shape,
        electrons=electrons,
        seed=seed,
        nominal=NOMINAL,
    )


def rendered(model, index, dtype="uint16", state=NOMINAL):
    out = np.empty((len(index), *model.frame_shape), dtype)
    model.render(np.asarray(index), out, state)
    return out


def every_expected(model):
    positions = range(model.scan.positions)
    return np.array([model.expected(position) for position in positions])


def centres_of_mass(frames):
    y, x = np.indices(frames.shape[1:])
    counts = frames.sum(axis=(1, 2))
    moment = [(frames * y).sum(axis=(1, 2)), (frames * x).sum(axis=(1, 2))]
    return np.stack(moment / counts, axis=1)


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((128, 128), {}),
        ((96, 128), {"field_px": 6.0, "strain": 0.05}),
        ((65, 64), {"semi_angle_px": 5.3, "edge_px": 0.5, "lattice_px": 9.0}),
    ],
)
def test_the_centre_of_mass_of_a_pattern_is_the_shift(shape, params):
    model = scan4d(shape=shape, **params)
    shift = model.truth().shift.reshape(-1, 2)
    com = centres_of_mass(every_expected(model)) - model.centre_px
    assert np.abs(com - shift).max() < 1e-3
    assert np.abs(shift).max() > 0.2


def test_no_electron_is_lost_at_the_edge_of_the_detector():
    totals = every_expected(scan4d()).sum(axis=(1, 2))
    np.testing.assert_allclose(totals, ELECTRONS, rtol=1e-5)


def test_the_shift_is_the_gradient_of_the_potential():
    truth = scan4d(scan=Scan((200, 220))).truth()
    slope = np.stack(np.gradient(truth.potential), axis=-1)
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(slope[inner], truth.shift[inner], atol=2e-3)


def test_the_truth_keeps_within_what_was_asked_for():
    truth = scan4d(scan=Scan((64, 64)), strain=0.02, field_px=3.0, grains=5).truth()
    strains = np.stack([truth.exx, truth.eyy, truth.exy, truth.rotation])
    assert np.abs(strains).max() <= 0.02
    assert np.linalg.norm(truth.shift, axis=-1).max() <= 3.0
    assert set(np.unique(truth.grain)) == set(range(5))
    assert 24 <= truth.thickness_nm.min() < truth.thickness_nm.max() <= 56


def test_disks_and_halo_add_up_to_the_dose():
    truth = scan4d().truth()
    total = truth.disk_counts.sum(axis=-1) + truth.diffuse_counts
    np.testing.assert_allclose(total, ELECTRONS)


def test_friedel_pairs_are_equally_bright():
    truth = scan4d().truth()
    orders = truth.orders.tolist()
    partner = [orders.index([-h, -k]) for h, k in orders]
    np.testing.assert_array_equal(truth.disk_counts, truth.disk_counts[..., partner])


def test_a_disk_holds_the_counts_that_the_truth_says():
    # So thin that there is next to no halo; neighbours are 20 px away.
    model = scan4d(thickness_nm=1e-3)
    truth, pattern = model.truth(), model.expected(0)
    y, x = np.indices(pattern.shape)
    centre = truth.disk_centres[0, 0, 3]
    near = np.hypot(y - centre[0], x - centre[1]) < 10
    assert pattern[near].sum() == pytest.approx(truth.disk_counts[0, 0, 3], rel=1e-3)


def test_disks_lie_where_the_strained_lattice_puts_them():
    truth = scan4d(strain=0.03, grains=2).truth()
    angle = truth.grain_angle_rad[truth.grain[2, 5]]
    exx, eyy, exy, rotation = (
        field[2, 5] for field in (truth.exx, truth.eyy, truth.exy, truth.rotation)
    )
    deformation = np.array([[1 + exx, exy - rotation], [exy + rotation, 1 + eyy]])
    lattice = 20 * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    g_xy = np.linalg.inv(deformation).T @ lattice @ truth.orders.T
    offsets = truth.disk_centres[2, 5] - truth.disk_centres[2, 5, 0]
    np.testing.assert_allclose(offsets, g_xy[::-1].T, atol=1e-9)


def test_thicker_specimen_scatters_more_to_high_angles():
    y, x = np.indices((128, 128))
    high = np.hypot(y - 63.5, x - 63.5) > 40
    thin, thick = (
        scan4d(thickness_nm=t, field_px=0.0).expected(0)[high].sum() for t in (10, 80)
    )
    assert thick > 2 * thin


def test_noisy_frames_average_to_what_is_expected():
    model = scan4d(scan=Scan((1, 1)), electrons=20_000.0, shape=(64, 64))
    # The same position again and again: frame indices differ, the pattern does not.
    expected = model.expected(0)
    counts = np.empty((2000, 64, 64), np.uint16)
    for index, frame in enumerate(counts):
        draw_counts(expected, np.uint64(5), index, poisson_tables(), 65535, frame)
    standard_error = np.sqrt(np.maximum(expected, 1e-3) / 2000)
    z = (counts.mean(axis=0) - expected) / standard_error
    lit = expected > 0.05
    assert abs(z[lit].mean()) < 0.1
    assert 0.95 < z[lit].std() < 1.05


@pytest.mark.parametrize("mean", [0.03, 0.95, 3.7, 42.5, 130.2, 700.0])
def test_counts_are_poisson_distributed(mean):
    out = np.empty((400, 500), np.uint32)
    expected = np.full(out.shape, mean)
    draw_counts(expected, np.uint64(11), 0, poisson_tables(), 10**6, out)
    n = out.size
    deviation = (out - mean).ravel()
    assert abs(deviation.mean()) < 4 * np.sqrt(mean / n)
    # The variance of a sample variance: (μ₄ - σ⁴) / n with μ₄ = mean + 3 mean².
    assert abs((deviation**2).mean() - mean) < 4 * np.sqrt((mean + 2 * mean**2) / n)
    assert (
        abs(np.mean(out == 0) - np.exp(-mean)) < 4 * np.sqrt(np.exp(-mean) / n) + 1e-9
    )


def test_neighbouring_frames_and_seeds_are_independent():
    expected = np.full((200, 200), 1.5)
    a, b, c = (np.empty((200, 200), np.uint16) for _ in range(3))
    draw_counts(expected, np.uint64(1), 0, poisson_tables(), 65535, a)
    draw_counts(expected, np.uint64(1), 1, poisson_tables(), 65535, b)
    draw_counts(expected, np.uint64(2), 0, poisson_tables(), 65535, c)
    correlations = np.corrcoef([a.ravel(), b.ravel(), c.ravel()])[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.02


def test_the_size_of_the_batches_does_not_matter():
    whole = rendered(scan4d(), range(20))
    model = scan4d()
    pieces = [rendered(model, part) for part in (range(13, 20), range(13), [7])]
    np.testing.assert_array_equal(whole, np.concatenate([pieces[1], pieces[0]]))
    np.testing.assert_array_equal(whole[7], pieces[2][0])


def test_another_seed_gives_other_frames():
    assert not np.array_equal(rendered(scan4d(seed=1), [0]), rendered(scan4d(), [0]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_every_dtype_holds_the_same_counts(dtype):
    counts = rendered(scan4d(), [4], dtype)
    np.testing.assert_array_equal(counts, rendered(scan4d(), [4]))


def test_counts_beyond_the_dtype_are_cut_off_at_its_largest_value():
    bright = scan4d(electrons=1e6)
    wide, narrow = rendered(bright, [0], "uint32"), rendered(bright, [0], "uint8")
    assert wide.max() > 255
    np.testing.assert_array_equal(narrow, np.minimum(wide, 255))


def test_a_snake_scan_visits_every_second_row_backwards():
    raster, snake = scan4d(), scan4d(scan=Scan((8, 12), "snake"))
    expected = raster.expected(23)
    # Frame 12 of a snake is the last position of row 1; noise goes with the frame.
    counts = rendered(snake, [12])[0]
    model = np.empty((128, 128), np.uint16)
    draw_counts(expected, np.uint64(3), 12, poisson_tables(), 65535, model)
    np.testing.assert_array_equal(counts, model)


def test_flyback_frames_are_empty():
    frames = rendered(scan4d(scan=Scan((8, 12), flyback=2)), range(11, 15))
    assert (frames.sum(axis=(1, 2)) > 0).tolist() == [True, False, False, True]


def test_no_electrons_come_while_blanked():
    assert not rendered(scan4d(), [0, 1], state=replace(NOMINAL, blanked=True)).any()


def test_the_dose_rate_scales_the_counts():
    state = replace(NOMINAL, dose_rate_e_per_A2_s=3 * NOMINAL.dose_rate_e_per_A2_s)
    model = scan4d()
    np.testing.assert_allclose(model.expected(5, state), 3 * model.expected(5))


def test_a_beam_shift_by_one_step_shows_the_next_position():
    state = replace(NOMINAL, beam_shift_x_m=0.5e-9)
    model = scan4d()
    np.testing.assert_allclose(model.expected(5, state), model.expected(6), atol=1e-9)


def test_a_placed_beam_shows_the_point_that_it_stands_on():
    model = scan4d()
    last = replace(NOMINAL, probe=(1.0, 1.0))
    np.testing.assert_allclose(model.expected(5, last), model.expected(8 * 12 - 1))
    between = replace(NOMINAL, probe=(0.5 / 7, 0.0))
    assert not np.allclose(model.expected(0, between), model.expected(0))


def test_a_placed_beam_is_not_blanked_where_the_scan_would_fly_back():
    scan = Scan((3, 4), flyback=2)
    model = scan4d(scan=scan)
    flying = int(np.flatnonzero(scan.position_of(np.arange(scan.frames)) < 0)[0])
    placed = replace(NOMINAL, probe=(0.0, 0.0))
    assert rendered(model, [flying]).sum() == 0
    assert rendered(model, [flying], state=placed).sum() > 0
