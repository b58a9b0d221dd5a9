"""One file that grows, and folders of them."""

import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.watch.watching import (
    FRAMES,
    Camera,
    detector,
    received,
    until,
    watched,
    watching,
)
from tests.doubles import MemorySink

from scopeside.detector import Detector
from scopeside.errors import MissingExtraError, SourceError
from scopeside_adapters.file.watch import wake
from scopeside_adapters.file.watch.growing import NotYetError
from scopeside_adapters.file.watch.opening import open_growing
from scopeside_adapters.file.watch.writers import header, record

STRIDED = [".mrc", ".seq", ".tvips", ".npy"]


def silent(name, seconds=0.4):
    return f"{name} was not written for {seconds:g} s"


def assert_frames(sink, frames, acquisition=0):
    got = sink.frames(acquisition)
    np.testing.assert_array_equal(got.pixels, frames)
    np.testing.assert_array_equal(got.index, np.arange(len(frames)))


def whole(suffix, frames=FRAMES):
    """The bytes of a file of frames."""
    records = [record(suffix, k, f, 10**9 * k) for k, f in enumerate(frames)]
    return header(suffix, frames.shape[1:], frames.dtype) + b"".join(records)


def test_it_is_a_detector(tmp_path):
    source: Detector = detector(tmp_path / "a.mrc")
    assert source.check() == []
    assert not source.resumes


@pytest.mark.parametrize(
    ("suffix", "wakes"), [*((suffix, "auto") for suffix in STRIDED), (".mrc", "poll")]
)
def test_a_file_is_delivered_as_it_grows(tmp_path, suffix, wakes):
    path = tmp_path / f"movie{suffix}"
    with watching(path, wake=wakes) as sink, Camera(path) as camera:
        camera.write(3)
        until(lambda: received(sink) == 3)
        camera.write(9)
        until(lambda: received(sink) == 12)
        until(lambda: sink.ends)
    assert_frames(sink, FRAMES[:12])
    assert sink.ends == [("complete", silent(path.name), 12)]
    assert sink.rejects == sink.gaps == []
    assert sink.notes == [f"waiting for frames in {path}"]


@pytest.mark.parametrize("suffix", [".seq", ".tvips"])
def test_the_time_stamps_of_the_camera_are_kept(tmp_path, suffix):
    path = tmp_path / f"movie{suffix}"
    path.write_bytes(whole(suffix))
    stamps = watched(path).frames().timestamp_ns
    np.testing.assert_array_equal(stamps, 10**9 * np.arange(len(FRAMES)))


def test_only_whole_frames_are_taken(tmp_path):
    path = tmp_path / "movie.mrc"
    pixels = FRAMES[1].tobytes()
    with watching(path) as sink, Camera(path) as camera:
        camera.write(1)
        camera.write_bytes(pixels[:-1])
        until(lambda: received(sink) == 1)
        camera.write_bytes(pixels[-1:])
        until(lambda: received(sink) == 2)
    assert_frames(sink, FRAMES[:2])


def test_a_file_that_ends_in_mid_frame_fails(tmp_path):
    path = tmp_path / "movie.seq"
    path.write_bytes(whole(".seq")[:-200])
    sink = watched(path)
    assert_frames(sink, FRAMES[:28])
    reason = f"{silent('movie.seq')}; movie.seq ends in the middle of frame 28"
    assert sink.ends == [("failed", reason, 28)]


def test_a_file_shorter_than_its_header_promises_fails(tmp_path):
    path = tmp_path / "movie.npy"
    np.save(path, FRAMES)
    path.write_bytes(path.read_bytes()[: -2 * FRAMES[0].nbytes])
    sink = watched(path)
    reason = f"{silent('movie.npy')} after 28 of 30 frames"
    assert sink.ends == [("failed", reason, 28)]


