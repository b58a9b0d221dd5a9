"""A reader of a board sees a whole snapshot, whatever the writer died in."""

import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside import board as module
from scopeside.board import Board
from scopeside.errors import EngineError


@pytest.fixture
def fd():
    fd = Board.allocate()
    yield fd
    os.close(fd)


def without_time(values):
    return {key: value for key, value in values.items() if key != "beat_ns"}


def test_an_empty_board_says_nothing(fd):
    assert Board(fd).read() == {}


def test_what_is_known_is_kept_beside_what_is_new(fd):
    board = Board(fd)
    board.update(a=1, b=[2, {"c": None}])
    board.update(a=3, histogram={4: 5})
    said = Board(fd).read()
    assert without_time(said) == {"a": 3, "b": [2, {"c": None}], "histogram": {4: 5}}


def test_a_beat_changes_nothing_but_the_time(fd):
    board = Board(fd)
    board.update(a=1)
    before = board.read()
    board.beat()
    assert board.read()["beat_ns"] > before["beat_ns"]
    assert without_time(board.read()) == without_time(before)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(0, 400), st.binary(min_size=1, max_size=600))
def test_a_writer_that_dies_in_mid_write_harms_nothing(writes, at, rubbish):
    fd = Board.allocate()
    board = Board(fd)
    for number in range(1, writes + 1):
        board.update(number=number)
    being_written = 64 + ((writes + 1) % 2) * module._HALF
    os.pwrite(fd, rubbish, being_written + at)
    assert without_time(Board(fd).read()) == {"number": writes}
    successor = Board(fd)
    successor.update(again=True)
    assert without_time(Board(fd).read()) == {"again": True}
    os.close(fd)


def test_a_whole_half_whose_number_was_not_written_yet_is_not_believed(fd):
    board = Board(fd)
    board.update(number=1)
    board.update(number=2)
    os.pwrite(fd, (1).to_bytes(8, "little"), 0)
    board.update(number=3)
    os.pwrite(fd, (1).to_bytes(8, "little"), 0)  # half 1 holds the third by now
    with pytest.raises(EngineError, match="faster than it can be read"):
        Board(fd).read()


def test_too_much_is_refused_and_the_board_stays_as_it_was(fd):
    board = Board(fd)
    board.update(a=1)
    with pytest.raises(
        EngineError, match=r"a board holds 1048576 bytes, not 12000\d\d"
    ):
        board.update(b=b"x" * 1_200_000)
    assert without_time(Board(fd).read()) == {"a": 1}


def test_a_reader_beside_a_busy_writer_sees_whole_snapshots_in_order(fd):
    writer, reader, done = Board(fd), Board(fd), threading.Event()

    def write():
        for number in range(3000):
            writer.update(number=number, again=[number] * (number % 50))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    numbers = []
    while not done.is_set():
        said = reader.read()
        assert set(said.get("again", [])) <= {said.get("number")}
        numbers.append(said.get("number", -1))
    thread.join()
    assert numbers == sorted(numbers)


def test_a_reader_in_another_process_never_finds_an_empty_board(fd):
    Board(fd).update(number=0)
    end = time.monotonic() + 1.0
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the writer; a fork, so that no import is timed
        writer = Board(fd)
        while time.monotonic() < end:
            writer.update(number=1)
        os._exit(0)
    reader = Board(fd)
    empty = 0
    while time.monotonic() < end:
        empty += not reader.read()
    os.waitpid(pid, 0)
    assert empty == 0
