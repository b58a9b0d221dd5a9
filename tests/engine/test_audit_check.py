"""Whatever is done to an audit log afterwards is found, and the line is named."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.control import audit_check
from scopeside.control.audit import AuditLog
from scopeside.control.audit_check import Checker, check
from scopeside.control.audit_form import START, Head, written
from scopeside.errors import AuditError

T = 1_790_000_000_000_000_000
LINES: list[bytes] = []
HEADS = [Head()]
for _k in range(8):
    _line, _head = written(
        "event", {"what": "held", "reason": f"{_k}"}, T + _k, HEADS[-1]
    )
    LINES.append(_line)
    HEADS.append(_head)
WHOLE = b"".join(LINES)


def faults(data: bytes) -> list[str]:
    """What is found in a log of these bytes."""
    checker = Checker()
    found = [one for line in io.BytesIO(data) for one in checker.take(line)]
    return [str(fault) for fault in found + checker.end()]


def checked(tmp_path: Path, data: bytes, head: str = "") -> audit_check.Checked:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(data)
    return check(path, head)


def rehashed(line: bytes, **changes: object) -> bytes:
    """A line that was edited by somebody who knows how it is hashed."""
    record = {**json.loads(line), **changes}
    own = ("n", "t_ns", "kind", "prev", "hash")
    body = {name: value for name, value in record.items() if name not in own}
    after = Head(record["n"] - 1, record["prev"])
    return written(record["kind"], body, record["t_ns"], after)[0]


def test_a_log_as_it_was_written_is_sound(tmp_path):
    found = checked(tmp_path, WHOLE)
    assert found.faults == ()
    assert found.records == 8
    assert found.head == HEADS[-1]


def test_an_empty_log_is_sound(tmp_path):
    assert checked(tmp_path, b"") == audit_check.Checked(0, Head(0, START))


def test_a_changed_line_is_named_once():
    assert faults(WHOLE.replace(b'"reason":"3"', b'"reason":"7"')) == [
        "line 4 (n = 4): its contents do not fit its hash: changed"
    ]


def test_a_line_edited_and_hashed_anew_is_found_by_the_next():
    edited = [*LINES[:3], rehashed(LINES[3], reason="all was well"), *LINES[4:]]
    (found,) = faults(b"".join(edited))
    assert found.startswith(
        "line 5 (n = 5): its prev is not the hash of the line before"
    )
    assert "that line (n = 4) was changed and hashed anew" in found


def test_a_last_line_hashed_anew_is_found_with_the_head_noted_down(tmp_path):
    edited = b"".join([*LINES[:7], rehashed(LINES[7], reason="all was well")])
    assert checked(tmp_path, edited).n_faults == 0
    (fault,) = checked(tmp_path, edited, str(HEADS[8])).faults
    assert "n = 8, hash" in str(fault)
    assert "is not there" in str(fault)


def test_a_missing_line_is_named():
    assert faults(b"".join(LINES[:3] + LINES[4:])) == [
        "line 4 (n = 5): missing before it: n = 4"
    ]


def test_missing_lines_are_named():
    assert faults(b"".join(LINES[:2] + LINES[5:])) == [
        "line 3 (n = 6): missing before it: n = 3 … 5"
    ]


def test_a_missing_beginning_is_named():
    assert faults(b"".join(LINES[2:])) == [
        "line 1 (n = 3): missing before it: n = 1 … 2"
    ]


def test_a_line_that_stands_twice_is_named():
    assert faults(b"".join([*LINES[:4], LINES[3], *LINES[4:]])) == [
        "line 5 (n = 4): it comes after n = 4: doubled, moved or put in"
    ]


def test_swapped_lines_are_named():
    found = faults(b"".join([*LINES[:3], LINES[4], LINES[3], *LINES[5:]]))
    assert found[0] == "line 4 (n = 5): missing before it: n = 4"
    assert found[1] == "line 5 (n = 4): it comes after n = 5: doubled, moved or put in"


def test_a_line_put_in_is_named():
    extra, _ = written("event", {"what": "armed"}, T, HEADS[3])
    found = faults(b"".join([*LINES[:3], extra, *LINES[3:]]))
    assert found == ["line 5 (n = 4): it comes after n = 4: doubled, moved or put in"]


def test_garbage_between_is_named():
    found = faults(b"".join([*LINES[:3], b"\x00\xff{}\n", *LINES[4:]]))
    assert found == ["line 4: it cannot be read: changed, or no record"]


def test_a_line_cut_in_two_is_named():
    found = faults(WHOLE.replace(b'"kind":"event","n":4', b'"kind":"event",\n"n":4'))
    assert found[:2] == [
        "line 4: it cannot be read: changed, or no record",
        "line 5: it cannot be read: changed, or no record",
    ]


def test_a_line_written_in_another_way_is_named():
    found = faults(WHOLE.replace(b'"n":4,', b'"n": 4,'))
    assert found == ["line 4 (n = 4): it is not written as the log writes: changed"]


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n",
        b"1\n",
        b"{}\n",
        b'{"n":1e999}\n',
        b'{"n":NaN}\n',
        b'{"n":' + b"9" * 5000 + b"}\n",
        b"[" * 100_000 + b"\n",
        b'{"hash":"\\ud800"}\n',
        b'"\\ud800"\n',
        b'{"hash":1,"kind":"event","n":1,"prev":2,"t_ns":3}\n',
        b'{"a":1,"a":2}\n',
    ],
)
def test_what_is_no_record_is_named_and_does_no_harm(line):
    (found,) = faults(line)
    assert found.startswith("line 1: it")


@pytest.mark.parametrize("noted", range(1, 9))
def test_a_cut_tail_is_found_with_a_head_noted_down(tmp_path, noted):
    kept = b"".join(LINES[: noted - 1])
    assert checked(tmp_path, kept).n_faults == 0
    for head in (HEADS[noted].hash, str(HEADS[noted])):
        (fault,) = checked(tmp_path, kept, head).faults
        assert f"the log ends with n = {noted - 1}; lines were cut off" in str(fault)
        assert checked(tmp_path, WHOLE, head).n_faults == 0


def test_a_head_of_an_empty_log_holds_for_every_log(tmp_path):
    assert checked(tmp_path, WHOLE, str(Head())).n_faults == 0


def test_a_head_with_another_number_is_not_there(tmp_path):
    assert checked(tmp_path, WHOLE, f"3:{HEADS[4].hash}").n_faults == 1


@pytest.mark.parametrize("head", ["12", "x" * 64, "a:" + "0" * 64, "0" * 63, ":"])
def test_what_is_no_head_is_said(tmp_path, head):
    with pytest.raises(AuditError, match="a head is 64 hexadecimal digits"):
        checked(tmp_path, WHOLE, head)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(AuditError, match="cannot be read: No such file"):
        check(tmp_path / "none.jsonl")


def test_faults_beyond_all_measure_are_counted_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_check, "MAX_FAULTS", 3)
    found = checked(tmp_path, b"garbage\n" * 10)
    assert len(found.faults) == 3
    assert found.n_faults == 10


def test_a_line_beyond_all_measure_is_not_read_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_check, "MAX_LINE", 1000)
    found = checked(tmp_path, LINES[0] + b"x" * 2500 + b"\n")
    assert [fault.line for fault in found.faults] == [2, 3, 4]


def test_a_line_that_is_just_being_written_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "audit.jsonl"
    with AuditLog.open(path), path.open("ab", buffering=0) as file:
        file.write(LINES[0][:50])
        rest = LINES[0][50:]
        monkeypatch.setattr(audit_check.time, "sleep", lambda _: file.write(rest))
        found = check(path)
        path.write_bytes(b"")  # the log closes on a file that is as it left it
    assert found.records == 1
    assert found.n_faults == 0


@given(at=st.integers(0, len(WHOLE) - 1), by=st.integers(1, 255))
@settings(max_examples=400)
def test_any_change_of_one_byte_is_found(at, by):
    changed = bytearray(WHOLE)
    changed[at] ^= by
    assert faults(bytes(changed))


@given(at=st.integers(0, len(WHOLE) - 1))
def test_any_byte_left_out_is_found(at):
    assert faults(WHOLE[:at] + WHOLE[at + 1 :])


@given(at=st.integers(0, len(WHOLE)), byte=st.integers(0, 255))
def test_any_byte_put_in_is_found(at, byte):
    assert faults(WHOLE[:at] + bytes([byte]) + WHOLE[at:])


@given(st.permutations(range(8)).filter(lambda order: order != list(range(8))))
def test_any_other_order_of_the_lines_is_found(order):
    assert faults(b"".join(LINES[k] for k in order))


@given(st.sets(st.integers(0, 6), min_size=1))
def test_any_lines_left_out_before_the_last_are_found(gone):
    assert faults(b"".join(line for k, line in enumerate(LINES) if k not in gone))


@given(at=st.integers(0, 2000), by=st.integers(1, 255))
@settings(max_examples=200)
def test_any_change_of_one_byte_around_a_torn_line_is_found(tmp_path_factory, at, by):
    path = tmp_path_factory.mktemp("torn") / "audit.jsonl"
    path.write_bytes(b"".join(LINES[:2]) + b'{"half of a li')
    with AuditLog.open(path) as log:
        log.append("event", {}, T)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= by
    assert checked(path.parent, bytes(data)).n_faults


@given(st.binary(max_size=300))
def test_garbage_does_no_harm(data):
    assert bool(faults(data)) == bool(data)
