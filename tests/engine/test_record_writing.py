"""Runs on a real disk: written by the writer's thread, refused, gone on with."""

import errno
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.engine.recorded import EPOCH, NAME, batch_of
from tests.engine.small import acquisition, eventually

from scopeside.ledger import Account
from scopeside.record import folder as module
from scopeside.record.item import Item
from scopeside.record.losses import item_of
from scopeside.record.notebook import Gap, Notebook
from scopeside.record.pace import Backlog, Pace
from scopeside.record.settings import RecordSettings
from scopeside.record.spool import Spool
from scopeside.record.writing import Writer
from scopeside.runs import manifest
from scopeside.runs.run import open_run
from scopeside.wire import Kind

SECOND = 1_000_000_000


def start():
    header = {
        "acquisition": {**acquisition().to_dict(), "id": NAME},
        "epoch": EPOCH,
        "change": 0,
        "changes": [],
    }
    return Item(Kind.START, NAME, EPOCH, -1, header, 0)


def book(frames, orphaned="", **more):
    account = Account(announced=frames, processed=frames, **more)
    ingest = {"received": frames, "received_runs": [[0, frames - 1]], "missing": {}}
    said = {
        "state": "complete",
        "reason": "",
        "acquisition": start().header["acquisition"],
        "ingest": ingest,
        "edges": {"record": account.to_dict()},
        "results": {"stem.sum.sum": "abc"},
        "channels": {},
    }
    header = {"acq": NAME, "book": said, "processed": {}, "failed": {}}
    return Item(Kind.BOOK, NAME, EPOCH, -1, {**header, "orphaned": orphaned}, 0)


def param(seq):
    change = {"name": "stem.virtual", "version": 2}
    return Item(Kind.PARAM, NAME, EPOCH, seq, {"change": change, "more": 0}, 0)


def gap(first, last, cause="disk_slow"):
    return item_of(Gap(NAME, EPOCH, cause, (first, last), [[first, last]]), 0)


class Disk:
    """A writer with its threads, and what a recorder would be told."""

    def __init__(self, folder, **settings):
        self.fd = Spool.allocate(1 << 16)
        self.engine = folder
        self.settings = RecordSettings(to=folder / "runs", **settings)
        self.writer = None
        self.again()

    def again(self):
        """A new recorder, after the death of the one before."""
        if self.writer is not None:
            self.stop()
        about = {"pipeline": {}, "record": {}}
        self.writer = Writer(self.settings, Notebook(self.fd), about, self.engine)
        self.problems = self.writer.recover()
        self.writer.start()

    def stop(self):
        self.writer.stop(5.0)
        os.close(self.writer.wake)
        for run in self.writer.runs.values():
            if run.writer is not None:
                run.writer.abandon()

    def close(self):
        self.stop()
        os.close(self.fd)

    def write(self, *items):
        """Return what became of the items."""
        found = []
        for item in items:
            self.writer.give(item, {})
        eventually(
            lambda: len(found) == len(items),
            lambda: found.extend(self.writer.news()),
            "the news",
        )
        return found

    def run(self):
        return open_run(self.settings.to / NAME)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path, keep_free_mib=0, segment_mib=1, sync_s=0.05)
    yield disk
    disk.close()


def test_a_run_has_its_frames_in_order_and_a_manifest_that_says_so(disk):
    items = [start(), batch_of(0), batch_of(1), param(2), batch_of(3), book(4)]
    *_, closed = disk.write(*items)
    run = disk.run()
    assert [Kind(k).name for k in run.entries["kind"]] == [
        "START", "BATCH", "BATCH", "PARAM", "BATCH", "GAP", "END",
    ]  # fmt: skip
    for k, batch in zip((0, 1, 3), run.batches(), strict=True):
        assert batch.index.tolist() == [k]
        assert (batch.pixels == k).all()
    assert run.batch_entries["t_last_ns"].tolist() == [1, 1001, 3001]
    assert run.message(run.entries[3]).header["before"] == 4
    said = run.manifest
    assert said["frames"]["recorded"] == 3
    assert said["frames"]["runs"] == [[0, 1], [3, 3]]
    assert said["changes"] == [{"name": "stem.virtual", "version": 2}]
    assert [one["records"] for one in said["segments"]] == [7]
    assert closed.answer["frames"] == 3


