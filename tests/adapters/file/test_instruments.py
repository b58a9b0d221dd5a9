"""The files of ASTAR, Merlin and TVIPS, written here byte by byte."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
from tests.adapters.file.playing import assert_delivers, cut, detector, play, series

from scopeside.errors import SourceError
from scopeside_adapters.file.formats import open_frames
from scopeside_adapters.merlin import recording

FRAMES = series((6, 8, 8), "u1")


def write_blo(path, rows=2, columns=3):
    head = b"IMGBLO" + struct.pack(
        "<HIIIHHHHHddI",
        *(0x0102, 0x1000, 0x1010, 131141, 8, 0, columns, rows, 0, 2.0, 2.0, 200_000),
    )
    records = [
        struct.pack("<HI", 0x55AA, i) + f.tobytes() for i, f in enumerate(FRAMES)
    ]
    path.write_bytes(head.ljust(0x1010, b"\0") + b"".join(records))
    return path


def write_mib(path, kind="U16", dtype=">u2", pauses=True, hdr=""):
    parts = []
    for i, frame in enumerate(FRAMES):
        ms = i + (100 * (i // 3) if pauses else 0)
        time = f"2024-02-29T12:00:00.{ms:03d}000000Z"
        head = f"MQ1,{i + 1:06d},00384,01,0008,0008,{kind},   1x1,01,2024-02-29,0.001,0"
        head = f"{head},MQ1A,{time},1000000ns,12,".ljust(384)
        parts += [head.encode(), frame[::-1].astype(dtype).tobytes()]
    path.write_bytes(b"".join(parts))
    if hdr:
        path.with_suffix(".hdr").write_text(hdr)
    return path


def write_tvips(path, frames, *, header=True):
    main = struct.pack("<13I", 256, 2, 8, 8, 16, 0, 0, 1, 1, 1, 200, 80, 60)
    body = b"".join(
        struct.pack("<3I", i, 1_700_000_000 + i, 5).ljust(60, b"\0")
        + frame.astype("<u2").tobytes()
        for i, frame in enumerate(frames)
    )
    path.write_bytes((main.ljust(256, b"\0") if header else b"") + body)
    return path


# ASTAR ---------------------------------------------------------------------------


def test_a_block_file_is_a_scan_of_rows_and_columns(tmp_path):
    sink = play(write_blo(tmp_path / "scan.blo"))
    assert_delivers(sink, FRAMES)
    assert sink.acquisitions[0].scan_shape == (2, 3)
    assert sink.acquisitions[0].calibration == pytest.approx(
        {"scan_step_m": 2e-9, "beam_energy_eV": 200_000}
    )


def test_a_truncated_block_file_delivers_what_is_there_and_fails(tmp_path):
    sink = play(cut(write_blo(tmp_path / "scan.blo"), -71))
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES[:4])
    assert sink.acquisitions[0].scan_shape == (2, 3)
    assert sink.ends == [("failed", "scan.blo ends after 4 of 6 frames", 4)]


def test_what_is_no_block_file_is_refused(tmp_path):
    (tmp_path / "scan.blo").write_bytes(b"nonsense" * 100)
    with pytest.raises(SourceError, match=r"expected one of \(b'IMGBLO'"):
        play(tmp_path / "scan.blo")


# Merlin --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "dtype"), [("U08", ">u1"), ("U16", ">u2"), ("U32", ">u4")]
)
def test_mib_rows_are_bottom_up_as_the_public_reader_gives_them(tmp_path, kind, dtype):
    path = write_mib(tmp_path / "scan.mib", kind, dtype)
    reader = pytest.importorskip("rsciio.quantumdetector")
    reference = reader.file_reader(str(path))[0]["data"]
    assert_delivers(play(path), reference.reshape(6, 8, 8))
    np.testing.assert_array_equal(reference.reshape(6, 8, 8), FRAMES)


def test_pauses_between_rows_tell_the_scan(tmp_path):
    sink = play(write_mib(tmp_path / "scan.mib"))
    assert sink.acquisitions[0].scan_shape == (2, 3)


def test_steady_frames_are_no_scan(tmp_path):
    sink = play(write_mib(tmp_path / "movie.mib", pauses=False))
    assert sink.acquisitions[0].scan_shape is None


def test_frames_per_trigger_tell_the_scan(tmp_path):
    hdr = "Frames in Acquisition (Number):\t6\nFrames per Trigger (Number):\t2\n"
    sink = play(write_mib(tmp_path / "scan.mib", pauses=False, hdr=hdr))
    assert sink.acquisitions[0].scan_shape == (3, 2)


def test_mib_frames_keep_the_time_of_the_detector(tmp_path):
    stamps = play(write_mib(tmp_path / "scan.mib")).frames().timestamp_ns
    noon = 1_709_208_000_000_000_000  # 2024-02-29 12:00 UTC
    np.testing.assert_array_equal(
        stamps - noon, np.array([0, 1, 2, 103, 104, 105]) * 1_000_000
    )


def test_a_mib_whose_stamps_are_garbage_is_played_without_them(tmp_path):
    path = write_mib(tmp_path / "scan.mib")
    path.write_bytes(path.read_bytes().replace(b"00.103000000Z", b"00.10x000000Z"))
    sink = play(path)
    assert_delivers(sink, FRAMES)
    assert sink.acquisitions[0].scan_shape is None


def test_a_mib_shorter_than_its_hdr_says_delivers_what_is_there(tmp_path):
    hdr = "Frames in Acquisition (Number):\t6\nFrames per Trigger (Number):\t3\n"
    sink = play(cut(write_mib(tmp_path / "scan.mib", hdr=hdr), -600))
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES[:4])
    assert sink.acquisitions[0].scan_shape == (2, 3)
    assert sink.ends == [("failed", "scan.mib ends after 4 of 6 frames", 4)]


def test_a_mib_without_hdr_that_ends_in_a_frame_says_so(tmp_path):
    sink = play(cut(write_mib(tmp_path / "movie.mib"), -1))
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES[:5])
    assert sink.ends == [("failed", "movie.mib ends in the middle of frame 5", 5)]


@pytest.mark.parametrize("layout", ["1x1", "2x2", "2x2G", "4x1", "2x1G"])
@pytest.mark.parametrize("depth", [1, 6, 12, 24])
def test_raw_counters_of_merlin_are_frames(tmp_path, depth, layout):
    pixels, _ = recording.pixel_format("R64", layout, 256, depth)
    shape = (3, *pixels.frame_shape)
    frames = np.random.default_rng(7).integers(0, 1 << depth, shape, pixels.dtype)
    frames *= between_chips(frames[0])
    made = recording.made(frames, pixels, "R64", layout, depth=depth, header=b"")
    (tmp_path / "raw.mib").write_bytes(made.data[:, 15:].tobytes())
    assert_delivers(play(tmp_path / "raw.mib"), frames[:, ::-1])


def between_chips(frame):
    """0 in the gaps between chips, else 1."""
    height, width = frame.shape
    rows, columns = (np.arange(n) % 258 < 256 for n in (height, width))
    gaps = height % 256 or width % 256
    return (rows[:, None] & columns if gaps else np.ones_like(frame)).astype("u1")


def test_raw_counters_whose_width_is_not_that_of_chips_are_refused(tmp_path):
    with pytest.raises(SourceError, match="of 1 chips has X = 256, not 8"):
        play(write_mib(tmp_path / "raw.mib", "R64"))


def test_pixels_that_merlin_does_not_write_are_refused(tmp_path):
    with pytest.raises(SourceError, match="type 'F32': expected U08, U16, U32"):
        play(write_mib(tmp_path / "odd.mib", "F32"))


@pytest.mark.parametrize("kind", ["U16", "R64"])
def test_a_merlin_series_goes_on_in_the_next_files(tmp_path, kind):
    pixels, depth = recording.pixel_format(kind, "1x1", 4, 12)
    frames = series((7, 4, 256))
    header = recording.acquisition_header(7, 1, "1x1", depth)
    made = recording.made(frames, pixels, kind, "1x1", depth=depth, header=header)
    for name, part in (
        ("scan1", slice(3)),
        ("scan2", slice(3, 5)),
        ("scan3", slice(5, 7)),
    ):
        (tmp_path / f"{name}.mib").write_bytes(made.data[part, 15:].tobytes())
    (tmp_path / "scan1.hdr").write_bytes(header)
    (tmp_path / "other1.mib").write_bytes(made.data[3:, 15:].tobytes())
    (tmp_path / "scan4.mib").write_bytes(b"nonsense")
    assert_delivers(play(tmp_path / "scan1.mib"), frames[:, ::-1])
    (tmp_path / "scan2.mib").unlink()
    sink = play(tmp_path / "scan1.mib")
    assert sink.ends == [("failed", "scan1.mib ends after 3 of 7 frames", 3)]


# TVIPS ---------------------------------------------------------------------------


def test_a_tvips_sequence_goes_on_in_the_next_file(tmp_path):
    path = write_tvips(tmp_path / "run_000.tvips", FRAMES[:4])
    write_tvips(tmp_path / "run_001.tvips", FRAMES[4:], header=False)
    sink = play(path)
    assert_delivers(sink, FRAMES.astype("u2"))
    assert sink.frames().timestamp_ns[1] == 1_700_000_001_005_000_000


def test_tvips_frames_are_what_the_public_reader_gives(tmp_path):
    reader = pytest.importorskip("rsciio.tvips")
    path = write_tvips(tmp_path / "run_000.tvips", FRAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = reader.file_reader(str(path))[0]["data"]
    assert_delivers(play(path), reference)


def test_a_truncated_tvips_sequence_delivers_what_is_there(tmp_path):
    sink = play(cut(write_tvips(tmp_path / "run.tvips", FRAMES), -1))
    np.testing.assert_array_equal(sink.frames().pixels, FRAMES[:5])
    assert sink.ends == [("failed", "run.tvips ends in the middle of frame 5", 5)]


def test_a_later_part_of_a_sequence_is_refused(tmp_path):
    write_tvips(tmp_path / "run_001.tvips", FRAMES)
    [problem] = detector(tmp_path / "run_001.tvips").check()
    assert "it is a later part of a sequence; give the one with _000" in problem


def test_instrument_files_are_mapped_not_loaded(tmp_path):
    for path in (write_blo(tmp_path / "a.blo"), write_mib(tmp_path / "a.mib")):
        with open_frames(path) as frames:
            assert isinstance(frames._array, np.memmap)
