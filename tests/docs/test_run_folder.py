"""docs/run_folder.md is true, byte for byte, and enough to read a run by."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from tests.engine.small_runs import T0_NS, Recording, batch, frames_of, movie

from scopeside.events import EventBatch, pack_events
from scopeside.runs.form import entry_of, pack, segment_head
from scopeside.wire import Kind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "run_folder.md").read_text(encoding="utf-8")
READER = ROOT / "examples" / "read_run.py"


def shown(after):
    """Return the bytes of the first listing behind a heading or sentence."""
    block = PAGE[PAGE.index(after) :].split("```")[1]
    lines = [re.sub(r"^[0-9a-f]{4}  |  .*$", "", line) for line in block.splitlines()]
    return bytes.fromhex("".join(lines))


@pytest.fixture
def example():
    header = {"acq": "a1", "epoch": 1, "seq": 6, "n": 2, "index": True, "t_ns": True}
    header |= {"shape": [1, 3], "dtype": "<u2", "codec": "raw", "change": 0}
    parts = [
        np.array([[[1, 2, 3]], [[4, 5, 6]]], "<u2"),
        np.array([12, 13], "<i8"),
        np.array([1000, 2000], "<i8"),
    ]
    return pack(7, Kind.BATCH, header, parts, n=2, first=12, t_ns=1000)


def test_the_segment_on_the_page_is_what_is_written(example):
    written = segment_head(0, 7) + b"".join(bytes(piece) for piece in example.pieces)
    assert shown("### An example") == written


def test_the_entry_on_the_page_is_what_is_written(example):
    header = {"epoch": 1, "change": 0}
    entry = entry_of(
        example.head, header, segment=0, offset=64, last=13, t_last_ns=2000
    )
    assert shown("The entry of the example:") == entry.tobytes()


def test_the_reader_of_the_page_has_60_lines_and_nothing_of_ours():
    text = READER.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "import scopeside" not in text
    assert "from scopeside" not in text


@pytest.mark.parametrize("closed", [True, False])
def test_a_reader_of_60_lines_reads_a_run(tmp_path, closed):
    run = Recording(tmp_path / "m1", movie(), 2048)
    run.add(batch(0, 1), batch(5, 2)).lose(3, 4).add(batch(6, 7, 8))
    folder = run.close() if closed else run.kill()
    found = list(runpy.run_path(str(READER))["frames"](folder))
    assert [index.tolist() for index, _, _ in found] == [[0, 1], [5, 2], [6, 7, 8]]
    for index, t_ns, frames in found:
        np.testing.assert_array_equal(frames, frames_of(index))
        np.testing.assert_array_equal(t_ns, T0_NS + 1_000_000 * index)


def test_it_makes_frames_of_events_as_we_do(tmp_path):
    index = np.array([10, 11], np.int64)
    words = pack_events([0, 1, 1, 1], [1, 60_000, 60_000, 3], [5, 7, 7, 0])
    events = EventBatch(words, index, T0_NS + index, (4, 6), np.dtype("u2"))
    folder = Recording(tmp_path / "m1", movie(encoding="events")).add(events).close()
    ((_, _, frames),) = runpy.run_path(str(READER))["frames"](folder)
    np.testing.assert_array_equal(frames, events.dense().pixels)
