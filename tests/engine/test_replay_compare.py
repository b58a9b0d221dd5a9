"""A replay is held against its recording: what is the same, what is not, and why."""

import json

import numpy as np
import pytest
from tests.adapters.replay.recording import Recording

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.control.audit_form import Head, written
from scopeside.ledger import FrameRanges
from scopeside.replay import decisions
from scopeside.replay.held_against import Line, doubts_of, held_against
from scopeside.replay.values import difference_of, first_difference
from scopeside.replay.verify import compare, damage_in, software_hints
from scopeside.runs import manifest
from scopeside.runs.run import Run

# -- results ------------------------------------------------------------------------


def test_each_result_of_either_gets_a_line():
    recorded = {"a.x.sum": "1", "a.x.max": "2", "b.y.sum": "3", "a.x.gone": "4"}
    found = {"a.x.sum": "1", "a.x.max": "9", "b.y.sum": "3", "a.x.new": "5"}
    lines = held_against(recorded, found, {"b": "a gap"})
    assert [(line.name, line.verdict) for line in lines] == [
        ("a.x.sum", "same"),
        ("a.x.max", "different"),
        ("b.y.sum", "not comparable"),
        ("a.x.gone", "different"),
        ("a.x.new", "different"),
    ]
    assert lines[1].why == "its digest was 2 and is 9"
    assert lines[2].why == "a gap"


def doubts(recorded, **said):
    return doubts_of(said, FrameRanges(recorded), ["a", "b"])


def test_a_chain_whose_frames_are_all_there_is_in_no_doubt():
    found = doubts([(0, 9)], processed={"a": [[0, 9]], "b": [[0, 3], [6, 9]]})
    assert found == {}


def test_results_that_stand_on_frames_that_are_not_there_are_named():
    found = doubts([(0, 3), (6, 9)], processed={"a": [[0, 9]], "b": [[0, 3]]})
    assert found.keys() == {"a", "channels"}
    assert found["a"].endswith("not in the recording: 4 to 5")


def test_of_many_gaps_only_the_first_are_named():
    there = [(k, k) for k in range(0, 20, 2)]
    found = doubts(there, processed={"a": [[0, 9]], "b": []})
    assert found["a"].endswith("1 to 1, 3 to 3, 5 to 5 and 2 more runs")


def test_without_a_word_on_what_was_processed_nothing_is_certain():
    assert doubts([(0, 9)]).keys() == {"a", "b", "channels"}


def test_samples_that_were_joined_to_frames_that_failed_are_not_certain():
    said = {"processed": {"a": [[0, 3]], "b": [[0, 3]]}}
    failed = {"a": {"ValueError": [[4, 5]]}}
    assert doubts([(0, 9)], **said, failed=failed).keys() == {"channels"}
    elsewhere = {"processed": {"a": [[0, 3]], "b": [[0, 9]]}}
    assert doubts([(0, 9)], **elsewhere, failed=failed) == {}


# -- values -------------------------------------------------------------------------


def saved(path, **arrays):
    np.savez(path, meta="{}", **arrays)
    return path


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3), ""),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), ""),
        (
            np.zeros((2, 3)),
            np.array([[0, 0, 0], [0, 2.5, 7]]),
            "data[1, 1] was 0.0 and is 2.5; 2 of 6 values differ, by 7 at most",
        ),
        (np.zeros(2), np.zeros(3), "data was (2,) float64 and is (3,) float64"),
        (np.zeros(2, "u1"), np.zeros(2, "i1"), "data was (2,) uint8 and is (2,) int8"),
        (np.array(3), np.array(4), "data was 3 and is 4; 1 of 1 values differ, by 1"),
        (
            np.array(json.dumps({"x": [1, 2], "y": 0})),
            np.array(json.dumps({"x": [1, 3], "y": 0})),
            "x[1] was 2 and is 3",
        ),
        (np.array("null"), np.array("null"), ""),
    ],
)
def test_the_first_value_that_differs_is_named(tmp_path, before, now, said):
    found = first_difference(
        saved(tmp_path / "a.npz", data=before), saved(tmp_path / "b.npz", data=now)
    )
    assert found == said or (said and found.startswith(said))


def test_masks_are_compared_as_well(tmp_path):
    data, mask = np.zeros(2), np.array([True, False])
    one = saved(tmp_path / "a.npz", data=data, mask=mask)
    other = saved(tmp_path / "b.npz", data=data, mask=~mask)
    none = saved(tmp_path / "c.npz", data=data)
    assert first_difference(one, other).startswith("mask[0] was True and is False")
    assert first_difference(one, none) == "only the recorded one has a mask"
    assert first_difference(none, one) == "only the new one has a mask"


