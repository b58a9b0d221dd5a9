"""Profiles, variances and sums of profiles over a stream of frames."""

import numpy as np
import pytest

from scopeside.acquisition import Acquisition, Scan
from scopeside.batch import Batch
from scopeside.errors import ConfigError, ShapeError
from scopeside.events import EventBatch, pack_events
from scopeside.messages import validate
from scopeside.state import unpack
from scopeside.testing import check_processor
from scopeside_processors.stem.radial import Radial
from scopeside_processors.stem.ringcounts import REASONS

SHAPE = (7, 9)
FRAMES = np.random.default_rng(2024).poisson(0.4, (12, *SHAPE)).astype(np.uint16)
ALL = {
    "of": [
        "profile", "variance", "fem", "mean_profile", "profile_bins",
        "position_variance", "summed", "validity",
    ],
    "window": 5,
}  # fmt: skip
MOVING = {"descan_px": [[3, 0.5, 0.1], [4, -0.2, 1.4]]}


def new(params=None, dtype="u2", shape=SHAPE, **acquisition):
    about = Acquisition("a", shape, np.dtype(dtype), **acquisition)
    return Radial(about, validate(Radial.Params, params or {}, where="radial"))


def batch(frames, index=None):
    index = np.arange(len(frames)) if index is None else np.asarray(index)
    return Batch(frames, index, 1000 * index)


def results(processor):
    return {result.name: result for result in processor.results()}


def ring(shape, radius, width, centre):
    row, column = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(row - centre[0], column - centre[1])
    return np.exp(-(((distance - radius) / width) ** 2))


# -- by hand ------------------------------------------------------------------------


def test_a_profile_is_the_mean_of_each_ring():
    frame = np.zeros((1, 3, 3), np.uint16)
    frame[0] = [[9, 1, 9], [2, 5, 3], [9, 4, 9]]
    processor = new({**ALL, "bins": 2, "r_max": 2.0}, shape=(3, 3))
    processor.process(batch(frame))
    found = results(processor)
    assert found["profile_bins"].data.tolist() == [0.5, 1.5]
    assert found["profile"].data.tolist() == [[5, 46 / 8]]
    square = (1 + 4 + 9 + 16 + 4 * 81) / 8
    np.testing.assert_allclose(
        found["variance"].data, [[0, square - (46 / 8) ** 2]], rtol=1e-6
    )
    np.testing.assert_allclose(
        found["fem"].data, [[0, square / (46 / 8) ** 2 - 1]], rtol=1e-6
    )
    assert found["mean_profile"].data.tolist() == [5, 46 / 8]
    assert found["profile"].data.dtype == np.float32


def test_a_scan_gives_a_profile_for_each_position():
    processor = new(ALL, scan=Scan((3, 4)))
    processor.process(batch(FRAMES))
    found = results(processor)
    profile = found["profile"]
    assert profile.data.shape == (3, 4, 5)
    assert (profile.kind, profile.units) == ("image", "counts")
    assert profile.axes == ("scan_y", "scan_x", "bin")
    assert (profile.used, profile.expected, profile.mask) == (12, 12, None)
    assert (profile.meta["r_min"], profile.meta["step"]) == (0, 1)
    mean = profile.data.reshape(12, 5).mean(axis=0)
    np.testing.assert_allclose(found["mean_profile"].data, mean, rtol=1e-6)
    flat = profile.data.reshape(12, 5).astype(np.float64)
    relative = (flat**2).mean(axis=0) / flat.mean(axis=0) ** 2 - 1
    np.testing.assert_allclose(found["position_variance"].data, relative, rtol=1e-6)


def test_shot_noise_alone_is_taken_off():
    frames = np.random.default_rng(0).poisson(3, (40, 64, 64)).astype(np.uint16)
    wanted = {"of": ["fem", "position_variance", "mean_profile"], "r_min": 4, "bins": 4}
    kept = new(wanted, shape=(64, 64))
    taken = new({**wanted, "shot_noise": False}, shape=(64, 64))
    for processor in (kept, taken):
        processor.process(batch(frames))
    with_noise, without = results(kept), results(taken)
    np.testing.assert_allclose(with_noise["fem"].data.mean(axis=0), 1 / 3, rtol=0.05)
    assert np.abs(without["fem"].data.mean(axis=0)).max() < 0.01
    noise = with_noise["position_variance"].data
    assert (np.abs(without["position_variance"].data) < 0.5 * noise.max()).all()


