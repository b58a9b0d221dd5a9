"""What a person reads of an audit log: a table of the last, and the story of one."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.audit_records import MS, T, answer, proposal, session

from scopeside.control import audit_read
from scopeside.control.audit import AuditLog
from scopeside.control.audit_read import Entry, about, backwards, last
from scopeside.control.audit_story import story
from scopeside.control.audit_table import row
from scopeside.control.audit_words import amount, amounts, duration, moment, printable
from scopeside.errors import AuditError

DONE, REFUSED, ACCEPTED = (f"acq7/hold_still/{k}/0" for k in (42, 43, 44))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return session(tmp_path / "audit.jsonl")


def one(path: Path, name: str) -> Entry:
    (entry,) = (e for e in about(path, name) if e.record["kind"] == "proposal")
    return entry


def told(entry: Entry) -> str:
    return "\n".join(f"{head}: {text}" for head, text in story(entry))


# -- finding ------------------------------------------------------------------------


def test_the_last_entries_come_oldest_first_with_their_answers(path):
    found = last(path, 4)
    assert [entry.record["n"] for entry in found] == [6, 7, 9, 10]
    assert [record["n"] for record in found[0].later] == [7, 8]


def test_all_that_an_id_has_is_found(path):
    (entry,) = about(path, ACCEPTED)
    assert [entry.record["n"], *(one["n"] for one in entry.later)] == [6, 7, 8]


@pytest.mark.parametrize("number", ["6", "7", "8"])
def test_a_number_leads_to_all_on_the_same_matter(path, number):
    assert [entry.record["n"] for entry in about(path, number)] == [6]


def test_an_event_is_found_by_its_number(path):
    (entry,) = about(path, "9")
    assert entry.record["what"] == "parked"


@pytest.mark.parametrize("name", ["none", "99", "", "acq7/hold_still"])
def test_what_is_not_there_is_said(path, name):
    with pytest.raises(AuditError, match=r"nothing in .* has the id or number"):
        about(path, name)


def test_an_answer_belongs_to_what_was_sent_not_to_a_refused_one_of_the_same_id(
    tmp_path,
):
    path = tmp_path / "audit.jsonl"
    with AuditLog.open(path) as log:
        log.append("proposal", proposal("a"), T)
        log.append("proposal", proposal("a", "refused", "replayed"), T)
        log.append("answer", answer("a"), T)
        log.append("proposal", proposal("a", "refused", "replayed"), T)
    found = about(path, "a")
    assert [len(entry.later) for entry in found] == [1, 0, 0]
    assert [row(entry).verdict for entry in found] == [
        "done",
        "refused: replayed",
        "refused: replayed",
    ]


@given(st.lists(st.binary(max_size=9).map(lambda b: b.replace(b"\n", b""))))
def test_a_file_is_read_backwards_line_by_line(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("back") / "f"
    whole = b"\n".join(lines)
    path.write_bytes(whole)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(audit_read, "_BLOCK", 4)
        assert list(backwards(path)) == io.BytesIO(whole).readlines()[::-1]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(AuditError, match="cannot be read: No such file"):
        last(tmp_path / "none", 1)


# -- the table ----------------------------------------------------------------------


def test_a_row_says_when_who_what_and_how_it_ended(path):
    rows = [row(entry) for entry in last(path, 20)]
    what = "set_view_offset: x = 1.2 nm, y = -300 pm"
    assert rows[1][2:] == ("", "anna@tem", "arm for 10 min", "done", "", "")
    why = "the specimen has drifted by 1.2 nm"
    assert rows[2][2:] == ("armed", "hold_still", what, "done", why, "13.2 ms")
    assert rows[3].verdict == "refused: step"
    assert rows[3].reason == "step: so it is"
    assert rows[3].latency == "12.5 ms"
    assert rows[4].verdict == "failed"
    assert rows[4].reason == "the stage did not arrive"
    assert rows[6].what == "parked"


def test_a_row_of_a_changed_line_says_so(path):
    path.write_bytes(path.read_bytes().replace(b"has drifted by", b"had drifted by"))
    assert {row(entry).verdict for entry in last(path, 20)} >= {"CHANGED", "done"}


def test_a_proposal_that_nobody_took_is_shown_as_lapsed(tmp_path):
    path = tmp_path / "audit.jsonl"
    with AuditLog.open(path) as log:
        log.append("proposal", proposal("a", "waiting"), T)
        gone = {"what": "lapsed", "id": "a", "cause": "expired", "who": ""}
        log.append("event", {**gone, "reason": "no person accepted it"}, T)
    found = row(last(path, 2)[0])
    assert (found.verdict, found.reason) == ("lapsed: expired", "no person accepted it")


def test_what_was_no_proposal_is_shown_as_it_came(tmp_path):
    path = tmp_path / "audit.jsonl"
    body = proposal("a", "refused", "wrong_type")
    body["decision"]["proposal"] = {"unreadable": "[1, 2]", "characters": 6}
    with AuditLog.open(path) as log:
        log.append("proposal", body, T)
    (entry,) = last(path, 1)
    assert row(entry).what == "no proposal: [1, 2]"
    assert "asked for: what is no proposal: [1, 2]" in told(entry)


def test_a_second_acceptance_that_is_refused_does_not_hide_what_was_done(tmp_path):
    path = tmp_path / "audit.jsonl"
    yes = {"who": "anna", "ask": "accept", "id": "a"}
    with AuditLog.open(path) as log:
        log.append("proposal", proposal("a", "waiting"), T)
        log.append("request", {**yes, "state": "sent"}, T)
        log.append("answer", answer("a"), T)
        log.append("request", {**yes, "state": "refused", "cause": "unknown_id"}, T)
    assert row(last(path, 3)[0]).verdict == "done"


def test_a_command_of_a_person_has_its_checks_calls_and_answer(tmp_path):
    path = tmp_path / "audit.jsonl"
    command = {"action": "set_defocus", "fields": {"defocus_m": 1e-6}}
    body = {"who": "anna", "ask": "do", "id": "p1", "state": "sent", **command}
    check = {"check": "limits", "ok": True, "cause": "", "text": "it has limits"}
    with AuditLog.open(path) as log:
        log.append("request", {**body, "checks": [check], "calls": [command]}, T)
        log.append("answer", answer("p1"), T)
    (entry,) = last(path, 2)
    assert row(entry).what == "do set_defocus: defocus = 1 µm"
    assert row(entry).verdict == "done"
    text = told(entry)
    assert "passed  limits: it has limits" in text
    assert "commands: set_defocus: defocus = 1 µm" in text
    assert "it was done" in text


# -- the story ----------------------------------------------------------------------


def test_the_story_tells_frames_result_rule_checks_calls_answer_and_times(path):
    text = told(one(path, DONE))
    for part in (
        "frames 40 … 42 of acquisition acq7, epoch 1",
        "result movie.drift.shift, version 3 of the parameters, digest ab12",
        "confidence 0.93; valid",
        "rule or policy hold_still",
        "set_view_offset: x = 1.2 nm, y = -300 pm",
        "because: the specimen has drifted by 1.2 nm",
        "it was set to: view_offset_x = 0 m",
        "mode armed; it checked 2 things",
        "passed  age: 12 ms old",
        "verdict: allowed, and sent",
        "commands: set_image_shift: x = 1.2 nm",
        "it was done; moved = yes",
        "read back: view_offset_x = 1.21 nm",
        "12.0 ms  last frame to proposal",
        "0.5 ms  proposal to verdict",
        "4.0 ms  command to the instrument's answer",
        "13.2 ms  last frame to command",
        "in the end: done",
    ):
        assert part in text


def test_the_story_of_a_refusal_names_the_check_that_failed(path):
    text = told(one(path, REFUSED))
    assert "FAILED  step: step: so it is" in text
    assert "verdict: refused (step): step: so it is" in text
    assert "commands: none" in text


def test_the_story_of_an_accepted_proposal_names_the_person(path):
    text = told(one(path, ACCEPTED))
    assert "verdict: allowed, if a person accepts it" in text
    assert "anna@tem asked to accept it; sent" in text
    assert "guard: it checked 1 things once more, all passed" in text
    assert "commands: set_image_shift: x = 1.2 nm" in text
    assert "it was NOT done; the stage did not arrive" in text
    assert "in the end: failed; the stage did not arrive" in text


def test_the_story_of_what_was_only_observed_says_that_nothing_was_sent(tmp_path):
    path = tmp_path / "audit.jsonl"
    with AuditLog.open(path) as log:
        log.append("proposal", proposal("a", "observed"), T)
    text = told(one(path, "a"))
    assert "it would have been allowed; in mode observe nothing is sent" in text
    assert "would send: set_image_shift" in text


def test_the_story_of_a_changed_line_warns(path):
    path.write_bytes(
        path.read_bytes().replace(b'"confidence":0.93', b'"confidence":0.99')
    )
    assert "CHANGED: its contents do not fit its hash" in told(one(path, DONE))


def test_an_event_is_told_with_all_that_it_says(tmp_path):
    path = tmp_path / "audit.jsonl"
    with AuditLog.open(path) as log:
        log.append("event", {"what": "held", "reason": "anna", "dose_e_per_A2": 3.5}, T)
    text = told(about(path, "1")[0])
    assert "event: held; anna" in text
    assert "dose = 3.5 e⁻/Å²" in text


_NAMES = [
    "proposal",
    "evidence",
    "sources",
    "verdict",
    "checks",
    "calls",
    "fields",
    "readback",
    "id",
    "rule",
    "state",
    "reason",
    "mode",
    "action",
    "x_m",
    "decision",
    "latency_ms",
    "ask",
    "who",
    "seconds",
    "what",
    "answer",
    "ok",
]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(
    st.sampled_from(["proposal", "answer", "request", "event", "recovered", "new"]),
    st.dictionaries(st.sampled_from(_NAMES), _json),
)
def test_whatever_a_stranger_has_proposed_can_be_shown_and_told(
    tmp_path_factory, kind, body
):
    path = tmp_path_factory.mktemp("any") / "audit.jsonl"
    with AuditLog.open(path) as log:
        log.append("proposal", proposal("a"), T)
        log.append(kind, body, T)
    for entry in last(path, 20):
        assert all(isinstance(text, str) for text in row(entry))
        assert "\x1b" not in told(entry)


# -- words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("x_m", 1.2e-9, "x = 1.2 nm"),
        ("x_m", -3.5e-6, "x = -3.5 µm"),
        ("x_m", 1e-3, "x = 1 mm"),
        ("x_m", 0.0, "x = 0 m"),
        ("x_m", 4e-15, "x = 0.004 pm"),
        ("x_m", 1e300, "x = 1e+297 km"),
        ("x_m", "!nan", "x = !nan"),
        ("alpha_rad", 0.5, "alpha = 500 mrad"),
        ("exposure_s", 2, "exposure = 2 s"),
        ("high_tension_V", 200e3, "high_tension = 200 kV"),
        ("dose_rate_e_per_A2_s", 12.5, "dose_rate = 12.5 e⁻/Å²/s"),
        ("value", 40000, "value = 40000"),
        ("on", True, "on = yes"),
        ("_m", 1.0, "_m = 1 m"),
        ("n", 10**400, "n = 1" + "0" * 58 + "…"),
        ("calls", [{"action": "a", "x_m": 1e-9}], "calls = [(action = a, x = 1 nm)]"),
        ("points", [[0.5, 0.25]] * 9, None),
    ],
)
def test_an_amount_is_written_as_a_person_would(name, value, words):
    found = amount(name, value)
    assert found == words or (words is None and found.endswith(", …] (9)"))


def test_what_is_no_table_is_shown_as_it_is():
    assert amounts("text") == "text"
    assert amounts(3) == "3"


def test_a_terminal_is_not_led_astray():
    assert printable("a\x1b[2Jb\x9b\n") == "a\\x1b[2Jb\\x9b\\x0a"
    assert len(printable("x" * 1000)) == 300


@pytest.mark.parametrize("t_ns", [T, 0, -1, 1 << 62])
def test_a_moment_is_written_to_the_millisecond(t_ns):
    assert moment(t_ns)[-4] == "."
    assert len(moment(t_ns, date=False)) == 12


@pytest.mark.parametrize("t_ns", [None, "x\x1b", 1.5, True, 10**30])
def test_what_is_no_moment_does_no_harm(t_ns):
    assert "\x1b" not in moment(t_ns)


def test_milliseconds_are_not_rounded_up():
    assert moment(T + 999_999 * MS // 1000).endswith(".999")


def test_durations_are_written_in_the_largest_whole_unit():
    found = [duration(s) for s in (7200, 600, 90, 0.5, "x", True)]
    assert found == ["2 h", "10 min", "90 s", "0.5 s", "x", "True"]
