"""The audit log is written whole, by one, in a chain, and continued honestly."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.control import audit as audit_module
from scopeside.control.audit import AuditLog
from scopeside.control.audit_check import check
from scopeside.control.audit_form import START, Head, parsed, plain, written
from scopeside.errors import AuditError

T = 1_790_000_000_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def fill(path: Path, n: int = 5) -> list[bytes]:
    with AuditLog.open(path) as log:
        for k in range(n):
            log.append("event", {"what": "started", "reason": f"no. {k}"}, T + k)
    return path.read_bytes().splitlines(keepends=True)


# -- the form -----------------------------------------------------------------------


def test_a_record_has_its_number_the_hash_before_and_its_own(path):
    with AuditLog.open(path) as log:
        assert log.head == Head(0, START)
        assert log.append("event", {"what": "started"}, T) == 1
        assert log.append("request", {"ask": "arm"}, T + 1) == 2
        head = log.head
    first, second = map(json.loads, path.read_text().splitlines())
    assert first["prev"] == START
    assert (first["n"], first["t_ns"], first["kind"]) == (1, T, "event")
    assert second["prev"] == first["hash"]
    assert head == (2, second["hash"])


def test_the_hash_can_be_worked_out_by_hand():
    line, head = written("event", {"what": "Å"}, 7, Head())
    text = f'{{"kind":"event","n":1,"prev":"{START}","t_ns":7,"what":"Å"}}'
    digest = sha256(text.encode()).hexdigest()
    assert head == (1, digest)
    whole = text.replace('{"kind"', f'{{"hash":"{digest}","kind"')
    assert line == whole.encode() + b"\n"


@pytest.mark.parametrize(
    ("value", "as_written"),
    [
        (float("nan"), "!nan"),
        (float("inf"), "!inf"),
        (float("-inf"), "!-inf"),
        ("nan", "nan"),
        ("!nan", "!!nan"),
        ("!!nan", "!!!nan"),
        (b"hi", "!bytes:6869"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.float64("nan"), "!nan"),
        (True, True),
        (None, None),
        (1 << 200, 1 << 200),
        ("\ud800", r"!text:'\ud800'"),
        (r"\ud800", r"\ud800"),
        ("Å", "Å"),
        ((1, 2), [1, 2]),
        ({b"k": 1}, {"!bytes:6b": 1}),
        ({1: 1, "1": 2}, {"!key:1": 1, "1": 2}),
        (1j, "!complex:1j"),
    ],
)
def test_what_json_cannot_say_is_written_as_text_of_its_own(value, as_written):
    found = plain(value)
    assert found == as_written
    assert type(found) is type(as_written)


_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=20)
    | st.text(st.characters(categories=["Cs"]), max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
    max_leaves=10,
)


@given(_anything)
def test_whatever_was_proposed_is_written_as_a_sound_record(value):
    line, head = written("proposal", {"decision": value}, T, Head())
    assert line.count(b"\n") == 1
    record, fault = parsed(line)
    assert not fault
    assert record is not None
    assert record["hash"] == head.hash


def test_nesting_without_end_is_cut_and_says_so():
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    line, _ = written("proposal", {"decision": deep}, T, Head())
    assert b"!deep:1" in line
    assert not parsed(line).fault


@pytest.mark.parametrize("name", ["n", "t_ns", "kind", "prev", "hash"])
def test_a_field_of_the_log_itself_is_refused(path, name):
    with AuditLog.open(path) as log:
        with pytest.raises(AuditError, match=f"cannot be called {name}"):
            log.append("event", {name: 1}, T)
        assert log.head.n == 0


# -- one writer, on disk ------------------------------------------------------------


def test_a_second_writer_is_refused(path):
    with AuditLog.open(path) as log:
        with pytest.raises(AuditError, match="is being written by another process"):
            AuditLog.open(path)
        log.append("event", {}, T)
    with AuditLog.open(path) as log:
        assert log.head.n == 1


WRITER = """
import os, signal, sys
from scopeside.control.audit import AuditLog
log = AuditLog.open(sys.argv[1])
for k in range(20):
    log.append("event", {"k": k}, k)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_appended_survives_a_killed_writer_and_so_does_the_lock_not(path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", WRITER, str(path)], check=False, env=environment
    )
    assert check(path).records == 20
    with AuditLog.open(path) as log:
        assert log.head.n == 20


def test_sync_writes_to_disk(path, monkeypatch):
    synced = []
    monkeypatch.setattr(audit_module.os, "fsync", synced.append)
    with AuditLog.open(path) as log:
        synced.clear()
        log.append("event", {}, T)
        assert synced == []
        log.sync()
        assert len(synced) == 1


