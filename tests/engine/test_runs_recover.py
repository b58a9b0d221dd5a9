"""A run survives whatever is done to its files, as far as they are good."""

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_runs import Recording, batch, frames_of, movie

import scopeside
from scopeside.errors import RunError
from scopeside.runs import manifest
from scopeside.runs.mending import plan
from scopeside.runs.recover import recover
from scopeside.runs.verify import damages
from scopeside.runs.writer import RunWriter

SEGMENT = 1600
"""So small that the run has several."""


def killed(folder, segment=SEGMENT):
    run = Recording(folder, movie(), segment).add(batch(0, 1), batch(2)).lose(3, 3)
    return run.add(batch(4, 5), batch(6)).kill()


def closed(folder, segment=SEGMENT):
    run = Recording(folder, movie(), segment).add(batch(0, 1), batch(2)).lose(3, 3)
    return run.add(batch(4, 5), batch(6)).close()


@pytest.fixture(scope="module")
def a_killed_run(tmp_path_factory):
    return killed(tmp_path_factory.mktemp("killed") / "m1")


@pytest.fixture(scope="module")
def a_closed_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("closed") / "m1"
    run = Recording(folder, movie(), SEGMENT).add(batch(0, 1), batch(2)).lose(3, 3)
    run.add(batch(4, 5), batch(6))
    (folder / "results").mkdir()
    np.savez(folder / "results" / "a.b.c.npz", data=np.arange(3))
    (folder / "audit.jsonl").write_text('{"n":1}\n')
    return run.close()


def sound(folder):
    return not list(damages(folder))


def assert_frames_are_right(run):
    """Whatever is there is as it was written."""
    for first, last in run.present():
        np.testing.assert_array_equal(
            run[first : last + 1], frames_of(range(first, last + 1))
        )


def test_a_killed_run_is_restored_whole(tmp_path):
    folder = killed(tmp_path / "m1")
    done = recover(folder)
    assert done.frames == 6
    assert done.records == 6
    with scopeside.open_run(folder) as run:
        assert run.manifest["state"] == "recovered"
        assert run.manifest["frames"]["runs"] == [[0, 2], [4, 6]]
        assert run.manifest["gaps"] == [[3, 3, "disk_slow"]]
        assert "ledger" not in run.manifest
        assert_frames_are_right(run)
    assert sound(folder)


