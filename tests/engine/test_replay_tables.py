"""The pipeline of a replay: the recorded one, without a way to any microscope."""

import copy

import pytest

from scopeside.errors import ConfigError, RunError
from scopeside.pipeline import Pipeline
from scopeside.replay.tables import (
    Asked,
    recorded_tables,
    refuse_to_command,
    replay_tables,
)

CHAIN = {"name": "c", "edge": "sample:3", "processor": [{"kind": "sum"}]}
RAW = {
    "detector": {"kind": "simulator", "fps": 3.0},
    "acquisition": {"scan": [4, 4], "line_pause_ms": 2.0, "calibration": {"a_m": 1.0}},
    "record": {"to": "runs"},
    "results": {"port": 8766},
    "slab": {"mib": 8, "batch_kib": 64},
    "chain": [CHAIN],
}


def made(folder, raw, state=None, **asked):
    return replay_tables(
        raw, Asked(folder / "run", **asked), audit=folder / "own.jsonl", state=state
    )


def test_the_detector_is_the_recording_and_nothing_is_recorded_again(tmp_path):
    before = copy.deepcopy(RAW)
    raw = made(tmp_path, RAW, pace="2x", since="event:1").raw
    assert raw["detector"] == {
        "kind": "replay",
        "path": str(tmp_path / "run"),
        "pace": "2x",
        "script": "changes",
        "since": "event:1",
    }
    assert {"record", "results", "metrics"}.isdisjoint(raw)
    assert before == RAW


def test_what_was_done_to_the_acquisition_is_not_done_twice(tmp_path):
    raw = made(tmp_path, RAW).raw
    assert raw["acquisition"] == {"calibration": {"a_m": 1.0}}


@pytest.mark.parametrize(
    ("script", "edge"), [("all", "lossless"), ("none", "sample:3")]
)
def test_edges_are_lossless_only_where_the_frames_are_known(tmp_path, script, edge):
    assert made(tmp_path, RAW, script=script).raw["chain"][0]["edge"] == edge


def test_channels_play_their_samples_and_those_without_are_left_out(tmp_path):
    (tmp_path / "run/channels").mkdir(parents=True)
    (tmp_path / "run/channels/heat.npz").touch()
    common = {"tolerance_s": 1.0, "unit": "K", "join": "nearest"}
    heat = {"name": "heat", "kind": "csv", "path": "t.csv", "time": 0, "value": 1}
    gas = {**heat, "name": "gas", "offset_s": 3.0}
    raw = {**RAW, "channel": [{**heat, **common, "offset_s": 3.0}, gas]}
    tables = made(tmp_path, raw)
    path = str(tmp_path / "run/channels/heat.npz")
    assert tables.raw["channel"] == [
        {"name": "heat", "kind": "replay", "path": path, **common}
    ]
    (note,) = tables.notes
    assert "channel 'gas' is left out" in note


CONTROL = {
    "mode": "armed",
    "audit": "audit.jsonl",
    "adapter": {"kind": "temscript", "host": "10.0.0.1"},
    "door": {"bind": "tcp://0.0.0.0:7"},
    "view": {"shifter": {}},
    "silence_ms": 300.0,
}


def test_feedback_only_observes_on_paper_with_a_log_of_its_own(tmp_path):
    state = {"defocus_m": 1e-6}
    tables = made(tmp_path, {**RAW, "control": CONTROL}, state)
    assert tables.raw["control"] == {
        "mode": "observe",
        "audit": str(tmp_path / "own.jsonl"),
        "adapter": {"kind": "paper", "state": state},
        "silence_ms": 300.0,
    }
    assert len(tables.notes) == 4


def test_an_instrument_on_paper_stays_as_it_was(tmp_path):
    paper = {"kind": "paper", "state": {"defocus_m": 0.0}}
    control = {"adapter": paper, "clock": "frames"}
    tables = made(tmp_path, {**RAW, "control": control})
    assert tables.raw["control"]["adapter"] == paper
    assert tables.notes == []


def test_a_pipeline_that_would_command_is_refused():
    refuse_to_command(RAW, "p.toml")
    refuse_to_command({"control": {"mode": "observe"}}, "p.toml")
    for mode in ("armed", "advise"):
        with pytest.raises(ConfigError, match=f"p.toml: control.mode: found '{mode}'"):
            refuse_to_command({"control": {"mode": mode}}, "p.toml")


def test_a_manifest_without_a_pipeline_is_told():
    with pytest.raises(RunError, match="--pipeline"):
        recorded_tables({"pipeline": {}})
    assert recorded_tables({"pipeline": RAW}) == RAW


def control_of(**more):
    adapter = {"adapter": {"kind": "paper"}}
    return {"mode": "observe", "audit": "a.jsonl", **adapter, **more}


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (control_of(mode="armed"), "control.mode: found 'armed'; a detector of kind"),
        (control_of(mode="advise"), "control.mode: found 'advise'"),
        (
            control_of(adapter={"kind": "simulator", "endpoint": "ipc:///tmp/x"}),
            "control.adapter.kind: found 'simulator'; a replay has no microscope",
        ),
    ],
)
def test_no_pipeline_of_a_replay_has_a_way_to_a_microscope(tmp_path, control, why):
    detector = {"kind": "replay", "path": "run"}
    raw = {"detector": detector, "chain": [CHAIN], "control": control}
    with pytest.raises(ConfigError, match=why):
        Pipeline.from_raw(raw, folder=tmp_path)


@pytest.mark.parametrize("control", [control_of(), {"mode": "observe"}])
def test_a_replay_may_be_observed_on_paper_or_without_an_instrument(tmp_path, control):
    detector = {"kind": "replay", "path": "run"}
    raw = {"detector": detector, "chain": [CHAIN], "control": control}
    assert Pipeline.from_raw(raw, folder=tmp_path).control is not None
