"""The command that replays says what cannot be, before any process is started."""

import json

import numpy as np
import pytest
from tests.adapters.replay.recording import Recording
from tests.system.plugins import lines

from scopeside.acquisition import Acquisition
from scopeside.batch import Batch
from scopeside.cli.replaying import Wanted, replay_command, table
from scopeside.errors import ConfigError, RunError
from scopeside.replay.held_against import Line
from scopeside.replay.verify import Verification
from scopeside.runs import manifest
from scopeside.supervise.session import Options

CHAIN = {"name": "c", "processor": [{"kind": "sum"}]}
RAW = {"detector": {"kind": "simulator"}, "slab": {"mib": 16}, "chain": [CHAIN]}


@pytest.fixture
def run(tmp_path):
    acquisition = Acquisition("a", (4, 6), np.dtype("<u2"), frames=3)
    recording = Recording(tmp_path / "a", acquisition)
    index = np.arange(3)
    recording.batch(Batch(np.ones((3, 4, 6), "<u2"), index, index))
    return recording.end(3, pipeline=RAW, pipeline_folder=str(tmp_path))


def asked(run, report=None, **more):
    nothing = dict.fromkeys(("pipeline", "pace", "since", "until"))
    wanted = {**nothing, "verify": False, "headless": True, **more}
    return replay_command(Wanted(run, **wanted), Options(report=report))


def pipeline(folder, **control):
    path = folder / "p.toml"
    path.write_text(lines(**RAW, control=control))
    return path


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"verify": True, "since": "3"}, "--verify: the results stand on all frames"),
        ({"verify": True, "until": "3"}, "--verify: the results stand on all frames"),
        ({"since": "soon"}, "found 'soon'; expected seconds from the beginning"),
        ({"since": "nan"}, "found 'nan'; expected 0 or more seconds"),
        ({"until": "event:x"}, "found 'event:x'; expected"),
        ({"pace": "slow"}, "detector.pace: found 'slow'; expected 'max', 'real'"),
        ({"since": "9"}, "no frame lies between 9.0 and the end"),
    ],
)
def test_what_cannot_be_is_told(run, more, why):
    with pytest.raises(ConfigError, match=why):
        asked(run, **more)


def test_another_pipeline_has_nothing_to_be_verified_against(run, tmp_path):
    path = pipeline(tmp_path, mode="observe", audit="a.jsonl")
    with pytest.raises(ConfigError, match="leave out --pipeline"):
        asked(run, pipeline=path, verify=True)


def test_another_pipeline_that_could_act_is_refused(run, tmp_path):
    adapter = {"kind": "paper"}
    path = pipeline(tmp_path, mode="armed", audit="a.jsonl", adapter=adapter)
    with pytest.raises(ConfigError, match=r"control\.mode: found .armed."):
        asked(run, pipeline=path)


def test_what_is_no_recording_is_told(tmp_path):
    with pytest.raises(RunError, match="is no recorded run"):
        asked(tmp_path)


def test_a_run_that_still_grows_cannot_be_verified_yet(run):
    manifest.write(run, {**manifest.read(run), "state": "recording"})
    with pytest.raises(RunError, match="is being recorded, or its recorder was killed"):
        asked(run, verify=True)


def test_a_recording_that_is_damaged_is_not_played_to_be_verified(run, capsys):
    segment = run / "000000.seg"
    data = bytearray(segment.read_bytes())
    data[data.index(np.ones((3, 4, 6), "<u2").tobytes())] ^= 1
    segment.write_bytes(data)
    report = run.parent / "r.json"
    assert asked(run, report, verify=True) == 1
    found = json.loads(report.read_text())
    assert not found["replay"]["identical"]
    assert " 0 to 2)" in found["exit"]["reason"]
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith(f"not identical: {segment}, record 1 at byte")
    assert " 0 to 2)" in last


def test_the_table_has_a_row_for_each_line():
    found = table(Verification([], [Line("a", "same"), Line("b", "different", "[x]")]))
    assert found.row_count == 2
