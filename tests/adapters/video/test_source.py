"""Movies and streams through FFmpeg, written and sent by FFmpeg."""

import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.doubles import MemorySink

from scopeside.detector import Detector, StopRequested
from scopeside.errors import SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.video.luma import Luma
from scopeside_adapters.video.simulator import VideoSimulator, frames_of
from scopeside_adapters.video.source import VideoDetector
from scopeside_adapters.video.timeline import Timeline

PATIENCE_S = 30.0
RNG = np.random.default_rng(2024)
WIDE = RNG.integers(0, 1 << 16, (12, 34, 50)).astype(np.uint16)
NARROW = RNG.integers(0, 256, (12, 34, 50)).astype(np.uint8)


def movie(path, frames=WIDE, codec="ffv1", pix_fmt="gray16le", pts=None, **options):
    """Write a movie of 25 frames a second; `pts` in frames."""
    with av.open(path, "w") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pix_fmt
        for number, pixels in enumerate(frames):
            native = pix_fmt.replace("16be", "16le")
            frame = av.VideoFrame.from_ndarray(pixels, format=native)
            frame = frame.reformat(format=pix_fmt, threads=1)
            frame.pts = number if pts is None else pts[number]
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def detector(source, settings=None, **params):
    table = {"input": str(source), "silence_s": 1.0, "connect_s": 5.0, **params}
    return VideoDetector(
        VideoDetector.Params.model_validate(table),
        AcquisitionSettings.model_validate(settings or {}),
    )


def play(source, **params):
    sink = MemorySink(capacity=5)
    detector(source, **params).run(sink)
    return sink


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


@contextmanager
def watching(source, **params):
    """Run the detector of a live stream in a thread."""
    sink = MemorySink(capacity=5)

    def run():
        with suppress(StopRequested):
            detector(source, reconnect_s=0.05, **params).run(sink)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sink
    finally:
        sink.stopping = True
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


@contextmanager
def sending(**settings):
    """Play the simulator in a thread; give its address and its frames."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    table = {"frames": 20, "shape": [32, 48], "paced": False, **settings}
    params = VideoSimulator.Params.model_validate({"to": address, **table})
    thread = threading.Thread(
        target=VideoSimulator(params).run, args=(lambda text: None,), daemon=True
    )
    thread.start()
    yield address, np.stack(list(frames_of(params)))
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def assert_frames(sink, frames, acquisition=0):
    got = sink.frames(acquisition)
    np.testing.assert_array_equal(got.pixels, frames)
    np.testing.assert_array_equal(got.index, np.arange(len(frames)))


def test_it_is_a_detector(tmp_path):
    source: Detector = detector(movie(tmp_path / "a.mkv"))
    assert source.check() == []
    assert not source.resumes
    assert detector("rtsp://camera/live").resumes


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "frames"),
    [
        ("a.mkv", "ffv1", "gray16le", WIDE),
        ("a.mkv", "ffv1", "gray", NARROW),
        ("a.avi", "rawvideo", "gray", NARROW),
        ("a.avi", "ffv1", "gray", NARROW),
        ("a.nut", "rawvideo", "gray16be", WIDE),
        ("a.mkv", "ffv1", "gray10le", WIDE & 1023),
        ("a.mkv", "ffv1", "gray12le", WIDE & 4095),
    ],
)
def test_lossless_grey_movies_come_bit_for_bit(tmp_path, name, codec, pix_fmt, frames):
    sink = play(movie(tmp_path / name, frames, codec, pix_fmt))
    assert_frames(sink, frames)
    assert sink.ends == [("complete", "", 12)]
    assert sink.gaps == sink.rejects == []
    assert sink.acquisitions[0].dtype == frames.dtype.newbyteorder("<")
    assert sink.acquisitions[0].metadata["levels"] == "full"


def luma_of(pix_fmt, **options):
    """What FFmpeg's own conversion to a format makes of grey, as luma."""
    frame = av.VideoFrame.from_ndarray(NARROW[0], format="gray")
    # With more threads this conversion spoils a row, about once in 400 times.
    return frame.reformat(format=pix_fmt, threads=1, **options)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "nv12"])
