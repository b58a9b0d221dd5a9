"""Pictures of results: what travels is what was measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scopeside.dashboard import blocks
from scopeside.dashboard.blocks import means
from scopeside.dashboard.picture import (
    LONGEST,
    Part,
    addressed,
    encoded,
    is_labels,
    narrowed,
    pictured,
)
from scopeside.dashboard.shelf import Shelf
from scopeside.result import Result, invalid

KNOWN = {"key": "stem.virtual.bf", "number": 1}


def read(message: bytes) -> tuple[dict, np.ndarray]:
    """Return header and values of a message; objects, NaN as None."""
    length = int.from_bytes(message[:4], "little")
    header = json.loads(message[4 : 4 + length])
    pixels = np.frombuffer(message[4 + length :], f"<{header['dtype']}")
    return header, pixels.reshape(header["sent"])


def exact(message: bytes) -> list:
    """Return the values, row by row; None where there is none."""
    header, pixels = read(message)
    offset = int(header.get("offset_exact", header["offset"]))
    return [
        None if one == header["unseen"] or math.isnan(one) else one + offset
        for one in pixels.ravel().tolist()
    ]


@st.composite
def whole_images(draw):
    """Whole numbers of any type and byte order that span less than 2^32."""
    dtype = np.dtype(draw(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i8", "u8"])))
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    low = draw(st.sampled_from([least, most, 0]) | st.integers(least, most))
    span = draw(st.sampled_from([1, 254, 255, 256, 65535, 65536, (1 << 32) - 2]))
    high = min(most, low + span)
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=5))
    values = hnp.arrays(dtype, shape, elements=st.integers(max(least, low), high))
    return draw(values).astype(dtype.newbyteorder(draw(st.sampled_from("<>"))))


@given(whole_images())
def test_whole_numbers_travel_exactly(image):
    message = pictured(image, KNOWN)
    assert exact(message) == image.ravel().tolist()


@given(whole_images(), st.randoms(use_true_random=False))
def test_what_was_not_seen_is_no_number_and_the_rest_is_exact(image, random):
    mask = np.array([random.random() < 0.5 for _ in range(image.size)], bool)
    expected = np.where(mask, image.ravel(), None).tolist()
    message = pictured(image, KNOWN, mask.reshape(image.shape))
    assert exact(message) == expected


@given(hnp.arrays("f4", (3, 4)), st.sampled_from("<>"))
def test_floats_travel_as_they_are(image, order):
    _, pixels = read(pictured(image.astype(f"{order}f8"), KNOWN))
    np.testing.assert_array_equal(pixels, image)


def test_pixels_begin_at_a_multiple_of_eight_also_behind_an_address():
    image = np.ones((1, 1), np.uint16)
    for units in ("", "c", "co", "cou", "coun"):
        message = pictured(image, {**KNOWN, "units": units})
        assert (4 + int.from_bytes(message[:4], "little")) % 8 == 0
        assert addressed("i123", message).index(message) % 8 == 0


def test_numbers_further_apart_than_four_bytes_become_floats():
    found = narrowed(np.array([[0, 1 << 40]], np.int64))
    assert found.pixels.dtype == np.float32
    assert found.pixels.tolist() == [[0.0, float(1 << 40)]]


def test_the_largest_numbers_say_their_offset_exactly():
    image = np.array([[(1 << 63) - 2, (1 << 63) - 1]], np.int64)
    header, pixels = read(pictured(image, KNOWN))
    assert header["offset_exact"] == "9223372036854775806"
    assert pixels.tolist() == [[0, 1]]


def test_floats_beyond_four_bytes_are_infinite_without_a_warning():
    _, pixels = read(pictured(np.array([[1e300, -1e300]]), KNOWN))
    assert pixels.tolist() == [[np.inf, -np.inf]]


def test_true_and_false_are_one_and_nought():
    assert exact(pictured(np.array([[True, False]]), KNOWN)) == [1, 0]


def test_an_image_of_which_nothing_was_seen_has_no_values():
    image, mask = np.zeros((2, 2), np.int64), np.zeros((2, 2), bool)
    assert exact(pictured(image, KNOWN, mask)) == [None] * 4


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0), (0,), (3, 0, 5)])
def test_what_is_empty_is_sent_empty(shape):
    header, pixels = read(pictured(np.empty(shape), KNOWN))
    assert header["shape"] == [0, 0]
    assert pixels.size == 0


def test_an_invalid_result_is_sent_empty_with_its_reason():
    shown = Shelf().put(invalid("icom", "the step is not known"))
    header, pixels = read(encoded(shown, {}))
    assert (header["valid"], header["reason"]) == (False, "the step is not known")
    assert pixels.size == 0


def test_of_a_huge_image_means_are_sent():
    image = np.arange(3 * (2 * LONGEST + 1), dtype=np.int64).reshape(3, -1)
    header, pixels = read(pictured(image, KNOWN))
    assert header["shape"] == [3, 2 * LONGEST + 1]
    sent = (header["step"], header["sent"], header["block"], header["dtype"])
    assert sent == (3, [1, 1366], "mean", "f4")
    assert header["whole_numbers"]
    assert (pixels[0, 0], pixels[0, 1]) == (image[:, :3].mean(), image[:, 3:6].mean())
    assert pixels[0, -1] == image[:, -2:].mean()  # the last block has fewer columns


def test_a_fringe_of_two_pixels_is_no_other_fringe_in_the_means():
    fringe = np.tile(np.array([0, 100], np.uint16), LONGEST)[None].repeat(4, axis=0)
    _, pixels = read(pictured(fringe, KNOWN))
    assert np.unique(pixels).tolist() == [50]


def test_a_single_bright_pixel_keeps_its_counts_in_the_means():
    image = np.zeros((5, LONGEST + 1), np.uint8)
    image[3, 1001] = 200
    _, pixels = read(pictured(image, KNOWN))
    assert pixels.sum() == 50
    assert pixels[1, 500] == 50


def test_means_are_of_what_was_seen():
    image = np.full((2, 2 * LONGEST), 7.0)
    mask = np.ones(image.shape, bool)
    mask[:, 2:4] = False
    mask[0, 0], image[0, 0], image[0, 4] = False, 1e9, np.nan
    _, pixels = read(pictured(image, KNOWN, mask))
    assert np.isnan(pixels[0, 1])
    assert np.delete(pixels[0], 1).tolist() == [7] * (LONGEST - 1)


@pytest.mark.parametrize("dtype", ["?", "i1", ">u2", "u4", "i8", "f2", ">f4", "f8"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_means_are_those_of_numpy_whatever_the_type(dtype, n, monkeypatch):
    monkeypatch.setattr(blocks, "_BAND", 2 * 7 * 23)
    image = np.random.default_rng(4).integers(0, 90, (29, 23)).astype(dtype)
    expected = [
        [image[y : y + n, x : x + n].mean(dtype="f8") for x in range(0, 23, n)]
        for y in range(0, 29, n)
    ]
    np.testing.assert_allclose(means(image, None, n), expected, rtol=1e-6)


def test_of_names_of_classes_the_middle_one_of_a_block_is_sent():
    names = np.tile(np.array([0, 5, 9]), LONGEST)[None].repeat(3, axis=0)
    header, pixels = read(pictured(names, {**KNOWN, "labels": True}))
    assert (header["step"], header["block"]) == (3, "middle")
    assert np.unique(pixels + header["offset"]).tolist() == [5]


def test_what_is_named_labels_or_says_so_has_names():
    whole, real = np.zeros((2, 2), np.int64), np.zeros((2, 2))
    assert is_labels(Result("labels", whole))
    assert is_labels(Result("grains", whole, meta={"labels": True}))
    assert not is_labels(Result("labels", real))
    assert not is_labels(Result("bf", whole))


def test_colours_and_vectors_of_a_huge_image_are_means_of_what_was_seen():
    colours = np.full((2, 2 * LONGEST, 3), 40, np.uint8)
    colours[0, 0], colours[1, 0] = 0, 80
    mask = np.ones(colours.shape[:2], bool)
    mask[:, 2:4] = False
    header, pixels = read(pictured(colours, KNOWN, np.dstack([mask] * 3)))
    assert header["form"] == "rgb"
    assert pixels[0, :3].tolist() == [
        [40, 40, 40, 255],
        [0, 0, 0, 0],
        [40, 40, 40, 255],
    ]
    field = np.ones((2, 2 * LONGEST, 2))
    field[0, 0] = 3, 5
    header, pixels = read(pictured(field, KNOWN))
    assert header["form"] == "vector"
    assert pixels[0, :2].tolist() == [[1.5, 2.0], [1.0, 1.0]]


def test_a_part_of_a_huge_image_is_sent_exactly():
    image = np.arange(4 * (LONGEST + 7), dtype=np.int64).reshape(4, -1)
    part = Part(1, 2000, 2, 1000)
    header, pixels = read(pictured(image, KNOWN, part=part))
    assert (header["step"], header["origin"]) == (1, [1, 2000])
    assert (header["shape"], header["of_shape"]) == ([2, 55], [4, LONGEST + 7])
    np.testing.assert_array_equal(pixels + header["offset"], image[1:3, 2000:])


def test_colours_are_transparent_where_nothing_was_seen():
    image = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    mask = np.array([[[True] * 3, [False] * 3]])
    axes = ("scan_y", "scan_x", "rgb")
    header, pixels = read(pictured(image, KNOWN, mask, axes))
    assert header["form"] == "rgb"
    assert pixels[0].tolist() == [[1, 2, 3, 255], [4, 5, 6, 0]]


def test_vectors_keep_row_before_column():
    field = np.arange(12.0).reshape(2, 3, 2)
    for axes in ((), ("scan_y", "scan_x", "yx")):
        header, pixels = read(pictured(field, KNOWN, None, axes))
        assert header["form"] == "vector"
        np.testing.assert_array_equal(pixels, field)


def test_one_plane_of_several_is_chosen_by_number():
    classes = np.arange(24).reshape(4, 2, 3)
    header, pixels = read(pictured(classes, KNOWN, None, ("class", "y", "x"), 2))
    assert header["planes"] == {"axes": ["class"], "sizes": [4], "at": [2]}
    np.testing.assert_array_equal(pixels + header["offset"], classes[2])


def test_a_plane_beyond_the_last_is_the_last():
    classes = np.arange(24).reshape(4, 2, 3)
    header, _ = read(pictured(classes, KNOWN, None, ("class", "y", "x"), 99))
    assert header["planes"]["at"] == [3]


def test_planes_behind_rows_and_columns_are_found_by_their_names():
    loads = np.arange(24.0).reshape(2, 3, 4)
    axes = ("scan_y", "scan_x", "component")
    header, pixels = read(pictured(loads, KNOWN, None, axes, 1))
    assert (header["form"], header["axes"]) == ("scalar", ["scan_y", "scan_x"])
    np.testing.assert_array_equal(pixels, loads[..., 1])


def test_of_several_scans_the_last_that_has_begun_is_shown():
    scans = np.zeros((3, 2, 2), np.int64)
    mask = np.zeros(scans.shape, bool)
    mask[0], mask[1, 0, 0] = True, True
    axes = ("scan", "scan_y", "scan_x")
    header, _ = read(pictured(scans, KNOWN, mask, axes))
    assert header["planes"]["at"] == [1]


def test_a_result_says_what_it_stands_on():
    meta = {"acq": "scan-1", "params": 3, "params_from": 7, "t_frame_ns": 2_000_000}
    result = Result(
        "bf", np.ones((2, 2)), frame=9, first=0, used=8, expected=16, meta=meta
    )
    header, _ = read(encoded(Shelf().put(result), {"pixel": None}))
    kept = ("acq", "params", "params_from", "frame", "used", "expected", "t_frame_ms")
    assert [header[key] for key in kept] == ["scan-1", 3, 7, 9, 8, 16, 2.0]


@pytest.mark.parametrize("size", [2, LONGEST + 2], ids=["whole", "means"])
def test_of_complex_numbers_the_magnitude_is_painted(size):
    header, pixels = read(pictured(np.full((2, size), 3 - 4j), KNOWN))
    assert header["dtype"] == "f4"
    assert (pixels == 5.0).all()
