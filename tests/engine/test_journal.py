"""What is in the journal survives; what was half written never was."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scopeside.collect.journal import Journal

RECORDS = st.lists(st.lists(st.binary(max_size=30), max_size=4), max_size=8)


@pytest.fixture
def fds():
    fds = Journal.allocate()
    yield fds
    for fd in fds:
        os.close(fd)


class Killed(Exception):
    """Stands for the death of the process."""


def die(*_):
    raise Killed


def read_again(fds):
    return list(Journal(fds).records())


@settings(deadline=None, max_examples=100)
@given(RECORDS, RECORDS)
def test_a_new_process_finds_every_record(first, second):
    fds = Journal.allocate()
    journal = Journal(fds)
    for record in first:
        journal.append(record)
    successor = Journal(fds)
    for record in second:
        successor.append(record)
    assert read_again(fds) == first + second
    for fd in fds:
        os.close(fd)


@settings(deadline=None, max_examples=60)
@given(RECORDS, RECORDS, RECORDS)
def test_records_are_replaced_in_one_step(before, instead, after):
    fds = Journal.allocate()
    journal = Journal(fds)
    for record in before:
        journal.append(record)
    journal.replace(instead)
    for record in after:
        journal.append(record)
    journal.replace(list(journal.records()))
    assert list(journal.records()) == read_again(fds) == instead + after
    for fd in fds:
        os.close(fd)


def test_an_empty_journal_has_no_records(fds):
    assert read_again(fds) == []


def test_a_record_that_was_half_written_never_was(fds, monkeypatch):
    journal = Journal(fds)
    journal.append([b"one"])
    pwrite = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(
            os,
            "pwrite",
            lambda fd, data, at: die() if at == 0 else pwrite(fd, data, at),
        )
        with pytest.raises(Killed):
            journal.append([b"two", b"more"])
    assert read_again(fds) == [[b"one"]]
    Journal(fds).append([b"3"])
    assert read_again(fds) == [[b"one"], [b"3"]]


def test_dying_before_the_new_log_counts_leaves_the_old_one(fds, monkeypatch):
    journal = Journal(fds)
    for number in range(5):
        journal.append([b"%d" % number])
    pwrite = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(
            os,
            "pwrite",
            lambda fd, data, at: die() if at == 0 else pwrite(fd, data, at),
        )
        with pytest.raises(Killed):
            journal.replace([[b"all"]])
    assert read_again(fds) == [[b"%d" % number] for number in range(5)]


def test_dying_right_after_the_new_log_counts_gives_the_new_one(fds, monkeypatch):
    journal = Journal(fds)
    journal.append([b"old"])
    journal.replace([[b"middle"]])
    truncate = os.ftruncate
    with monkeypatch.context() as patch:
        patch.setattr(
            os, "ftruncate", lambda fd, size: die() if size else truncate(fd, size)
        )
        with pytest.raises(Killed):
            journal.replace([[b"new"]])
    assert read_again(fds) == [[b"new"]]


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_the_higher_generation_counts(fds, times):
    journal = Journal(fds)
    for number in range(times):
        journal.replace([[b"%d" % number]])
    assert read_again(fds) == [[b"%d" % (times - 1)]]


def test_replacing_gives_memory_back(fds):
    journal = Journal(fds)
    journal.append([bytes(1 << 20)])
    journal.replace([[b"small"]])
    assert sum(os.fstat(fd).st_size for fd in fds) < 100


def test_records_may_be_replaced_by_what_is_read_from_them(fds):
    journal = Journal(fds)
    journal.append([b"a"])
    journal.append([b"b"])
    journal.replace(record for record in journal.records())
    assert read_again(fds) == [[b"a"], [b"b"]]


def test_a_record_may_have_thousands_of_parts(fds):
    parts = [b"%d" % number for number in range(3000)]
    Journal(fds).append(parts)
    assert read_again(fds) == [parts]


def test_a_write_that_falls_short_is_an_error_and_leaves_no_record(fds, monkeypatch):
    journal = Journal(fds)
    journal.append([b"one"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 3)
        with pytest.raises(OSError, match="the journal took 3 of"):
            journal.append([b"two"])
    assert read_again(fds) == [[b"one"]]
