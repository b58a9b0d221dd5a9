"""Whatever comes, in whatever order: what is sent is allowed, and nothing breaks.

The oracle here knows nothing of the judge. It is told what was done to the guard and
what the guard returned, and says of each command whether it should have been sent.
"""

import json
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.guarded import ACTIONS, VALUES, Desk, FakeDose, control
from tests.hostile_commands import LIMITS, MS, S

from scopeside.control.effects import Blank, Send, Tell, Write
from scopeside.control.guard import Guard
from scopeside.control.instrument import Readback

FIELDS = {
    ("set_beam_shift", "x_m"): "beam_shift_x_m",
    ("set_beam_shift", "y_m"): "beam_shift_y_m",
    ("set_exposure", "exposure_s"): "exposure_s",
}
junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.just(10**5000),
    st.just("\ud800"),
)
shift = st.sampled_from([0.0, 1e-8, -1e-8, 1.5e-7, 3e-7, 1e-3, math.nan, math.inf])
small = st.sampled_from([0.0, 1e-8, -1e-8, 5e-8, 1.5e-7])
actions = st.sampled_from(["set_beam_shift"] * 5 + ["set_exposure", "blank", "pause"])


@st.composite
def proposals(draw):
    """Mostly good ones; some with one thing wrong, some that are anything."""
    action = draw(actions)
    fields = {
        "set_beam_shift": {"x_m": draw(small), "y_m": draw(small)},
        "set_exposure": {"exposure_s": draw(st.sampled_from([0.1, 0.2, 5.0]))},
        "blank": {"on": draw(st.booleans())},
        "pause": {},
    }[action]
    changes = {"action": action, "fields": fields}
    match draw(st.integers(0, 15)):
        case 0:
            fields[draw(st.sampled_from(["x_m", "y_m", "z_m"]))] = draw(shift | junk)
        case 1:
            changes["evidence"] = {
                draw(
                    st.sampled_from(
                        ["epoch", "valid", "confidence", "missed", "t_frame_ns"]
                    )
                ): draw(junk)
            }
        case 2:
            changes[draw(st.sampled_from(["id", "rule", "why", "fields"]))] = draw(junk)
        case 3:
            changes["age_ms"] = draw(st.sampled_from([-5000, 500, 2000]))
        case 4:
            changes["id"] = draw(st.sampled_from(["same/1", "same/2"]))
        case 5:
            bad = [{"epoch": 0}, {"epoch": 2}, {"valid": False}, {"missed": 1}]
            changes["evidence"] = draw(st.sampled_from([*bad, {"confidence": 0.4}]))
        case 6:
            changes["late"] = True
    return ("propose", changes)


asks = st.one_of(
    st.tuples(st.just("ask"), st.just({"ask": "arm", "seconds": 2})),
    st.tuples(
        st.just("ask"),
        st.sampled_from(
            ["advise", "hold", "blank", "unblank", "accept", "decline"]
        ).map(lambda ask: {"ask": ask}),
    ),
    st.tuples(
        st.just("ask"),
        st.fixed_dictionaries(
            {
                "ask": st.just("do"),
                "action": st.just("set_beam_shift"),
                "fields": st.fixed_dictionaries({"x_m": small, "y_m": shift | junk}),
            }
        ),
    ),
    st.tuples(st.just("ask"), junk | st.fixed_dictionaries({"ask": junk, "id": junk})),
)
others = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 120, 400, 1200])),
    st.tuples(st.just("silence"), st.sampled_from([100, 600])),
    st.tuples(st.just("beat"), st.sampled_from([(1, ()), (1, ("w.0",)), (2, ())])),
    st.tuples(st.just("move"), small),
    st.tuples(st.just("read"), st.floats() | st.none()),
    st.tuples(st.just("unreadable"), st.just("no route")),
    st.tuples(
        st.just("answer"), st.sampled_from(["good"] * 6 + ["bad", "none", "odd"])
    ),
    st.tuples(st.just("blanked"), st.booleans()),
    st.tuples(st.just("dose"), st.sampled_from(["", "spent"])),
)
steps = st.one_of(
    proposals(), proposals(), proposals(), asks, others,
    st.just(("answer", "good")), st.just(("wait", 120)), st.just(("creep", 5)),
    st.just(("creep", 2)),
)  # fmt: skip