def test_a_run_that_was_recovered_is_closed_and_left_as_it_is(tmp_path):
    folder = killed(tmp_path / "m1")
    recover(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = recover(folder)
    assert done.notes == ["it was closed and is whole; nothing was to be done"]
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_opening_writes_nothing(tmp_path):
    folder = killed(tmp_path / "m1")
    (folder / "index.bin").unlink()
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with scopeside.open_run(folder) as run:
        assert run.frames == 6
        assert run.growing
        assert_frames_are_right(run)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_run_that_is_being_written_is_not_touched(tmp_path):
    run = Recording(tmp_path / "m1", movie()).add(batch(0))
    with pytest.raises(RunError, match="is being written by another process"):
        recover(tmp_path / "m1")
    with pytest.raises(RunError, match="is being written by another process"):
        RunWriter.resume(tmp_path / "m1")
    run.add(batch(1)).close()
    assert sound(tmp_path / "m1")


def test_a_run_that_is_being_written_is_verified_as_far_as_it_goes(tmp_path):
    run = Recording(tmp_path / "m1", movie()).add(batch(0), batch(1))
    assert sound(tmp_path / "m1")
    run.kill()
    assert ["never closed" in one.why for one in damages(tmp_path / "m1")] == [True]


def ends_in(folder):
    """Return the last segment, and where records end in it and before it."""
    with scopeside.open_run(folder) as run:
        entries = run.entries
    last = int(entries["segment"][-1])
    mine = entries[entries["segment"] == last]
    ends = (mine["offset"] + mine["size"]).tolist()
    return folder / f"{last:06d}.seg", ends, len(entries) - len(mine)


def test_cut_at_every_byte_all_before_the_cut_is_found(a_killed_run, tmp_path):
    folder = tmp_path / "m1"
    shutil.copytree(a_killed_run, folder)
    path, ends, before = ends_in(folder)
    for length in range(max(ends) + 1, -1, -1):
        os.truncate(path, length)
        assert plan(folder).records == before + sum(end <= length for end in ends)


def test_cut_anywhere_all_before_the_cut_is_restored(a_killed_run, tmp_path):
    path, ends, before = ends_in(a_killed_run)
    near = [end + step for end in (0, 64, *ends) for step in (-1, 0, 1)]
    for length in sorted({0, *near, *range(70, max(ends), 331)} - {-1}):
        folder = tmp_path / str(length)
        shutil.copytree(a_killed_run, folder)
        os.truncate(folder / path.name, length)
        done = recover(folder)
        assert done.records == before + sum(end <= length for end in ends)
        with scopeside.open_run(folder) as run:
            assert_frames_are_right(run)
        assert sound(folder)


@pytest.mark.parametrize("name", ["manifest.json", "index.bin"])
def test_a_torn_index_or_manifest_costs_no_frame(a_killed_run, tmp_path, name):
    size = (a_killed_run / name).stat().st_size
    for length in range(0, size, 41):
        folder = tmp_path / str(length)
        shutil.copytree(a_killed_run, folder)
        with (folder / name).open("r+b") as file:
            file.truncate(length)
        assert recover(folder).frames == 6
        assert sound(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["manifest.json", "index.bin"])
def test_a_missing_index_or_manifest_costs_no_frame(tmp_path, name):
    folder = killed(tmp_path / "m1")
    (folder / name).unlink()
    assert recover(folder).frames == 6
    assert sound(folder)


def test_a_damaged_manifest_is_kept_beside_the_new_one(tmp_path):
    folder = closed(tmp_path / "m1")
    data = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(data.replace(b'"m1"', b'"m2"'))
    with pytest.raises(RunError, match=r"it was changed.*scopeside runs recover"):
        scopeside.open_run(folder)
    assert recover(folder).frames == 6
    assert (folder / "manifest.json.damaged").exists()
    assert scopeside.open_run(folder).acquisition.id == "m1"
    assert sound(folder)


def test_without_manifest_and_first_record_the_frames_say_what_they_are(tmp_path):
    folder = killed(tmp_path / "m1")
    (folder / "manifest.json").unlink()
    with (folder / "000000.seg").open("r+b") as file:
        file.seek(80)
        file.write(b"\xff")
    done = recover(folder)
    assert done.frames == 6
    run = scopeside.open_run(folder)
    assert (run.acquisition.id, run.acquisition.frame_shape) == ("m1", (4, 6))
    assert sound(folder)


def test_where_nothing_says_what_was_recorded_nothing_is_touched(tmp_path):
    folder = tmp_path / "m1"
    folder.mkdir()
    (folder / "000000.seg").write_bytes(b"garbage" * 100)
    with pytest.raises(RunError, match="nobody knows what was recorded"):
        recover(folder)
    assert (folder / "000000.seg").read_bytes() == b"garbage" * 100
    with pytest.raises(RunError, match="is no recorded run"):
        recover(tmp_path)


def test_a_segment_that_was_just_begun_goes(tmp_path):
    folder = killed(tmp_path / "m1")
    number = len(list(folder.glob("*.seg")))
    (folder / f"{number:06d}.seg").write_bytes(bytes(64))
    assert recover(folder).frames == 6
    assert not (folder / f"{number:06d}.seg").exists()
    assert sound(folder)


def test_garbage_behind_the_last_record_is_cut_off(tmp_path):
    folder = killed(tmp_path / "m1", 1 << 16)
    with scopeside.open_run(folder) as run:
        end = int(run.entries["offset"][-1] + run.entries["size"][-1])
    with (folder / "000000.seg").open("r+b") as file:
        file.seek(end + 640)
        file.write(b"\x01" * 100)
    done = recover(folder)
    assert done.cut_bytes == (1 << 16) - end
    assert done.frames == 6
    assert (folder / "000000.seg").stat().st_size == end
    assert sound(folder)


@pytest.mark.parametrize("where", ["head", "body"])
@pytest.mark.parametrize("index", [True, False])
def test_a_damaged_record_becomes_a_gap_and_those_behind_it_stay(
    tmp_path, where, index
):
    folder = killed(tmp_path / "m1", 1 << 16)
    with scopeside.open_run(folder) as run:
        entry = run.batch_entries[1]
    with (folder / "000000.seg").open("r+b") as file:
        file.seek(int(entry["offset"]) + (10 if where == "head" else 200))
        file.write(b"\xff\xfe")
    if not index:
        (folder / "index.bin").unlink()
    done = recover(folder)
    assert done.frames == 5
    assert any("is a gap now" in note for note in done.notes)
    with scopeside.open_run(folder) as run:
        assert run.absent() == [(2, 3)]
        assert [gap[2] for gap in run.gaps][-1] == "disk_slow"
        assert (run.gaps[0] == (2, 2, "damaged")) == index
        assert_frames_are_right(run)
    assert sound(folder)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_is_overwritten_no_wrong_frame_comes_back(
    a_killed_run, tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("hurt") / "m1"
    shutil.copytree(a_killed_run, folder)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(sorted(folder.glob("[0-9i]*"))))
        at = data.draw(st.integers(0, path.stat().st_size - 1))
        size = data.draw(st.sampled_from([1, 8, 64, 300]))
        junk = data.draw(st.sampled_from([b"\x00", b"\xff", b"SREC"]))
        with path.open("r+b") as file:
            file.seek(at)
            file.write((junk * size)[:size])
    try:
        recover(folder)
    except RunError:
        return
    with scopeside.open_run(folder) as run:
        assert_frames_are_right(run)
    assert sound(folder)


# -- verify ---------------------------------------------------------------------------


def test_a_closed_run_is_sound(a_closed_run):
    assert sound(a_closed_run)


def test_whichever_byte_is_changed_it_is_found(tmp_path):
    folder = tmp_path / "m1"
    run = Recording(folder, movie(), SEGMENT).add(batch(0))
    (folder / "results").mkdir()
    np.savez(folder / "results" / "a.b.c.npz", data=np.arange(3, dtype="u1"))
    (folder / "audit.jsonl").write_text('{"n":1}\n')
    run.close()
    missed = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        with path.open("r+b", buffering=0) as file:
            for at, byte in enumerate(whole):
                # Each byte in turn, and another bit of it each time.
                os.pwrite(file.fileno(), bytes((byte ^ 1 << at % 8,)), at)
                found = next(iter(damages(folder)), None)
                if found is None or found.file != path:
                    missed.append((path.name, at, str(found)))
                os.pwrite(file.fileno(), bytes((byte,)), at)
    assert missed == []
    assert sound(folder)


def test_the_damage_is_named_with_record_offset_and_frames(a_closed_run, tmp_path):
    folder = tmp_path / "m1"
    shutil.copytree(a_closed_run, folder)
    with scopeside.open_run(folder) as run:
        entry = run.batch_entries[2]
    path = folder / f"{int(entry['segment']):06d}.seg"
    data = bytearray(path.read_bytes())
    data[int(entry["offset"]) + 300] ^= 1
    path.write_bytes(data)
    (found,) = damages(folder)
    assert (found.record, found.offset) == (entry["record"], entry["offset"])
    assert (found.first, found.last) == (4, 5)
    assert "(frames 4 to 5): record 4 is damaged: its digest is" in str(found)
    with scopeside.open_run(folder) as run, pytest.raises(RunError, match="damaged"):
        run[4]


@pytest.mark.parametrize("name", ["index.bin", "000000.seg", "results/a.b.c.npz"])
def test_a_missing_file_is_found(a_closed_run, tmp_path, name):
    folder = tmp_path / "m1"
    shutil.copytree(a_closed_run, folder)
    (folder / name).unlink()
    assert folder / name in [found.file for found in damages(folder)]


def test_a_foreign_file_is_found(a_closed_run, tmp_path):
    folder = tmp_path / "m1"
    shutil.copytree(a_closed_run, folder)
    (folder / "results" / "x.y.z.npz").write_bytes(b"")
    (folder / "000009.seg").write_bytes(b"")
    found = {damage.file.name for damage in damages(folder)}
    assert {"x.y.z.npz", "000009.seg"} <= found


def test_records_that_were_exchanged_for_good_ones_are_found(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    Recording(one, movie()).add(batch(0), batch(1)).close()
    Recording(other, movie()).add(batch(0), batch(2)).close()
    shutil.copy(other / "000000.seg", one / "000000.seg")
    whys = [damage.why for damage in damages(one)]
    assert any(why.startswith("seal: the manifest says") for why in whys)


def test_the_index_of_a_closed_run_is_made_anew(a_closed_run, tmp_path):
    folder = tmp_path / "m1"
    shutil.copytree(a_closed_run, folder)
    index = (folder / "index.bin").read_bytes()
    (folder / "index.bin").write_bytes(b"\x00" * 100)
    assert recover(folder).notes == ["the index was made anew from the segments"]
    assert (folder / "index.bin").read_bytes() == index
    assert sound(folder)


def test_a_part_of_a_closed_run_is_never_given_out_as_the_whole(a_closed_run, tmp_path):
    folder = tmp_path / "m1"
    shutil.copytree(a_closed_run, folder)
    (folder / "index.bin").unlink()
    with scopeside.open_run(folder) as run:
        assert run.frames == 6
    (folder / f"{len(list(folder.glob('*.seg'))) - 1:06d}.seg").unlink()
    with pytest.raises(RunError, match=r"has 7 records, and only \d can be found"):
        scopeside.open_run(folder)


def test_a_segment_that_is_just_being_made_is_empty(tmp_path):
    run = Recording(tmp_path / "m1", movie()).add(batch(0))
    (tmp_path / "m1" / "000001.seg").write_bytes(bytes(4096))
    with scopeside.open_run(tmp_path / "m1") as opened:
        assert opened.frames == 1
        assert opened.verify() == []
    run.kill()


def test_a_closed_run_with_a_damaged_record_is_not_cut(a_closed_run, tmp_path):
    folder = tmp_path / "m1"
    shutil.copytree(a_closed_run, folder)
    data = bytearray((folder / "000000.seg").read_bytes())
    data[-300] ^= 1
    (folder / "000000.seg").write_bytes(data)
    with pytest.raises(RunError, match=r"was closed, and|are left"):
        recover(folder)
    assert (folder / "000000.seg").read_bytes() == data


def test_a_manifest_says_the_same_after_it_was_read(tmp_path):
    folder = closed(tmp_path / "m1")
    data = (folder / "manifest.json").read_bytes()
    assert manifest.to_bytes(manifest.from_bytes(data)) == data
    assert "digest" in json.loads(data)
