"""The page on the audit log says enough to check one without scopeside."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path

import pytest
from tests.engine.audit_records import session

from scopeside.control.audit_form import OWN

PAGE = Path(__file__).parents[2] / "docs/audit.md"
(CHECK,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


@pytest.fixture
def log(tmp_path):
    return session(tmp_path / "audit.jsonl")


def said(log, monkeypatch):
    """What the lines on the page print."""
    monkeypatch.setattr(sys, "argv", ["check.py", str(log)])
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(CHECK, "docs/audit.md", "exec"), {})
    return out.getvalue().splitlines()


def test_the_lines_on_the_page_are_few_and_need_nothing_of_ours():
    assert len([line for line in CHECK.splitlines() if line]) <= 15
    assert "scopeside" not in CHECK


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_they_find_a_log_sound_and_give_the_same_head(log, monkeypatch):
    last = json.loads(log.read_bytes().splitlines()[-1])
    assert said(log, monkeypatch) == [f"the last is 10:{last['hash']}"]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_they_find_a_change_wherever_it_is(log, monkeypatch):
    whole = log.read_bytes()
    for at in range(0, len(whole), 17):
        log.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert len(said(log, monkeypatch)) > 1, at
    for at in (0, 3, 8):
        lines = whole.splitlines(keepends=True)
        del lines[at]
        log.write_bytes(b"".join(lines))
        assert len(said(log, monkeypatch)) > 1, at


def test_every_field_that_the_log_adds_is_on_the_page():
    for name in OWN:
        assert f"| `{name}` |" in PAGE.read_text()