def test_frames_that_nobody_has_told_of_are_a_gap_at_the_end(disk):
    disk.write(start(), batch_of(0), book(3))
    assert disk.run().manifest["gaps"] == [[1, 2, "not_recorded"]]
    assert disk.run().manifest["state"] == "incomplete"


def test_a_recorder_that_was_killed_is_gone_on_with_where_it_was(disk):
    disk.write(start(), batch_of(0), gap(1, 2), batch_of(3))
    disk.again()
    assert disk.problems == []
    run = disk.writer.runs[NAME]
    assert run.frames.runs() == [[0, 0], [3, 3]]
    assert run.done == (EPOCH, 3)
    assert run.given_up == [(EPOCH, 1, 2, "disk_slow")]
    disk.write(batch_of(4), book(5))
    assert [int(b.index[0]) for b in disk.run().batches()] == [0, 3, 4]
    assert disk.run().manifest["gaps"] == [[1, 2, "disk_slow"]]


@pytest.mark.parametrize("at", ["end", "manifest"])
def test_one_that_is_killed_while_it_closes_a_run_closes_it_again(
    disk, at, monkeypatch
):
    disk.write(start(), batch_of(0))
    run = disk.writer.runs[NAME]
    if at == "end":
        run.ended, writing = False, module.manifest.write
        monkeypatch.setattr(module.manifest, "write", _fails)
        (said,) = disk.write(book(1))
        assert said.trouble == "disk_failed"
        monkeypatch.setattr(module.manifest, "write", writing)
    else:
        disk.write(book(1))
    disk.again()
    (said,) = disk.write(book(1))
    assert said.trouble == ""
    assert said.answer["frames"] == 1
    run = disk.run()
    assert run.manifest["state"] == "complete"
    assert [Kind(k).name for k in run.entries["kind"]] == ["START", "BATCH", "END"]
    assert [p.name for p in disk.settings.to.iterdir()] == [NAME]


def _fails(*_):
    raise OSError(errno.EIO, "Input/output error")


def test_a_folder_that_is_there_already_is_left_alone(disk):
    (disk.settings.to / NAME).mkdir(parents=True)
    _, _, said = disk.write(start(), batch_of(0), book(1))
    assert said.answer["folder"] == str(disk.settings.to / f"{NAME}.2")
    assert list((disk.settings.to / NAME).iterdir()) == []


def test_a_run_that_cannot_be_gone_on_with_is_left_as_it_is(disk):
    disk.write(start(), batch_of(0))
    damaged = disk.settings.to / NAME / "000000.seg"
    damaged.write_bytes(b"no segment" * 20)
    disk.again()
    (problem,) = disk.problems
    assert f"{NAME}.2" in problem
    *_, said = disk.write(start(), batch_of(1), book(2))
    assert said.answer["folder"].endswith(f"{NAME}.2")
    assert said.answer["gaps"] == {"not_recorded": 1}
    assert damaged.read_bytes().startswith(b"no segment")


def test_what_comes_after_a_batch_that_was_refused_is_not_written_before_it(
    disk, monkeypatch
):
    monkeypatch.setattr(module, "free_bytes", lambda _: 0)
    disk.write(start())
    one, two = disk.write(batch_of(0), param(1))
    assert (one.trouble, two.trouble) == ("disk_full", "waits")
    assert "keep_free_mib = 0" in one.why
    monkeypatch.undo()
    disk.writer.retry()
    disk.write(batch_of(0), param(1), book(1))
    kinds = [Kind(k).name for k in disk.run().entries["kind"]]
    assert kinds == ["START", "BATCH", "PARAM", "END"]