def test_a_known_length_ends_at_once_and_more_is_the_next(tmp_path):
    path = tmp_path / "movie.mrc"
    path.write_bytes(whole(".mrc"))
    sink = watched(path, acquisitions=3, frames=12)
    assert [n for _, _, n in sink.ends] == [12, 12, 6]
    assert [state for state, _, _ in sink.ends] == ["complete", "complete", "failed"]
    assert sink.ends[2][1].endswith("after 6 of 12 frames")
    assert_frames(sink, FRAMES[12:24], acquisition=1)
    assert sink.acquisitions[1].metadata["first_frame"] == 12


def test_a_scan_gives_the_length(tmp_path):
    path = tmp_path / "scan.mrc"
    path.write_bytes(whole(".mrc"))
    sink = watched(path, acquisitions=2, settings={"flyback": 1}, scan=[3, 4])
    assert [acq.frames for acq in sink.acquisitions] == [15, 15]
    assert sink.acquisitions[0].kind == "scan4d"
    assert sink.acquisitions[0].scan.flyback == 1


def test_frames_and_scan_must_agree(tmp_path):
    (problem,) = detector(tmp_path / "a.mrc", scan=[3, 4], frames=13).check()
    assert problem == "frames = 13, but the scan has 12 frames"


def test_a_big_endian_stack_is_turned(tmp_path):
    head = bytearray(1024)
    struct.pack_into(">4i", head, 0, 8, 6, 0, 6)
    head[212:214] = b"\x11\x11"
    path = tmp_path / "big.mrc"
    path.write_bytes(bytes(head) + FRAMES.astype(">u2").tobytes())
    assert_frames(watched(path), FRAMES)


def test_all_parts_of_a_tvips_sequence_are_one_series(tmp_path):
    path, more = tmp_path / "run_000.tvips", tmp_path / "run_001.tvips"
    with watching(tmp_path, file_is="series") as sink, Camera(path) as camera:
        camera.write(10)
        until(lambda: received(sink) == 10)
        records = [record(".tvips", k, FRAMES[k], 0) for k in range(10, 30)]
        more.write_bytes(b"".join(records))
        until(lambda: sink.ends)
    assert_frames(sink, FRAMES)
    assert len(sink.ends) == 1


def test_raw_frames_are_read_as_described(tmp_path):
    path = tmp_path / "camera.bin"
    records = b"".join(b"head" + f.tobytes() + b"tail" for f in FRAMES.astype(">i4"))
    path.write_bytes(b"16 bytes of head" + records)
    layout = {"shape": [6, 8], "dtype": ">i4", "header_bytes": 16}
    sink = watched(path, raw={**layout, "before_bytes": 4, "after_bytes": 4})
    assert_frames(sink, FRAMES)
    assert sink.acquisitions[0].dtype == np.dtype("<i4")


# -- what goes wrong with the file --------------------------------------------------


def test_a_truncated_file_is_named_and_what_is_written_anew_is_taken(tmp_path):
    path = tmp_path / "movie.mrc"
    with watching(path, silence_s=20) as sink, Camera(path) as camera:
        camera.write(20)
        until(lambda: received(sink) == 20)
        camera.truncate(1024)
        until(lambda: sink.ends)
        camera.write(10)
        until(lambda: received(sink) == 30)
    reason = "movie.mrc was truncated to 1024 bytes, though 20 frames had been read"
    assert sink.ends[0] == ("failed", f"{reason} from it", 20)
    assert_frames(sink, FRAMES[20:], acquisition=1)


def test_a_deleted_file_is_named_and_the_next_is_taken(tmp_path):
    path = tmp_path / "movie.mrc"
    with watching(path, silence_s=20) as sink:
        with Camera(path) as camera:
            camera.write(20)
            until(lambda: received(sink) == 20)
            path.unlink()
            until(lambda: sink.ends)
        with Camera(path) as camera:
            camera.write(5)
            until(lambda: received(sink) == 25)
    assert sink.ends[0] == ("failed", "movie.mrc was deleted after frame 19", 20)
    assert_frames(sink, FRAMES[:5], acquisition=1)


