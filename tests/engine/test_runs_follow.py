"""A run is read while another process writes it, and when that one is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import xxhash
from tests.engine.small_runs import Recording, batch, frames_of, movie

import scopeside
from scopeside.errors import RunError
from scopeside.runs import follow, lock, manifest
from scopeside.runs.checksum import as_written
from scopeside.runs.follow import Silence
from scopeside.runs.form import ENTRY, LINE, good_entries, segment_head
from scopeside.runs.index import Index
from scopeside.runs.writer import RunWriter

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from tests.engine.small_runs import Recording, batch, movie
run = Recording(Path(sys.argv[1]), movie(), 1 << 14)
print("begun", flush=True)
for k in range(int(sys.argv[2])):
    run.add(batch(3 * k, 3 * k + 1, 3 * k + 2))
    if k % 10 == 0:
        sys.stdin.readline()
        print(k, flush=True)
if sys.argv[3] == "close":
    run.close()
else:
    print("done", flush=True)
    sys.stdin.readline()
    sys.stdin.readline()
"""


@pytest.fixture
def write(tmp_path):
    """Start a process that writes a run; it goes on a little for each line it reads."""
    with ExitStack() as stack:

        def start(batches, end):
            path = f"{ROOT / 'engine'}:{ROOT}"
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, tmp_path / "m1", str(batches), end],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": path},
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdout.readline() == "begun\n"
            return process

        yield start


def go_on(process, times=1):
    process.stdin.write("\n" * times)
    process.stdin.flush()


def test_a_run_is_followed_to_its_end_while_another_process_writes_it(tmp_path, write):
    process = write(200, "close")
    seen = []
    with scopeside.open_run(tmp_path / "m1") as run:
        assert run.growing
        assert run.written_by_somebody
        go_on(process)
        for found in run.follow(timeout_s=30):
            if int(found.index[0]) % 30 == 0:
                go_on(process)
            np.testing.assert_array_equal(found.pixels, frames_of(found.index))
            seen += found.index.tolist()
        assert not run.growing
        assert run.frames == 600
    assert seen == list(range(600))
    assert process.wait(10) == 0
    assert run.verify() == []


def test_of_a_writer_that_is_killed_all_that_was_written_is_read(
    tmp_path, write, monkeypatch
):
    monkeypatch.setattr(follow, "GRACE_S", 0.0)
    process = write(25, "hang")
    go_on(process, 3)
    assert [process.stdout.readline() for _ in range(4)][-1] == "done\n"
    seen = []
    with scopeside.open_run(tmp_path / "m1") as run:
        batches = run.follow()
        seen += [k for _ in range(25) for k in next(batches).index.tolist()]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        with pytest.raises(RunError, match="nobody writes it any more"):
            next(batches)
        assert seen == list(range(75))
        assert run.written_by_somebody is False


def test_one_that_falls_silent_ends_what_is_followed_after_the_time_asked(tmp_path):
    run = Recording(tmp_path / "m1", movie()).add(batch(0))
    with scopeside.open_run(tmp_path / "m1") as opened:
        silence = Silence(opened, 5.0)
        began = time.monotonic()
        silence.check(began + 4)
        silence.broken(began + 4)
        silence.check(began + 8)
        with pytest.raises(RunError, match="nothing has come for 5 s"):
            silence.check(began + 9.5)
    run.kill()


def test_following_goes_on_where_it_is_asked_to(tmp_path):
    folder = Recording(tmp_path / "m1", movie()).add(batch(0), batch(1)).close()
    with scopeside.open_run(folder) as run:
        assert [b.index.tolist() for b in run.follow(start=1)] == [[1]]


def test_what_comes_later_is_seen_after_a_refresh_and_not_before(tmp_path):
    writer = Recording(tmp_path / "m1", movie(), 4096).add(batch(0))
    with scopeside.open_run(tmp_path / "m1") as run:
        writer.add(*(batch(k) for k in range(1, 40)))
        assert run.frames == 1
        assert run.refresh() == 39
        assert run.frames == 40
        np.testing.assert_array_equal(run[0:40], frames_of(range(40)))
        writer.close()
        assert run.refresh() == 1
        assert not run.growing


