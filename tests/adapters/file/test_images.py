"""Single pictures and folders of them."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from tests.adapters.file.playing import assert_delivers, cut, detector, play, series

from scopeside.errors import SourceError
from scopeside_adapters.file.images import natural_order


def write(folder, frames, pattern):
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(frames, start=1):
        iio.imwrite(folder / pattern.format(i), frame)
    return folder


def test_numbers_in_names_are_compared_as_numbers():
    names = ["f10.tif", "f2.tif", "F1 b.tif", "f01.tif", "f2 a10.tif", "f2 a9.tif"]
    assert [p.name for p in sorted(map(Path, names), key=natural_order)] == [
        "F1 b.tif",
        "f01.tif",
        "f2 a9.tif",
        "f2 a10.tif",
        "f2.tif",
        "f10.tif",
    ]


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("pattern", ["frame{}.tif", "Frame {} (x).png", "ü {}.TIFF"])
def test_a_folder_is_a_movie_in_natural_order(tmp_path, dtype, pattern):
    frames = series((12, 20, 33), dtype)
    sink = play(write(tmp_path / "a movie", frames, pattern))
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].kind == "movie"


def test_a_folder_of_jpeg_is_what_pillow_decodes(tmp_path):
    folder = write(tmp_path / "movie", series((3, 16, 16), "u1"), "{}.jpg")
    decoded = np.stack([iio.imread(folder / f"{i}.jpg") for i in (1, 2, 3)])
    assert_delivers(play(folder), decoded)


def test_a_single_png_is_one_frame(tmp_path):
    iio.imwrite(tmp_path / "one.png", frame := series((20, 33), "u2"))
    assert_delivers(play(tmp_path / "one.png"), frame[None])


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_colour_is_taken_as_grey(tmp_path, channels):
    grey = series((3, 20, 33), "u1")
    colour = np.repeat(grey[..., None], channels, axis=3)
    colour[..., 3:] = 255
    assert_delivers(play(write(tmp_path / "rgb", colour, "{}.png")), grey)


def test_colour_is_refused(tmp_path):
    iio.imwrite(tmp_path / "colour.png", series((20, 33, 3), "u1"))
    with pytest.raises(SourceError, match="colour picture whose channels differ"):
        play(tmp_path / "colour.png")


def test_transparency_is_refused(tmp_path):
    image = np.zeros((20, 33, 4), np.uint8)
    image[0, 0, 3] = 9
    iio.imwrite(tmp_path / "clear.png", image)
    with pytest.raises(SourceError, match="transparent in part"):
        play(tmp_path / "clear.png")


def test_other_files_in_the_folder_are_no_frames(tmp_path):
    folder = write(tmp_path / "movie", frames := series((3, 20, 33)), "{}.tif")
    (folder / "notes.txt").write_text("300 kV")
    (folder / "._1.tif").write_bytes(b"a Mac was here")
    assert_delivers(play(folder), frames)


def test_pictures_of_two_formats_need_a_key(tmp_path):
    folder = write(tmp_path / "movie", frames := series((3, 20, 33)), "{}.tif")
    write(folder, frames[:2], "thumbnail{}.png")
    [problem] = detector(folder).check()
    assert "holds 2 .png, 3 .tif; choose with key" in problem
    assert_delivers(play(folder, key="*.tif"), frames)


def test_an_empty_folder_is_refused(tmp_path):
    [problem] = detector(tmp_path).check()
    assert "it holds no .btf, .jpeg, .jpg, .png, .tif, .tiff files" in problem
    with pytest.raises(SourceError, match="it holds no"):
        play(tmp_path)


@pytest.mark.parametrize(
    ("odd", "found"),
    [
        (series((20, 32)), "20 × 32 pixels of uint16"),
        (series((20, 33), "u1"), "20 × 33 pixels of uint8"),
    ],
)
def test_a_picture_that_differs_is_named_with_what_was_expected(tmp_path, odd, found):
    folder = write(tmp_path / "movie", frames := series((9, 20, 33)), "{}.tif")
    iio.imwrite(folder / "5.tif", odd)
    says = f"5.tif has {found}; expected 20 × 33 pixels of uint16 as 1.tif"
    assert detector(folder).check() == [says]
    sink = play(folder)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:4])
    assert sink.ends == [("failed", f"{folder}: {says}", 4)]


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_truncated_picture_ends_the_movie_before_it(tmp_path, suffix):
    frames = series((6, 20, 33))
    folder = write(tmp_path / "movie", frames, "{}." + suffix)
    cut(folder / f"5.{suffix}", -700)
    sink = play(folder)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:4])
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 4)
    assert f"5.{suffix}" in reason


def test_a_tiff_of_many_pages_is_no_frame_of_a_folder(tmp_path):
    frames = series((4, 20, 33))
    tifffile.imwrite(tmp_path / "1.tif", frames, photometric="minisblack")
    with pytest.raises(SourceError, match=r"1.tif: it has 4 pages, expected one"):
        play(tmp_path)
