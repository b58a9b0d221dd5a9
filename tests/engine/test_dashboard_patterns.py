"""The diffraction pattern of a probe position, and where it is from."""

import json

import numpy as np
import pytest
from tests.engine.small_runs import FRAME_NS, T0_NS, Recording, batch, frames_of, movie

from scopeside.dashboard.page import Page
from scopeside.dashboard.patterns import Patterns
from scopeside.dashboard.sample import Sample, position_of
from scopeside.errors import RunError
from scopeside.result import Result
from scopeside.scan import Scan

SCAN = Scan((3, 4), flyback=1)


@pytest.fixture
def page():
    page = Page()
    Patterns(page)
    return page


@pytest.fixture
def recording(tmp_path):
    """Two rows of a scan, as the recorder has written them so far."""
    run = Recording(tmp_path / "m1", movie(scan=SCAN))
    return run.add(batch(*range(10)))


def ask(page, **asked):
    """Return header and pixels of the answer."""
    blob = page.questions["pattern"]({k: str(v) for k, v in asked.items()})
    size = int.from_bytes(blob.data[:4], "little")
    header = json.loads(blob.data[4 : 4 + size])
    pixels = np.frombuffer(blob.data, header["dtype"], offset=4 + size)
    return header, pixels.reshape(header["shape"]).astype(int) + header["offset"]


def frame(index, acquisition="m1", scan=SCAN, data=None):
    """What a processor of the kind ``frame`` says."""
    place = int(scan.position_of(np.array([index]))[0])
    meta = {"acq": acquisition, "chain": "view", "processor": "frame"}
    if place >= 0:
        number, within = divmod(place, scan.positions)
        row, column = divmod(within, scan.shape[1])
        meta |= {"scan": number, "row": row, "column": column}
    data = frames_of([index])[0] if data is None else data
    return Result("frame", data, frame=index, first=index, used=1, meta=meta)


def recorded_in(folder, book="open"):
    if book == "folders":
        return {"record": {"folders": {"m1": str(folder)}}}
    return {"record": {"open": {"m1": {"folder": str(folder)}}}}


@pytest.mark.parametrize("book", ["open", "folders"])
def test_the_recording_has_exactly_the_pattern_of_a_position(page, recording, book):
    page.hear_status(recorded_in(recording.folder, book))
    header, pixels = ask(page, row=1, column=2, acquisition="m1")
    np.testing.assert_array_equal(pixels, frames_of([7])[0])
    assert (header["acq"], header["frame"], header["used"]) == ("m1", 7, 1)
    assert header["t_frame_ms"] == (T0_NS + 7 * FRAME_NS) / 1e6
    source = header["pattern"]
    assert (source["from"], source["away"], source["run"]) == ("recording", 0, "m1")
    assert (source["row"], source["column"]) == (1, 2)


def test_a_recording_that_grows_is_read_as_far_as_it_has_come(page, recording):
    page.hear_status(recorded_in(recording.folder))
    with pytest.raises(
        RunError, match="it is frame 10, and 10 frames are recorded so far"
    ):
        ask(page, row=2, column=0, acquisition="m1")
    recording.add(batch(10, 11))
    np.testing.assert_array_equal(
        ask(page, row=2, column=0, acquisition="m1")[1], frames_of([10])[0]
    )
    recording.close()
    assert ask(page, row=2, column=1, acquisition="m1")[0]["frame"] == 11


def test_a_position_beyond_the_scan_is_refused_in_words(page, recording):
    page.hear_status(recorded_in(recording.folder))
    with pytest.raises(RunError, match=r"no position \[3, 0\] in scan 0: 1 of 3×4"):
        ask(page, row=3, column=0, acquisition="m1")


def test_one_run_at_a_time_is_kept_open(page, recording, tmp_path):
    page.hear_status(recorded_in(recording.folder))
    ask(page, row=0, column=0, acquisition="m1")
    other = Recording(tmp_path / "m2", movie("m2", scan=SCAN)).add(batch(5))
    status = {"record": {"open": {"m2": {"folder": str(other.folder)}}}}
    page.hear_status(status)
    assert ask(page, row=1, column=0, acquisition="m2")[0]["acq"] == "m2"
    page.attached(tmp_path)
    page.hear_status(status)
    assert ask(page, row=1, column=0, acquisition="m2")[0]["acq"] == "m2"


