"""MRC stacks, as mrcfile writes them."""

from __future__ import annotations

import struct

import mrcfile
import numpy as np
import pytest
from tests.adapters.file.playing import assert_delivers, cut, play, series

from scopeside.errors import SourceError


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4", "f2"])
def test_a_stack_is_delivered_as_it_was_written(tmp_path, dtype):
    frames = series((7, 5, 4), dtype)
    mrcfile.write(tmp_path / "stack.mrc", frames)
    sink = play(tmp_path / "stack.mrc")
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].dtype == np.dtype(dtype)


def test_one_section_is_one_frame(tmp_path):
    mrcfile.write(tmp_path / "one.mrc", frame := series((5, 4)))
    assert_delivers(play(tmp_path / "one.mrc"), frame[None])


def test_a_big_endian_stack_is_turned(tmp_path):
    header = bytearray(1024)
    struct.pack_into(">4i", header, 0, 4, 5, 7, 1)
    header[212:214] = b"\x11\x11"
    frames = series((7, 5, 4), ">i2")
    (tmp_path / "big.mrc").write_bytes(bytes(header) + frames.tobytes())
    assert_delivers(play(tmp_path / "big.mrc"), frames)


def test_the_extended_header_is_skipped_and_the_pixel_size_is_si(tmp_path):
    frames = series((7, 5, 4))
    with mrcfile.new(tmp_path / "stack.mrc") as file:
        file.set_data(frames)
        file.set_extended_header(np.frombuffer(bytes(160), "V80"))
        file.voxel_size = 2.5
    sink = play(tmp_path / "stack.mrc")
    assert_delivers(sink, frames)
    assert sink.acquisitions[0].calibration == pytest.approx({"pixel_size_m": 2.5e-10})


def test_bytes_of_the_imod_family_are_unsigned_unless_it_says_so(tmp_path):
    frames = series((7, 5, 4), "i1")
    mrcfile.write(tmp_path / "stack.mrc", frames)
    data = bytearray((tmp_path / "stack.mrc").read_bytes())
    struct.pack_into("<2i", data, 152, 1146047817, 0)
    (tmp_path / "stack.mrc").write_bytes(data)
    assert play(tmp_path / "stack.mrc").acquisitions[0].dtype == np.uint8


def test_a_truncated_stack_delivers_what_is_there_and_fails(tmp_path):
    mrcfile.write(tmp_path / "stack.mrc", frames := series((7, 5, 4)))
    sink = play(cut(tmp_path / "stack.mrc", -41))
    np.testing.assert_array_equal(sink.frames().pixels, frames[:5])
    assert sink.ends == [("failed", "stack.mrc ends after 5 of 7 frames", 5)]


def test_complex_pixels_are_refused(tmp_path):
    mrcfile.write(tmp_path / "wave.mrc", np.ones((3, 5, 4), np.complex64))
    with pytest.raises(SourceError, match="its pixels are complex"):
        play(tmp_path / "wave.mrc")


def test_an_unknown_mode_is_refused(tmp_path):
    mrcfile.write(tmp_path / "stack.mrc", series((7, 5, 4)))
    data = bytearray((tmp_path / "stack.mrc").read_bytes())
    struct.pack_into("<i", data, 12, 101)
    (tmp_path / "stack.mrc").write_bytes(data)
    with pytest.raises(SourceError, match="MRC mode 101 is not supported; modes"):
        play(tmp_path / "stack.mrc")


@pytest.mark.parametrize("content", [b"short", bytes(2000)])
def test_what_is_no_mrc_is_refused(tmp_path, content):
    (tmp_path / "noise.mrc").write_bytes(content)
    with pytest.raises(
        SourceError, match=r"cannot read .*noise.mrc as MRC: its header"
    ):
        play(tmp_path / "noise.mrc")
