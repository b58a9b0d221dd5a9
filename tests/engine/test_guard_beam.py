"""Blanking: by persons, rules, the budget and silence, until it is done."""

from itertools import pairwise

import pytest
from tests.engine.guarded import ACTIONS, Desk, FakeDose, control
from tests.hostile_commands import MS

from scopeside.control.effects import Blank, Tell
from scopeside.control.guard import Guard

LETS_ON = {"action": "blank", "fields": {"on": False}}
BLANKS = {"action": "blank", "fields": {"on": True}}


@pytest.fixture
def dose():
    return FakeDose()


@pytest.fixture
def kept(dose):
    """Armed, with a dose budget that is enforced."""
    return Desk(Guard(control(), ACTIONS, dose=dose)).armed()


@pytest.mark.parametrize("mode", ["observe", "advise", "armed"])
def test_a_person_blanks_in_every_mode(mode):
    desk = Desk(mode=mode).ready()
    out = desk.asks({"ask": "blank", "who": "anna", "id": "b1"})
    assert isinstance(out[0], Blank)  # before anything is written
    assert Tell("page", "b1", "done") in desk.blanked()
    assert len(desk.events("blanked")) == 1
    assert desk.parked == ("" if mode == "observe" else "blanked")


def test_a_person_blanks_while_a_command_is_under_way_and_overdue():
    desk = Desk().armed()
    desk.propose()
    desk.wait(6000)
    desk.asks({"ask": "blank"})
    assert len(desk.blanks) == 1


def test_a_persons_command_to_blank_is_a_blank():
    desk = Desk().ready()
    desk.asks({"ask": "do", **BLANKS})
    assert len(desk.blanks) == 1
    assert desk.sends == []


def test_a_rule_blanks_when_armed_without_limits_or_read_back_and_while_busy():
    desk = Desk(limits={"set_beam_shift": control().limits["set_beam_shift"]}).armed()
    desk.propose()
    desk.done(desk.guard.unreadable("no route", desk.now))
    key = desk.propose(**BLANKS).id
    assert len(desk.blanks) == 1
    desk.blanked()
    assert desk.tells(key) == ["sent", "done"]
    assert desk.mode == "armed"


def test_a_rule_that_blanks_waits_for_a_person_in_advise():
    desk = Desk(mode="advise").ready()
    key = desk.propose(**BLANKS).id
    assert desk.blanks == []
    desk.asks({"ask": "accept", "id": key})
    assert len(desk.blanks) == 1
    desk.blanked()
    assert desk.tells(key) == ["waiting", "done", "done"]


def test_an_instrument_that_cannot_blank_says_so():
    desk = Desk(Guard(control(), ACTIONS - {"blank"})).ready()
    assert desk.ask("blank").cause == "not_offered"


# -- unblanking ------------------------------------------------------------------


def test_a_person_unblanks_by_an_ask_of_its_own_also_when_parked():
    desk = Desk().armed()
    desk.asks({"ask": "blank"})
    desk.blanked()
    desk.wait(40)
    desk.asks({"ask": "unblank", "who": "anna", "id": "u1"})
    out = desk.carry_out(desk.sends[0])
    assert Tell("page", "u1", "done") in out
    assert len(desk.events("unblanked")) == 1
    desk.wait(100)
    assert desk.parked == "blanked"


def test_in_observe_a_person_lets_on_what_was_blanked_from_here_and_nothing_else():
    desk = Desk(mode="observe").ready()
    assert desk.ask("unblank").cause == "observe_only"
    desk.asks({"ask": "blank"})
    desk.blanked()
    desk.wait(40)
    desk.asks({"ask": "unblank"})
    desk.carry_out(desk.sends[0])
    assert desk.ask("unblank").cause == "observe_only"


def test_nobody_unblanks_while_the_dose_forbids_it(kept, dose):
    dose.urges = "the budget is spent"
    kept.wait(20)
    kept.blanked()
    kept.wait(40)
    assert kept.ask("unblank").cause == "budget"
    dose.urges, dose.forbids = "", "the budget is spent"
    assert kept.ask("unblank").cause == "budget"
    assert kept.sends == []


def test_a_rule_unblanks_only_if_the_pipeline_file_lets_it(dose):
    desk = Desk().armed()
    assert desk.propose(**LETS_ON).cause == "unblank_forbidden"
    desk = Desk(Guard(control(may_unblank=True), ACTIONS, dose=dose))
    desk.values["blanked"] = True
    desk.armed()
    dose.forbids = "the budget is spent"
    assert desk.propose(**LETS_ON).cause == "budget"
    dose.forbids = ""
    assert desk.propose(**LETS_ON).state == "sent"


def test_somebody_else_who_unblanks_is_a_second_writer():
    desk = Desk().armed()
    desk.propose(**BLANKS)
    desk.blanked()
    desk.wait(100)
    assert desk.mode == "armed"
    desk.read(blanked=False)
    assert desk.parked == "second_writer"


# -- a blank that fails ----------------------------------------------------------


