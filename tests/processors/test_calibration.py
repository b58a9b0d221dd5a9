"""What is known of the microscope, checked."""

import numpy as np
import pytest

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside_processors.stem.calibration import Calibration, wavelength_m


def calibration(**said):
    return Calibration.of(Acquisition("a", (4, 6), np.dtype("u2"), calibration=said))


@pytest.mark.parametrize(
    ("energy", "picometres"), [(80e3, 4.1757), (200e3, 2.5079), (300e3, 1.9687)]
)
def test_the_wavelength_is_that_of_the_tables(energy, picometres):
    assert wavelength_m(energy) * 1e12 == pytest.approx(picometres, abs=1e-4)


def test_what_is_missing_is_named_with_its_place():
    with pytest.raises(ConfigError, match=r"ssb needs semi_angle_rad.*calibration\]"):
        calibration().need("semi_angle_rad", "ssb")


def test_what_cannot_be_is_named():
    with pytest.raises(ConfigError, match=r"scan_step_m.*greater than 0"):
        calibration(scan_step_m=[0.0, 1e-10])


def test_one_number_stands_for_both_directions():
    assert calibration(scan_step_m=1e-10).known.scan_step_m == (1e-10, 1e-10)


def test_unknown_keys_belong_to_others():
    assert calibration(frame_time_s=1.0).known.defocus_m is None


def test_a_quarter_turn_exchanges_the_axes():
    to_scan = calibration(scan_rotation_rad=np.pi / 2).to_scan()
    np.testing.assert_allclose(to_scan @ [1.0, 0.0], [0.0, 1.0], atol=1e-15)


def test_a_flipped_camera_has_its_rows_the_other_way():
    np.testing.assert_array_equal(
        calibration(flip=True).to_scan() @ [1.0, 2.0], [-1, 2]
    )


def test_descan_moves_the_centre_with_the_scan():
    found = calibration(descan_px=[[2.0, 0.5, 0.0], [3.0, 0.0, 0.25]])
    centres = found.centres(np.array([0, 5]), columns=4)
    np.testing.assert_allclose(centres, [[2.0, 3.0], [2.5, 3.25]])


def test_the_aperture_is_taken_as_an_array_or_from_a_file(tmp_path):
    image = np.arange(24.0).reshape(4, 6)
    np.save(tmp_path / "a.npy", image)
    for said in (image, str(tmp_path / "a.npy")):
        np.testing.assert_array_equal(calibration(aperture=said).aperture("ssb"), image)


@pytest.mark.parametrize(
    ("image", "says"), [(np.ones((4, 4)), "frames are"), (np.zeros((4, 6)), "nothing")]
)
def test_an_aperture_of_no_use_is_refused(image, says):
    with pytest.raises(ConfigError, match=says):
        calibration(aperture=image).aperture("ssb")