def test_a_drawn_ring_is_found_where_it_is():
    centre = (61.3, 66.8)
    frame = (1e4 * ring((128, 128), 40, 4, centre)).astype(np.uint16)
    processor = new({"centre": centre, "split": 4}, shape=(128, 128))
    processor.process(batch(frame[None]))
    found = results(processor)
    profile, r = found["mean_profile"].data, found["profile_bins"].data
    near = np.abs(r - 40) < 12
    top = (profile[near] * r[near]).sum() / profile[near].sum()
    assert top == pytest.approx(40, abs=0.05)


def test_windows_sum_up_frames_of_a_movie():
    processor = new(ALL)
    processor.process(batch(FRAMES, [0, 1, 2, 3, 4, 5, 6, 15, 16, 17, 18, 19]))
    found = results(processor)
    summed, profile = found["summed"], found["profile"]
    assert summed.data.shape == (4, 5)
    assert summed.axes == ("window", "bin")
    assert summed.mask.all(axis=1).tolist() == [True, True, False, True]
    np.testing.assert_allclose(summed.data[0], profile.data[:5].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        summed.data[3], profile.data[15:].mean(axis=0), rtol=1e-6
    )


# -- the centre ---------------------------------------------------------------------


def test_the_centre_follows_descan():
    scan, frames = Scan((3, 4)), np.zeros((12, 65, 65), np.uint16)
    plane = [[31, 0.5, 1.25], [30, -0.75, 0.5]]
    for place in range(12):
        row, column = divmod(place, 4)
        at = [a + b * row + c * column for a, b, c in plane]
        frames[place] = 1000 * ring((65, 65), 12, 3, at)
    params = {"r_max": 20.0, "of": ["profile", "mean_profile"], "split": 4}
    processor = new(params, shape=(65, 65), scan=scan, calibration={"descan_px": plane})
    processor.process(batch(frames))
    found = results(processor)["profile"].data.reshape(12, -1)
    np.testing.assert_allclose(found, np.tile(found[0], (12, 1)), atol=15)
    still = new({**params, "centre": [31, 30]}, shape=(65, 65), scan=scan)
    still.process(batch(frames))
    blurred = results(still)["profile"].data.reshape(12, -1)
    assert np.abs(blurred - blurred[0]).max() > 200
    # Pixels are counted for each centre: the mean is that of all of them.
    mean = results(processor)["mean_profile"].data
    np.testing.assert_allclose(mean, found.mean(axis=0), atol=5)


def test_where_the_centre_leaves_the_detector_positions_are_invalid():
    plane = [[3, 0.0, 3.0], [4, 0.0, 0.0]]
    processor = new(ALL, scan=Scan((1, 4)), calibration={"descan_px": plane})
    processor.process(batch(FRAMES[:4]))
    found = results(processor)
    assert found["validity"].data.ravel().tolist() == [0, 0, 4, 4]
    assert found["validity"].meta["reasons"]["4"] == "the centre is off the detector"
    assert np.isnan(found["profile"].data[0, 2:]).all()
    assert not found["profile"].mask[0, 2:].any()
    assert found["profile"].mask[0, 0].all()
    assert found["mean_profile"].used == 2


# -- bad input ----------------------------------------------------------------------


def test_frames_without_counts_are_invalid_and_count_as_nothing():
    frames = FRAMES.copy()
    frames[4] = 0
    processor = new(ALL, scan=Scan((3, 4)))
    processor.process(batch(frames))
    found = results(processor)
    assert np.isnan(found["profile"].data[1, 0]).all()
    assert np.isfinite(found["profile"].data).all(axis=-1).sum() == 11
    assert found["profile"].meta["invalid"] == {"no counts": 1}
    assert found["mean_profile"].used == 12
    total = frames.sum(axis=0)
    assert found["mean_profile"].data[0] == pytest.approx(total[3, 4] / 12)


def test_a_pixel_that_is_no_number_spoils_its_frame_alone():
    frames = np.ones((4, *SHAPE), np.float32)
    frames[1, 3, 4], frames[2, 3, 4] = np.nan, np.inf
    processor = new(ALL, dtype="f4")
    processor.process(batch(frames))
    found = results(processor)
    assert found["validity"].data.tolist() == [0, 2, 2, 0]
    assert found["mean_profile"].data.tolist() == [1] * 5
    dead = new({"dead": [[3, 4]], **ALL}, dtype="f4")
    dead.process(batch(frames))
    assert results(dead)["validity"].data.tolist() == [0, 0, 0, 0]