def test_luma_is_taken_as_it_is_stored_in_planes(pix_fmt):
    frame = luma_of(pix_fmt)
    plane = frame.planes[0]
    stored = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:34, :50]
    np.testing.assert_array_equal(taken(frame), stored)
    assert Luma.of(frame).limited
    assert (stored.min(), stored.max()) == (16, 235)


@pytest.mark.parametrize(("pix_fmt", "first"), [("yuyv422", 0), ("uyvy422", 1)])
def test_luma_is_taken_as_it_is_stored_between_colours(pix_fmt, first):
    frame = av.VideoFrame(50, 34, pix_fmt)
    plane = frame.planes[0]
    packed = np.full((34, plane.line_size), 128, np.uint8)
    packed[:, first:100:2] = NARROW[0]
    plane.update(packed.tobytes())
    np.testing.assert_array_equal(taken(frame), NARROW[0])


def taken(frame, full=False):
    luma = Luma.of(frame)
    out = np.empty(luma.shape, luma.dtype)
    luma.copy(frame, (slice(None), slice(None)), out, full=full)
    return out


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "p010le"])
def test_limited_range_is_stretched_on_request(pix_fmt):
    frame = luma_of(pix_fmt)
    luma, out = Luma.of(frame), taken(frame, full=True)
    top = (1 << luma.bits) - 1
    expected = NARROW[0] / 255 * top
    assert np.abs(out - expected).max() <= top / 200
    assert out.min() == 0
    assert out.max() >= 0.99 * top


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr24", "gbrp", "rgba"])
def test_grey_that_is_stored_as_rgb_stays_as_it_is(pix_fmt):
    frame = luma_of(pix_fmt)
    np.testing.assert_array_equal(taken(frame), NARROW[0])
    assert not Luma.of(frame).limited


@pytest.mark.parametrize("pix_fmt", ["pal8", "monob", "bayer_rggb8", "grayf32le"])
def test_pixels_without_luma_are_refused(pix_fmt):
    with pytest.raises(SourceError, match=f"its pixels are '{pix_fmt}'"):
        Luma.of(av.VideoFrame(50, 34, pix_fmt))


def test_a_lossy_movie_says_its_levels(tmp_path):
    path = movie(tmp_path / "a.mp4", NARROW[:, :32, :48], "libx264", "gray", crf="0")
    sink = play(path)
    assert sink.ends == [("complete", "", 12)]
    assert sink.acquisitions[0].metadata["codec"] == "h264"


def test_a_part_can_be_cut_out(tmp_path):
    sink = play(movie(tmp_path / "a.mkv"), crop=[3, 5, 30, 41])
    assert_frames(sink, WIDE[:, 3:30, 5:41])


def test_a_crop_beyond_the_frame_is_refused(tmp_path):
    with pytest.raises(
        SourceError, match=r"reaches beyond the frames, which have 34 ×"
    ):
        play(movie(tmp_path / "a.mkv"), crop=[0, 0, 35, 50])


def test_times_are_those_of_the_stream_or_of_the_rate_that_is_given(tmp_path):
    path = movie(tmp_path / "a.mkv", pts=[0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 20])
    stamps = play(path).frames().timestamp_ns
    assert np.diff(stamps)[:4].tolist() == [40e6, 40e6, 120e6, 40e6]
    stamps = play(path, fps=1000.0).frames().timestamp_ns
    assert set(np.diff(stamps)) == {10**6}


def test_jumps_in_the_time_stamps_are_gaps_or_are_told(tmp_path):
    path = movie(tmp_path / "a.mkv", pts=[0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 20])
    sink = play(path)
    assert sink.gaps == []
    assert "the longest time between two frames was 0.32 s" in sink.notes[0]
    sink = play(path, gaps="pts")
    assert sink.gaps == [(3, 4, "dropped_by_stream"), (13, 19, "dropped_by_stream")]
    assert sink.frames().index.tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 20]
    assert sink.ends == [("complete", "", 21)]


def test_repeated_frames_can_be_left_out(tmp_path):
    path = movie(tmp_path / "a.mkv", np.repeat(WIDE[:4], 3, axis=0))
    assert len(play(path).frames().index) == 12
    sink = play(path, repeated="drop")
    assert_frames(sink, WIDE[:4])
    assert [(n, cause) for n, cause, _ in sink.rejects] == [(1, "repeated")] * 8


