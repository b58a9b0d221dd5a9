"""Virtual detectors that follow the beam."""

import numpy as np
import pytest

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.errors import ConfigError
from scopeside.scan import Scan
from scopeside.testing import check_processor
from scopeside_processors.stem.follow import LEAVES
from scopeside_processors.stem.virtual import Virtual

DESCAN = [[3.0, 1.0, 0.0], [2.4, 0.0, 1.0]]
FRAMES = np.random.default_rng(2).poisson(3, (3, 4, 9, 10)).astype(np.uint16)
BF = {"bf": {"disk": [2]}}
KNOWN = {"centre_px": [4, 4], "descan_px": DESCAN}


def expected(frames, centres):
    row, column = np.indices(frames.shape[1:])
    return [
        int(frame[np.hypot(row - y, column - x) <= 2].sum())
        for frame, (y, x) in zip(frames, centres, strict=True)
    ]


def scanned(params, calibration=None, scan=(3, 4)):
    about = Acquisition(
        "a",
        (9, 10),
        np.dtype("u2"),
        kind="scan4d",
        scan=Scan(scan),
        calibration=calibration or {},
    )
    return Virtual(about, Virtual.Params.model_validate(params))


def fed(processor, frames, first=0):
    index = np.arange(first, first + len(frames))
    processor.process(Batch(frames, index, index))


CENTRES = [(3 + r, 2 + c) for r in range(3) for c in range(4)]


def test_detectors_follow_the_calibration():
    (image,) = scopeside.apply(
        "virtual", FRAMES, KNOWN, detectors=BF, centre="calibration"
    )
    flat = FRAMES.reshape(12, 9, 10)
    assert image.data.ravel().tolist() == expected(flat, CENTRES)
    assert image.mask is None


def test_descan_may_be_a_parameter():
    (image,) = scopeside.apply("virtual", FRAMES, detectors=BF, descan=DESCAN)
    flat = FRAMES.reshape(12, 9, 10)
    assert image.data.ravel().tolist() == expected(flat, CENTRES)


def test_a_detector_with_a_centre_of_its_own_stays():
    detectors = BF | {"still": {"disk": [4, 4, 2]}}
    _, still = scopeside.apply("virtual", FRAMES, detectors=detectors, descan=DESCAN)
    flat = FRAMES.reshape(12, 9, 10)
    assert still.data.ravel().tolist() == expected(flat, [(4, 4)] * 12)


def test_halves_go_to_the_second_pixel():
    planes = [[3.5, 0, 0], [2.5, 0, 0]]
    (image,) = scopeside.apply("virtual", FRAMES, detectors=BF, descan=planes)
    flat = FRAMES.reshape(12, 9, 10)
    assert image.data.ravel().tolist() == expected(flat, [(4, 3)] * 12)


def test_where_the_beam_has_left_only_what_follows_it_is_invalid():
    planes = [[6.0, 2.0, 0.0], [4.0, 0.0, 0.0]]  # 6, 8 and 10 of 9 rows
    detectors = BF | {"still": {"disk": [4, 4, 2]}}
    bf, still = scopeside.apply("virtual", FRAMES, detectors=detectors, descan=planes)
    np.testing.assert_array_equal(bf.mask, [[1] * 4, [1] * 4, [0] * 4])
    assert bf.meta["invalid"] == {LEAVES: 4}
    assert bf.data[2].tolist() == [0] * 4
    assert still.mask is None
    assert "invalid" not in still.meta


def test_without_a_scan_there_is_no_descan():
    with pytest.raises(ConfigError, match="no scan: set centre"):
        list(scopeside.apply("virtual", list(FRAMES[0]), detectors=BF, descan=DESCAN))


def test_a_movie_takes_the_centre_of_the_calibration():
    (series,) = scopeside.apply(
        "virtual", FRAMES[0], KNOWN, detectors=BF, centre="calibration"
    )
    assert series.data.tolist() == expected(FRAMES[0], [(4, 4)] * 4)


def test_following_keeps_the_laws_of_a_processor():
    check_processor(Virtual, FRAMES, params={"detectors": BF, "descan": DESCAN})


def test_a_change_holds_from_the_next_frame_on():
    flat = FRAMES.reshape(12, 9, 10)
    one = scanned({"detectors": BF, "centre": [4, 4]})
    fed(one, flat[:6])
    one.change(Virtual.Params.model_validate({"detectors": BF, "descan": DESCAN}))
    fed(one, flat[6:], 6)
    (image,) = one.results()
    centres = [(4, 4)] * 6 + CENTRES[6:]
    assert image.data.ravel().tolist() == expected(flat, centres)


def test_a_change_keeps_the_laws_of_a_processor():
    still = {"detectors": BF, "centre": [4, 4]}
    check_processor(
        Virtual, FRAMES, params=still, changed={"detectors": BF, "descan": DESCAN}
    )


def test_columns_stay_where_one_of_two_begins_to_move():
    flat = FRAMES.reshape(12, 9, 10)
    detectors = BF | {"still": {"disk": [4, 4, 2]}}
    params = {"detectors": detectors, "centre": [3, 3]}
    moved = {"detectors": detectors, "descan": DESCAN}
    one, other = scanned(params), scanned(moved)
    fed(one, flat[:6])
    fed(other, flat[6:], 6)
    one.change(Virtual.Params.model_validate(moved))
    one.merge(other)
    bf, still = one.results()
    assert bf.data.ravel().tolist() == expected(flat, [(3, 3)] * 6 + CENTRES[6:])
    assert still.data.ravel().tolist() == expected(flat, [(4, 4)] * 12)


def test_a_new_detector_is_refused_in_mid_acquisition():
    one = scanned({"detectors": BF, "centre": [4, 4]})
    fed(one, FRAMES[0])
    more = {"detectors": BF | {"adf": {"annulus": [2, 4]}}, "centre": [4, 4]}
    with pytest.raises(ConfigError, match="expected bf; others"):
        one.change(Virtual.Params.model_validate(more))
    fed(one, FRAMES[1], 4)
    (image,) = one.results()
    assert image.used == 8
