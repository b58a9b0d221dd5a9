"""Every hostile command is refused with its cause, and nothing is sent."""

import json
from collections import Counter

import pytest
from tests.engine.guarded import ACTIONS, Desk, FakeDose, control
from tests.hostile_commands import MS, ROWS, SITUATIONS, S

from scopeside.control.checks import CAUSES
from scopeside.control.effects import Blank, Send, Tell, Write
from scopeside.control.guard import Guard


def crept(desk):
    for k in range(1, 8):
        desk.wait(120)
        desk.propose(fields={"x_m": 7e-8 * k, "y_m": 0.0})
        desk.carry_out(desk.sends[-1])
    desk.wait(120)


def sent(desk):
    desk.propose()
    desk.carry_out(desk.sends[-1])
    desk.wait(20)


def foreign(desk):
    sent(desk)
    desk.read(beam_shift_x_m=5e-8)
    assert desk.parked == "second_writer"


def mismatch(desk):
    desk.propose()
    desk.carry_out(desk.sends[-1], readback=None)
    desk.now += MS
    desk.read(beam_shift_x_m=0.0)
    assert desk.parked == "instrument"


def failed(desk):
    desk.propose()
    desk.carry_out(desk.sends[-1], ok=False, reason="stage is at its end")


def overdue(desk):
    desk.propose()
    desk.wait(5100, reads=False)
    assert desk.parked == "overdue"
    desk.carry_out(desk.sends[-1])


def blanked(desk):
    desk.asks({"ask": "blank"})
    desk.blanked()


def flooded(desk):
    for _ in range(50):
        desk.propose()


def unread(desk):
    desk.done(desk.guard.unreadable("no route to host", desk.now))


def silent(desk):
    desk.wait(1000, alive=False)


def waiting(desk):
    desk.ready()
    assert desk.propose().state == "waiting"


def prepared(when):
    """A desk in a situation, and the good message that goes with it."""
    if when in ("observe", "advise"):
        desk = Desk(mode="observe" if when == "observe" else "armed").ready()
    elif when == "waiting":
        desk = Desk()
        waiting(desk)
    elif when == "restarted":
        desk = Desk(Guard(control(), ACTIONS, restarted=True)).ready()
    elif when == "budget":
        dose = FakeDose()
        desk = Desk(Guard(control(), ACTIONS, dose=dose)).armed()
        dose.forbids = "the region has had 80 of 80 e⁻/Å²"
    elif when == "expired":
        desk = Desk().armed(seconds=1)
        desk.wait(1100)
    else:
        desk = Desk().armed()
    good = desk.proposal()
    match when:
        case "held":
            desk.ask("hold")
        case "busy":
            desk.propose()
        case "used":
            assert desk.give(good).state == "sent"
            desk.carry_out(desk.sends[-1])
            desk.wait(200)
        case "degraded":
            desk.beat(degraded=("worker.0",))
        case "epoch 2":
            desk.beat(epoch=2)
        case "next acquisition":
            desk.propose(evidence={"acquisition": "a2", "t_frame_ns": desk.now})
            desk.carry_out(desk.sends[-1])
            desk.now += 200 * MS
            desk.beat()
            good["deadline_ns"] += S
        case "crept" | "sent" | "foreign" | "mismatch" | "failed" | "overdue":
            globals()[when](desk)
            good = desk.proposal()
        case "blanked" | "flooded" | "unread" | "silent":
            globals()[when](desk)
            good = desk.proposal()
        case "expired" | "waiting" | "restarted":
            good = desk.proposal()
    return desk, good


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_is_refused_with_its_cause_and_nothing_is_sent(row):
    desk, good = prepared(row.when)
    values = row.make(good, desk.now)
    if row.ask:
        effects = desk.guard.ask(values, "page", desk.now)
    else:
        effects = desk.guard.propose(values, "adviser", desk.now)
    told = [one for one in effects if isinstance(one, Tell)]
    assert [one.cause for one in told] == [row.cause]
    allowed = {"observe": "observed", "advise": "waiting", "expired": "waiting"}
    lawful = row.cause in ("observe_only", "not_armed") and not row.ask
    assert told[0].state == (allowed[row.when] if lawful else "refused")
    assert not any(isinstance(one, Send | Blank) for one in effects)
    epoch = desk.guard.status()["engine"]["epoch"]
    for _ in range(100):  # nor does it come later
        effects += desk.guard.beat(epoch, (), desk.now)
        effects += desk.guard.tick(desk.now)
        desk.now += 20 * MS
    assert not any(isinstance(one, Send | Blank) for one in effects)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_its_record_can_be_written_and_read(row):
    desk, good = prepared(row.when)
    give = desk.guard.ask if row.ask else desk.guard.propose
    written = [
        one
        for one in give(row.make(good, desk.now), "adviser", desk.now)
        if isinstance(one, Write)
    ]
    assert bool(written) == (row.cause != "flood")
    for one in written:
        text = json.dumps(one.body, allow_nan=False, ensure_ascii=False)
        assert len(text.encode()) < 20_000
        body = json.loads(text)
        verdict = body["decision"]["verdict"] if one.kind == "proposal" else body
        assert verdict["cause"] == row.cause
        assert verdict["reason"].isprintable()


def test_the_table_is_large_and_each_row_another():
    assert len(ROWS) >= 100
    assert Counter(row.name for row in ROWS).most_common(1)[0][1] == 1
    assert {row.when for row in ROWS} == set(SITUATIONS)
    assert {row.cause for row in ROWS} <= set(CAUSES)


def test_the_good_message_of_the_table_is_sent():
    desk, good = prepared("armed")
    assert desk.give(good).state == "sent"
    desk, good = prepared("armed")
    request = {"ask": "do", "action": "set_beam_shift", "fields": good["fields"]}
    assert any(isinstance(one, Send) for one in desk.asks(request))


def test_a_flood_of_10_khz_is_one_record_a_second():
    desk = Desk().armed()
    before = len(desk.records("proposal"))
    for k in range(10_000):
        desk.now += MS // 10
        if k % 200 == 0:
            desk.beat()
            desk.done(desk.guard.tick(desk.now))
        desk.propose(client="eve")
    assert len(desk.records("proposal")) - before == 50
    desk.wait(1100)
    (flood,) = desk.events("flood")
    assert (flood["count"], flood["who"]) == (9950, "eve")
    assert desk.propose(client="eve", rule="x").cause != "flood"


def test_a_flood_of_one_client_does_not_silence_another():
    desk = Desk().armed()
    for _ in range(100):
        desk.propose(client="eve", fields={"x_m": 1.0, "y_m": 0.0})
    assert desk.propose(client="eve").cause == "flood"
    assert desk.propose(client="adviser").state == "sent"


def test_of_two_clients_that_steer_at_once_the_second_is_refused():
    desk = Desk().armed()
    assert desk.propose(client="adviser").state == "sent"
    assert desk.propose(client="other").cause == "busy"
    assert len(desk.sends) == 1


def test_hold_and_blank_work_in_a_flood_of_requests():
    desk = Desk().armed()
    for _ in range(1000):
        desk.asks({"ask": "status", "id": "s"})
    assert desk.ask("arm", seconds=60).cause == "flood"
    assert desk.ask("hold").state == "done"
    desk.asks({"ask": "blank"})
    assert len(desk.blanks) == 1
    assert desk.parked == "held"
