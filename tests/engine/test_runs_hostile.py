"""Recorded runs by other hands, with right digests and wrong contents.

Found by fuzzing: each ended the reader with another error than a RunError.
"""

import numpy as np
import pytest

from scopeside.batch import Batch
from scopeside.errors import RunError
from scopeside.runs import manifest
from scopeside.runs.form import LINE, RecordHead, check_body, pack, segment_head, unpack
from scopeside.runs.message import batch_of, message_of
from scopeside.runs.run import open_run
from scopeside.wire import Kind

INDEX = np.arange(2, dtype=np.int64)
GOOD = message_of("a", Batch(np.zeros((2, 3, 4), "<u2"), INDEX, INDEX))
ABOUT = {"id": "a", "shape": [3, 4], "dtype": "<u2"}
WHOLE = {"state": "complete", "acquisition": ABOUT}


def run_of(tmp_path, kind, header, parts=(), said=WHOLE):
    folder = tmp_path / "run"
    folder.mkdir()
    manifest.write(folder, said)
    pieces = [bytes(piece) for piece in pack(0, kind, header, parts).pieces]
    (folder / "000000.seg").write_bytes(segment_head(0, 0) + b"".join(pieces))
    return folder


def test_a_record_of_no_kind_is_refused():
    raw = RecordHead(200, 0, 0, 0, 0, 0, 0, 0).to_bytes()
    with pytest.raises(RunError, match="no kind 200 of a record"):
        RecordHead.from_bytes(raw)


@pytest.mark.parametrize("header", [b"\x90", b"\x81\xa5parts\x07", b"\x05"])
def test_a_header_that_is_no_map_is_refused(header):
    head = RecordHead(Kind.END, len(header), 0, 0, LINE, -1, -1, 0)
    with pytest.raises(RunError, match="has no header"):
        unpack(head, header.ljust(LINE, b"\0"))


@pytest.mark.parametrize(
    ("kind", "header", "parts"),
    [
        (Kind.BATCH, GOOD.header, []),
        (Kind.BATCH, GOOD.header, [b"", b"", b""]),
        (Kind.BATCH, GOOD.header, [b"", b"123", b""]),
        (Kind.GAP, {}, []),
        (Kind.GAP, {"last": None}, []),
        (Kind.GAP, {"last": 1 << 63}, []),
        (Kind.END, {"epoch": -1}, []),
        (Kind.END, {"change": 1 << 40}, []),
        (Kind.END, {"epoch": "first"}, []),
    ],
)
def test_a_record_that_is_not_of_its_kind_is_refused(tmp_path, kind, header, parts):
    with pytest.raises(RunError, match="record 0 is no "):
        open_run(run_of(tmp_path, kind, header, parts))


@pytest.mark.parametrize(
    "more",
    [
        {"n": float("inf")},
        {"n": 1 << 64},
        {"dtype": "|O"},
        {"dtype": "u2,u2"},
        {"dtype": "(9999999,)f8"},
        {"shape": [-1, 4]},
        {"shape": [1 << 62, 4]},
        {"codec": []},
    ],
)
def test_a_batch_that_contradicts_itself_is_refused(more):
    with pytest.raises(RunError):
        batch_of({**GOOD.header, **more}, GOOD.parts)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"acquisition": ABOUT}, "no manifest of a run"),
        ({**WHOLE, "acquisition": {**ABOUT, "id": "../x"}}, "not '../x'"),
        ({**WHOLE, "acquisition": 7}, "an acquisition cannot be 7"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path, said, match):
    folder = run_of(tmp_path, Kind.END, {}, said=said)
    with pytest.raises(RunError, match=match):
        _ = open_run(folder).acquisition


@pytest.mark.parametrize("left", ["nothing", "no file"])
def test_a_segment_that_has_gone_is_told(tmp_path, left):
    folder = run_of(tmp_path, Kind.END, {})
    with open_run(folder) as run:
        segment = folder / "000000.seg"
        segment.unlink()
        if left == "nothing":
            segment.touch()
        with pytest.raises(RunError, match="cannot be read"):
            run.message(run.entries[0])


def test_a_whole_body_passes():
    head, pieces = pack(0, Kind.BATCH, GOOD.header, GOOD.parts)
    check_body(head, b"".join(bytes(piece) for piece in pieces[1:]))
