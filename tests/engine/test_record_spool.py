"""The recorder's spool: a ring that outlives whoever writes it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.errors import SlabError
from scopeside.record import spool as module
from scopeside.record.notebook import Gap, Notebook
from scopeside.record.spool import Spool

SIZE = 1 << 14


@pytest.fixture
def fd():
    fd = Spool.allocate(SIZE)
    yield fd
    os.close(fd)


def contents(spool):
    found = []
    for entry in spool.entries():
        header, parts = spool.read(entry)
        found.append((header["n"], [bytes(part) for part in parts]))
    return found


def test_what_is_put_in_comes_out_in_order(fd):
    spool = Spool(fd, SIZE)
    spool.append({"n": 1}, [b"one", b""])
    spool.append({"n": 2}, [])
    assert contents(spool) == [(1, [b"one", b""]), (2, [])]
    spool.pop(next(spool.entries()))
    assert contents(spool) == [(2, [])]


def test_it_takes_no_more_than_it_holds(fd):
    spool = Spool(fd, SIZE)
    assert spool.append({"n": 0}, [bytes(SIZE)]) is None
    assert spool.append({"n": 0}, [bytes(SIZE // 2)]) is not None
    assert spool.append({"n": 1}, [bytes(SIZE // 2)]) is None
    assert spool.append({"n": 1}, [bytes(64)], spare=SIZE // 2) is None
    assert [n for n, _ in contents(spool)] == [0]


def test_parts_lie_at_multiples_of_64_bytes_so_that_arrays_can_be_used(fd):
    spool = Spool(fd, SIZE)
    entry = spool.append({"n": 1}, [b"x" * 5, b"y" * 64])
    assert entry.at % 64 == entry.size % 64 == 0
    assert entry.size == 64 + 64 + 64 + 64


@given(
    steps=st.lists(
        st.one_of(
            st.lists(st.integers(0, 5000), max_size=3), st.just("pop"), st.just("die")
        ),
        max_size=60,
    )
)
def test_whenever_its_writer_dies_the_next_one_finds_what_was_in_it(steps):
    fd = Spool.allocate(SIZE)
    try:
        spool, model = Spool(fd, SIZE), []
        for n, step in enumerate(steps):
            if step == "die":
                spool = Spool(fd, SIZE)
            elif step == "pop":
                if model:
                    spool.pop(next(spool.entries()))
                    model.pop(0)
            else:
                parts = [bytes([n % 256]) * size for size in step]
                if spool.append({"n": n}, parts) is not None:
                    model.append((n, parts))
                else:
                    assert model, "an empty spool takes what fits it"
            assert contents(spool) == model
            assert spool.used <= SIZE
    finally:
        os.close(fd)


def test_an_entry_counts_only_when_it_is_whole(fd):
    spool = Spool(fd, SIZE)
    spool.append({"n": 1}, [b"whole"])
    put_in = spool._counts[0]
    spool.append({"n": 2}, [b"half"])
    spool._counts[0] = put_in  # as if it had died before the last store
    assert contents(Spool(fd, SIZE)) == [(1, [b"whole"])]


def test_a_machine_without_the_memory_says_which_setting_is_too_large(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: 64 << 20)
    with pytest.raises(SlabError, match=r"needs 1024 MiB.*64 MiB are free.*spool_mib"):
        Spool.allocate(1 << 30)


def test_the_notebook_remembers_runs_and_gaps_over_a_death(fd):
    book = Notebook(fd)
    book.begin("a", "/runs/a")
    gap = Gap("a", 1, "disk_full", (3, 3), [[6, 7]])
    book.give_up(gap)
    gap.grow(4, [(8, 9)])
    book.give_up(gap)
    book = Notebook(fd)
    assert book.open_runs == {"a": "/runs/a"}
    (found,) = book.gaps
    assert (found.seqs, found.runs, found.cause) == ((3, 4), [[6, 9]], "disk_full")
    book.wrote(found)
    book.close("a", {"frames": 6})
    book = Notebook(fd)
    assert book.gaps == []
    assert book.open_runs == {}
    assert book.answer_of("a") == {"frames": 6}


def test_the_notebook_forgets_runs_that_were_closed_long_ago(fd):
    book = Notebook(fd)
    for k in range(100):
        book.begin(f"a{k}", f"/runs/a{k}")
        book.close(f"a{k}", {})
    assert book.answer_of("a0") is None
    assert book.answer_of("a99") == {}