def test_a_known_length_makes_several_acquisitions(tmp_path):
    sink = play(movie(tmp_path / "a.mkv"), frames=5)
    assert [end[::2] for end in sink.ends] == [
        ("complete", 5),
        ("complete", 5),
        ("failed", 2),
    ]
    assert_frames(sink, WIDE[5:10], acquisition=1)


def test_a_scan_can_be_a_movie(tmp_path):
    sink = play(movie(tmp_path / "a.mkv"), scan=[3, 4])
    assert sink.acquisitions[0].scan.shape == (3, 4)
    assert sink.ends == [("complete", "", 12)]


def test_a_movie_can_be_played_at_its_own_rate(tmp_path):
    sink = play(movie(tmp_path / "a.mkv", WIDE[:4]), realtime=True)
    assert_frames(sink, WIDE[:4])
    assert len(sink.batches) == 4


# -- what goes wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no movie, or its beginning is damaged"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "it is no movie"),
        (bytes(5000), "it is no movie"),
    ],
)
def test_what_is_no_movie_is_refused(tmp_path, content, message):
    path = tmp_path / "a.mkv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        play(path)
    (problem,) = detector(path).check()
    assert problem.startswith(f"cannot open {path}: ")


def test_a_movie_that_is_not_there_is_refused(tmp_path):
    assert detector(tmp_path / "a.mkv").check() == [
        f"{tmp_path / 'a.mkv'} does not exist"
    ]


def test_a_stream_that_is_not_there_is_refused(tmp_path):
    (problem,) = detector(movie(tmp_path / "a.mkv"), stream=1).check()
    assert problem == "it has 1 video streams; stream = 1 is none of them"


def test_a_truncated_movie_gives_what_is_whole(tmp_path):
    path = movie(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[:-9000])
    sink = play(path, frames=12)
    got = sink.frames()
    np.testing.assert_array_equal(got.pixels, WIDE[got.index])
    assert 5 < len(got.index) < 12
    assert sink.ends[0][0] == "failed"


def test_a_damaged_frame_is_counted_and_the_rest_comes(tmp_path):
    path = tmp_path / "a.mkv"
    params = VideoSimulator.Params.model_validate(
        {"to": str(path), "frames": 12, "shape": [32, 48], "faults": {5: "truncate"}}
    )
    VideoSimulator(params.model_copy(update={"paced": False})).run(lambda text: None)
    frames = np.stack(list(frames_of(params)))
    sink = play(path)
    kept = [n for n in range(12) if n != 5]
    np.testing.assert_array_equal(sink.frames().pixels, frames[kept])
    assert sink.frames().index.tolist() == kept
    assert sink.gaps == [(5, 5, "decode_error")]
    assert [(n, cause) for n, cause, _ in sink.rejects] == [(1, "decode_error")]


