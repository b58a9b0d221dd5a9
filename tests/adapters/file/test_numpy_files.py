"""Arrays as NumPy saves them."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from tests.adapters.file.playing import assert_delivers, cut, detector, play, series

from scopeside.errors import SourceError
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.file.frames import Facts, FrameLostError


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<f4", "<f8"]
)
def test_npy_keeps_its_dtype(tmp_path, dtype):
    np.save(tmp_path / "movie.npy", frames := series((7, 5, 4), dtype))
    sink = play(tmp_path / "movie.npy")
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].dtype == np.dtype(dtype)
    assert sink.acquisitions[0].kind == "movie"


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f8"])
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_big_endian_becomes_little(tmp_path, dtype, save):
    path = tmp_path / ("movie.npy" if save is np.save else "movie.npz")
    save(path, frames := series((7, 5, 4), dtype))
    sink = play(path)
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].dtype.str.startswith("<")


@pytest.mark.parametrize("save", [np.save, np.savez])
@pytest.mark.parametrize("shape", [(7, 5, 4), (2, 3, 5, 4), (5, 4)])
def test_fortran_order_makes_no_difference(tmp_path, save, shape):
    path = tmp_path / ("array.npy" if save is np.save else "array.npz")
    array = series(shape)
    save(path, np.asfortranarray(array))
    assert_delivers(play(path), array.reshape(-1, 5, 4))


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_bool_becomes_u8(tmp_path, save):
    path = tmp_path / ("mask.npy" if save is np.save else "mask.npz")
    save(path, mask := series((4, 5, 6)) > 60)
    assert_delivers(play(path), mask.astype(np.uint8))


def test_four_axes_are_a_scan(tmp_path):
    np.save(tmp_path / "scan.npy", scan := series((2, 3, 5, 4)))
    sink = play(tmp_path / "scan.npy")
    assert_delivers(sink, scan.reshape(6, 5, 4))
    assert sink.acquisitions[0].scan_shape == (2, 3)
    assert sink.acquisitions[0].kind == "scan4d"


def test_npy_is_mapped_not_loaded(tmp_path):
    np.save(tmp_path / "movie.npy", series((7, 5, 4)))
    with open_frames(tmp_path / "movie.npy") as frames:
        assert isinstance(frames._array, np.memmap)


def test_the_only_array_of_a_npz_needs_no_key(tmp_path):
    np.savez(tmp_path / "one.npz", counts=(frames := series((7, 5, 4))))
    assert_delivers(play(tmp_path / "one.npz"), frames)


def test_key_chooses_an_array_of_a_npz(tmp_path):
    frames = series((7, 5, 4))
    np.savez(tmp_path / "two.npz", counts=frames, phase=frames[0])
    assert_delivers(play(tmp_path / "two.npz", key="counts"), frames)


@pytest.mark.parametrize("key", [None, "intensity"])
def test_without_a_good_key_a_npz_lists_its_arrays(tmp_path, key):
    frames = series((7, 5, 4))
    np.savez(tmp_path / "two.npz", counts=frames, phase=frames[0])
    [problem] = detector(tmp_path / "two.npz", key=key).check()
    assert "counts (7, 5, 4), phase (5, 4)" in problem


def test_a_npz_can_be_looped(tmp_path):
    np.savez_compressed(tmp_path / "movie.npz", frames := series((7, 5, 4)))
    sink = play(tmp_path / "movie.npz", loop=2)
    np.testing.assert_array_equal(sink.frames(0).pixels, frames)
    np.testing.assert_array_equal(sink.frames(1).pixels, frames)


def test_a_truncated_npy_delivers_what_is_there_and_fails(tmp_path):
    np.save(tmp_path / "movie.npy", frames := series((7, 5, 4)))
    path = cut(tmp_path / "movie.npy", -41)  # one frame is 40 bytes
    sink = play(path)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:5])
    assert sink.acquisitions[0].frames == 7
    assert sink.ends == [("failed", "movie.npy ends after 5 of 7 frames", 5)]
    assert sink.notes == ["movie.npy ends after 5 of 7 frames"]
    assert detector(path).check() == []  # it can be played, if not to its end


def test_a_truncated_scan_keeps_its_shape(tmp_path):
    np.save(tmp_path / "scan.npy", series((2, 3, 5, 4)))
    sink = play(cut(tmp_path / "scan.npy", -1))
    assert sink.acquisitions[0].scan_shape == (2, 3)
    assert sink.ends == [("failed", "scan.npy ends after 5 of 6 frames", 5)]


def test_a_npy_without_one_whole_frame_is_refused(tmp_path):
    np.save(tmp_path / "movie.npy", series((7, 5, 4)))
    with pytest.raises(SourceError, match="ends before the first of its 7 frames"):
        play(cut(tmp_path / "movie.npy", 140))


def test_a_truncated_npy_in_fortran_order_is_refused(tmp_path):
    np.save(tmp_path / "movie.npy", np.asfortranarray(series((7, 5, 4))))
    with pytest.raises(SourceError, match="Fortran order and ends early"):
        play(cut(tmp_path / "movie.npy", -1))


def test_a_truncated_npz_is_refused(tmp_path):
    np.savez(tmp_path / "movie.npz", series((7, 5, 4)))
    with pytest.raises(SourceError, match=r"cannot read .*movie.npz as NPZ"):
        play(cut(tmp_path / "movie.npz", -30))


def test_a_member_of_a_npz_that_ends_early_delivers_what_is_there(tmp_path):
    np.save(tmp_path / "movie.npy", frames := series((7, 5, 4), ">u2"))
    with zipfile.ZipFile(tmp_path / "movie.npz", "w") as archive:
        archive.write(cut(tmp_path / "movie.npy", -50), "movie.npy")
    sink = play(tmp_path / "movie.npz")
    np.testing.assert_array_equal(sink.frames().pixels, frames[:5])
    [(state, reason, total)] = sink.ends
    assert (state, total) == ("failed", 5)
    assert "movie.npy ends after 5 of 7 frames" in reason


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 4, 5), complex), "its pixels are complex"),
        (np.ones(7), r"shape \(7,\) is no series of frames"),
        (np.ones((1, 1, 2, 3, 4)), r"shape \(1, 1, 2, 3, 4\) is no series of frames"),
        (np.ones((0, 3, 4)), r"shape \(0, 3, 4\) holds no frames"),
        (np.array([["a", "b"]]), "pixels are integers or floats"),
        (np.ones((2, 2), [("a", "u1")]), "pixels are integers or floats"),
    ],
)
def test_what_is_no_series_of_frames_is_refused(tmp_path, array, message):
    np.save(tmp_path / "array.npy", array)
    with pytest.raises(SourceError, match=message):
        play(tmp_path / "array.npy")


def test_pickled_objects_are_refused(tmp_path):
    array = np.array([[{}, {}]], object)
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    with pytest.raises(SourceError, match="integers or floats"):
        play(tmp_path / "array.npy")


# Found by fuzzing.


def test_a_header_of_gigabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little"))
    with pytest.raises(SourceError, match="its header has 2147483648 bytes"):
        open_frames(path)


def test_a_damaged_lzma_member_loses_its_frame_and_nothing_else(tmp_path):
    path = tmp_path / "a.npz"
    frames = np.random.default_rng(1).integers(0, 255, (40, 64, 64), np.uint8)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive,
        archive.open("a.npy", "w") as member,
    ):
        np.save(member, frames)
    raw = bytearray(path.read_bytes())
    raw[100_000:100_400] = bytes(400)
    path.write_bytes(bytes(raw))
    with open_frames(path) as opened, pytest.raises(FrameLostError):
        opened.read_into(0, np.empty_like(frames))


def test_a_frame_without_pixels_or_with_a_list_for_a_side_is_refused():
    for sides in ((0, 8), (9, (1, 2)), (9, 2.5)):
        with pytest.raises(SourceError, match="a height and a width of 1 or more"):
            Facts(frame_shape=sides, dtype=np.dtype("u1"), count=1, expected=1)
