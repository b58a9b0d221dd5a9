"""The books: what an acquisition came to, and that it always adds up."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small import acquisition

from scopeside.ledger import Account, FrameRanges
from scopeside.supervise.books import Books, book_of


def closed_of(account, said, *, state="complete", problems=()):
    return {
        "acq": "a",
        "ledger": {
            "state": state,
            "reason": "",
            "acquisition": acquisition().to_dict(),
            "ingest": {"received": account.announced, "missing": {}},
            "edges": {"free": account.to_dict()},
        },
        "account": {} if said is None else {"free": said},
        "results": {"free.counts.counts": "d1"},
        "problems": list(problems),
    }


WHOLE = {"merged": [[0, 9]], "failed": {}}
DONE = Account(announced=10, processed=10)


def test_a_complete_acquisition_is_sound():
    book = book_of(closed_of(DONE, WHOLE))
    assert (book.closed, book.sound, book.id) == (True, True, "a")
    assert book.to_dict()["edges"]["free"]["processed"] == 10
    assert book.to_dict()["processed_runs"] == {"free": [[0, 9]]}


def test_one_with_problems_or_failures_is_not_sound():
    failed = Account(announced=10, processed=9)
    failed.failed["ValueError"] = 1
    assert not book_of(closed_of(failed, WHOLE)).sound
    assert not book_of(closed_of(DONE, WHOLE, problems=["disk full"])).sound
    assert not book_of(closed_of(DONE, WHOLE, state="incomplete")).sound


def test_what_channels_came_to_is_added_up_over_acquisitions():
    books = Books()
    for name in "abc":
        counts = {"samples": 5, "dropped": 0, "joined": 7, "without_sample": 3}
        closed = {**closed_of(DONE, WHOLE), "acq": name, "channels": {"heat": counts}}
        books.add(book_of(closed))
    assert books.channels == {"heat": {"joined": 21, "without_sample": 9}}
    assert books.last.to_dict()["channels"]["heat"]["samples"] == 5


def test_the_newest_are_the_last_ones_in_order():
    books = Books()
    for name in "abcd":
        books.add(replace(book_of(closed_of(DONE, WHOLE)), id=name))
    assert [book.id for book in books.newest(2)] == ["c", "d"]
    assert [book.id for book in books.newest(0)] == []
    assert [book.id for book in books.newest(None)] == list("abcd")


def test_one_with_frames_in_flight_is_not_closed():
    book = book_of(closed_of(Account(announced=10, processed=9), WHOLE))
    assert not book.closed
    assert not book.sound


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 30), st.data())
def test_the_account_of_an_orphan_closes(announced, data):
    ends = data.draw(
        st.lists(st.sampled_from("mfdx"), min_size=announced, max_size=announced)
    )
    merged = FrameRanges((k, k) for k, end in enumerate(ends) if end == "m")
    failed = FrameRanges((k, k) for k, end in enumerate(ends) if end == "f")
    account = Account(announced, data.draw(st.integers(0, len(merged))))
    account.dropped["queue_full"] = ends.count("d")
    said = {"merged": merged.runs(), "failed": {"ValueError": failed.runs()}}
    book = book_of(closed_of(account, said, state="failed"), "adapter_died")
    found = book.edges["free"]
    assert found.closed
    assert found.processed == ends.count("m")
    assert found.failed["ValueError"] == ends.count("f")
    assert found.failed["adapter_died"] == ends.count("x")
    assert all(found.failed.values())


def test_an_orphan_of_which_nothing_was_merged_has_failed_whole():
    book = book_of(closed_of(Account(announced=7), None), "adapter_died")
    assert book.edges["free"].failed == {"adapter_died": 7}


OPEN = {
    "edges": {
        "free": Account(announced=5, processed=2, dropped=Counter(late=1)).to_dict()
    },
    "ingest": {"received": 5},
    "acquisition": acquisition().to_dict(),
}


def test_the_accounts_are_those_of_all_books_and_of_what_is_open():
    books = Books()
    book = book_of(closed_of(DONE, WHOLE))
    books.add(book)
    books.add(replace(book, id="b"))
    found = books.accounts({"c": OPEN})["free"]
    assert (found.announced, found.processed, found.in_flight) == (25, 22, 2)
    assert books.received({"c": OPEN}) == (25, 25 * book.size // book.frames)
    assert book.edges["free"].processed == 10


def test_of_the_oldest_acquisitions_the_totals_are_kept(monkeypatch):
    monkeypatch.setattr("scopeside.supervise.books.MAX_BOOKS", 2)
    books = Books()
    for k in range(5):
        books.add(replace(book_of(closed_of(DONE, WHOLE)), id=f"a{k}"))
    assert [book.id for book in books] == ["a3", "a4"]
    assert (books.count, books.last.id) == (5, "a4")
    assert books.accounts({})["free"].processed == 50
    assert books.received({})[0] == 50


def test_the_first_that_is_not_sound_is_remembered():
    books = Books()
    good = book_of(closed_of(DONE, WHOLE))
    books.add(good)
    books.add(replace(good, id="b", state="failed"))
    books.add(replace(good, id="c", state="incomplete"))
    books.add(replace(good, id="d", state="stopped"))
    assert books.first_unsound.id == "b"
    assert books.all_closed