def test_a_replaced_file_is_read_to_its_end_and_then_the_other(tmp_path):
    path = tmp_path / "movie.mrc"
    other = tmp_path / "other.mrc"
    other.write_bytes(whole(".mrc", FRAMES[:7]))
    with watching(path, silence_s=20) as sink, Camera(path) as camera:
        camera.write(20)
        until(lambda: received(sink) == 20)
        other.replace(path)
        until(lambda: received(sink) == 27)
    assert sink.ends[0] == ("failed", "movie.mrc was replaced by another file", 20)
    assert_frames(sink, FRAMES[:7], acquisition=1)


def test_a_file_that_cannot_be_read_on_is_named(tmp_path, monkeypatch):
    path = tmp_path / "movie.mrc"
    real, broken = os.preadv, []

    def preadv(fd, buffers, at):
        if broken:
            raise OSError(5, "Input/output error")
        return real(fd, buffers, at)

    monkeypatch.setattr(os, "preadv", preadv)
    with watching(path) as sink, Camera(path) as camera:
        camera.write(5)
        until(lambda: received(sink) == 5)
        broken.append(True)
        camera.write(5)
        until(lambda: sink.ends)
    assert sink.ends == [("failed", "movie.mrc cannot be read: Input/output error", 5)]


def test_a_file_that_may_not_be_read_is_told_and_taken_when_it_may(
    tmp_path, monkeypatch
):
    path = tmp_path / "movie.mrc"
    path.write_bytes(whole(".mrc"))
    real, locked = os.open, [True]

    def refuse(name, *args, **kwargs):
        if locked and str(name).endswith("movie.mrc"):
            raise PermissionError(13, "Permission denied")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with watching(path) as sink:
        until(lambda: sink.notes[1:])
        locked.clear()
        until(lambda: received(sink) == 30)
    assert sink.notes[1:] == ["movie.mrc is not followed: Permission denied"]


def compressed() -> bytes:
    data = bytearray(whole(".seq"))
    struct.pack_into("<I", data, 620, 1)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.seq", compressed(), r"it is compressed \(format 1\); record it"),
        ("a.seq", b"HTTP/1.1 200 OK".ljust(2000), "it begins with b'HTTP', expected"),
        ("a.mrc", whole(".mrc")[:40], "its header has 40 of 1024 bytes"),
        ("a.mrc", bytes(2048), "its header gives 0 sections of 0 × 0 pixels"),
        ("a.npy", b"\x93NUMPY\x01\x00\x76", "its header cannot be understood"),
        ("a.mib", b"MQ1,000001,0038", "expected a frame header 'MQ1,000001,00384,…'"),
        ("a.tif", b"II*\0\x08\0\0\0", "its first page is not there"),
        ("a.tif", b"HTTP/1.1 200 OK", "it begins with b'HTTP', which is no TIFF"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "HDF5 says"),
        ("a.raw", b"", "no frame of it is whole yet"),
    ],
)
def test_what_cannot_be_read_is_told_once_and_the_next_file_is_taken(
    tmp_path, name, content, message
):
    (tmp_path / name).write_bytes(content)
    with watching(tmp_path, file_is="series") as sink:
        until(lambda: sink.notes[1:])
        (tmp_path / "good.mrc").write_bytes(whole(".mrc"))
        until(lambda: sink.ends)
    (_, note) = sink.notes
    assert re.search(message, note)
    assert_frames(sink, FRAMES)


def test_check_finds_what_cannot_be_read(tmp_path):
    path = tmp_path / "a.seq"
    path.write_bytes(compressed())
    (problem,) = detector(path).check()
    assert problem.startswith("a.seq: it is compressed")
    (problem,) = detector(tmp_path / "nowhere" / "a.mrc").check()
    assert "there is no folder" in problem


# -- where an acquisition ends ------------------------------------------------------


def test_a_stop_file_ends_it_and_an_old_one_does_not(tmp_path):
    path, stop = tmp_path / "movie.mrc", tmp_path / "done"
    stop.write_text("from yesterday")
    with watching(path, stop_file=stop, silence_s=20) as sink, Camera(path) as camera:
        camera.write(20)
        until(lambda: received(sink) == 20)
        assert not sink.ends
        camera.write(10)
        stop.write_text("now, and longer")
        until(lambda: sink.ends)
    assert sink.ends == [("complete", "done was written", 30)]


