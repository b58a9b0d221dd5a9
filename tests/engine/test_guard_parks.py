"""What parks, and what does not: every cause, and that a person is needed then."""

import pytest
from tests.engine.guarded import ACTIONS, Desk, control
from tests.hostile_commands import MS

from scopeside.control.guard import Guard
from scopeside.control.instrument import Readback


def parks(desk, cause):
    assert (desk.mode, desk.parked) == ("parked", cause)
    assert [one["cause"] for one in desk.events("parked")] == [cause]
    assert any("parked" in text for text in desk.said)
    assert desk.guard.status()["armed_until_ns"] is None
    sends = len(desk.sends)
    assert desk.propose().cause == "parked"
    assert len(desk.sends) == sends


def test_hold_parks():
    desk = Desk().armed()
    assert desk.ask("hold", reason="it looks odd").state == "done"
    parks(desk, "held")
    assert "it looks odd" in desk.guard.status()["parked"]["reason"]


def test_hold_works_while_a_command_is_under_way():
    desk = Desk().armed()
    desk.propose()
    assert desk.ask("hold").state == "done"
    parks(desk, "held")
    desk.carry_out(desk.sends[0])
    assert desk.mode == "parked"
    assert desk.tells(desk.sends[0].id) == ["sent", "done"]


def test_a_read_back_that_is_not_what_was_sent_parks():
    desk = Desk().armed()
    desk.propose()
    wrong = Readback(desk.now + MS, {**desk.values, "beam_shift_x_m": 1.2e-8})
    desk.carry_out(desk.sends[0], readback=wrong)
    parks(desk, "instrument")
    assert desk.tells(desk.sends[0].id) == ["sent", "failed"]


def test_a_read_back_within_the_tolerance_does_not():
    desk = Desk().armed()
    desk.propose()
    near = Readback(desk.now + MS, {**desk.values, "beam_shift_x_m": 1.09e-8})
    desk.carry_out(desk.sends[0], readback=near)
    assert desk.mode == "armed"


@pytest.mark.parametrize("value", [float("nan"), "1e-8", None])
def test_a_read_back_that_is_no_number_parks(value):
    desk = Desk().armed()
    desk.propose()
    odd = Readback(desk.now + MS, {**desk.values, "beam_shift_x_m": value})
    desk.carry_out(desk.sends[0], readback=odd)
    parks(desk, "instrument")


def test_a_switch_is_compared_exactly():
    settings = control(may_unblank=True)
    desk = Desk(Guard(settings, ACTIONS))
    desk.values["blanked"] = True
    desk.armed()
    assert desk.propose(action="blank", fields={"on": False}).state == "sent"
    still = Readback(desk.now + MS, {**desk.values, "blanked": True})
    desk.carry_out(desk.sends[0], readback=still)
    parks(desk, "instrument")


def test_settling_is_waited_for():
    desk = Desk(settle_ms=100).armed()
    desk.propose()
    before = Readback(desk.now + MS, dict(desk.values))
    desk.carry_out(desk.sends[0], readback=before)
    assert desk.mode == "armed"
    desk.values["beam_shift_x_m"] = 0.0
    desk.wait(80)
    assert desk.mode == "armed"
    desk.wait(40)
    parks(desk, "instrument")


def test_a_command_that_fails_parks():
    desk = Desk().armed()
    desk.propose()
    desk.carry_out(desk.sends[0], ok=False, reason="the stage is at its end")
    parks(desk, "instrument")


def test_an_answer_that_is_overdue_parks_and_nothing_is_sent_until_it_comes():
    desk = Desk().armed()
    desk.propose()
    desk.wait(5020)
    parks(desk, "overdue")
    assert desk.tells(desk.sends[0].id) == ["sent", "failed"]
    assert desk.ask("arm", seconds=60).cause == "busy"
    desk.carry_out(desk.sends[0])
    assert desk.ask("arm", seconds=60).state == "done"