def test_values_that_are_gone_or_no_file_are_told(tmp_path):
    good, bad = saved(tmp_path / "a.npz", data=np.zeros(2)), tmp_path / "b.npz"
    assert "are not there to be compared" in first_difference(bad, good)
    bad.write_bytes(b"PK no")
    assert "cannot be compared" in first_difference(bad, good)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, ""),
        ({"a": {"b": 1}}, {"a": {"b": 1.0}}, "a.b was 1 and is 1.0"),
        ({"a": 1}, {}, "a was 1 and is not there"),
        ({}, {"a": 1}, "a was not there and is 1"),
        ([1, 2], [1, 2, 3], "it had 2 entries and has 3"),
    ],
)
def test_plain_values_are_compared_key_by_key(before, now, said):
    assert difference_of(before, now) == said


# -- decisions ----------------------------------------------------------------------


def decision(k, epoch=1, acquisition="a", **more):
    evidence = {"acquisition": acquisition, "epoch": epoch, "frame": k}
    return {"proposal": {"id": f"a/r/{k}", "evidence": evidence}, "verdict": k, **more}


def log(path, *bodies, after=None):
    head = after or Head()
    with path.open("wb") as file:
        for kind, body in bodies:
            line, head = written(kind, body, 7, head)
            file.write(line)
    return path


def test_the_decisions_of_an_acquisition_are_found_in_a_part_of_a_log(tmp_path):
    path = log(
        tmp_path / "audit.jsonl",
        ("event", {"what": "started"}),
        ("proposal", {"decision": decision(1)}),
        ("proposal", {"decision": decision(2, acquisition="b")}),
        ("answer", {"id": "a/r/1"}),
        ("proposal", {"decision": decision(3)}),
        after=Head(41, "ab" * 32),
    )
    assert decisions.decisions_in(path, "a") == [decision(1), decision(3)]
    assert decisions.faults_in(path) == []
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"verdict":3', b'"verdict":4'))
    (fault,) = decisions.faults_in(path)
    assert (fault.line, fault.n) == (5, 46)


def test_the_same_decisions_are_the_same_whatever_process_made_them():
    found = decisions.compare([decision(1, epoch=3)], [decision(1)])
    assert found == Line("decisions", "same", "1 decisions, byte for byte")


def test_the_first_decision_that_differs_is_named():
    found = decisions.compare([decision(1), decision(2)], [decision(1), decision(9)])
    assert found.verdict == "different"
    assert found.why == "a/r/2: proposal.id was 'a/r/2' and is 'a/r/9'"


def test_a_decision_that_is_missing_is_told():
    found = decisions.compare([decision(1), decision(2)], [decision(1)])
    assert found.verdict == "different"
    assert found.why == "there were 2, and only the first 1 are made again"


def test_decisions_that_came_after_the_end_of_the_recording_are_told():
    found = decisions.compare([decision(1)], [decision(1), decision(2)])
    assert found.verdict == "same"
    assert found.why.endswith("1 more came after the recording was closed")


def test_an_instrument_that_was_never_moved_can_be_put_on_paper():
    state = {"defocus_m": 1.0}
    still = [decision(k, readback=state) for k in range(3)]
    assert decisions.constant_state(still) == state
    moved = [*still, decision(4, readback={"defocus_m": 2.0})]
    assert decisions.constant_state(moved) is None
    assert decisions.constant_state([decision(1, readback=None)]) is None
    assert decisions.constant_state([]) is None


# -- the whole ----------------------------------------------------------------------

T0 = 1_700_000_000_000_000_000
ENDED = {"state": "complete", "reason": "", "ingest": {"received": 6}}


@pytest.fixture
def recorded(tmp_path):
    def record(control=None, **more):
        acquisition = Acquisition("a", (4, 6), np.dtype("<u2"), frames=6)
        recording = Recording(tmp_path / "a", acquisition)
        for first in (0, 3):
            index = np.arange(first, first + 3)
            pixels = np.full((3, 4, 6), first, "<u2")
            recording.batch(Batch(pixels, index, T0 + index))
        pipeline = {
            "chain": [{"name": "c"}],
            **({"control": control} if control else {}),
        }
        said = {
            "results": {"c.sum.sum": "1"},
            "processed": {"c": [[0, 5]]},
            "ledger": ENDED,
            "software": manifest.software(),
            "pipeline": pipeline,
            **more,
        }
        return Run(recording.end(6, **said))

    return record