def test_a_disk_that_fails_ends_the_log(path, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    log = AuditLog.open(path)
    log.append("event", {}, T)
    with monkeypatch.context() as patched:
        patched.setattr(audit_module.os, "fsync", fail)
        with pytest.raises(AuditError, match=r"written to disk: Input/output error"):
            log.sync()
    with pytest.raises(AuditError, match="cannot be continued"):
        log.append("event", {}, T)
    log.close()


def test_a_full_disk_leaves_the_log_whole_and_it_goes_on_when_there_is_room(
    path, monkeypatch
):
    write = os.write
    with AuditLog.open(path) as log:
        log.append("event", {}, T)
        with monkeypatch.context() as patched:
            patched.setattr(
                audit_module.os, "write", lambda file, data: write(file, data[:10])
            )
            with pytest.raises(AuditError, match="no space for the whole record"):
                log.append("event", {}, T)
        assert log.append("event", {}, T) == 2
    assert check(path).n_faults == 0
    assert check(path).records == 2


def test_a_log_that_another_has_cut_or_written_to_is_not_continued(path):
    with AuditLog.open(path) as log:
        log.append("event", {}, T)
        path.write_bytes(b"")
        with pytest.raises(AuditError, match="something else has written"):
            log.append("event", {}, T)


def test_a_log_whose_file_was_replaced_says_so(path):
    log = AuditLog.open(path)
    log.append("event", {}, T)
    path.unlink()
    path.write_bytes(b"")
    with pytest.raises(AuditError, match="its file was replaced by another"):
        log.close()
    log.close()


def test_after_close_nothing_is_written(path):
    log = AuditLog.open(path)
    log.close()
    log.close()
    with pytest.raises(AuditError, match="it is closed"):
        log.append("event", {}, T)
    with pytest.raises(AuditError, match="it is closed"):
        log.sync()


def test_a_folder_where_it_cannot_be_is_named(tmp_path):
    with pytest.raises(AuditError, match=r"cannot be opened: Is a directory"):
        AuditLog.open(tmp_path)


# -- continuing ---------------------------------------------------------------------


def test_a_log_that_is_there_is_continued(path):
    fill(path, 3)
    with AuditLog.open(path) as log:
        assert log.append("event", {}, T) == 4
    assert check(path).n_faults == 0
    assert check(path).head.n == 4


@given(cut=st.data())
def test_a_torn_last_line_is_kept_and_named_wherever_it_was_cut(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "audit.jsonl"
    whole = b"".join(fill(path, 3))
    last = whole.rindex(b"\n", 0, -1) + 1
    at = cut.draw(st.integers(last + 1, len(whole) - 1))
    path.write_bytes(whole[:at])
    assert check(path).n_faults == 1
    with AuditLog.open(path) as log:
        log.append("event", {}, T)
    data = path.read_bytes()
    assert data.startswith(whole[:at] + b"\n")
    recovered = json.loads(data.splitlines()[3])
    assert recovered["kind"] == "recovered"
    assert recovered["torn_offset"] == last
    assert recovered["torn_bytes"] == at - last
    found = check(path)
    assert not found.faults
    # A record that lacked only its end counts as one.
    assert found.recovered == ((3,) if at < len(whole) - 1 else ())


def test_two_crashes_in_a_row_are_both_named(path):
    fill(path, 2)
    for _ in range(2):
        with path.open("ab") as file:
            file.write(b'{"half')
        AuditLog.open(path).close()
    found = check(path)
    assert not found.faults
    assert found.recovered == (3, 5)
    assert found.head.n == 4


def test_a_torn_line_that_is_changed_later_is_found(path):
    fill(path, 2)
    with path.open("ab") as file:
        file.write(b'{"half')
    AuditLog.open(path).close()
    path.write_bytes(path.read_bytes().replace(b'{"half', b'{"hal_'))
    assert [fault.line for fault in check(path).faults] == [3]


def test_zeros_that_a_loss_of_power_has_left_are_kept_and_named(path):
    fill(path, 2)
    with path.open("ab") as file:
        file.write(bytes(4096))
    AuditLog.open(path).close()
    assert check(path).recovered == (3,)
    assert check(path).n_faults == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: [*lines[:-1], lines[-1].replace(b"no. 4", b"no. 5")], "changed"),
        (lambda lines: [*lines[:-2], lines[-1]], "missing before it: n = 4"),
        (lambda lines: [*lines, lines[-1]], "comes after n = 5"),
        (lambda lines: [*lines, b"garbage\n"], "cannot be read"),
        (lambda lines: [*lines, b"\n"], "cannot be read"),
    ],
)
def test_a_broken_chain_is_not_continued_and_not_touched(path, change, why):
    path.write_bytes(b"".join(change(fill(path))))
    before = path.read_bytes()
    with pytest.raises(AuditError, match=rf"cannot be continued, .*{why}"):
        AuditLog.open(path)
    assert path.read_bytes() == before


def test_of_a_long_log_the_end_is_checked(path, monkeypatch):
    monkeypatch.setattr(audit_module, "_TAIL", 800)
    lines = fill(path, 50)
    with AuditLog.open(path) as log:
        assert log.head.n == 50
        log.append("event", {"long": "x" * 5000}, T)
    with AuditLog.open(path) as log:
        assert log.head.n == 51
    path.write_bytes(b"".join([*lines[:48], lines[49]]))
    with pytest.raises(AuditError, match="missing before it: n = 49"):
        AuditLog.open(path)
