"""Commands and proposals that must never reach a microscope, as a table.

Each row takes a good message and makes a hostile one of it; `when` names the situation
in which it comes (`SITUATIONS`), `cause` why it is refused. The table knows neither
guard nor socket, so the same rows are tried on the guard itself and over real ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

MS = 1_000_000
S = 1000 * MS
BEAM = {"min": -1e-6, "max": 1e-6, "step": 2e-7, "excursion": 5e-7, "tolerance": 1e-9}
EXPOSURE = {"min": 1e-3, "max": 1.0, "step": 1.0, "excursion": 1.0, "tolerance": 1e-6}
LIMITS: dict[str, Any] = {
    "set_beam_shift": {"every_s": 0.1, "x_m": BEAM, "y_m": BEAM},
    "set_exposure": {"every_s": 1.0, "exposure_s": EXPOSURE},
    "blank": {"every_s": 0.1},
    "pause": {"every_s": 1.0},
}
"""What ``[control.limits]`` has to be; the instrument can do `ACTIONS`."""
ACTIONS = frozenset({"set_beam_shift", "set_image_shift", "set_exposure", "blank"})

SITUATIONS: Mapping[str, str] = MappingProxyType(
    {
        "armed": "armed by a person, all runs, read back at zero",
        "advise": "not armed; a person is asked each time",
        "waiting": "not armed, and a proposal of the same rule waits",
        "observe": "mode = observe",
        "expired": "armed, and the time is over",
        "held": "armed, then a person asked to hold",
        "blanked": "armed, then a person asked to blank, and it is done",
        "busy": "armed, and a command is under way",
        "sent": "armed, and a beam shift was carried out 20 ms ago",
        "used": "armed, and the good proposal itself was carried out",
        "crept": "armed, and the beam shift has crept to x_m = 4.9e-7 in small steps",
        "foreign": "armed, and somebody else has changed what the guard had set",
        "mismatch": "armed, and the instrument did not do as it was asked",
        "failed": "armed, and a command has failed",
        "overdue": "armed, and a command was not answered in time",
        "silent": "armed, and then the engine was not heard for a second",
        "degraded": "armed, and a worker does not run",
        "epoch 2": "armed, and the detector's adapter is in epoch 2",
        "next acquisition": "armed, and frames of acquisition a2 were proposed on",
        "unread": "armed, and the instrument does not say what it is set to",
        "restarted": "the guard died and was started again",
        "budget": "armed, and the dose budget allows nothing more",
        "flooded": "armed, and more than per_s proposals came in this second",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """A hostile message.

    Attributes
    ----------
    make
        Gets a good message and the time, ns; returns the hostile one.
    ask
        Whether it is a person's request; else it is a proposal.
    """

    name: str
    make: Callable[[dict[str, Any], int], Any]
    cause: str
    when: str = "armed"
    ask: bool = False


Change = Callable[[dict[str, Any], int], Any]


def as_it_is(good: dict[str, Any], _: int) -> Any:
    return good


def fields(**values: Any) -> Change:
    return lambda good, _: {**good, "fields": values}


def field(name: str, value: Any) -> Change:
    return lambda good, _: {**good, "fields": {**good["fields"], name: value}}


def top(**values: Any) -> Change:
    return lambda good, _: {**good, **values}


def at(name: str, offset_ns: int) -> Change:
    return lambda good, now: {**good, name: now + offset_ns}


def evidence(**values: Any) -> Change:
    return lambda good, _: {**good, "evidence": {**good["evidence"], **values}}


def frame_at(offset_ns: int) -> Change:
    return lambda good, now: {
        **good,
        "evidence": {**good["evidence"], "t_frame_ns": now + offset_ns},
    }


def without(name: str) -> Change:
    return lambda good, _: {key: good[key] for key in good if key != name}


def no_evidence_of(name: str) -> Change:
    return lambda good, _: {
        **good,
        "evidence": {k: v for k, v in good["evidence"].items() if k != name},
    }


def do(action: Any, **values: Any) -> Change:
    return lambda *_: {"ask": "do", "who": "eve", "action": action, "fields": values}


def asks(**values: Any) -> Change:
    return lambda *_: {"who": "eve", **values}


def other_content(good: dict[str, Any], _: int) -> Any:
    return {**good, "fields": {"x_m": 9e-8, "y_m": 0.0}}


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


ROWS: list[Row] = [
    # -- numbers that are none, or too large --
    Row("NaN", field("x_m", math.nan), "not_finite"),
    Row("infinity", field("x_m", math.inf), "not_finite"),
    Row("minus infinity", field("y_m", -math.inf), "not_finite"),
    Row("a kilometre", field("x_m", 1000.0), "out_of_range"),
    Row("1e308", field("x_m", 1e308), "out_of_range"),
    Row("a huge integer", field("x_m", 10**400), "not_finite"),
    Row("an integer of 5000 digits", field("x_m", 10**5000), "wrong_type"),
    Row("just above max", field("x_m", math.nextafter(1e-6, 1)), "out_of_range"),
    Row("just below min", field("y_m", math.nextafter(-1e-6, -1)), "out_of_range"),
    Row("nanometres for metres", field("x_m", 50.0), "out_of_range"),
    # -- values of a wrong kind --
    Row("text for a number", field("x_m", "1e-8"), "wrong_type"),
    Row("true for a number", field("x_m", True), "wrong_type"),
    Row("None for a number", field("x_m", None), "wrong_type"),
    Row("a list for a number", field("x_m", [1e-8]), "wrong_type"),
    Row("a table for a number", field("x_m", {"value": 1e-8}), "wrong_type"),
    Row("lists in lists", field("x_m", nested(40)), "wrong_type"),
    Row("lists beyond any wire", field("x_m", nested(200)), "wrong_type"),
    Row("lists without end", field("x_m", nested(100_000)), "wrong_type"),
    Row("1 for a switch", top(action="blank", fields={"on": 1}), "wrong_type"),
    # -- fields --
    Row("an axis is missing", fields(x_m=1e-8), "missing_field"),
    Row("no fields", fields(), "missing_field"),
    Row("an unknown field", field("z_m", 0.0), "unknown_field"),
    Row("a field in nanometres", fields(x_nm=10.0, y_nm=0.0), "unknown_field"),
    Row("fields that are a list", top(fields=[1e-8, 0.0]), "wrong_type"),
    # -- actions --
    Row("an unknown action", top(action="set_gun_voltage"), "unknown_action"),
    Row("an action in capitals", top(action="SET_BEAM_SHIFT"), "unknown_action"),
    Row("no action", top(action=""), "unknown_action"),
    Row("an action that is a table", top(action={"set": 1}), "wrong_type"),
    Row("an action without limits", top(action="set_image_shift"), "no_limits"),
    Row(
        "an action that the instrument cannot do",
        top(action="pause", fields={}),
        "not_offered",
    ),
    # -- the proposal itself --
    Row("None", lambda *_: None, "wrong_type"),
    Row("a list", lambda good, _: list(good.items()), "wrong_type"),
    Row("bytes", lambda *_: b"\x00\xff", "wrong_type"),
    Row("an empty table", lambda *_: {}, "missing_field"),
    Row("no id", without("id"), "missing_field"),
    Row("an empty id", top(id=""), "wrong_type"),
    Row("an id of 10 kB", top(id="x" * 10_000), "wrong_type"),
    Row("an id that is a number", top(id=7), "wrong_type"),
    Row("an id with a line break", top(id="a1\nok"), "wrong_type"),
    Row("half a character", top(why="\ud800"), "wrong_type"),
    Row("a reason that writes on the terminal", top(why="\x1b[2J"), "wrong_type"),
    Row("a field that is not of a proposal", top(force=True), "unknown_field"),
    Row("no evidence", without("evidence"), "missing_field"),
    Row("evidence that is text", top(evidence="trust me"), "wrong_type"),
    # -- times --
    Row("the deadline has passed", at("deadline_ns", -1), "expired"),
    Row("a deadline of NaN", top(deadline_ns=math.nan), "wrong_type"),
    Row("a deadline beyond 64 bit", top(deadline_ns=1 << 70), "wrong_type"),
    Row("no deadline", without("deadline_ns"), "missing_field"),
    Row("created in the future", at("created_ns", 2 * S), "from_future"),
    Row("a frame from the future", frame_at(2 * S), "from_future"),
    Row("an old frame", frame_at(-1001 * MS), "stale"),
    Row("a frame of 1970", evidence(t_frame_ns=0), "stale"),
    Row("a frame before 1970", evidence(t_frame_ns=-S), "stale"),
    # -- evidence --
    Row("evidence is not valid", evidence(valid=False, reason="x"), "invalid_evidence"),
    Row("low confidence", evidence(confidence=0.49), "low_confidence"),
    Row("a confidence of NaN", evidence(confidence=math.nan), "wrong_type"),
    Row("a confidence of 2", evidence(confidence=2.0), "wrong_type"),
    Row("a confidence that is text", evidence(confidence="high"), "wrong_type"),
    Row("valid that is text", evidence(valid="yes"), "wrong_type"),
    Row("a gap before it", evidence(missed=1), "gap"),
    Row("a gap of less than nothing", evidence(missed=-1), "gap"),
    Row("no epoch", no_evidence_of("epoch"), "missing_field"),
    Row("an old epoch", as_it_is, "old_epoch", when="epoch 2"),
    Row("a future epoch", evidence(epoch=2), "from_future"),
    Row("another acquisition", as_it_is, "other_acquisition", when="next acquisition"),
    # -- limits --
    Row("a step too large", field("x_m", 2.1e-7), "step"),
    Row("small steps that add up", field("x_m", 5.1e-7), "excursion", when="crept"),
    Row("too often", as_it_is, "rate", when="sent"),
    Row("an id again with other content", other_content, "replayed", when="used"),
    Row("a flood", as_it_is, "flood", when="flooded"),
    # -- the beam --
    Row(
        "a rule that lets the beam on",
        top(action="blank", fields={"on": False}),
        "unblank_forbidden",
    ),
    Row("the dose budget is spent", as_it_is, "budget", when="budget"),
    # -- situations --
    Row("in observe", as_it_is, "observe_only", when="observe"),
    Row("out of range in observe", field("x_m", 1.0), "out_of_range", when="observe"),
    Row("not armed", as_it_is, "not_armed", when="advise"),
    Row("after the time is over", as_it_is, "not_armed", when="expired"),
    Row("while one of its rule waits", as_it_is, "busy", when="waiting"),
    Row("during hold", as_it_is, "parked", when="held"),
    Row("after a person has blanked", as_it_is, "parked", when="blanked"),
    Row("while a command is under way", as_it_is, "busy", when="busy"),
    Row("after a second writer", as_it_is, "parked", when="foreign"),
    Row("after a mismatch", as_it_is, "parked", when="mismatch"),
    Row("after a failure", as_it_is, "parked", when="failed"),
    Row("after a late answer", as_it_is, "parked", when="overdue"),
    Row("after silence", as_it_is, "parked", when="silent"),
    Row("after the guard has died", as_it_is, "parked", when="restarted"),
    Row("while a worker restarts", as_it_is, "engine_restarting", when="degraded"),
    Row("while nothing can be read", as_it_is, "no_readback", when="unread"),
    # -- persons --
    Row(
        "a person's NaN",
        do("set_beam_shift", x_m=math.nan, y_m=0.0),
        "not_finite",
        ask=True,
    ),
    Row(
        "a person's kilometre",
        do("set_beam_shift", x_m=1e3, y_m=0.0),
        "out_of_range",
        ask=True,
    ),
    Row(
        "a person's large step",
        do("set_beam_shift", x_m=3e-7, y_m=0.0),
        "step",
        ask=True,
    ),
    Row(
        "a person's missing axis",
        do("set_beam_shift", x_m=1e-8),
        "missing_field",
        ask=True,
    ),
    Row(
        "a person without limits",
        do("set_image_shift", x_m=0.0, y_m=0.0),
        "no_limits",
        ask=True,
    ),
    Row("a person's unknown action", do("format_disk"), "unknown_action", ask=True),
    Row("a person's action that is a list", do(["blank"]), "unknown_action", ask=True),
    Row(
        "a command that unblanks", do("blank", on=False), "unblank_forbidden", ask=True
    ),
    Row(
        "a command in observe",
        do("set_beam_shift", x_m=0.0, y_m=0.0),
        "observe_only",
        "observe",
        ask=True,
    ),
    Row(
        "a command during hold",
        do("set_beam_shift", x_m=0.0, y_m=0.0),
        "parked",
        "held",
        ask=True,
    ),
    Row(
        "a command while busy",
        do("set_beam_shift", x_m=0.0, y_m=0.0),
        "busy",
        "busy",
        ask=True,
    ),
    Row(
        "arming in observe",
        asks(ask="arm", seconds=60),
        "observe_only",
        "observe",
        ask=True,
    ),
    Row("arming for ever", asks(ask="arm", seconds=math.inf), "not_finite", ask=True),
    Row(
        "arming for a week", asks(ask="arm", seconds=604_800), "out_of_range", ask=True
    ),
    Row("arming for NaN", asks(ask="arm", seconds=math.nan), "not_finite", ask=True),
    Row(
        "arming for less than nothing",
        asks(ask="arm", seconds=-1),
        "out_of_range",
        ask=True,
    ),
    Row("arming for true", asks(ask="arm", seconds=True), "wrong_type", ask=True),
    Row("arming for how long?", asks(ask="arm"), "missing_field", ask=True),
    Row(
        "arming a silent engine",
        asks(ask="arm", seconds=60),
        "engine_restarting",
        "silent",
        ask=True,
    ),
    Row("arming while busy", asks(ask="arm", seconds=60), "busy", "busy", ask=True),
    Row(
        "arming unread", asks(ask="arm", seconds=60), "no_readback", "unread", ask=True
    ),
    Row(
        "accepting what is not there",
        asks(ask="accept", id="a1/no/1"),
        "unknown_id",
        ask=True,
    ),
    Row(
        "accepting what was sent",
        lambda good, _: {"ask": "accept", "id": good["id"]},
        "unknown_id",
        "used",
        ask=True,
    ),
    Row("asking for no such thing", asks(ask="override"), "unknown_ask", ask=True),
    Row("asking a list", asks(ask=["arm"]), "unknown_ask", ask=True),
    Row("a request that is text", lambda *_: "arm", "wrong_type", ask=True),
    Row(
        "a request with more in it",
        asks(ask="hold", force=True),
        "unknown_field",
        ask=True,
    ),
    Row(
        "who, on the terminal",
        lambda *_: {"ask": "hold", "who": "\x1b[31m"},
        "wrong_type",
        ask=True,
    ),
]