def test_files_of_a_folder_are_acquisitions(tmp_path):
    for k, name in enumerate(["b.mrc", "a.mrc", "c.seq"]):
        path = tmp_path / name
        path.write_bytes(whole(path.suffix, FRAMES[k : k + 5]))
        os.utime(path, (1000 + k, 1000 + k))
    (tmp_path / "notes.txt").write_text("no frames")
    with watching(tmp_path, file_is="series", silence_s=20) as sink:
        until(lambda: received(sink) == 15)
    for k in range(3):
        assert_frames(sink, FRAMES[k : k + 5], acquisition=k)
    assert sink.ends[:2] == [("complete", "the camera began another file", 5)] * 2


def test_what_is_there_can_be_left_alone(tmp_path):
    (tmp_path / "old.mrc").write_bytes(whole(".mrc"))
    sink = MemorySink()
    with watching(tmp_path, sink=sink, file_is="series", existing=False):
        until(lambda: sink.notes)
        with Camera(tmp_path / "new.mrc") as camera:
            camera.write(4)
            until(lambda: received(sink) == 4)
    assert_frames(sink, FRAMES[:4])


def test_it_stops_when_it_is_asked_to(tmp_path):
    path = tmp_path / "movie.mrc"
    with watching(path, silence_s=60, poll_s=10) as sink, Camera(path) as camera:
        camera.write(2)
        until(lambda: received(sink) == 2)
    assert [state for state, _, _ in sink.ends] == ["stopped"]


# -- TIFF and HDF5 ------------------------------------------------------------------


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_stack_grows_page_by_page(tmp_path, bigtiff, compression):
    path = tmp_path / "stack.tif"
    # A page that is not followed by another is taken at the end: that a writer rests
    # in the middle of one for longer than `settle_s` is not for this test to provoke.
    with watching(path, settle_s=20, silence_s=1.0) as sink:
        with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
            for n, frame in enumerate(FRAMES[:5]):
                writer.write(
                    frame, contiguous=False, compression=compression, metadata=None
                )
                writer._fh._fh.flush()
                until(lambda n=n: received(sink) >= n)
        until(lambda: sink.ends)
    assert_frames(sink, FRAMES[:5])
    assert sink.ends == [("complete", silent("stack.tif", 1.0), 5)]


def test_a_tiff_page_that_is_linked_but_not_there_is_not_taken(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in FRAMES[:5]:
            writer.write(frame, contiguous=False, metadata=None)
    path.write_bytes(path.read_bytes()[:-1])
    sink = watched(path)
    assert_frames(sink, FRAMES[:4])
    assert sink.ends[0][0] == "failed"
    assert sink.ends[0][1].endswith("stack.tif ends in the middle of page 4")


def assert_begins_like_the_whole(path, data, cut):
    """Whatever is cut off, frames that count are right."""
    path.write_bytes(data[:cut])
    try:
        growing = open_growing(path, None, None, 0.0)
    except (NotYetError, SourceError):
        return
    with growing:
        n = growing.count(ended=True)
        out = np.zeros((n, *growing.facts.frame_shape), growing.facts.dtype)
        growing.read_into(0, out)
        growing.leftover()
    np.testing.assert_array_equal(out, FRAMES[:n])


@pytest.mark.parametrize("suffix", STRIDED)
def test_a_file_cut_anywhere_gives_only_right_frames(tmp_path, suffix):
    data = whole(suffix)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(data)))
    def cut_anywhere(cut):
        assert_begins_like_the_whole(tmp_path / f"a{suffix}", data, cut)

    cut_anywhere()