def test_a_blank_that_fails_is_tried_again_with_growing_pauses_and_said_aloud():
    desk = Desk().ready()
    desk.asks({"ask": "blank", "id": "b1"})
    assert Tell("page", "b1", "failed", "instrument", "valve") in desk.blanked(
        ok=False, reason="valve"
    )
    times = []
    for _ in range(2000):
        before = len(desk.blanks)
        desk.wait(20)
        if len(desk.blanks) > before:
            times.append(desk.now)
            desk.done(desk.guard.blanked(False, "valve", desk.now))
    pauses = [round((later - one) / MS, -2) for one, later in pairwise(times)]
    assert pauses[:5] == [200, 400, 800, 1600, 3200]
    assert set(pauses[5:]) == {5000}
    assert sum("NOT BLANKED" in text for text in desk.said) == len(times) + 1
    assert desk.ask("arm", seconds=60).cause == "busy"


def test_a_person_who_blanks_again_does_not_wait_for_the_pause():
    desk = Desk().ready()
    for tried in range(1, 6):
        desk.asks({"ask": "blank"})
        assert len(desk.blanks) == tried
        desk.blanked(ok=False, reason="valve")


def test_a_blank_that_is_not_answered_is_tried_again():
    desk = Desk().ready()
    desk.asks({"ask": "blank"})
    desk.wait(5300)
    assert len(desk.blanks) == 2


def test_a_blank_that_is_not_read_back_is_tried_again():
    desk = Desk().ready()
    desk.asks({"ask": "blank"})
    desk.blanked()
    desk.now += MS
    desk.read(blanked=False)
    desk.wait(120)
    assert len(desk.blanks) == 2


def test_a_blank_that_the_guard_did_not_ask_for_counts_and_parks():
    desk = Desk().armed()
    desk.blanked()
    assert len(desk.events("blanked")) == 1
    assert desk.parked == "blanked"


# -- dose ------------------------------------------------------------------------


def test_the_budget_blanks_and_parks(kept, dose):
    dose.urges = "region 3 has had 80 of 80 e⁻/Å²"
    out = kept.done(kept.guard.tick(kept.now))
    assert out[0] == Blank(dose.urges)
    assert kept.parked == "budget"
    kept.wait(200)
    assert len(kept.blanks) == 1
    kept.blanked()
    kept.done(kept.guard.tick(kept.now))  # the account does not know of it yet
    assert len(kept.blanks) == 1
    assert len(kept.events("budget")) == 1


def test_the_budget_blanks_when_a_command_is_slow(kept, dose):
    kept.propose()
    dose.urges = "spent"
    kept.done(kept.guard.tick(kept.now))
    assert len(kept.blanks) == 1


def test_the_budget_blanks_again_if_somebody_lets_the_beam_on(kept, dose):
    dose.urges = "spent"
    kept.wait(20)
    kept.blanked()
    dose.urges = ""
    kept.wait(1000)
    kept.read(blanked=False)
    dose.urges = "spent"
    kept.wait(20)
    assert len(kept.blanks) == 2


def test_silence_blanks_if_a_budget_is_kept(kept):
    kept.wait(520, alive=False)
    assert len(kept.blanks) == 1
    assert kept.parked == "silence"
    kept.blanked()
    kept.wait(1000, alive=False)
    assert len(kept.blanks) == 1


def test_silence_blanks_also_when_it_is_parked_already(kept):
    kept.ask("hold")
    kept.wait(520, alive=False)
    assert len(kept.blanks) == 1


def test_silence_does_not_blank_without_a_budget():
    desk = Desk().armed()
    desk.wait(1000, alive=False)
    assert desk.blanks == []


def test_the_end_blanks_if_a_budget_is_kept(kept):
    out = kept.done(kept.guard.end("the engine stops", kept.now))
    assert isinstance(out[0], Blank)
    kept.blanked(ok=False, reason="valve")
    kept.now += 150 * MS
    assert Blank in map(type, kept.guard.tick(kept.now))


def test_observe_never_blanks_by_itself(dose):
    desk = Desk(Guard(control(mode="observe"), ACTIONS, dose=dose)).ready()
    dose.urges = "spent"
    desk.wait(1000, alive=False)
    desk.done(desk.guard.end("done", desk.now))
    assert desk.blanks == []


def test_the_account_hears_read_backs_and_rates_and_no_nonsense(kept, dose):
    dose.heard.clear()
    kept.read()
    kept.guard.measured(3.0, 0.1, kept.now, kept.now)
    kept.guard.measured(float("nan"), 0.1, kept.now, kept.now)
    kept.guard.measured(-1.0, 0.1, kept.now, kept.now)
    assert len(dose.heard) == 2
    assert dose.heard[1] == (3.0, 0.1, kept.now)


def test_the_account_hears_what_is_sent_and_that_it_is_blanked(kept, dose):
    dose.heard.clear()
    kept.propose()
    assert dose.heard == [("sent", *kept.sends[0].calls)]
    kept.asks({"ask": "blank"})
    kept.blanked()
    assert dose.heard[-1] == "blanked"


def test_the_budget_blanks_while_a_command_may_be_letting_the_beam_on(kept, dose):
    kept.asks({"ask": "blank"})
    kept.blanked()
    kept.wait(100)
    kept.asks({"ask": "unblank"})
    dose.urges = "spent"
    kept.done(kept.guard.tick(kept.now))
    assert len(kept.blanks) == 2
