import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside_processors.stem import detectors
from scopeside_processors.stem.detectors import Detector, centre_of
from scopeside_processors.stem.virtual import Virtual

SHAPE = (9, 11)
near = st.integers(-300, 1200).map(lambda n: n / 100)
radius = st.integers(0, 1200).map(lambda n: n / 100)


def drawn(mask):
    return ["".join(".#"[pixel] for pixel in row) for row in mask.astype(int)]


def acquisition(**calibration):
    return Acquisition("a", SHAPE, np.dtype("u2"), calibration=calibration)


def virtual(detector, **params):
    params = {"detectors": {"bf": detector}, **params}
    return validate(Virtual.Params, params, where="virtual")


def test_a_disk_holds_the_pixels_at_its_radius():
    assert drawn(detectors.disk((5, 5), (2, 2), 2)) == [
        "..#..",
        ".###.",
        "#####",
        ".###.",
        "..#..",
    ]


def test_a_disk_of_radius_0_is_one_pixel():
    assert drawn(detectors.disk((2, 3), (1, 2), 0)) == ["...", "..#"]


def test_an_annulus_leaves_its_inner_radius_to_the_disk():
    assert drawn(detectors.annulus((5, 5), (2, 2), 1, 2)) == [
        "..#..",
        ".#.#.",
        "#...#",
        ".#.#.",
        "..#..",
    ]


def test_a_rectangle_is_half_open():
    assert drawn(detectors.rectangle((3, 4), 0, 1, 2, 3)) == [".##.", ".##.", "...."]


def test_azimuth_begins_along_columns_and_turns_to_rows():
    quarter = detectors.segment((5, 5), (2, 2), (0, 2), (0, 90))
    assert drawn(quarter) == [".....", ".....", "...##", "...#.", "....."]


def test_a_segment_may_pass_through_0():
    right = detectors.segment((5, 5), (2, 2), (0, 2), (315, 45))
    assert drawn(right) == [".....", "...#.", "...##", ".....", "....."]
    np.testing.assert_array_equal(
        right, detectors.segment((5, 5), (2, 2), (0, 2), (-45, 45))
    )


def test_a_segment_of_360_degrees_is_the_annulus():
    whole = detectors.segment(SHAPE, (3, 4), (1, 4), (30, 390))
    np.testing.assert_array_equal(whole, detectors.annulus(SHAPE, (3, 4), 1, 4))


@settings(max_examples=60, deadline=None)
@given(near, near, st.tuples(radius, radius, radius))
def test_a_disk_and_the_annuli_around_it_tile_the_outermost_disk(y, x, radii):
    a, b, c = sorted(radii)
    disk = detectors.disk(SHAPE, (y, x), a)
    inner = detectors.annulus(SHAPE, (y, x), a, b)
    outer = detectors.annulus(SHAPE, (y, x), b, c)
    tiled = disk.astype(int) + inner + outer
    np.testing.assert_array_equal(tiled, detectors.disk(SHAPE, (y, x), c))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(near, near) | st.tuples(st.integers(0, 8), st.integers(0, 10)),
    st.lists(
        st.integers(-24, 24).map(lambda n: 15.0 * n) | st.floats(-360, 360),
        min_size=2,
        max_size=6,
    ),
)
def test_segments_around_the_circle_tile_the_annulus(centre, cuts):
    cuts = sorted({cut % 360 % 360 for cut in cuts} | {0.0, 77.0})
    tiled = sum(
        detectors.segment(SHAPE, centre, (1, 6), pair).astype(int)
        for pair in zip(cuts, [*cuts[1:], cuts[0]], strict=True)
    )
    np.testing.assert_array_equal(tiled, detectors.annulus(SHAPE, centre, 1, 6))


