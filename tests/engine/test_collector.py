"""What the collector has accepted survives it, bit for bit."""

import errno
import itertools
import json
import os

import numpy as np
import pytest
from tests.engine.parts import LEDGER, collector, part_of, parts_of, shown
from tests.engine.small import acquisition, batch, pipeline

from scopeside.collect import collector as module
from scopeside.collect import files
from scopeside.collect.journal import Journal
from scopeside.wire import Kind, decode_own, encode
from scopeside.work.chain import ChainRun

PIPELINE = pipeline(
    ("free", {"Counts": {}}, {}), ("mixed", {"Counts": {}, "Trail": {}}, {})
)
ORDERED = pipeline(("ordered", {"Trail": {}}, {}))
GROUPS = [[(0, 2), (2, 1)], [(3, 3)], [(6, 1), (7, 2)], [(9, 2)]]
FAILED = {(7, 2)}


def steps_of(name="a"):
    """All that a collector is told during one acquisition, in order."""
    shot = acquisition(name)
    parts = [
        part
        for pair in zip(
            *(parts_of(chain, shot, GROUPS, FAILED) for chain in PIPELINE.chains),
            strict=True,
        )
        for part in pair
    ]
    return [
        lambda it: it.start(shot.to_dict()),
        *(lambda it, part=part: it.absorb(part) for part in parts),
        lambda it: it.close(name, LEDGER),
    ]


STEPS = steps_of()


def seen(it):
    return {
        name: ({c: shown(m) for c, m in held.masters.items()}, held.closed)
        for name, held in it.held.items()
    }


@pytest.fixture
def fds():
    fds = Journal.allocate()
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def expected():
    fds = Journal.allocate()
    it = collector(PIPELINE, fds)
    for step in STEPS:
        step(it)
    for fd in fds:
        os.close(fd)
    return seen(it)


@pytest.mark.parametrize("compact", [1 << 30, 1], ids=["whole", "compacted"])
@pytest.mark.parametrize("died_after", range(len(STEPS) + 1))
def test_a_collector_that_dies_at_any_point_loses_nothing(
    fds, expected, monkeypatch, died_after, compact
):
    monkeypatch.setattr(module, "COMPACT_BYTES", compact)
    first = collector(PIPELINE, fds)
    for step in STEPS[:died_after]:
        step(first)
    second = collector(PIPELINE, fds)
    assert seen(second) == seen(first)
    for step in STEPS[max(0, died_after - 2) :]:  # some of it comes again
        step(second)
    assert seen(second) == expected


def test_compaction_keeps_the_journal_near_the_size_of_the_state(fds, monkeypatch):
    monkeypatch.setattr(module, "COMPACT_BYTES", 1000)
    journal = Journal(fds)
    it = module.Collector(PIPELINE, journal, None)
    shot = acquisition(frames=400)
    it.start(shot.to_dict())
    sizes = []
    for part in parts_of(PIPELINE.chain("mixed"), shot, [[(k, 1)] for k in range(400)]):
        it.absorb(part)
        sizes.append(journal.length)
    assert max(sizes) < 1000 + 4 * 12_000 + 6000
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes))


def test_a_part_that_comes_again_is_acknowledged_and_left_out(fds):
    it = collector(PIPELINE, fds)
    STEPS[0](it)
    assert STEPS[1](it) is True
    merged, length = it.merged_frames, it._journal.length
    assert STEPS[1](it) is True
    assert (it.merged_frames, it._journal.length) == (merged, length)


def test_a_part_of_a_closed_acquisition_is_not_acknowledged(fds):
    it = collector(PIPELINE, fds)
    for step in STEPS:
        step(it)
    assert STEPS[1](it) is False


def test_a_part_of_an_unknown_acquisition_is_not_acknowledged(fds):
    assert STEPS[1](collector(PIPELINE, fds)) is False


def test_closing_again_gives_the_same_answer_and_writes_nothing(fds, tmp_path):
    it = collector(PIPELINE, fds, tmp_path)
    answers = [step(it) for step in STEPS]
    for path in tmp_path.iterdir():
        path.unlink()
    assert STEPS[-1](it) == answers[-1]
    assert STEPS[-1](collector(PIPELINE, fds, tmp_path)) == answers[-1]
    assert list(tmp_path.iterdir()) == []


def test_two_closed_acquisitions_are_kept_and_no_more(fds):
    it = collector(PIPELINE, fds)
    for name in "abcd":
        for step in steps_of(name):
            step(it)
    assert list(it.held) == ["c", "d"]
    assert list(collector(PIPELINE, fds).held) == ["c", "d"]


def test_the_account_says_what_is_merged_of_each_chain(fds):
    it = collector(PIPELINE, fds)
    for step in STEPS[:3]:
        step(it)
    assert it.account() == {
        "a": {chain: {"merged": [[0, 2]], "failed": {}} for chain in ("free", "mixed")}
    }


