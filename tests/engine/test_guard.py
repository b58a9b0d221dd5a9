"""The guard's modes: who may do what, and what becomes of a proposal."""

import json

import pytest
from tests.engine.guarded import ACTIONS, Desk, FakeDose, control
from tests.hostile_commands import MS, S

from scopeside.control.audit_words import call_in_words
from scopeside.control.effects import Send, Tell, Write
from scopeside.control.guard import Guard
from scopeside.control.instrument import Call
from scopeside.control.remembered import MAX_IDS
from scopeside.control.waiting import MAX_WAITING

# -- modes --------------------------------------------------------------------------


def test_armed_begins_as_advise_until_a_person_arms():
    desk = Desk().ready()
    assert desk.mode == "advise"
    desk.ask("arm", seconds=60)
    assert desk.mode == "armed"
    assert desk.guard.status()["armed_until_ns"] == desk.now + 60 * S
    assert desk.guard.status()["armed_by"] == "anna"


def test_arming_ends_on_time_and_is_advise_again():
    desk = Desk().armed(seconds=2)
    desk.wait(1980)
    assert desk.mode == "armed"
    desk.wait(20)
    assert desk.mode == "advise"
    assert len(desk.events("expired")) == 1


def test_arming_has_ended_even_if_no_tick_has_come_yet():
    desk = Desk().armed(seconds=1)
    desk.now += S
    desk.beat()
    desk.read()
    assert desk.propose().state == "waiting"


def test_advise_disarms():
    desk = Desk().armed()
    assert desk.ask("advise").state == "done"
    assert desk.mode == "advise"
    assert desk.propose().state == "waiting"


def test_advise_in_the_pipeline_file_is_never_armed():
    desk = Desk(mode="advise").ready()
    assert desk.ask("arm", seconds=60).cause == "not_armed"
    assert desk.mode == "advise"


def test_observe_judges_as_if_armed_and_never_sends():
    desk = Desk(mode="observe").ready()
    assert desk.propose().state == "observed"
    desk.wait(120)
    assert desk.propose(fields={"x_m": 3e-7, "y_m": 0.0}).cause == "step"
    assert desk.ask("advise").cause == "observe_only"
    assert desk.mode == "observe"
    assert desk.sends == []


def test_observe_counts_every_s_as_if_it_had_been_sent():
    desk = Desk(mode="observe").ready()
    assert desk.propose().state == "observed"
    assert desk.propose().cause == "rate"


def test_observe_without_an_instrument_says_what_was_not_checked():
    desk = Desk(Guard(control(mode="observe", adapter=None), frozenset()))
    desk.beat()
    assert desk.propose().state == "observed"
    texts = [c["text"] for c in checks_of(desk)]
    assert sum("there is no instrument" in text for text in texts) >= 3
    assert desk.ask("do", action="set_beam_shift", fields={}).cause == "observe_only"
    assert desk.ask("blank").cause == "no_connection"


def checks_of(desk):
    return desk.records("proposal")[-1]["decision"]["verdict"]["checks"]


@pytest.mark.parametrize("ask", ["arm", "advise"])
def test_every_park_needs_a_person(ask):
    desk = Desk().armed()
    desk.ask("hold")
    desk.wait(5000)
    assert desk.mode == "parked"
    desk.ask(ask, **({"seconds": 60} if ask == "arm" else {}))
    assert desk.mode == {"arm": "armed", "advise": "advise"}[ask]


def test_restarted_it_is_parked_and_nothing_is_sent():
    desk = Desk(Guard(control(), ACTIONS, restarted=True)).ready()
    assert desk.parked == "restarted"
    assert desk.propose().cause == "parked"
    assert desk.ask("arm", seconds=60).state == "done"
    assert desk.propose().state == "sent"


def test_arming_needs_a_budget_that_can_be_kept():
    dose = FakeDose()
    dose.lacking = "no calibration"
    desk = Desk(Guard(control(), ACTIONS, dose=dose)).ready()
    told = desk.ask("arm", seconds=60)
    assert (told.cause, "no calibration" in told.reason) == (
        "no_dose_calibration",
        True,
    )


def test_what_a_person_asked_is_answered_with_its_id():
    desk = Desk().ready()
    out = desk.asks({"ask": "arm", "seconds": 60, "who": "anna", "id": "q1"})
    assert Tell("page", "q1", "done") in out
    assert desk.records("request")[-1]["who"] == "anna"


# -- sending ------------------------------------------------------------------------