def test_a_second_writer_parks():
    desk = Desk().armed()
    desk.propose()
    desk.carry_out(desk.sends[0])
    desk.wait(100)
    desk.read(beam_shift_x_m=2e-8)
    parks(desk, "second_writer")


def test_what_the_guard_has_not_set_may_change():
    desk = Desk().armed()
    desk.propose()
    desk.carry_out(desk.sends[0])
    desk.wait(100)
    desk.read(image_shift_x_m=2e-8)
    assert desk.mode == "armed"


def test_what_another_command_of_ours_moves_along_is_no_second_writer():
    desk = Desk().armed()
    desk.propose()
    desk.carry_out(desk.sends[0])
    desk.wait(1100)
    desk.propose(action="set_exposure", fields={"exposure_s": 0.2})
    desk.values["beam_shift_x_m"] = 1.5e-8
    desk.carry_out(desk.sends[1])
    desk.wait(100)
    assert desk.mode == "armed"


def test_a_read_back_from_before_the_command_is_no_second_writer():
    desk = Desk().armed()
    asked_ns, values = desk.now, dict(desk.values)
    desk.propose()
    desk.carry_out(desk.sends[0])
    desk.done(desk.guard.read(Readback(asked_ns, values), desk.now))
    assert desk.mode == "armed"


@pytest.mark.parametrize("how", ["it says so", "nothing comes"])
def test_an_instrument_that_cannot_be_read_for_long_parks(how):
    desk = Desk().armed()
    if how == "it says so":
        desk.done(desk.guard.unreadable("no route", desk.now))
        assert desk.propose().cause == "no_readback"
    desk.wait(4900, reads=False)
    assert desk.mode == "armed"
    desk.wait(200, reads=False)
    parks(desk, "no_readback")


def test_an_instrument_that_was_never_read_is_waited_for_and_nobody_can_arm():
    desk = Desk()
    desk.beat()
    desk.done(desk.guard.unreadable("not there yet", desk.now))
    desk.wait(20_000, reads=False)
    assert desk.mode == "advise"
    desk.asks({"ask": "arm", "seconds": 60})
    assert desk.mode == "advise"
    assert desk.ready().armed().mode == "armed"


def test_a_read_back_that_is_old_is_none():
    desk = Desk().armed()
    desk.wait(1020, reads=False)
    assert desk.propose().cause == "no_readback"


@pytest.mark.parametrize("mode", ["armed", "advise"])
def test_silence_of_the_engine_parks_within_the_time_out(mode):
    desk = Desk(silence_ms=500).ready()
    if mode == "armed":
        desk.armed()
    desk.wait(500, alive=False)
    assert desk.mode == mode
    desk.wait(20, alive=False)
    assert desk.parked == "silence"
    desk.beat()
    parks(desk, "silence")
    assert len(desk.events("silence")) == len(desk.events("heard")) == 1


def test_silence_in_observe_is_written_down():
    desk = Desk(mode="observe").ready()
    desk.wait(1000, alive=False)
    desk.beat()
    assert len(desk.events("silence")) == 1
    assert desk.propose().state == "observed"


def test_nothing_is_sent_in_silence_even_before_a_tick_comes():
    desk = Desk().armed()
    desk.now += 501 * MS
    assert desk.propose().cause == "engine_restarting"


def test_before_the_engine_is_heard_nothing_is_armed_or_sent():
    desk = Desk()
    desk.wait(3000, alive=False)
    assert desk.mode == "advise"
    assert desk.ask("arm", seconds=60).cause == "engine_restarting"
    assert desk.propose().cause == "engine_restarting"


def test_after_the_end_nothing_is_done():
    desk = Desk().armed()
    desk.done(desk.guard.end("the engine stops", desk.now))
    assert desk.events("ended")[0]["reason"] == "the engine stops"
    assert desk.propose().cause == "parked"
    assert desk.ask("arm", seconds=60).cause == "ended"
    assert desk.ask("hold").state == "done"
    assert desk.sends == []
