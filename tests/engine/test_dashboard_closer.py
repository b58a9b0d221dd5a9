"""A part of a large image, of the version that a tab shows."""

import json

import numpy as np
import pytest

from scopeside.dashboard import closer
from scopeside.dashboard.closer import MOST_HELD, Closer
from scopeside.dashboard.page import Page
from scopeside.dashboard.picture import LONGEST
from scopeside.errors import ShapeError
from scopeside.result import Result

META = {"chain": "view", "processor": "frame"}
KEY = "view.frame.frame"
HERE = {"row": 0, "column": 0, "rows": 1, "columns": 1}


@pytest.fixture
def page():
    return Page()


@pytest.fixture
def kept(page):
    return Closer(page)


def hear(page, value, columns=LONGEST + 1):
    """Have the page hear an image of one value; return it as it is shown."""
    page.hear(Result("frame", np.full((2, columns), value), meta=META))
    return page.shelf.get(KEY)


def ask(page, number, **asked):
    """Return the header of a part, and its first pixel."""
    said = {"key": KEY, "number": number, **HERE, **asked}
    blob = page.questions["part"]({name: str(one) for name, one in said.items()})
    size = int.from_bytes(blob.data[:4], "little")
    header = json.loads(blob.data[4 : 4 + size])
    pixels = np.frombuffer(blob.data, header["dtype"], offset=4 + size)
    return header, int(pixels[0]) + header["offset"]


def test_a_part_is_of_the_version_that_was_sent_and_not_of_the_next(page, kept):
    first = hear(page, 1)
    kept.keep(first)
    second = hear(page, 2)
    kept.keep(second)
    assert [ask(page, one.number)[1] for one in (first, second)] == [1, 2]
    header, _ = ask(page, first.number, row=1, column=2000, columns=9999)
    assert (header["number"], header["shape"]) == (first.number, [1, LONGEST - 1999])


def test_the_newest_is_there_even_if_no_tab_got_it(page, kept):
    assert ask(page, hear(page, 5, columns=3).number)[1] == 5


def test_a_version_that_has_gone_is_refused_in_words(page, kept):
    first = hear(page, 1)
    for value in (1, 2, 3):
        kept.keep(hear(page, value))
    with pytest.raises(ShapeError, match="no longer kept"):
        ask(page, first.number)


def test_a_frozen_version_is_held_while_others_go(page, kept):
    first = hear(page, 1)
    kept.keep(first)
    ask(page, first.number, hold=1)
    for value in range(2, 9):
        kept.keep(hear(page, value))
    assert ask(page, first.number)[1] == 1


def test_so_many_are_held_and_the_oldest_goes(page, kept):
    numbers = []
    for value in range(MOST_HELD + 1):
        numbers.append(hear(page, value).number)
        ask(page, numbers[-1], hold=1)
    assert ask(page, numbers[1])[1] == 1
    with pytest.raises(ShapeError, match="no longer kept"):
        ask(page, numbers[0])


def test_what_is_kept_is_bounded_in_bytes(page, kept, monkeypatch):
    monkeypatch.setattr(closer, "MOST_BYTES", 3 * 8 * LONGEST)
    first, second = hear(page, 1), hear(page, 2)
    kept.keep(first)
    kept.keep(second)
    hear(page, 3)
    assert ask(page, second.number)[1] == 2
    with pytest.raises(ShapeError, match="no longer kept"):
        ask(page, first.number)


def test_small_images_are_not_kept(page, kept):
    small = hear(page, 1, columns=3)
    kept.keep(small)
    hear(page, 2)
    with pytest.raises(ShapeError, match="no longer kept"):
        ask(page, small.number)


def test_another_engine_begins_with_nothing_kept(page, kept, tmp_path):
    first = hear(page, 1)
    kept.keep(first)
    ask(page, first.number, hold=1)
    page.attached(tmp_path)
    with pytest.raises(ShapeError, match="no longer kept"):
        ask(page, first.number)


@pytest.mark.parametrize("wrong", [{"row": -1}, {"rows": 0}, {"row": 2}])
def test_a_part_that_cannot_be_is_refused(page, kept, wrong):
    with pytest.raises(ShapeError, match="no such part"):
        ask(page, hear(page, 1).number, **wrong)
