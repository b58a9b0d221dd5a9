"""How channels are shown, and which of them a run must not lose."""

import time
from types import SimpleNamespace

import pytest
from tests.engine.test_channels import pipeline

from scopeside.supervise.books import Books
from scopeside.supervise.channels import channel_status, lost_channels
from scopeside.supervise.member import State

CHANNELS = pipeline({"name": "heat", "unit": "K"}).channels


def member(state=State.RUNNING, alive=True, **board):
    return SimpleNamespace(
        state=state, alive=alive, board=SimpleNamespace(read=lambda: board)
    )


def feed(ago_s=0.0, **more):
    return {
        "state": "ok",
        "reason": "",
        "rejected": {},
        "last": [time.time_ns(), 2.5],
        "arrived_ns": time.monotonic_ns() - int(ago_s * 1e9),
        **more,
    }


def shown(process, samples=5, channels=CHANNELS):
    members = {"channels": process, "collector": member(samples={"heat": samples})}
    return channel_status(channels, members, Books())


@pytest.mark.parametrize(
    ("process", "state", "reason"),
    [
        (lambda: member(channels={"heat": feed()}), "ok", ""),
        (member, "silent", "no sample yet"),
        (lambda: member(channels={"heat": feed(9)}), "silent", "no sample for 9.0 s"),
        (lambda: member(alive=False, channels={"heat": feed(9)}), "ok", ""),
        (
            lambda: member(channels={"heat": feed(state="lost", reason="cut")}),
            "lost",
            "cut",
        ),
        (
            lambda: member(State.DEGRADED, channels={"heat": feed()}),
            "lost",
            "its process could not be kept alive",
        ),
    ],
)
def test_a_channel_is_ok_silent_or_lost(process, state, reason):
    heat = shown(process())["heat"]
    assert (heat["state"], heat["reason"]) == (state, reason)
    assert (heat["unit"], heat["samples"], heat["joined"]) == ("K", 5, 0)


def test_before_the_first_sample_there_is_no_value_and_no_age():
    heat = shown(member())["heat"]
    assert (heat["value"], heat["t_ns"], heat["age_s"]) == (None, None, None)


def test_without_channels_there_is_nothing_to_show():
    assert channel_status((), {}, Books()) == {}


@pytest.mark.parametrize(
    ("process", "samples", "lost"),
    [
        (lambda: member(channels={"heat": feed()}), 5, []),
        (lambda: member(channels={"heat": feed(9)}), 5, []),
        (member, 0, ["no sample yet"]),
        (
            lambda: member(State.DEGRADED),
            5,
            ["its process could not be kept alive"],
        ),
    ],
)
def test_only_a_required_channel_can_make_a_run_fail(process, samples, lost):
    required = pipeline({"name": "heat", "required": True}).channels
    found = lost_channels(required, shown(process(), samples, required))
    assert found == [f"channel heat is required and lost: {why}" for why in lost]
    assert lost_channels(CHANNELS, shown(process(), samples)) == []