def report(**results):
    book = {**ENDED, "results": {"c.sum.sum": "1", **results}}
    return {"acquisitions": {"a": book}, "exit": {"reason": "complete"}}


def test_a_recording_that_comes_out_the_same_is_identical(tmp_path, recorded):
    with recorded() as run:
        assert damage_in(run) == []
        done = compare(run, report(), tmp_path / "results", tmp_path / "no.jsonl")
    assert done.first == ""
    assert done.to_dict()["identical"]
    assert [line.name for line in done.lines] == ["end", "c.sum.sum"]


def test_a_digest_that_was_changed_in_the_manifest_is_not_taken_for_the_values(
    tmp_path, recorded
):
    with recorded(results={"c.sum.sum": "2"}) as run:
        for folder in (run.folder / "results", tmp_path / "results"):
            folder.mkdir()
            saved(folder / "c.sum.sum.npz", data=np.zeros(3))
        done = compare(run, report(), tmp_path / "results", tmp_path / "no.jsonl")
    assert done.first == (
        "c.sum.sum: its digest was 2 and is 1; the recorded values are the same as "
        "now, so it is the digest in the manifest that was changed"
    )


def test_a_replay_that_ended_early_is_no_verification(tmp_path, recorded):
    early = {"acquisitions": {}, "exit": {"reason": "stopped by Ctrl-C"}}
    with recorded() as run:
        done = compare(run, early, tmp_path, tmp_path)
    assert "stopped by Ctrl-C" in done.first


def test_another_end_is_a_difference(tmp_path, recorded):
    with recorded(ledger={**ENDED, "state": "failed"}) as run:
        done = compare(run, report(), tmp_path, tmp_path)
    assert done.first == "end: it was 'failed' and is 'complete': "


def test_a_run_that_was_never_closed_cannot_be_verified(tmp_path, recorded):
    with recorded(ledger={}, state="recovered") as run:
        done = compare(run, report(), tmp_path, tmp_path)
    assert done.first == "end: the recording was not closed (state 'recovered')"


def test_decisions_by_the_clock_of_the_day_are_counted_and_not_compared(
    tmp_path, recorded
):
    with recorded(control={"mode": "observe"}) as run:
        log(run.folder / "audit.jsonl", ("proposal", {"decision": decision(1)}))
        own = log(tmp_path / "own.jsonl")
        done = compare(run, report(), tmp_path, own)
    assert done.lines[-1] == Line(
        "decisions",
        "not compared",
        "1 were made by the clock of the day (control.clock)",
    )
    assert done.first == ""


def test_decisions_by_the_clock_of_the_frames_are_compared(tmp_path, recorded):
    with recorded(control={"clock": "frames"}) as run:
        log(run.folder / "audit.jsonl", ("proposal", {"decision": decision(1)}))
        own = log(tmp_path / "own.jsonl", ("proposal", {"decision": decision(2)}))
        done = compare(run, report(), tmp_path, own)
    assert done.first.startswith("decisions: a/r/1: ")


def test_every_byte_of_a_batch_that_is_changed_is_found(recorded):
    with recorded() as run:
        entry = run.batch_entries[1]
        begins, ends = int(entry["offset"]), int(entry["offset"] + entry["size"])
        path = run.folder / "000000.seg"
    sound = path.read_bytes()
    for at in range(begins, ends, 7):
        damaged = bytearray(sound)
        damaged[at] ^= 0x10
        path.write_bytes(damaged)
        with Run(run.folder) as again:
            damage, *_ = damage_in(again)
        assert "000000.seg, record 2" in damage, at
        assert " 3 to 5)" in damage, at


def test_a_segment_that_is_gone_is_damage(recorded):
    with recorded() as run:
        folder = run.folder
    (folder / "000000.seg").unlink()
    with Run(folder) as run:
        found = damage_in(run)
    assert f"{folder}/000000.seg: it is missing" in found


def test_versions_that_are_not_those_of_the_recording_are_told():
    now = manifest.software()
    assert software_hints({"software": now}) == []
    assert software_hints({}) == []
    older = {**now, "numpy": "1.0"}
    assert software_hints({"software": older}) == [
        f"numpy was 1.0 and is {now['numpy']}"
    ]
