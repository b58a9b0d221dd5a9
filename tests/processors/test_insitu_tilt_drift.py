"""Pictures of a tilt series are placed on those of the nearest tilts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.processors.movies import texture

import scopeside
from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.testing import check_processor
from scopeside_processors.insitu.tilt_drift import TiltDrift
from scopeside_processors.insitu.tilts import Tilted, stretched

SIDE, MARGIN, AXIS = 96, 40, 20.0
UP = np.arange(-42.0, 43.0, 6.0).tolist()
BOTH_SIDES = sorted(UP, key=lambda tilt: (abs(tilt), tilt))
TABLE = {"kind": "tilt_series", "tilt_axis_deg": AXIS}


def series(tilts, dose, seed=0):
    """Frames (n, side, side) u16 of a flat membrane, and their drift (n, 2) px."""
    rng = np.random.default_rng([seed, 7])
    field = np.exp(texture((SIDE, SIDE), rms=0.1, margin=MARGIN, seed=seed))
    drift = np.cumsum(rng.normal(0, 2.0, (len(tilts), 2)), axis=0)
    drift -= drift[0]
    angle = np.deg2rad(AXIS)
    across = np.array([np.cos(angle), -np.sin(angle)])
    middle = (SIDE - 1) / 2
    frames = []
    for tilt, moved in zip(tilts, drift, strict=True):
        place = np.mgrid[:SIDE, :SIDE] - middle - moved[:, None, None]
        far = np.tensordot(across, place, 1)
        flat = place + across[:, None, None] * far * (1 / np.cos(np.deg2rad(tilt)) - 1)
        frames.append(
            ndimage.map_coordinates(field, flat + middle + MARGIN, mode="mirror")
        )
    return rng.poisson(dose * np.array(frames)).astype(np.uint16), drift


def found_in(frames, tilts, **params):
    table = {**TABLE, "tilt_deg": [float(tilt) for tilt in tilts]}
    return list(scopeside.apply("tilt_drift", frames, acquisition=table, **params))


@pytest.mark.parametrize("tilts", [UP, BOTH_SIDES], ids=["one way", "both ways"])
def test_a_flat_specimen_is_followed_over_all_tilts(tilts):
    frames, drift = series(tilts, 60)
    found = found_in(frames, tilts)
    assert all(r.valid for r in found)
    errors = np.array([r.data for r in found]) - drift
    assert np.sqrt(np.mean(errors**2)) < 0.5
    assert np.abs(errors).max() < 1.5
    assert [r.meta["tilt_deg"] for r in found] == tilts
    assert all(0 < r.meta["confidence"] <= 1 for r in found)


def test_a_picture_is_stretched_across_the_axis_alone():
    picture = np.zeros((41, 41), np.float32)
    picture[20, 30] = picture[10, 20] = 1
    flat = Tilted(picture, 0.0, np.zeros(2), np.zeros((2, 2)))
    steep = stretched(flat, 60.0, 0.0)  # the axis lies along the rows
    assert steep[20, 30] == 1
    assert steep[15, 20] == 1
    assert steep[10, 20] == pytest.approx(0, abs=1e-2)
    steep = stretched(flat, 60.0, 90.0)
    assert steep[20, 25] == 1
    assert steep[10, 20] == 1


def test_drift_is_taken_off_as_it_is_stretched():
    picture = np.zeros((41, 41), np.float32)
    picture[23, 18] = 1
    moved = Tilted(picture, 10.0, np.array([3.0, -2.0]), np.zeros((2, 2)))
    assert stretched(moved, 10.0, 33.0)[20, 20] == pytest.approx(1, abs=1e-5)


def test_corrected_pictures_lie_on_the_first():
    frames, drift = series([0.0, 0.0, 0.0], 200)
    found = found_in(frames, [0.0, 0.0, 0.0], of=["corrected"])
    assert found[2].data.dtype == np.float32
    assert np.array_equal(np.isfinite(found[2].data), found[2].mask)
    inner = np.s_[20:-20, 20:-20]
    error = np.std(found[2].data[inner] - frames[0].astype(float)[inner])
    assert error < 1.6 * np.sqrt(200)
    assert np.abs(drift[2]).max() > 1


def test_what_cannot_be_placed_is_named():
    frames, _ = series([0.0] * 5, 60)
    frames[1] = 0
    frames[3] = np.random.default_rng(0).poisson(60, frames[3].shape)
    found = found_in(frames, [0.0] * 4)
    assert [r.valid for r in found] == [True, False, True, False, False]
    assert found[1].reason == "no counts"
    assert "not found" in found[3].reason
    assert "tilt_deg" in found[4].reason


def test_a_series_without_its_geometry_is_refused():
    for table, message in (
        ({}, "needs tilt_deg, a list"),
        ({"tilt_deg": [0.0]}, "needs tilt_axis_deg"),
        ({"tilt_deg": [0.0, 88.0], "tilt_axis_deg": 0}, "not 88"),
    ):
        acquisition = Acquisition(
            "test", (64, 64), np.dtype("u2"), kind="tilt_series", calibration=table
        )
        with pytest.raises(ConfigError, match=message):
            TiltDrift(acquisition, TiltDrift.Params())
    movie = Acquisition("test", (64, 64), np.dtype("u2"))
    with pytest.raises(ConfigError, match="kind 'tilt_series', not 'movie'"):
        TiltDrift(movie, TiltDrift.Params())


def test_keeps_the_laws_of_a_processor():
    tilts = UP[:6]
    frames, _ = series(tilts, 60)
    acquisition = Acquisition(
        "laws",
        frames.shape[1:],
        frames.dtype,
        kind="tilt_series",
        calibration={"tilt_deg": tilts, "tilt_axis_deg": AXIS},
    )
    wanted = {"of": ["tilt_drift", "corrected"]}
    check_processor(TiltDrift, frames, acquisition=acquisition, params=wanted)
