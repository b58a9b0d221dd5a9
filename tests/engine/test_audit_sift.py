"""A search that passes lines by their bytes finds what one of all records finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.audit_records import MS, T, answer, proposal, session

from scopeside.control.audit import AuditLog
from scopeside.control.audit_read import entries
from scopeside.control.audit_search import Search, Wanted
from scopeside.control.audit_sift import needle_of
from scopeside.control.audit_table import row


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a session leaves, ids that come twice, that are odd, and a changed line."""
    path = session(tmp_path_factory.mktemp("log") / "audit.jsonl")
    odd = ['a"1', 'a"2', "ID ß/ΣÄ", "\x1bbell", "acq7/hold_still/42/0"]
    with AuditLog.open(path) as open_log:
        for k, name in enumerate(odd):
            open_log.append("proposal", proposal(name), T + (5000 + k) * MS)
        for k, name in enumerate(odd):
            failed = answer(name, k % 2 == 0, f"reason{k} \x07 of it")
            open_log.append("answer", failed, T + (6000 + k) * MS)
    path.write_bytes(path.read_bytes().replace(b"specimen has", b"Specimen had", 1))
    return path


def texts_in(path: Path) -> list[str]:
    """All that is written or shown of a log."""
    shown = [" ".join(row(entry)) for entry in entries(path)]
    read = [json.dumps(entry.record, ensure_ascii=False) for entry in entries(path)]
    return shown + read


def found(path: Path, wanted: Wanted) -> list[str]:
    whole = Search(path, wanted).more(1000, 60)
    assert whole.over
    assert whole.left == 0
    return [shown.n for _, shown in whole.rows]


def found_without_passing(path: Path, wanted: Wanted) -> list[str]:
    every = [(entry, row(entry)) for entry in entries(path)]
    return [shown.n for entry, shown in every if wanted.fits(entry, shown)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), name=st.sampled_from(["text", "who", "id", "state", "action"]))
def test_nothing_is_passed_that_would_be_found(
    log: Path, data: st.DataObject, name: str
) -> None:
    text = data.draw(st.sampled_from(texts_in(log)))
    begin = data.draw(st.integers(0, len(text) - 1))
    piece = text[begin : begin + data.draw(st.integers(1, 40))]
    asked = data.draw(st.sampled_from([piece, piece.upper()]))
    wanted = replace(Wanted(), **{name: asked})
    assert found(log, wanted) == found_without_passing(log, wanted)


@pytest.mark.parametrize("text", ["changed", "contents do not fit", "done", "Specimen"])
def test_words_of_ours_are_found_where_they_are_shown(log: Path, text: str) -> None:
    wanted = Wanted(text=text)
    assert found(log, wanted) == found_without_passing(log, wanted) != []


@pytest.mark.parametrize(
    ("texts", "needle"),
    [
        (["nowhere"], b"nowhere"),
        (["Hold_still/42", "zzz"], b"hold_still/42"),
        (["1.2 nm"], b""),
        (["14:03:05"], b""),
        (["done"], b""),
        (["x1bell"], b""),
        ([""], b""),
    ],
)
def test_only_what_is_written_as_it_is_shown_is_a_needle(
    texts: list[str], needle: bytes
) -> None:
    assert needle_of(texts) == needle


def test_a_line_that_cannot_hold_the_text_is_not_read(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopeside.control.audit_search.row", None)
    assert Search(log, Wanted(text="nowhere")).more(9, 60).looked_at == 20