@dataclass
class Oracle:
    """What an onlooker knows, and whether a command should have been sent."""

    desk: Desk
    armed_until: int = 0
    beat_ns: int = -(10**18)
    epoch: int = 0
    degraded: tuple = ()
    values: dict = field(default_factory=dict)
    start: dict = field(default_factory=dict)
    open: set = field(default_factory=set)
    ids: set = field(default_factory=set)
    sent_ns: dict = field(default_factory=dict)
    dose: str = ""

    def look(self, send, step, given):
        now, kind = self.desk.now, step[0]
        assert not self.open, "two commands under way"
        assert send.id not in self.ids, "sent twice"
        asked = kind == "ask" and step[1]["ask"] in ("accept", "do", "unblank")
        assert asked or (kind == "propose" and now < self.armed_until), "not armed"
        if kind == "propose":
            self.fresh(given, now)
            assert now <= send.deadline_ns
        if kind == "propose" or step[1]["ask"] == "accept":
            assert now - self.beat_ns <= 500 * MS
            assert self.degraded == ()
        for one in send.calls:
            self.allowed(one, step, now)
        assert not self.dose
        self.open.add(send.id)
        self.ids.add(send.id)

    def fresh(self, given, now):
        evidence = given["evidence"]
        assert now - 1000 * MS <= evidence["t_frame_ns"] <= now + 100 * MS
        assert given["deadline_ns"] >= now
        assert given["created_ns"] <= now + 100 * MS
        assert evidence["valid"] is True
        assert evidence["missed"] == 0
        assert evidence["epoch"] == self.epoch
        confidence = evidence["confidence"]
        assert confidence is None or 0.5 <= confidence <= 1

    def allowed(self, one, step, now):
        assert one.action in ACTIONS
        assert one.action in LIMITS
        if one.action == "blank":
            assert one.fields == {"on": False}
            assert step == ("ask", {"ask": "unblank"})
            return
        for name, value in one.fields.items():
            limit, quantity = LIMITS[one.action][name], FIELDS[one.action, name]
            assert type(value) is float
            assert limit["min"] <= value <= limit["max"]
            assert abs(value - self.values[quantity]) <= limit["step"]
            assert abs(value - self.start[quantity]) <= limit["excursion"]
        last = self.sent_ns.get(one.action)
        assert last is None or now - last >= LIMITS[one.action]["every_s"] * S
        self.sent_ns[one.action] = now