def test_without_a_recording_the_nearest_of_the_sample_is_shown(page):
    for index in (0, 3, 11):
        page.hear(frame(index))
    status = {"open": {"m1": {"acquisition": {"scan": SCAN.to_dict()}}}}
    page.hear_status(status)
    header, pixels = ask(page, row=2, column=3)
    np.testing.assert_array_equal(pixels, frames_of([11])[0])
    source = header["pattern"]
    assert (source["from"], source["row"], source["column"]) == ("sample", 2, 1)
    assert (source["away"], source["kept"], source["of"]) == (2, 3, 12)
    assert source["asked"] == [2, 3]


def test_where_the_recording_has_no_frame_the_sample_says_why_it_is_asked(
    page, recording
):
    recording.lose(10, 14)  # by the disk
    page.hear_status(recorded_in(recording.folder))
    page.hear(frame(11))
    source = ask(page, row=2, column=0, acquisition="m1")[0]["pattern"]
    assert source["from"] == "sample"
    assert "frame 10 is not in it: disk_slow" in source["not_recorded"]


def test_a_new_acquisition_takes_the_place_of_the_old_sample(page):
    page.hear(frame(0, "m1"))
    page.hear(frame(6, "m2"))
    assert ask(page, row=0, column=0, acquisition="m2")[0]["frame"] == 6
    with pytest.raises(RunError, match="of m1 is kept; the page has kept those of m2"):
        ask(page, row=0, column=0, acquisition="m1")


def test_without_both_it_is_said_how_to_get_them(page):
    with pytest.raises(RunError, match=r"\[record\].*processor 'frame'"):
        ask(page, row=0, column=0, acquisition="m1")


def test_another_engine_begins_with_no_sample(page, tmp_path):
    page.hear(frame(0))
    page.attached(None)  # the engine has ended: what was seen can still be looked at
    assert ask(page, row=0, column=0)[0]["frame"] == 0
    page.attached(tmp_path)
    with pytest.raises(RunError, match="no diffraction pattern is kept"):
        ask(page, row=0, column=0)


def test_frames_of_the_fly_back_and_sums_are_no_sample():
    assert position_of(frame(4)) is None
    assert position_of(frame(5)) == (0, 1, 0)
    summed = Result("sum", frames_of([1])[0], used=5, meta=frame(5).meta)
    assert position_of(summed) is None


def test_the_sample_is_bounded_and_lets_the_oldest_go():
    one = frames_of([0])[0].nbytes
    sample = Sample(most_bytes=2 * one)
    for index in (0, 1, 2, 2):
        sample.hear(frame(index))
    assert len(sample) == 2
    assert sample.nearest("m1", 0, 0).at == (0, 0, 1)


def test_of_several_scans_the_newest_frame_is_shown_or_that_of_one_scan():
    sample, scan = Sample(), Scan((3, 4), scans=2)
    for index in (0, 12):
        sample.hear(frame(index, scan=scan))
    assert sample.nearest("m1", 0, 0).at.scan == 1
    assert sample.nearest("m1", 0, 0, scan=0).result.frame == 0


def patterns(*index, scan=SCAN, acquisition="m1"):
    """What a processor of the kind ``frame`` says with ``sample``."""
    places = scan.position_of(np.array(index))
    rows, columns = np.divmod(places, scan.shape[1])
    meta = {"acq": acquisition, "chain": "view", "processor": "frame", "binning": 2}
    meta |= {"index": list(index), "t_ns": [1_000_000 * k for k in index]}
    meta |= {"scan": [0] * len(index), "row": rows.tolist()}
    meta |= {"column": columns.tolist(), "every": 1}
    data = np.stack([np.full((2, 3), k, np.float32) for k in index])
    return Result("patterns", data, used=len(index), units="counts", meta=meta)