def test_half_a_record_is_never_seen(tmp_path):
    """The index speaks of a record only when it is whole; half an entry is none."""
    writer = Recording(tmp_path / "m1", movie()).add(batch(0))
    index = tmp_path / "m1" / "index.bin"
    whole = index.read_bytes()
    with scopeside.open_run(tmp_path / "m1") as run:
        writer.add(batch(1))
        longer = index.read_bytes()
        for length in range(len(whole), len(longer)):
            os.truncate(index, length)
            assert run.refresh() == 0
            index.write_bytes(longer)
        assert run.refresh() == 1
    writer.kill()


def test_a_reader_does_not_stand_in_the_writers_way(tmp_path):
    folder = Recording(tmp_path / "m1", movie()).add(batch(0)).kill()
    with scopeside.open_run(folder) as run:
        assert lock.held(folder) is False
        writer = RunWriter.resume(folder)
        assert lock.held(folder) is True
        writer.abandon()
        assert run.frames == 1


def test_where_there_is_no_index_nobody_knows_who_writes(tmp_path):
    assert lock.held(tmp_path) is None


# -- large indices --------------------------------------------------------------------


def entries(n):
    found = np.zeros(n, ENTRY)
    found["record"] = np.arange(n)
    found["kind"] = 2
    found["n"] = 1
    found["first"] = found["last"] = np.arange(n)
    found["size"] = 256
    found["offset"] = LINE + 256 * np.arange(n)
    return found


def checked(found):
    raw = found.tobytes()
    size = ENTRY.itemsize
    found["check"] = [
        xxhash.xxh3_64_intdigest(raw[at : at + size - 8])
        for at in range(0, len(raw), size)
    ]
    return found


def test_the_checksums_of_many_are_those_of_the_library():
    rng = np.random.default_rng(7)
    found = checked(np.frombuffer(rng.bytes(80 * 20_000), ENTRY).copy())
    assert as_written(found).all()
    for field in ENTRY.names:
        hurt = found[100:103].copy()
        hurt[field][1] ^= np.array(1, ENTRY[field])
        assert as_written(hurt).tolist() == [True, False, True]


def test_an_index_is_good_up_to_the_first_bad_entry():
    data = bytearray(checked(entries(10)).tobytes())
    assert len(good_entries(bytes(data))) == 10
    assert len(good_entries(bytes(data[:-1]))) == 9
    assert len(good_entries(bytes(data), first=1)) == 0
    data[80 * 4] ^= 1
    assert len(good_entries(bytes(data))) == 4
    assert len(good_entries(b"")) == 0


def test_of_a_large_index_only_what_is_new_is_read(tmp_path):
    """A million batches; what is read again would show as records that differ."""
    n = 100_000
    found = checked(entries(n))
    (tmp_path / "index.bin").write_bytes(found.tobytes())
    index = Index()
    index.add(index.read(tmp_path))
    assert len(index) == n
    with (tmp_path / "index.bin").open("r+b") as file:
        file.write(b"\xff" * 80)
    assert len(index.read(tmp_path)) == 0
    before = index.entries
    more = entries(n + 1)[n:]
    with (tmp_path / "index.bin").open("ab") as file:
        file.write(checked(more).tobytes())
    index.add(index.read(tmp_path))
    assert len(index) == n + 1
    assert len(before) == n


def test_a_run_of_many_batches_finds_a_frame_without_reading_the_others(tmp_path):
    folder = tmp_path / "m1"
    folder.mkdir()
    n = 50_000
    (folder / "index.bin").write_bytes(checked(entries(n)).tobytes())
    with (folder / "000000.seg").open("wb") as file:
        file.write(segment_head(0, 0))
        file.truncate(LINE + 256 * n)
    manifest.write(folder, {"state": "recording", "acquisition": movie().to_dict()})
    with scopeside.open_run(folder) as run:
        assert run.frames == n
        assert run.present() == [(0, n - 1)]
        assert run.seek(frame=n - 1) == n - 1
        with pytest.raises(RunError, match="a record begins with"):
            run[n - 1]