def test_a_tiff_cut_anywhere_gives_only_right_frames(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in FRAMES[:6]:
            writer.write(frame, contiguous=False, metadata=None)
    data = path.read_bytes()
    for cut in range(0, len(data), 13):
        assert_begins_like_the_whole(path, data, cut)


@settings(max_examples=80, deadline=None)
@given(
    garbage=st.binary(max_size=3000),
    suffix=st.sampled_from([*STRIDED, ".mib", ".raw", ".tif"]),
    keep=st.integers(0, 24),
)
def test_garbage_is_refused_by_name(tmp_path_factory, garbage, suffix, keep):
    path = tmp_path_factory.mktemp("garbage") / f"a{suffix}"
    begin = whole(suffix)[:keep] if suffix in STRIDED else b""
    path.write_bytes(begin + garbage)
    try:
        with open_growing(path, None, None, 0.0) as growing:
            growing.count(ended=True)
    except (NotYetError, SourceError):
        pass


WRITER = """
import h5py, sys
import numpy as np
frames = np.load(sys.argv[2])
swmr, chunk = sys.argv[3] == "swmr", int(sys.argv[4])
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    data = file.create_dataset(
        "data", (0, 6, 8), "<u2", maxshape=(None, 6, 8), chunks=(chunk, 3, 8)
    )
    if swmr:
        file.swmr_mode = True
    print("open", flush=True)
    done = 0
    for line in sys.stdin:
        n = int(line)
        data.resize(done + n + 3, 0)  # room for more than there is
        data.flush()
        data[done : done + n] = frames[done : done + n]
        done += n
        data.flush()
        print(done, flush=True)
    data.resize(done, 0)
"""


class Hdf5Camera:
    """Writes HDF5 in a process of its own: one process cannot open a file twice."""

    def __init__(self, path, mode, chunk=1):
        np.save(path.with_suffix(".npy"), FRAMES)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", WRITER, path, path.with_suffix(".npy")),
                *(mode, str(chunk)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "open\n"

    def write(self, n):
        self._process.stdin.write(f"{n}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate()


def test_an_hdf5_file_grows_in_swmr_mode(tmp_path):
    path = tmp_path / "data.h5"
    with watching(path) as sink:
        with Hdf5Camera(path, "swmr") as camera:
            camera.write(4)
            until(lambda: received(sink) == 4)
            camera.write(6)
            until(lambda: received(sink) == 10)
        until(lambda: sink.ends)
    assert_frames(sink, FRAMES[:10])
    assert sink.ends == [("complete", silent("data.h5"), 10)]


def test_of_hdf5_chunks_of_several_frames_the_last_comes_at_the_end(tmp_path):
    path = tmp_path / "data.h5"
    with watching(path, silence_s=1.0) as sink:
        with Hdf5Camera(path, "swmr", chunk=4) as camera:
            camera.write(10)
            until(lambda: received(sink) == 8)
        until(lambda: sink.ends)
    assert_frames(sink, FRAMES[:10])


def test_an_hdf5_file_that_is_locked_is_told_and_read_when_it_is_closed(tmp_path):
    path = tmp_path / "data.h5"
    with watching(path) as sink:
        with Hdf5Camera(path, "locked") as camera:
            camera.write(10)
            until(lambda: sink.notes[1:])
        until(lambda: sink.ends)
    assert "its writer keeps it locked; let it write in SWMR mode" in sink.notes[1]
    assert_frames(sink, FRAMES[:10])


# -- being woken --------------------------------------------------------------------


def test_without_watchdog_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchdog.observers", None)
    (problem,) = detector(tmp_path).check()
    assert "pip install 'scopeside[watch]'" in problem
    assert detector(tmp_path, wake="poll").check() == []
    with pytest.raises(MissingExtraError, match="watchdog"):
        detector(tmp_path).run(MemorySink())


def test_network_drives_are_known_by_their_file_system(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text("disk / ext4 rw 0 0\n//pc/data /mnt/camera cifs rw 0 0\n")
    monkeypatch.setattr(wake, "MOUNTS", mounts)
    assert wake.is_remote(wake.Path("/mnt/camera/today"))
    assert not wake.is_remote(wake.Path("/mnt/cameras"))
