"""How large a pixel is: as the acquisition says, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from scopeside.dashboard.page import Page
from scopeside.dashboard.scale import MOST, Scales, pixel_of, pixels, wavelength_m
from scopeside.dashboard.shelf import Shelf
from scopeside.result import Result

SCAN = ("scan_y", "scan_x")
FRAME = ("y", "x")
ALL = {
    "scan_step_m": [1e-10, 2e-10],
    "detector_rad_per_px": 1e-3,
    "pixel_size_m": 3e-10,
}


def known(kind: str, **calibration: object) -> dict:
    return pixels({"kind": kind, "calibration": calibration})


def test_a_scan_has_its_step_and_a_frame_behind_it_the_cameras_angle():
    found = known("scan4d", **ALL)
    assert found["scan"]["size"] == [1e-10, 2e-10]
    assert (found["frame"]["size"], found["frame"]["unit"]) == ([1e-3, 1e-3], "rad")


@pytest.mark.parametrize("kind", ["movie", "tilt_series"])
def test_a_frame_of_a_movie_is_an_image_of_the_specimen(kind):
    found = known(kind, **ALL)
    assert (found["frame"]["size"], found["frame"]["unit"]) == ([3e-10, 3e-10], "m")


def test_a_movie_of_patterns_has_angles():
    assert known("movie", detector_rad_per_px=1e-3)["frame"]["unit"] == "rad"


def test_a_pixel_of_the_specimen_is_not_made_one_of_the_camera_behind_a_scan():
    assert known("scan4d", pixel_size_m=1e-9)["frame"] is None


@pytest.mark.parametrize(
    "said",
    [None, 0, -1e-9, float("nan"), float("inf"), True, "1 nm", [1e-9], [1, 2, 3]],
)
def test_what_is_no_size_is_not_known(said):
    assert known("movie", pixel_size_m=said) == {"scan": None, "frame": None}


def test_without_calibration_nothing_is_known():
    assert pixels({"kind": "scan4d"}) == {"scan": None, "frame": None}


def test_the_wavelength_is_the_relativistic_one():
    # De Graef, Introduction to Conventional TEM (2003), table 2.2: 2.5079 pm at 200 kV.
    assert wavelength_m(200e3) == pytest.approx(2.5079e-12, rel=1e-4)


def test_an_image_has_the_pixel_of_its_axes():
    found = known("scan4d", **ALL)
    assert pixel_of(found, (*SCAN, "yx"), {}) == found["scan"]
    assert pixel_of(found, ("class", *FRAME), {}) == found["frame"]
    assert pixel_of(found, ("bin", "window"), {}) is None


def test_binned_frames_have_larger_pixels_around_the_same_centre():
    found = known("scan4d", detector_rad_per_px=1e-3, centre_px=[63.5, 31.5])
    binned = pixel_of(found, FRAME, {"binning": 4})
    assert binned is not None
    assert binned["size"] == [4e-3, 4e-3]
    assert binned["centre_px"] == [15.5, 7.5]


def test_the_binning_of_other_things_leaves_a_scan_as_it_is():
    found = known("scan4d", **ALL)
    assert pixel_of(found, SCAN, {"binning": 4}) == found["scan"]


def test_results_get_the_pixel_of_their_own_acquisition_once_it_is_told():
    page = Page()
    scales = Scales(page)
    result = Result("bf", np.ones((2, 2)), axes=SCAN, meta={"acq": "scan-1"})
    shown = Shelf().put(result)
    before = scales.of(shown)
    said = {"acquisition": {"kind": "scan4d", "calibration": {"scan_step_m": 1e-10}}}
    page.hear_status({"open": {"scan-1": said}, "acquisitions": {}})
    after = scales.of(shown)
    assert before is None
    assert after is not None
    assert after["size"] == [1e-10, 1e-10]


def test_only_the_newest_acquisitions_are_told_of():
    page = Page()
    Scales(page)
    said = {"acquisition": {"kind": "movie"}}
    over = {f"movie-{k}": said for k in range(20)}
    page.hear_status({"open": {"movie-99": said}, "acquisitions": over})
    told = page.topic("scales")
    assert told is not None
    assert told[1].count("movie-") == MOST
    assert "movie-99" in told[1]
