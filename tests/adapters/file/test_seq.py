"""Norpix sequences."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from tests.adapters.file.playing import assert_delivers, play, series

from scopeside.errors import SourceError
from scopeside_adapters.file.watch.writers import header, record


def write(path, frames, **fields):
    """Write a sequence; `fields` replaces (format, offset, value) in the header."""
    begin = bytearray(header(".seq", frames.shape[1:], frames.dtype))
    for form, offset, value in fields.values():
        struct.pack_into(form, begin, offset, value)
    records = [record(".seq", k, f, 10**9 + 2000 * k) for k, f in enumerate(frames)]
    path.write_bytes(bytes(begin) + b"".join(records))
    return path


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_sequence_is_delivered_with_its_time_stamps(tmp_path, dtype):
    frames = series((7, 5, 4), dtype)
    sink = play(write(tmp_path / "a.seq", frames))
    assert_delivers(sink, frames)
    stamps = sink.frames().timestamp_ns
    assert stamps.tolist() == [10**9 + 2000 * k for k in range(7)]


def test_an_old_sequence_has_a_short_header(tmp_path):
    frames = series((7, 5, 4))
    path = write(tmp_path / "a.seq", frames, version=("<i", 28, 4))
    data = path.read_bytes()
    path.write_bytes(data[:1024] + data[8192:])
    assert_delivers(play(path), frames)


def test_a_sequence_that_ends_in_mid_frame_fails(tmp_path):
    path = write(tmp_path / "a.seq", frames := series((7, 5, 4)))
    path.write_bytes(path.read_bytes()[:-70])
    sink = play(path)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:5])
    assert sink.ends == [("failed", "a.seq ends in the middle of frame 5", 5)]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (("<I", 620, 1), r"it is compressed \(format 1\)"),
        (("<I", 568, 200), "its images have format 200 and 16 bits"),
        (("<I", 556, 12), "its images have format 100 and 12 bits"),
        (("<I", 580, 39), "its header contradicts itself"),
        (("<I", 548, 0), "its header contradicts itself"),
        (("<I", 564, 1), "its header contradicts itself"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, field, message):
    path = write(tmp_path / "a.seq", series((7, 5, 4)), field=field)
    with pytest.raises(SourceError, match=message):
        play(path)


def test_another_file_of_that_name_is_refused(tmp_path):
    (tmp_path / "a.seq").write_bytes(b"GIF89a" + bytes(9000))
    with pytest.raises(SourceError, match="it begins with b'GIF89a"):
        play(tmp_path / "a.seq")


def test_a_rate_of_nearly_nothing_is_not_known(tmp_path):
    # Found by fuzzing: one frame in 1e308 s took an infinite time.
    write(tmp_path / "a.seq", series((3, 5, 4)), rate=("<d", 584, 5e-324))
    sink = play(tmp_path / "a.seq")
    assert "frame_time_s" not in sink.acquisitions[0].calibration