def test_a_proposal_is_written_before_it_is_sent_and_done_when_it_is_read_back():
    desk = Desk().armed()
    good = desk.proposal()
    out = desk.done(desk.guard.propose(good, "adviser", desk.now))
    assert [type(one) for one in out] == [Write, Send, Tell]
    assert out[1].calls == (Call("set_beam_shift", {"x_m": 1e-8, "y_m": 0.0}),)
    assert out[1].deadline_ns == good["deadline_ns"]
    desk.carry_out(out[1])
    assert desk.tells(good["id"]) == ["sent", "done"]
    (answer,) = desk.records("answer")
    assert answer["latency_ms"] == {"sent_to_answer": 2.0, "frame_to_command": 10.0}


def test_without_a_read_back_the_command_stays_under_way_until_the_next_one():
    desk = Desk().armed()
    desk.propose()
    desk.carry_out(desk.sends[0], readback=None)
    assert desk.propose().cause == "busy"
    desk.now += MS
    desk.read()
    assert desk.tells(desk.sends[0].id) == ["sent", "done"]


def test_the_same_proposal_again_is_told_the_stored_outcome_and_not_sent_again():
    desk = Desk().armed()
    good = desk.proposal()
    desk.give(good)
    desk.carry_out(desk.sends[0])
    desk.wait(200)
    assert desk.give(good).state == "done"
    assert desk.give({**good, "fields": {"y_m": 0.0, "x_m": 1e-8}}).state == "done"
    assert len(desk.sends) == 1
    assert len(desk.records("proposal")) == 1


def test_the_same_proposal_again_after_8192_others_is_refused():
    desk = Desk(per_s=10_000).armed()
    good = desk.proposal(deadline_ns=desk.now + 3600 * S)
    desk.give(good)
    desk.carry_out(desk.sends[0])
    for _ in range(MAX_IDS):
        desk.now += MS
        desk.propose(fields={})
    desk.beat()
    desk.read()
    assert desk.give(good).cause == "replayed"
    assert len(desk.sends) == 1


def test_tiny_steps_do_not_lead_past_the_excursion():
    desk = Desk().armed()
    x = 0.0
    for _ in range(100):
        x += 3e-8
        desk.wait(120)
        if desk.propose(fields={"x_m": x, "y_m": 0.0}).state == "sent":
            desk.carry_out(desk.sends[-1])
    assert max(send.calls[0].fields["x_m"] for send in desk.sends) <= 5e-7
    assert len(desk.sends) == 16


def test_arming_again_makes_here_the_start():
    desk = Desk().armed()
    desk.read(beam_shift_x_m=4e-7)
    desk.ask("arm", seconds=60)
    assert desk.propose(fields={"x_m": 5.9e-7, "y_m": 0.0}).state == "sent"


def test_in_advise_the_start_is_the_first_read_back():
    desk = Desk(mode="advise").ready()
    desk.read(beam_shift_x_m=4e-7)
    assert desk.propose(fields={"x_m": 5.9e-7, "y_m": 0.0}).cause == "excursion"


def test_a_plan_is_sent_and_each_of_its_calls_is_judged():
    calls = [Call("set_beam_shift", {"x_m": 1e-8, "y_m": 0.0})]
    planned = lambda call, now: tuple(calls) if "exp" in call.action else (call,)  # noqa: E731
    desk = Desk(Guard(control(), ACTIONS, plan=planned)).armed()
    exposure = {"action": "set_exposure", "fields": {"exposure_s": 0.1}}
    assert desk.propose(**exposure).state == "sent"
    assert desk.sends[0].calls == tuple(calls)
    desk.carry_out(desk.sends[0])
    desk.wait(1100)
    calls[0] = Call("set_beam_shift", {"x_m": 1e-3, "y_m": 0.0})
    assert desk.propose(**exposure).cause == "out_of_range"
    calls[0] = Call("set_image_shift", {"x_m": 0.0, "y_m": 0.0})
    assert desk.propose(**exposure).cause == "no_limits"


def test_a_person_sends_a_command_of_their_own_within_the_same_limits():
    desk = Desk().ready()
    request = {"action": "set_beam_shift", "fields": {"x_m": 1e-7, "y_m": 0.0}}
    out = desk.asks({"ask": "do", "who": "anna", "id": "d1", **request})
    (send,) = desk.sends
    assert not any(isinstance(one, Tell) for one in out)
    assert Tell("page", "d1", "done") in desk.carry_out(send)
    again = desk.asks({"ask": "do", "who": "anna", "id": "d1", **request})
    assert again == [Tell("page", "d1", "done")]
    assert len(desk.sends) == 1


# -- a person accepts -----------------------------------------------------------------


def test_a_person_accepts_what_waits_also_after_its_deadline():
    desk = Desk(mode="advise").ready()
    key = desk.propose().id
    assert [one["id"] for one in desk.guard.status()["waiting"]] == [key]
    desk.wait(30_000)
    desk.asks({"ask": "accept", "id": key, "who": "anna"})
    desk.carry_out(desk.sends[0])
    assert desk.tells(key) == ["waiting", "sent", "done", "done"]
    assert desk.records("request")[-1]["checks"]