def test_a_full_disk_still_takes_the_gap_and_the_manifest(disk, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda _: 0)
    said = disk.write(start(), gap(0, 9, "disk_full"), book(10))
    assert [one.trouble for one in said] == ["", "", ""]
    assert disk.run().manifest["gaps"] == [[0, 9, "disk_full"]]
    assert disk.run().manifest["state"] == "incomplete"


def test_the_account_of_an_adapter_that_died_is_what_lies_on_disk(disk):
    said = book(6, orphaned="adapter_died")
    said.header["book"]["edges"]["record"] = Account(announced=6, processed=1).to_dict()
    *_, closed = disk.write(start(), batch_of(0), batch_of(1), gap(2, 3), said)
    account = Account.from_dict(closed.answer["account"])
    assert account.closed
    assert account.processed == 2
    assert account.dropped == {"disk_slow": 2}
    assert account.failed == {"adapter_died": 2}
    ledger = disk.run().manifest["ledger"]["edges"]["record"]
    assert ledger == account.to_dict()


def test_what_the_adapter_gave_up_and_is_on_disk_counts_as_recorded(disk):
    """A recorder had written a batch and was killed before it could say so."""
    end = book(2)
    lost = Account(announced=2, processed=1, dropped=Counter(stalled=1))
    end.header["book"]["edges"]["record"] = lost.to_dict()
    *_, closed = disk.write(start(), batch_of(0), batch_of(1), end)
    account = Account.from_dict(closed.answer["account"])
    assert (account.processed, account.dropped) == (2, {})
    assert account.closed
    assert disk.run().gaps == []


def test_the_first_manifest_says_that_it_is_being_recorded(disk):
    disk.write(start())
    found = manifest.read(disk.settings.to / NAME)
    assert found["state"] == "recording"
    assert found["acquisition"]["id"] == NAME
    assert disk.run().growing


def test_an_unexpected_error_is_told_and_tried_again(disk, monkeypatch):
    disk.write(start())
    bad = batch_of(0)
    bad.message = None
    (said,) = disk.write(bad)
    assert said.trouble == "disk_failed"
    assert said.why.startswith("AssertionError")
    disk.writer.retry()
    (said,) = disk.write(batch_of(0))
    assert said.trouble == ""


# -- pace ---------------------------------------------------------------------------


def test_lagging_is_said_early_with_both_rates_and_when_it_ends():
    pace = Pace()
    said = []
    for k in range(30):
        waits = int(30e6 * k / 10)
        backlog = Backlog(waits, 0, 512_000_000)
        said += pace.see(k * SECOND // 10, int(48e6 * k), int(31e6 * k), backlog)
    (words,) = said
    assert pace.lagging
    assert words == (
        "LAGGING: the disk takes 310 MB/s, 480 MB/s come, 33 MB wait, the spool is "
        "full in 3 s"
    )
    backlog = Backlog(0, None, 512_000_000)
    assert "caught up" in pace.see(3 * SECOND, 0, 0, backlog)[0]
    assert not pace.lagging


def test_a_disk_that_keeps_up_is_not_spoken_of():
    pace = Pace()
    backlog = Backlog(10, None, 1000)
    assert [pace.see(k * SECOND, k, k, backlog) for k in range(9)] == [[]] * 9


def test_a_path_out_of_the_folder_cannot_be_an_acquisition():
    for name in ("../x", "a/b", ".hidden", ""):
        with pytest.raises(ValueError, match="an acquisition id"):
            acquisition(name)


def test_frames_that_are_not_consecutive_are_remembered_one_by_one(disk):
    item = batch_of(1, frames=3)
    index = np.array([3, 5, 9])
    parts = [item.message.parts[0], index.tobytes(), item.message.parts[2]]
    item.message = item.message._replace(parts=parts, first=3, last=9)
    item.runs = ((3, 3), (5, 5), (9, 9))
    disk.write(start(), item)
    disk.again()
    assert disk.writer.runs[NAME].frames.runs() == [[3, 3], [5, 5], [9, 9]]
    assert Path(disk.writer.runs[NAME].folder).is_dir()
