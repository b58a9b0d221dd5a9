"""TIFF files with one page or many."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.adapters.file.playing import assert_delivers, cut, detector, play, series

from scopeside.errors import SourceError
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.frames import ArrayFrames


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "byteorder": ">"},
        {"metadata": None},
        {"metadata": None, "bigtiff": True, "compression": "zlib"},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"imagej": True},
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_stack_is_delivered_as_it_was_written(tmp_path, options, dtype):
    frames = series((7, 20, 33), dtype)
    tifffile.imwrite(
        tmp_path / "stack.tif", frames, photometric="minisblack", **options
    )
    assert_delivers(play(tmp_path / "stack.tif"), frames)


@pytest.mark.parametrize("dtype", ["i1", "i2", "u4", "i4", "f8"])
def test_a_stack_keeps_its_dtype(tmp_path, dtype):
    frames = series((3, 20, 33), dtype)
    tifffile.imwrite(tmp_path / "stack.tif", frames, photometric="minisblack")
    sink = play(tmp_path / "stack.tif")
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
def test_a_compressed_stack_needs_no_imagecodecs(tmp_path, dtype, compression):
    frames = series((4, 20, 33), dtype)
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(
        tmp_path / "stack.tif",
        save_all=True,
        append_images=others,
        compression=compression,
    )
    assert_delivers(play(tmp_path / "stack.tif"), frames)


def test_an_uncompressed_stack_is_mapped_not_loaded(tmp_path):
    frames = series((4, 20, 33))
    tifffile.imwrite(tmp_path / "stack.tif", frames, photometric="minisblack")
    with open_frames(tmp_path / "stack.tif") as opened:
        assert isinstance(opened, ArrayFrames)
        assert isinstance(opened._array, np.memmap)


def test_a_single_image_is_one_frame(tmp_path):
    frame = series((20, 33))
    tifffile.imwrite(tmp_path / "one.tif", frame)
    assert_delivers(play(tmp_path / "one.tif"), frame[None])


def test_pages_written_one_by_one_are_one_movie(tmp_path):
    frames = series((4, 20, 33))
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for frame in frames:
            file.write(frame)
    assert_delivers(play(tmp_path / "stack.tif"), frames)


def test_a_stack_of_two_unnamed_axes_is_a_scan(tmp_path):
    frames = series((2, 3, 20, 33))
    tifffile.imwrite(tmp_path / "scan.tif", frames, photometric="minisblack")
    sink = play(tmp_path / "scan.tif")
    assert_delivers(sink, frames.reshape(6, 20, 33))
    assert sink.acquisitions[0].scan_shape == (2, 3)


def test_time_and_depth_are_no_scan(tmp_path):
    frames = series((2, 3, 20, 33))
    tifffile.imwrite(
        tmp_path / "hyper.tif", frames, imagej=True, metadata={"axes": "TZYX"}
    )
    sink = play(tmp_path / "hyper.tif")
    assert_delivers(sink, frames.reshape(6, 20, 33))
    assert sink.acquisitions[0].scan_shape is None


def test_grey_stored_as_colour_is_taken_as_grey(tmp_path):
    grey = series((20, 33), "u1")
    colour = np.repeat(grey[..., None], 3, axis=2)
    tifffile.imwrite(tmp_path / "grey.tif", colour, photometric="rgb")
    assert_delivers(play(tmp_path / "grey.tif"), grey[None])


def test_colour_is_refused(tmp_path):
    colour = series((20, 33, 3), "u1")
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb")
    sink = play(tmp_path / "colour.tif")
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 0)
    assert "colour picture whose channels differ" in reason


def test_several_series_need_a_key(tmp_path):
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(frames := series((4, 20, 33)), photometric="minisblack")
        file.write(series((8, 9)))
    [problem] = detector(path).check()
    assert "0: (4, 20, 33) uint16, 1: (8, 9) uint16" in problem
    assert_delivers(play(path, key="0"), frames)
    [problem] = detector(path, key="2").check()
    assert "holds series 0 to 1, there is no key '2'" in problem


def test_a_truncated_mapped_stack_delivers_what_is_there(tmp_path):
    frames = series((7, 20, 33))
    tifffile.imwrite(tmp_path / "stack.tif", frames, imagej=True)
    path = cut(tmp_path / "stack.tif", 352 + 5 * 20 * 33 * 2 + 17)
    sink = play(path)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:5])
    assert sink.ends == [("failed", "stack.tif ends after 5 of 7 frames", 5)]


def test_a_truncated_last_page_delivers_those_before_it(tmp_path):
    frames = series((7, 20, 33))
    tifffile.imwrite(
        tmp_path / "stack.tif",
        frames,
        photometric="minisblack",
        compression="zlib",
        metadata=None,
    )
    sink = play(cut(tmp_path / "stack.tif", -60))
    np.testing.assert_array_equal(sink.frames().pixels, frames[:6])
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 6)
    assert "page 6 of 7 cannot be read: its pixels end at byte" in reason


def test_a_damaged_page_in_mid_stack_delivers_those_before_it(tmp_path):
    path = tmp_path / "stack.tif"
    frames = series((7, 20, 33))
    tifffile.imwrite(path, frames, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as file:
        at = file.pages[4].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[at : at + 30] = bytes(30)
    path.write_bytes(data)
    sink = play(path)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:4])
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 4)
    assert "page 4 of 7 cannot be read" in reason


@pytest.mark.parametrize("metadata", [None, {}])
def test_a_stack_cut_anywhere_never_invents_a_frame(tmp_path, metadata):
    frames = series((5, 20, 33))
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        frames,
        photometric="minisblack",
        compression="zlib",
        metadata=metadata,
    )
    whole = path.read_bytes()
    for keep in range(len(whole) // 5, len(whole), len(whole) // 23):
        path.write_bytes(whole[:keep])
        try:
            sink = play(path)
        except SourceError:
            continue  # the first page is not whole, or a truncation was seen at once
        [(state, reason, total)] = sink.ends
        assert state == "failed", keep
        assert reason
        assert sum(len(batch) for batch in sink.batches) == total
        for batch in sink.batches:
            np.testing.assert_array_equal(batch.pixels, frames[batch.index])


def test_a_png_called_tif_is_refused_by_name(tmp_path):
    iio.imwrite(tmp_path / "frame.png", series((20, 33), "u1"))
    (tmp_path / "frame.png").rename(tmp_path / "frame.tif")
    [problem] = detector(tmp_path / "frame.tif").check()
    assert "as TIFF: it begins like PNG or JPEG; rename it" in problem


def test_garbage_is_refused(tmp_path):
    (tmp_path / "noise.tif").write_bytes(b"II*\x00" + series((500,), "u1").tobytes())
    with pytest.raises(SourceError, match=r"cannot read .*noise.tif as TIFF"):
        play(tmp_path / "noise.tif")


def test_pages_that_lead_back_are_refused(tmp_path):
    # Found by fuzzing: tifffile went round and round, for hours.
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, series((3, 5, 4)), metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[2]
        link = last.offset + 2 + 12 * len(last.tags)
    raw = bytearray(path.read_bytes())
    raw[link : link + 4] = first.to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    with pytest.raises(SourceError, match=f"lead back to the one at byte {first}"):
        open_frames(path)
