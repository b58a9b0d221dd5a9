"""What the guard keeps on disk, and what it does when it cannot."""

import json

import pytest
from tests.engine.small import eventually

from scopeside.control.book import Book
from scopeside.errors import AuditError


@pytest.fixture
def book(tmp_path):
    made = Book(tmp_path / "audit.jsonl")
    yield made
    made.close()


def write(book, t_ns):
    """Write a record so that it counts."""
    book.write("event", {"what": "x"}, t_ns)
    book.settle()


def records(book):
    return [json.loads(line) for line in book.path.read_text().splitlines()]


def test_what_is_written_is_in_the_log(book):
    book.write("event", {"what": "started"}, 5)
    book.settle()
    (record,) = records(book)
    assert (record["kind"], record["t_ns"]) == ("event", 5)


def test_what_was_kept_is_there_for_the_next(book, tmp_path):
    assert book.kept() is None
    for durably in (True, False):
        book.keep({"dose": 1.5, "durably": durably}, durably=durably)
        found = Book(tmp_path / "audit.jsonl").kept()
        assert found == {"dose": 1.5, "durably": durably}


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "\0", "null"])
def test_an_account_that_is_damaged_is_put_aside_not_begun_anew_in_silence(book, text):
    book.kept_path.write_text(text)
    with pytest.raises(AuditError, match="cannot be read"):
        book.kept()
    aside = book.kept_path.with_suffix(".damaged")
    assert aside.read_text() == text
    assert book.kept() is None


def test_an_account_that_cannot_be_written_is_an_audit_error(book):
    book.kept_path.with_suffix(".new").mkdir()
    with pytest.raises(AuditError, match="dose account"):
        book.keep({}, durably=True)


def test_a_log_that_cannot_be_opened_is_tried_again(book):
    book.path.mkdir()
    with pytest.raises(AuditError):
        book.write("event", {}, 1)
    book.path.rmdir()

    def written():
        try:
            book.write("event", {}, 2)
        except AuditError:
            return False
        return True

    eventually(written, lambda: None, "a log")
    assert [one["t_ns"] for one in records(book)] == [2]


def test_a_log_on_a_full_disk_is_an_error_for_every_record(book):
    book.path.symlink_to("/dev/full")
    for _ in range(3):
        with pytest.raises(AuditError):
            write(book, 1)


def test_a_log_that_was_taken_away_is_found_out_before_it_counts(book, tmp_path):
    write(book, 1)
    book.path.rename(tmp_path / "elsewhere")
    with pytest.raises(AuditError):
        write(book, 2)