def test_an_ordered_chain_gets_its_state_back(fds):
    it = collector(PIPELINE, fds)
    for step in STEPS[:3]:
        step(it)
    assert list(it.state_for("a", "mixed")) == ["trail"]
    assert it.state_for("a", "free") == {}


def test_a_part_may_say_something_for_every_one_of_its_frames(fds):
    shot = acquisition(frames=2000)
    it = collector(PIPELINE, fds)
    it.start(shot.to_dict())
    (part,) = parts_of(PIPELINE.chain("mixed"), shot, [[(0, 2000)]])
    assert len(part.payload) > 1024
    assert it.absorb(part)
    assert seen(collector(PIPELINE, fds)) == seen(it)


# -- files ---------------------------------------------------------------------


def test_results_are_written_with_data_mask_and_meta(fds, tmp_path):
    it = collector(PIPELINE, fds, tmp_path)
    closed = [step(it) for step in STEPS][-1]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.npz" for name in closed["results"]
    }
    with np.load(tmp_path / "free.counts.counts.npz", allow_pickle=False) as kept:
        meta = json.loads(str(kept["meta"]))
        assert kept["data"][:3].tolist() == [0, 6, 12]
        assert np.flatnonzero(~kept["mask"]).tolist() == [7, 8, 11]
    assert meta["acquisition"]["id"] == "a"
    assert (meta["chain"], meta["processor"], meta["state"]) == (
        "free",
        "counts",
        "complete",
    )
    assert meta["frames"] == [-1, -1, 9, 12]


def test_a_number_is_written_as_json(fds, tmp_path):
    it = collector(PIPELINE, fds, tmp_path)
    for step in STEPS:
        step(it)
    with np.load(tmp_path / "free.counts.total.npz", allow_pickle=False) as kept:
        assert json.loads(str(kept["data"])) == 6 * sum({*range(11)} - {7, 8})


def full_disk(file, **arrays):
    file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_reported_and_loses_nothing(
    fds, tmp_path, monkeypatch, expected
):
    (tmp_path / "free.counts.counts.npz").write_bytes(b"of the last acquisition")
    monkeypatch.setattr(files.np, "savez", full_disk)
    it = collector(PIPELINE, fds, tmp_path)
    closed = [step(it) for step in STEPS][-1]
    assert closed["results"] == expected["a"][1]["results"]
    assert len(closed["problems"]) == len(closed["results"])
    assert "free.counts.counts could not be written" in closed["problems"][0]
    assert "No space left on device" in closed["problems"][0]
    assert [path.name for path in tmp_path.iterdir()] == ["free.counts.counts.npz"]
    assert (
        tmp_path / "free.counts.counts.npz"
    ).read_bytes() == b"of the last acquisition"


def test_a_folder_that_cannot_be_made_is_reported(fds, tmp_path):
    (tmp_path / "file").write_text("in the way")
    it = collector(PIPELINE, fds, tmp_path / "file")
    closed = [step(it) for step in STEPS][-1]
    assert all("could not be written" in problem for problem in closed["problems"])
    assert closed["problems"]


def told_and_parts(chain, shot):
    """What a worker with much state sends: results of each group, then the state."""
    run = ChainRun(chain, shot, "cpu")
    for number, group in enumerate(GROUPS, 1):
        for first, n in group:
            run.process(batch(first, n))
        said = run.said()
        header = {
            "acq": shot.id, "chain": chain.name, "worker": "w", "held": {},
            "number": 2 * number, "runs": [[f, f + n - 1] for f, n in group],
            "ages": [[n, 0] for _, n in group], "t_ns": group[-1][0],
            "said": [[one.step, one.header, len(one.payload)] for one in said],
        }  # fmt: skip
        arrays = [array for one in said for array in one.payload]
        yield "hear", decode_own(encode(Kind.SAID, header, arrays))
        part = part_of(run, chain.name, shot.id, 2 * number + 1, [])
        part.header["runs"] = header["runs"]
        yield "absorb", part


@pytest.mark.parametrize("died_after", range(2 * len(GROUPS) + 1))
def test_results_that_came_before_their_state_survive_too(fds, died_after):
    shot = acquisition()
    steps = [
        lambda it, name=name, message=message: getattr(it, name)(message)
        for name, message in told_and_parts(ORDERED.chains[0], shot)
    ]
    first = collector(ORDERED, fds)
    first.start(shot.to_dict())
    for step in steps[:died_after]:
        step(first)
    second = collector(ORDERED, fds)
    assert seen(second) == seen(first)
    for step in steps[max(0, died_after - 2) :]:
        step(second)
    (_, trail) = second.held[shot.id].masters["ordered"]._said.popitem()
    assert trail.frame == GROUPS[-1][-1][0] + GROUPS[-1][-1][1] - 1