@settings(max_examples=60, deadline=None)
@given(st.tuples(near, near, near, near))
def test_a_polygon_with_four_right_angles_is_the_rectangle(numbers):
    y0, x0, y1, x1 = numbers
    corners = ((y0, x0), (y0, x1), (y1, x1), (y1, x0))
    top, bottom, left, right = min(y0, y1), max(y0, y1), min(x0, x1), max(x0, x1)
    np.testing.assert_array_equal(
        detectors.polygon(SHAPE, corners),
        detectors.rectangle(SHAPE, top, left, bottom, right),
    )


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(0, 8), st.integers(0, 10)) | st.tuples(near, near))
def test_triangles_around_a_point_tile_the_rectangle(point):
    corners = ((-4, -4), (-4, 13), (13, 13), (13, -4))
    tiled = sum(
        detectors.polygon(SHAPE, (*pair, point)).astype(int)
        for pair in zip(corners, (*corners[1:], corners[0]), strict=True)
    )
    np.testing.assert_array_equal(tiled, np.ones(SHAPE, int))


def test_a_polygon_that_crosses_itself_has_a_hole():
    corners = ((0, 0), (0, 4), (4, 4), (4, 0), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1))
    assert drawn(detectors.polygon((4, 4), (*corners, (1, 1)))) == [
        "####",
        "#..#",
        "#..#",
        "####",
    ]


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ({}, r"virtual\.detectors\.bf: found none; .* exactly one of disk"),
        ({"dsik": [1, 1, 2]}, r"bf: found 'dsik'; a detector has exactly one of disk"),
        ({"disk": [1], "mask": "m"}, r"bf: found 'disk', 'mask'; .* exactly one of"),
        ({"disk": []}, r"disk = \[cy, cx, r\] has 3 numbers, or 1 .* not 0"),
        ({"disk": [1, 2]}, r"disk = \[cy, cx, r\] has 3 numbers, or 1 .* not 2"),
        ({"disk": [1, 2, -3]}, r"disk: a radius is 0 or more, not -3"),
        ({"annulus": [1, 1, 5, 5]}, r"r_in = 5 must be below r_out = 5"),
        ({"annulus": [1, 1, 5]}, r"annulus = .* has 4 numbers, or 2 .* not 3"),
        ({"segment": [1, 1, 2, 5, 90, 90]}, r"from_deg = 90 and to_deg = 90"),
        ({"segment": [1, 1, 2, 5, 0, 361]}, r"differ, by 360 or less"),
        ({"rectangle": [0, 0, 5]}, r"rectangle = \[y0, x0, y1, x1\] has 4, not 3"),
        ({"rectangle": [5, 0, 5, 9]}, r"y0 = 5 must be below y1 = 5"),
        ({"polygon": [[0, 0], [1, 1]]}, r"polygon has 3 corners or more, not 2"),
        ({"disk": [1, 1, float("nan")]}, r"bf\.disk\[2\]: found nan"),
        ({"disk": [1, 1, 1e9]}, r"bf\.disk\[2\]: found 1000000000\.0"),
        ({"disk": "large"}, r"bf\.disk: found 'large'"),
        ("disk", r"detectors\.bf: found 'disk'; a detector is a table with one of"),
        ({"disk": [4]}, r"detectors\.bf leaves its centre out: put cy, cx"),
    ],
)
def test_what_is_no_detector_is_refused_by_its_key(detector, message):
    with pytest.raises(ConfigError, match=message):
        virtual(detector)


def test_a_name_must_be_plain():
    with pytest.raises(ConfigError, match="expected a letter, then"):
        validate(Virtual.Params, {"detectors": {"b/f": {"disk": [1, 1, 1]}}})


def test_there_is_at_least_one_detector():
    with pytest.raises(ConfigError, match=r"virtual\.detectors"):
        validate(Virtual.Params, {"detectors": {}}, where="virtual")


def test_a_centre_is_two_numbers_or_a_word():
    with pytest.raises(ConfigError, match=r"centre: found 'middle'; centre is \[cy,"):
        virtual({"disk": [4]}, centre="middle")