def test_small_patterns_fill_the_sample_and_say_how_they_are_binned(page):
    page.hear(patterns(0, 1, 7))
    header, pixels = ask(page, row=1, column=2, acquisition="m1")
    assert pixels.tolist() == [[7, 7, 7], [7, 7, 7]]
    source = header["pattern"]
    assert (source["binning"], source["kept"], source["away"]) == (2, 3, 0)
    assert (header["meta"]["binning"], header["t_frame_ms"]) == (2, 7)
    assert (header["frame"], header["axes"]) == (7, ["y", "x"])


def test_a_frame_with_all_pixels_stays_where_a_small_one_of_it_comes():
    sample = Sample()
    sample.hear(frame(7))
    sample.hear(patterns(7, 8))
    assert sample.nearest("m1", 1, 2).result.data.shape == frames_of([0])[0].shape
    sample.hear(frame(8))
    assert sample.nearest("m1", 1, 3).result.data.shape == frames_of([0])[0].shape


def test_of_many_patterns_in_one_result_only_those_kept_stay_in_memory():
    sample = Sample(most_bytes=2 * 24)
    heard = patterns(0, 1, 2, 3)
    sample.hear(heard)
    near = sample.nearest("m1", 0, 3).result
    assert len(sample) == 2
    assert near.data.base is None
    assert not np.shares_memory(near.data, heard.data)


@pytest.mark.parametrize("wrong", [{"row": [0]}, {"row": [0.5, 1.0]}, {"index": None}])
def test_patterns_without_positions_are_no_sample(page, wrong):
    one = patterns(0, 1)
    page.hear(Result("patterns", one.data, used=2, meta={**one.meta, **wrong}))
    assert page.failed_parts == {}
    with pytest.raises(RunError, match="no diffraction pattern"):
        ask(page, row=0, column=0, acquisition="m1")


def there(page, **asked):
    return page.questions["patterns"]({k: str(v) for k, v in asked.items()})


def with_scan(recorded=None, acquisition="m1"):
    """A status that says of a scan, and perhaps where it is recorded."""
    known = {"acquisition": {"scan": SCAN.to_dict()}}
    return {**(recorded or {}), "acquisitions": {}, "open": {acquisition: known}}


def test_which_positions_have_a_pattern_in_the_sample(page):
    for index in (0, 1, 2, 7):
        page.hear(frame(index))
    page.hear_status(with_scan())
    found = there(page)
    assert found["runs"] == [(0, 2), (6, 6)]  # the fly-back has no position
    assert (found["from"], found["kept"], found["of"]) == ("sample", 4, 12)
    assert found["shape"] == [3, 4]


def test_which_positions_are_recorded_so_far(page, recording):
    page.hear_status(with_scan(recorded_in(recording.folder)))
    found = there(page, acquisition="m1")
    assert (found["from"], found["runs"], found["kept"]) == ("recording", [(0, 7)], 8)
    recording.add(batch(11, 12))
    assert there(page, acquisition="m1")["runs"] == [(0, 7), (9, 10)]


def test_of_what_is_no_scan_it_is_said(page):
    with pytest.raises(RunError, match="m7 is no scan"):
        there(page, acquisition="m7")


def test_a_frame_of_a_growing_movie_is_found_by_its_number(page, tmp_path):
    run = Recording(tmp_path / "m1", movie()).add(batch(*range(10)))
    page.hear_status(recorded_in(run.folder))
    assert page.questions["recording"]({"acquisition": "m1"})["last"] == 9
    with pytest.raises(RunError, match="it is frame 10, and 10 frames are recorded so"):
        ask(page, frame=10, acquisition="m1")
    run.add(batch(10, 11))
    header, pixels = ask(page, frame=10, acquisition="m1")
    np.testing.assert_array_equal(pixels, frames_of([10])[0])
    assert (header["pattern"]["from"], header["frame"]) == ("recording", 10)


def test_without_a_recording_no_frame_has_a_number(page):
    with pytest.raises(RunError, match="m1 is not recorded"):
        ask(page, frame=0, acquisition="m1")