class Run:
    """Does the steps, and lets the oracle look at each."""

    def __init__(self, ceiling):
        self.account = FakeDose()
        guard = Guard(control(mode=ceiling), ACTIONS, dose=self.account)
        self.desk = Desk(guard)
        self.oracle = Oracle(self.desk)
        self.key = ""

    def do(self, step):
        name, what = step
        given = None
        if name == "creep":
            return self.creep(what)
        if name == "propose":
            given = self.proposal(what)
            out = self.desk.guard.propose(given, "adviser", self.desk.now)
        elif name == "ask":
            out = self.desk.guard.ask(self.request(what), "page", self.desk.now)
        else:
            out = getattr(self, name)(what)
        return self.look(out, step, given)

    def creep(self, times):
        """Go on in one direction by steps that are allowed."""
        for _ in range(times):
            x = self.desk.values["beam_shift_x_m"] + 1.5e-7
            fields = {"x_m": x, "y_m": self.desk.values["beam_shift_y_m"]}
            self.do(("propose", {"fields": fields}))
            self.do(("answer", "good"))
            self.do(("wait", 80 if times == 2 else 120))

    def look(self, out, step, given):
        oracle = self.oracle
        # Whatever is sent has to be judged by what was known before.
        for one in out:
            if isinstance(one, Send):
                oracle.look(one, step, given)
            if isinstance(one, Write):
                json.dumps(one.body, allow_nan=False, ensure_ascii=False).encode()
                if one.body.get("what") == "parked":
                    oracle.armed_until, oracle.start = 0, {}
            if isinstance(one, Tell) and one.state in ("waiting", "sent"):
                self.key = one.id
        done = any(isinstance(one, Tell) and one.state == "done" for one in out)
        if step[0] == "ask" and done and isinstance(step[1], dict):
            if step[1]["ask"] == "arm":
                oracle.armed_until = self.desk.now + 2 * S
                oracle.start = dict(oracle.values)
            if step[1]["ask"] == "advise":
                oracle.armed_until, oracle.start = 0, dict(oracle.values)
        self.desk.done(out)

    def proposal(self, changes):
        changes = dict(changes)
        age_ms = changes.pop("age_ms", None)
        evidence = dict(changes.pop("evidence", {}))
        if changes.pop("late", False):
            changes["deadline_ns"] = self.desk.now - 1
        if age_ms is not None:
            evidence["t_frame_ns"] = self.desk.now - age_ms * MS
        return self.desk.proposal(evidence=evidence, **changes)

    def request(self, what):
        if isinstance(what, dict) and what.get("ask") in ("accept", "decline"):
            return {**what, "id": self.key}
        return what

    # -- what the other steps do ------------------------------------------------

    def wait(self, ms):
        out = []
        for _ in range(max(1, ms // 100)):
            self.desk.now += min(ms, 100) * MS
            out += self.beat((self.oracle.epoch or 1, self.oracle.degraded))
            out += self.known(Readback(self.desk.now, dict(self.desk.values)))
            out += self.desk.guard.tick(self.desk.now)
        return out

    def silence(self, ms):
        self.desk.now += ms * MS
        return self.desk.guard.tick(self.desk.now)

    def beat(self, what):
        epoch, degraded = what
        oracle = self.oracle
        oracle.epoch, oracle.degraded, oracle.beat_ns = epoch, degraded, self.desk.now
        return self.desk.guard.beat(epoch, degraded, self.desk.now)

    def move(self, value):
        self.desk.values["beam_shift_y_m"] = value
        return self.known(Readback(self.desk.now, dict(self.desk.values)))

    def read(self, value):
        odd = {**self.desk.values, "beam_shift_x_m": value}
        return self.known(Readback(self.desk.now, odd))

    def known(self, readback):
        """Read it back, with an oracle that knows numbers only."""
        numbers = {
            name: value
            for name, value in readback.values.items()
            if type(value) is float and math.isfinite(value)
        }
        self.oracle.values = numbers
        out = self.desk.guard.read(readback, self.desk.now)
        if self.desk.guard.status()["parked"] is None:
            self.oracle.start = {**numbers, **self.oracle.start}
        return out

    def unreadable(self, reason):
        return self.desk.guard.unreadable(reason, self.desk.now)

    def answer(self, how):
        if not self.oracle.open:
            return []
        send = next(one for one in self.desk.sends if one.id in self.oracle.open)
        self.oracle.open.clear()
        self.desk.now += MS
        for one in send.calls if how == "good" else ():
            for name, value in one.fields.items():
                self.desk.values[FIELDS.get((one.action, name), "blanked")] = value
        readback = Readback(self.desk.now, dict(self.desk.values))
        if how == "odd":
            readback = Readback(self.desk.now, {**VALUES, "beam_shift_x_m": math.nan})
        if how != "none":
            self.oracle.values = {
                name: value
                for name, value in readback.values.items()
                if type(value) is float and math.isfinite(value)
            }
        return self.desk.guard.answered(
            send.id, how != "bad", {}, "", None if how == "none" else readback,
            self.desk.now,
        )  # fmt: skip

    def blanked(self, ok):
        if not self.desk.guard.status()["blanking"]["wanted"]:
            return []
        self.desk.now += MS
        self.desk.values["blanked"] = ok
        return self.desk.guard.blanked(ok, "", self.desk.now)

    def dose(self, why):
        self.account.forbids = self.oracle.dose = why
        return []


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(steps, min_size=5, max_size=60),
    st.sampled_from(["armed", "armed", "advise"]),
)
def test_no_command_is_sent_that_an_onlooker_would_forbid(todo, ceiling):
    run = Run(ceiling)
    run.do(("wait", 20))
    if ceiling == "armed":
        run.do(("ask", {"ask": "arm", "seconds": 2}))
    for step in todo:
        run.do(step)
    status = run.desk.guard.status()
    assert len(status["waiting"]) <= 32
    json.dumps(status, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=60))
def test_in_observe_nothing_is_sent_whatever_comes(todo):
    run = Run("observe")
    run.do(("wait", 20))
    for step in todo:
        run.do(step)
    calls = [call for send in run.desk.sends for call in send.calls]
    assert all(call.fields == {"on": False} for call in calls)  # a person undoes
    assert len(calls) <= len(run.desk.events("blanked"))
    blank = {"ask": "blank"}
    asked = sum(1 for name, what in todo if name == "ask" and what == blank)
    tried = sum(1 for one in run.desk.effects if isinstance(one, Blank))
    assert asked or not tried


def test_the_oracle_lets_good_commands_pass_and_sees_bad_ones():
    run = Run("armed")
    run.do(("wait", 20))
    run.do(("ask", {"ask": "arm", "seconds": 2}))
    good = {"action": "set_beam_shift", "fields": {"x_m": 1e-8, "y_m": 0.0}}
    run.do(("propose", good))
    run.do(("answer", "good"))
    assert len(run.desk.sends) == 1
    run.oracle.armed_until = 0
    run.do(("wait", 120))
    with pytest.raises(AssertionError, match="not armed"):
        run.do(("propose", good))
