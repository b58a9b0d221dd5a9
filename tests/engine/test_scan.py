"""Where each frame of a scan belongs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.acquisition import Acquisition
from scopeside.errors import ConfigError, ShapeError
from scopeside.positions import read_positions
from scopeside.scan import Scan
from scopeside.settings import AcquisitionSettings

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))
GRIDS = st.builds(
    Scan,
    SHAPES,
    st.sampled_from(["raster", "snake"]),
    flyback=st.integers(0, 3),
    flyback_lines=st.integers(0, 2),
    offset=st.integers(0, 9),
    scans=st.integers(1, 3),
)
LISTS = st.permutations(range(12)).map(
    lambda order: Scan((3, 4), "positions", visited=np.array(order, "<u4").tobytes())
)


@settings(deadline=None, max_examples=100)
@given(st.one_of(GRIDS, LISTS))
def test_every_position_of_every_scan_belongs_to_exactly_one_frame(scan):
    found = scan.position_of(np.arange(scan.frames))
    assert sorted(found[found >= 0].tolist()) == list(range(scan.expected))
    assert np.prod(scan.result_shape) == scan.expected
    assert len(scan.axes) == len(scan.result_shape)


@settings(deadline=None, max_examples=50)
@given(GRIDS)
def test_frames_outside_the_scan_have_no_position(scan):
    outside = np.array([-5, -1, scan.frames, scan.frames + 7])
    assert scan.position_of(outside).tolist() == [-1] * 4


@settings(deadline=None, max_examples=100)
@given(GRIDS, st.data())
def test_the_account_names_where_each_frame_fell(scan, data):
    last = data.draw(st.integers(0, scan.frames + 5))
    first = data.draw(st.integers(0, last))
    found = scan.account([(first, last)])
    index = np.arange(first, last + 1)
    place = scan.position_of(index)
    assert found["seen"] == (place >= 0).sum()
    assert found["before"] == (index < scan.offset).sum()
    assert found["beyond"] == (index >= scan.frames).sum()
    assert found["short"] == scan.expected - found["seen"]
    frames = found["seen"] + found["before"] + found["flyback"] + found["beyond"]
    assert frames == len(index)


@settings(deadline=None, max_examples=50)
@given(st.one_of(GRIDS, LISTS))
def test_a_scan_survives_the_wire(scan):
    assert Scan.from_dict(scan.to_dict()) == scan


def test_a_snake_goes_back_in_every_second_row():
    scan = Scan((2, 3), "snake", flyback=1)
    assert scan.position_of(np.arange(8)).tolist() == [0, 1, 2, -1, 5, 4, 3, -1]


def test_lines_are_skipped_while_the_beam_returns_to_the_first_row():
    scan = Scan((1, 2), flyback_lines=2, scans=2)
    assert scan.position_of(np.arange(8)).tolist() == [0, 1, -1, -1, -1, -1, 2, 3]


def test_an_offset_moves_the_first_position():
    assert Scan((1, 2), offset=2).position_of(np.arange(4)).tolist() == [-1, -1, 0, 1]
    assert Scan((1, 3), offset=-1).position_of(np.arange(3)).tolist() == [1, 2, -1]


def test_listed_positions_are_visited_in_their_order():
    scan = Scan((2, 2), "positions", scans=2, visited=np.array([3, 0], "<u4").tobytes())
    assert scan.position_of(np.arange(5)).tolist() == [3, 0, 7, 4, -1]
    assert scan.expected == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"shape": (0, 3)}, r"\(rows, columns\) ≥ 1, not \(0, 3\)"),
        ({"shape": (1, 2, 3)}, "rows, columns"),
        ({"shape": (1, 2), "flyback": -1}, "cannot be negative: -1"),
        ({"shape": (1, 2), "flyback_lines": -2}, "cannot be negative: -2"),
        ({"shape": (1, 2), "scans": 0}, "1 scan or more, not 0"),
        ({"shape": (1, 2), "pattern": "zigzag"}, "raster or snake .* not 'zigzag'"),
        ({"shape": (1, 2), "pattern": "positions"}, "positions are listed for"),
        ({"shape": (1, 2), "visited": bytes(4)}, "positions are listed for"),
        (
            {"shape": (1, 2), "pattern": "positions", "visited": b"\2\0\0\0"},
            "position 0 lies outside a scan of 1×2",
        ),
        (
            {"shape": (2, 2), "pattern": "positions", "visited": b"\3\0\0\0" * 2},
            r"position \[1, 1\] is visited twice, as 0 and as 1",
        ),
        (
            {"shape": (2, 2), "pattern": "positions", "visited": b"\3\0\0"},
            "no array of uint32",
        ),
    ],
)
def test_an_impossible_scan_is_refused(values, message):
    with pytest.raises(ShapeError, match=message):
        Scan(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [1.5, 2]}, "scan.shape is two whole numbers"),
        ({"scans": "2"}, "scan.scans is a whole number, not '2'"),
        ({"visited": "?"}, "scan.visited is base64"),
        ({"visited": 7}, "scan.visited is base64"),
    ],
)
def test_what_is_no_scan_on_the_wire_is_refused_by_name(changes, message):
    with pytest.raises(ShapeError, match=message):
        Scan.from_dict({"shape": [2, 2], **changes})


# -- lists from files ------------------------------------------------------------


@pytest.mark.parametrize("text", ["1,0\n0,2\n", "# row column\n1 0\n0 2\n"])
def test_positions_are_read_from_text(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert np.frombuffer(read_positions(path, (2, 3)), "<u4").tolist() == [3, 2]


def test_positions_are_read_from_an_array(tmp_path):
    path = tmp_path / "list.npy"
    np.save(path, np.array([[1, 0], [0, 2]]))
    assert np.frombuffer(read_positions(path, (2, 3)), "<u4").tolist() == [3, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one,two\n", "no list of numbers"),
        ("1,2,3\n", r"has shape \(1, 3\)"),
        ("0,0\n0.5,1\n", r"visit 1 is \[0.5, 1.0\]; positions are whole"),
        ("0,0\n2,0\n", "visit 1 is .*outside a scan of 2 rows and 3 columns"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_positions(path, (2, 3))


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv: No such file"):
        read_positions(tmp_path / "none.csv", (2, 3))


# -- what the pipeline file says ---------------------------------------------------


def said_by_the_detector():
    return Acquisition("a", (2, 3), np.dtype("u2"), "scan4d", 6, Scan((2, 3)))


def test_what_is_not_set_is_left_as_the_detector_says():
    assert AcquisitionSettings().complete(said_by_the_detector()).scan == Scan((2, 3))


def test_the_path_may_be_set_where_the_detector_says_the_shape():
    found = AcquisitionSettings(flyback=1, scans=2).complete(said_by_the_detector())
    assert found.scan == Scan((2, 3), flyback=1, scans=2)
    assert found.frames == 16


def test_a_list_of_positions_is_a_pattern(tmp_path):
    (tmp_path / "list.csv").write_text("1,1\n0,0\n")
    asked = AcquisitionSettings(scan=(2, 2), positions=tmp_path / "list.csv")
    scan = asked.scan_of()
    assert scan.pattern == "positions"
    assert scan.path.tolist() == [3, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pattern": "positions"}, "needs positions"),
        ({"positions": "a.csv"}, "needs scan"),
        ({"positions": "a.csv", "scan": (1, 1), "pattern": "snake"}, "leave it out"),
        ({"positions": "a.csv", "scan": (1, 1), "line_pause_ms": 1}, "is for rows"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AcquisitionSettings(**values)


# Found by fuzzing: what np.load and np.loadtxt raise, warn of, and make room for.


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.npy", b""),
        ("a.npy", b"PK\x03\x04"),
        ("a.npy", b"\x93NUMPY\x01\x00\x06\x00{'a':\n"),
        ("a.npy", b"\x93NUMPY\x01\x00\x06\x00((((  "),
        ("a.npy", b"\x93NUMPY\x01\x00\x06\x00for x\n"),
        ("a.txt", b""),
        ("a.txt", b" \n,\n"),
        ("a.txt", b"\xff\xfe"),
    ],
)
def test_a_list_of_positions_that_is_none_is_a_config_error(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match="no list of numbers"):
        read_positions(tmp_path / name, (4, 5))


@pytest.mark.parametrize("n", [1 << 40, 1 << 61])
def test_a_list_that_is_shorter_than_it_says_takes_no_memory(tmp_path, n):
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n}, 2)}}".encode()
    head = head.ljust(117) + b"\n"
    raw = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(32)
    (tmp_path / "a.npy").write_bytes(raw)
    with pytest.raises(ConfigError, match="no list of numbers"):
        read_positions(tmp_path / "a.npy", (4, 5))