@pytest.mark.parametrize(
    ("detector", "reach"),
    [
        ({"disk": [20, 5, 3]}, "rows 17 to 23, columns 2 to 8"),
        ({"annulus": [4, 4, 40, 50]}, "rows -46 to 54, columns -46 to 54"),
        ({"rectangle": [-5, 0, 0, 4]}, "rows -5 to 0, columns 0 to 4"),
        ({"polygon": [[0, 20], [5, 20], [5, 30]]}, "rows 0 to 5, columns 20 to 30"),
    ],
)
def test_a_detector_without_a_pixel_is_refused(detector, reach):
    with pytest.raises(
        ConfigError,
        match=f"detectors.bf holds no pixel of a frame of 9 rows and 11 columns: "
        f"it covers {reach}",
    ):
        Virtual(acquisition(), virtual(detector))


def test_the_centre_may_be_given_once_for_all():
    given_once = virtual({"annulus": [1, 3]}, centre=[4, 5])
    weights = given_once.detectors["bf"].weights(
        SHAPE, centre_of([4, 5], acquisition())
    )
    np.testing.assert_array_equal(weights, detectors.annulus(SHAPE, (4, 5), 1, 3))


def test_the_centre_may_come_from_the_calibration():
    assert centre_of("calibration", acquisition(centre_px=[4.5, 5])) == (4.5, 5.0)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"pixel_size_m": 1.0}, "needs centre_px = .* which has pixel_size_m"),
        ({"centre_px": "middle"}, r"centre_px is \[cy, cx\] in pixels, not 'middle'"),
        ({"centre_px": [1, float("nan")]}, r"centre_px is \[cy, cx\] in pixels"),
    ],
)
def test_a_calibration_without_the_centre_is_refused(calibration, message):
    with pytest.raises(ConfigError, match=message):
        Virtual(
            acquisition(**calibration), virtual({"disk": [2]}, centre="calibration")
        )


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f4"])
def test_a_mask_of_0_and_1_is_plain(tmp_path, dtype):
    mask = np.eye(9, 11).astype(dtype)
    np.save(tmp_path / "m.npy", mask)
    found = Detector(mask=tmp_path / "m.npy").weights(SHAPE, None)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, mask)


def test_other_weights_are_float64(tmp_path):
    np.save(tmp_path / "m.npy", np.full(SHAPE, 2, np.uint8))
    assert Detector(mask=tmp_path / "m.npy").weights(SHAPE, None).dtype == np.float64


def test_a_mask_lies_beside_the_pipeline_file(tmp_path):
    found = validate(Detector, {"mask": "m.npy"}, folder=tmp_path)
    assert found.mask == tmp_path / "m.npy"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones((3, 3)), r"has shape \(3, 3\); the frames have \(9, 11\)"),
        (np.full(SHAPE, np.inf), "holds NaN or infinity"),
        (np.full(SHAPE, "x"), "holds <U1; a mask is one array of real numbers"),
        (np.ones(SHAPE, complex), "holds complex128; a mask is"),
        (np.zeros(SHAPE), "detectors.bf holds no pixel .* covers the mask"),
    ],
)
def test_a_mask_that_is_of_no_use_is_refused(tmp_path, content, message):
    np.save(tmp_path / "m.npy", content)
    with pytest.raises(ConfigError, match=message):
        Virtual(acquisition(), virtual({"mask": str(tmp_path / "m.npy")}))


def test_a_mask_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"detectors\.bf\.mask: .*m\.npy"):
        Virtual(acquisition(), virtual({"mask": str(tmp_path / "m.npy")}))


def test_a_file_that_is_no_mask_is_refused(tmp_path):
    (tmp_path / "m.npy").write_text("not an array")
    with pytest.raises(ConfigError, match=r"m\.npy cannot be read as \.npy"):
        Virtual(acquisition(), virtual({"mask": str(tmp_path / "m.npy")}))


def test_a_mask_that_has_changed_is_read_again(tmp_path):
    file = tmp_path / "m.npy"
    np.save(file, np.ones(SHAPE))
    Virtual(acquisition(), virtual({"mask": str(file)}))
    np.save(file, np.ones((3, 3)))
    with pytest.raises(ConfigError, match="has shape"):
        Virtual(acquisition(), virtual({"mask": str(file)}))