def test_saturated_pixels_make_a_frame_invalid_if_asked_for():
    frames = np.ones((3, *SHAPE), np.uint16)
    frames[1, 2, 2] = 65535
    plain, asked = new(ALL), new({**ALL, "saturated_at": 65535})
    for processor in (plain, asked):
        processor.process(batch(frames))
    assert results(plain)["validity"].data.tolist() == [0, 0, 0]
    assert results(asked)["validity"].data.tolist() == [0, 3, 0]
    assert results(asked)["profile"].meta["invalid"] == {"saturated": 1}


def test_pixels_too_large_for_exact_sums_make_their_frame_invalid():
    frames = np.ones((2, *SHAPE), np.uint32)
    frames[0] = 2**32 - 1
    sums, squares = new(dtype="u4"), new(ALL, dtype="u4")
    for processor in (sums, squares):
        processor.process(batch(frames))
    assert results(sums)["profile"].data[0, 0] == np.float32(2**32 - 1)
    assert results(squares)["validity"].data.tolist() == [5, 0]


def test_bins_without_pixels_are_masked():
    processor = new({"mask": {"annulus": [3, 4, 1.5, 9]}, **ALL})
    processor.process(batch(FRAMES))
    found = results(processor)
    for name in ("profile", "mean_profile", "variance"):
        assert np.isnan(found[name].data[..., 0]).all(), name
        assert not found[name].mask[..., 0].any(), name
        assert found[name].mask[..., 2].all(), name


def test_frames_without_a_position_are_counted_and_not_summed():
    processor = new(scan=Scan((2, 3), flyback=1))
    processor.process(batch(FRAMES[:8]))
    found = results(processor)
    assert found["profile"].meta["outside"] == 2
    keep = FRAMES[[0, 1, 2, 4, 5, 6]].mean(axis=0)
    assert found["mean_profile"].data[0] == pytest.approx(keep[3, 4])


def test_before_the_first_frame_only_the_bins_are_known():
    found = results(new(ALL))
    assert not found["profile"].valid
    assert found["mean_profile"].reason == "no frame with a position yet"
    assert found["profile_bins"].data.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize("frames", [np.ones((1, 3, 3), "u2"), np.ones((1, 7, 9), "f4")])
def test_frames_that_were_not_announced_are_refused(frames):
    with pytest.raises(ShapeError, match=r"the acquisition has \(7, 9\)"):
        new().process(batch(frames))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"of": ["profil"]}, r"radial\.of\[0\]: found 'profil'"),
        ({"of": ["summed"]}, r"summed needs window"),
        ({"of": ["pdf"]}, r"pdf needs the table pdf"),
        ({"units": "1/nm"}, r"radial\.units"),
        ({"of": ["pdf"], "pdf": {"composition": {"Au": 1}, "q_min": 1}},
         r"pdf needs units = '1/Å' or 'rad/Å', not 'px'"),
        ({"pdf": {"composition": {"Au": 1}, "q_min": 2, "q_max": 1}}, "q_min = 2 must"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_key(params, message):
    with pytest.raises(ConfigError, match=message):
        new(params)


# -- events and laws ----------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"split": 2}, {"of": ALL["of"], "window": 3}])
def test_events_give_what_their_frames_give(more):
    rng = np.random.default_rng(7)
    place, address = rng.integers(0, 6, 500), rng.integers(0, 63, 500)
    words = pack_events(place, rng.integers(1, 9, 500), address)
    index = np.arange(6)
    sparse = EventBatch(words, index, index, SHAPE, np.dtype("<u2"))
    dense, events = new(more), new(more, encoding="events")
    dense.process(sparse.dense())
    events.process_events(sparse)
    for name, result in results(dense).items():
        np.testing.assert_array_equal(result.data, results(events)[name].data)


def test_a_snapshot_holds_only_what_was_seen():
    processor = new({"of": ["mean_profile"]}, scan=Scan((1000, 1000)))
    processor.process(batch(FRAMES[:2], [500, 7]))
    state = processor.snapshot()
    assert unpack(state)["tables"]["places"].ravel().tolist() == [500, 7]
    assert len(state) < 700


def test_reasons_are_numbered_as_documented():
    assert len(REASONS) == 5


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("scan", [(3, 4), None])
def test_keeps_the_laws_of_a_processor(dtype, scan):
    check_processor(Radial, FRAMES.astype(dtype), scan=scan, params=ALL)


@pytest.mark.parametrize(
    "params", [ALL, {"split": 2, "of": ["profile", "summed"], "window": 4}]
)
def test_keeps_the_laws_where_the_centre_moves(params):
    about = Acquisition(
        "laws", SHAPE, np.dtype("u2"), "scan4d", 12, Scan((3, 4)), MOVING
    )
    check_processor(Radial, FRAMES, acquisition=about, params=params)