def test_frames_that_change_their_size_end_it_and_begin_the_next(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(path, "w", format="mjpeg") as output:
        for size in ((32, 48), (64, 80)):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width = size
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
            if size == (32, 48):
                stream = output.add_stream("mjpeg", rate=25)
                stream.height, stream.width, stream.pix_fmt = *size, "yuvj420p"
            for number in range(4):
                frame = av.VideoFrame(size[1], size[0], "yuvj420p")
                for plane in frame.planes:
                    plane.update(bytes([100]) * plane.buffer_size)
                frame.pts = number
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    output.mux(packet)
    sink = play(path, format="mjpeg", reconnect_s=None)
    reason = (
        "frame 4 has 64 × 80 pixels (yuvj420p), those before had 32 × 48 pixels "
        "(yuvj420p)"
    )
    assert sink.ends[0] == ("failed", reason, 4)
    assert [acq.frame_shape for acq in sink.acquisitions] == [(32, 48), (64, 80)]
    assert sink.ends[1][2] == 4


def test_a_protocol_that_is_not_known_is_told_and_tried_again():
    with watching("teletext://127.0.0.1/100") as sink:
        until(lambda: sink.notes)
    assert "FFmpeg knows no such protocol" in sink.notes[0]
    assert "trying again every 0.05 s" in sink.notes[0]
    assert len(sink.notes) == 1


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    source = detector(movie(tmp_path / "a.mkv"))
    monkeypatch.setitem(sys.modules, "av", None)
    (problem,) = source.check()
    assert "pip install 'scopeside[video]'" in problem


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("crop", [3, 3, 3, 9], "holds no pixels"),
        ("crop", [0, 0, 9], "crop"),
        ("levels", "stretched", "levels"),
        ("fps", 0, "greater than 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(key, value, message):
    with pytest.raises(ValidationError, match=message):
        detector("a.mkv", **{key: value})


def test_names_are_taken_from_the_folder_of_the_pipeline_file(tmp_path):
    def input_of(text, **more):
        table = {"input": text, **more}
        context = {"folder": tmp_path}
        return VideoDetector.Params.model_validate(table, context=context).input

    assert input_of("a.mkv") == str(tmp_path / "a.mkv")
    assert input_of("rtsp://camera/1") == "rtsp://camera/1"
    assert input_of("testsrc", format="lavfi") == "testsrc"


# -- streams ------------------------------------------------------------------------


def test_a_test_picture_of_ffmpeg_is_a_source():
    sink = play("testsrc2=size=64x48:rate=10:duration=1", format="lavfi")
    assert sink.ends == [("complete", "", 10)]
    assert sink.acquisitions[0].frame_shape == (48, 64)


def test_a_stream_comes_bit_for_bit():
    with sending() as (address, frames), watching(address) as sink:
        until(lambda: sink.ends)
    assert_frames(sink, frames)
    assert sink.ends[0] == ("complete", "the stream ended", 20)
    assert sink.gaps == sink.rejects == []


def test_frames_that_a_stream_drops_are_gaps():
    with (
        sending(faults={7: "drop", 8: "drop"}) as (address, frames),
        watching(address, gaps="pts") as sink,
    ):
        until(lambda: sink.ends)
    kept = [n for n in range(20) if n not in (7, 8)]
    np.testing.assert_array_equal(sink.frames().pixels, frames[kept])
    assert sink.gaps == [(7, 8, "dropped_by_stream")]


def test_a_stream_that_stalls_is_named_and_the_next_is_taken():
    with (
        sending(faults={9: "stall"}, stall_s=3.0) as (address, frames),
        watching(address, silence_s=0.5) as sink,
    ):
        until(lambda: sink.ends)
    state, reason, total = sink.ends[0]
    assert state == "failed"
    assert "no frame came for 0.5 s" in reason or "nothing came in time" in reason
    np.testing.assert_array_equal(sink.frames().pixels, frames[:total])


def test_a_stream_that_hangs_up_ends_and_the_next_is_taken():
    with (
        sending(faults={9: "reset"}) as (address, frames),
        watching(address) as sink,
    ):
        until(lambda: sink.ends)
        first = len(sink.frames().index)
        table = {"to": address, "frames": 5, "paced": False}
        again = VideoSimulator(VideoSimulator.Params.model_validate(table))
        again.run(lambda text: None)
        until(lambda: len(sink.ends) == 2)
    np.testing.assert_array_equal(sink.frames().pixels, frames[:first])
    assert sink.ends[1] == ("complete", "the stream ended", 5)


def test_a_silent_peer_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with watching(address, connect_s=0.3, silence_s=0.3) as sink:
            until(lambda: sink.notes)
    assert f"cannot open {address}" in sink.notes[0]


def test_a_peer_that_is_not_there_is_named():
    with watching("tcp://127.0.0.1:9") as sink:
        until(lambda: sink.notes)
    assert "Connection refused" in sink.notes[0]


def test_it_stops_while_a_stream_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with watching(address, connect_s=2.0):
            connection, _ = listener.accept()
    connection.close()


# -- numbers and times --------------------------------------------------------------


@given(st.lists(st.integers(-5, 50), max_size=40), st.booleans())
def test_numbers_rise_and_gaps_fill_what_lies_between(steps, by_time):
    timeline, pts, last = Timeline(0, 0.04, 25.0, None, by_time=by_time), 0, -1
    for step in steps:
        pts += step
        place = timeline.place(pts)
        if place.late:
            continue
        assert place.index == last + 1 + place.missing
        last = place.index
    assert timeline.count == last + 1