def test_what_nobody_accepts_lapses():
    desk = Desk(mode="advise", advice_s=2).ready()
    key = desk.propose().id
    desk.wait(2100)
    assert desk.tells(key) == ["waiting", "refused"]
    assert desk.ask("accept", id=key).cause == "unknown_id"
    assert desk.events("lapsed")[0]["cause"] == "expired"


def test_what_a_person_declines_lapses():
    desk = Desk(mode="advise").ready()
    key = desk.propose().id
    assert desk.ask("decline", id=key).state == "done"
    assert desk.tells(key) == ["waiting", "done", "refused"]
    assert desk.sends == []


def test_limits_are_judged_again_when_a_person_accepts():
    desk = Desk(mode="advise").ready()
    key = desk.propose().id
    desk.read(beam_shift_x_m=3e-7)
    assert desk.ask("accept", id=key).cause == "step"
    assert desk.sends == []
    assert desk.ask("accept", id=key).cause == "unknown_id"


def test_accepting_after_the_detector_was_started_again_is_refused():
    desk = Desk(mode="advise").ready()
    key = desk.propose().id
    desk.beat(epoch=2)
    assert desk.ask("accept", id=key).cause == "old_epoch"


def test_accepting_while_busy_may_be_tried_again():
    desk = Desk(mode="advise").ready()
    first, second = desk.propose(rule="a").id, desk.propose(rule="b").id
    desk.asks({"ask": "accept", "id": first})
    assert desk.ask("accept", id=second).cause == "busy"
    desk.carry_out(desk.sends[0])
    assert desk.ask("accept", id=second).cause == "rate"
    desk.wait(200)
    desk.asks({"ask": "accept", "id": second})
    assert len(desk.sends) == 2


def test_what_waits_lapses_when_it_parks():
    desk = Desk(mode="advise").ready()
    key = desk.propose().id
    desk.ask("hold")
    assert desk.tells(key) == ["waiting", "refused"]
    desk.ask("advise")
    assert desk.ask("accept", id=key).cause == "unknown_id"


def test_no_more_wait_than_a_person_can_read():
    desk = Desk(mode="advise", per_s=1000).ready()
    states = [desk.propose(rule=f"r{k}").state for k in range(MAX_WAITING + 5)]
    assert states.count("waiting") == MAX_WAITING
    assert len(desk.guard.status()["waiting"]) == MAX_WAITING


# -- replay ----------------------------------------------------------------------


def replayed(start_ns, pace_ms):
    """Play the same frames at another time and another pace; return the decisions."""
    settings = control(mode="observe", clock="frames", adapter=None)
    desk = Desk(Guard(settings, frozenset()))
    for k in range(200):
        t_frame_ns = 1_600_000_000 * S + k * 10 * MS
        desk.now = start_ns + k * pace_ms * MS
        if k % 3 == 0:
            desk.done(desk.guard.tick(desk.now))
        values = desk.proposal(
            id=f"a1/hold_still/{k}/0",
            created_ns=t_frame_ns,
            deadline_ns=t_frame_ns + S,
            fields={"x_m": 1e-8 * (k % 130), "y_m": 0.0},
            evidence={"t_frame_ns": t_frame_ns, "frame": k},
        )
        desk.give(values)
    return [json.dumps(one["decision"]) for one in desk.records("proposal")]


def test_a_recording_gives_the_same_decisions_whenever_it_is_played():
    first = replayed(1_700_000_000 * S, 10)
    assert first == replayed(1_800_000_000 * S, 1)
    states = {json.loads(one)["verdict"]["cause"] for one in first}
    assert states >= {"observe_only", "rate", "out_of_range"}


def test_the_status_is_plain():
    desk = Desk(Guard(control(), ACTIONS, dose=FakeDose())).ready()
    desk.propose()
    status = json.loads(json.dumps(desk.guard.status(), allow_nan=False))
    assert status["mode"] == "advise"
    assert status["waiting"][0]["rule"] == "hold_still"
    assert status["last"][0]["state"] == "waiting"
    assert status["last"][0]["call"] == call_in_words(status["waiting"][0])
    assert status["counts"]["proposals"] == 1


def test_an_answer_that_json_does_not_know_is_written_all_the_same():
    desk = Desk().armed()
    desk.propose()
    odd = {"x": float("nan"), "raw": b"\x00", "text": "\ud800", "of": [{1: {2}}]}
    desk.carry_out(desk.sends[0], answer=odd)
    answer = json.dumps(desk.records("answer")[0], allow_nan=False)
    assert json.loads(answer)["answer"]["of"] == [{"1": "{2}"}]
