"""A file written at its end holds what was written, directly or not, whatever fails."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.runs import segment_file
from scopeside.runs.segment_file import PAGE, STAGE, SegmentFile

SIZES = st.lists(st.integers(1, 3 * PAGE), min_size=1, max_size=5)
WRITES = st.lists(SIZES, min_size=1, max_size=8)


def opened(path):
    return SegmentFile(os.open(path, os.O_RDWR | os.O_CREAT))


def pieces(rng, sizes):
    return [rng.integers(1, 256, size, np.uint8) for size in sizes]


@given(WRITES, st.integers(0, 2**32 - 1), st.booleans())
def test_what_was_written_is_there_after_each_write(writes, seed, direct):
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        file, whole = opened(path), b""
        file.direct &= direct
        if not file.direct:
            segment_file._make_indirect(file.fd)
        for sizes in writes:
            new = pieces(rng, sizes)
            file.write(new, len(whole))
            whole += b"".join(piece.tobytes() for piece in new)
            found = path.read_bytes()
            assert found[: len(whole)] == whole
            assert not any(found[len(whole) :])
        file.finish(len(whole))
        assert path.read_bytes() == whole


@given(WRITES, st.data())
def test_a_file_is_taken_up_at_any_place(writes, data):
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path, whole = Path(folder) / "file", b""
        for sizes in writes:
            file = opened(path)
            whole = whole[: data.draw(st.integers(0, len(whole)))]
            file.truncate(len(whole))
            new = pieces(rng, sizes)
            file.write(new, len(whole))
            whole += b"".join(piece.tobytes() for piece in new)
            file.finish(len(whole))
            assert path.read_bytes() == whole


def test_a_piece_larger_than_the_buffer_and_one_that_fills_it(tmp_path):
    rng, file = np.random.default_rng(0), opened(tmp_path / "file")
    whole = b""
    for size in (100, 2 * STAGE + 5, STAGE - 105, PAGE, 1):
        (new,) = pieces(rng, [size])
        file.write([new], len(whole))
        whole += new.tobytes()
    file.finish(len(whole))
    assert (tmp_path / "file").read_bytes() == whole


class Disk:
    """Takes so many bytes, then none; or says that it takes whole pages only."""

    def __init__(self, room, error=errno.ENOSPC):
        self.room, self.error, self.real = room, error, os.pwritev

    def pwritev(self, fd, buffers, offset):
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        view = memoryview(buffers[0])[: self.room]
        self.room -= len(view)
        return self.real(fd, [view], offset)


@pytest.mark.parametrize("room", [0, PAGE, PAGE + 512, 5 * PAGE + 512])
def test_a_full_disk_is_an_error_and_the_next_write_goes_in_its_place(
    tmp_path, monkeypatch, room
):
    rng, file = np.random.default_rng(0), opened(tmp_path / "file")
    if not file.direct:
        pytest.skip("this file system is not written to directly")
    (first, second) = pieces(rng, [PAGE + 700, 7 * PAGE])
    file.write([first], 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", Disk(room).pwritev)
        with pytest.raises(OSError, match="No space left"):
            file.write([second], len(first))
    file.truncate(len(first))
    file.write([second[:99]], len(first))
    file.finish(len(first) + 99)
    assert (tmp_path / "file").read_bytes() == first.tobytes() + second[:99].tobytes()


def test_a_file_system_that_refuses_is_written_to_through_the_cache(
    tmp_path, monkeypatch
):
    rng, file = np.random.default_rng(0), opened(tmp_path / "file")
    file.direct = True
    real = os.pwritev

    def refuses(fd, buffers, offset):
        if file.direct:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", refuses)
    new = pieces(rng, [5000, 3])
    file.write(new, 0)
    assert not file.direct
    file.write([new[1]], 5003)
    file.finish(5006)
    found = (tmp_path / "file").read_bytes()
    assert found == new[0].tobytes() + 2 * new[1].tobytes()


def test_a_file_that_is_shorter_than_it_should_be_is_an_error(tmp_path):
    file = opened(tmp_path / "file")
    if not file.direct:
        pytest.skip("this file system is not written to directly")
    with pytest.raises(OSError, match="the file ends at 0"):
        file.write([b"abc"], 100)
    file.close()
