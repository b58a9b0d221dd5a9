"""Tables of text, whole, cut anywhere, and garbage."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopeside.errors import SourceError
from scopeside_adapters.channels import rows as module
from scopeside_adapters.channels.rows import Form, Rows
from scopeside_adapters.channels.times import reader

NS = reader("epoch_ns", "UTC", None)
TABLE = b"t,T,p\n1,20.5,a\n2,21,b\n\n3,21.5,c\n"
SAMPLES = [(1, 20.5), (2, 21.0), (3, 21.5)]


def rows(time="t", value="T", **more):
    return Rows(Form(time, value, **more), NS)


def samples(*found):
    return [pair for one in found for pair in zip(one.times, one.values, strict=True)]


@given(st.lists(st.integers(0, len(TABLE)), max_size=8).map(sorted))
def test_it_does_not_matter_where_the_file_is_cut(cuts):
    edges = [0, *cuts, len(TABLE)]
    table = rows()
    found = [table.feed(TABLE[a:b]) for a, b in pairwise(edges)]
    assert samples(*found) == SAMPLES
    assert not any(one.bad for one in found)


def test_a_line_counts_when_its_end_has_come():
    table = rows()
    assert samples(table.feed(b"t,T\n1,20.5")) == []
    assert samples(table.feed(b"7\n2,1")) == [(1, 20.57)]


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"1,x,20.5\r\n", {"time": 0, "value": 2}),
        (b"\xef\xbb\xbft;T\r\n1;20,5\r\n", {"delimiter": ";", "decimal": ","}),
        (b'"t"\t"T"\n1\t"20.5"\n', {"delimiter": "\t"}),
        (b"DENS log\n\nversion,5\nt , T\n1, 20.5\n", {"skip_until": "t , T"}),
        (b"t,Temp \xb0C\n1,20.5\n", {"value": "Temp °C", "encoding": "latin-1"}),
        (b"// head\nt,T\n1,20.5\n", {"time": 0, "value": 1, "skip_until": "t,T"}),
    ],
)
def test_tables_of_many_makes(data, form):
    assert samples(rows(**form).feed(data)) == [(1, 20.5)]


def test_a_row_that_is_no_sample_is_counted_and_the_next_is_taken():
    found = rows().feed(b"t,T\n1\nx,2\n2,hot\n3,nan\n4,inf\n5,6\n")
    assert samples(found) == [(5, 6.0)]
    assert found.bad == 5
    assert found.why.startswith("the line '1' is no sample")


def test_a_heading_without_the_column_names_those_it_has():
    with pytest.raises(SourceError, match="no column 'T'; the heading has 't', 'p'"):
        rows().feed(b"t,p\n")


def test_after_a_jump_the_first_line_is_left_out():
    table = rows()
    table.feed(b"t,T\n")
    table.skip()
    found = table.feed(b"99,9\n3,4\n")
    assert samples(found) == [(3, 4.0)]
    assert found.bad == 0


def test_a_line_without_end_takes_no_memory(monkeypatch):
    table = rows()
    table.feed(b"t,T\n")
    found = [table.feed(b"x" * 50_000) for _ in range(20)]
    assert sum(one.bad for one in found) == 1
    assert len(table._partial) <= module.MAX_LINE
    assert samples(table.feed(b"\n1,2\n")) == [(1, 2.0)]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_is_counted_and_harms_nothing(pieces):
    table = rows(time=0, value=1)
    for piece in pieces:
        found = table.feed(piece)
        assert len(found.times) == len(found.values)
    assert samples(table.feed(b"\n8,9\n"))[-1:] == [(8, 9.0)]
