"""What the page says of results that are no images."""

import json
from pathlib import Path

import numpy as np
import pytest

from scopeside.dashboard.cells import heads_of, rows_of
from scopeside.dashboard.lines import lines_of, peaks_kept
from scopeside.dashboard.page import Page
from scopeside.dashboard.values import MOST, Values
from scopeside.errors import ScopesideError
from scopeside.result import Result, invalid

META = {"acq": "a1", "chain": "c", "processor": "p"}


def result(name="n", data=1.5, kind="scalar", **more):
    more["meta"] = META | more.get("meta", {})
    return Result(name, data, kind, **more)


def said(page):
    number, text = page.topic("values")
    return number, json.loads(text)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def page(clock):
    page = Page()
    Values(page, clock)
    return page


def test_a_number_is_told_with_its_unit_and_frame(page):
    page.hear(result("radius", 3.25, units="px", frame=7, used=8, expected=20))
    (one,) = said(page)[1]["values"]
    assert (one["key"], one["columns"], one["rows"]) == (
        "c.p.radius",
        [["radius", "px"]],
        [[3.25]],
    )
    assert (one["frame"], one["used"], one["expected"]) == (7, 8, 20)
    assert not one["plot"]


def test_images_and_events_are_not_told(page):
    page.hear(result(data=np.zeros((2, 2)), kind="image"))
    page.hear(result(data={"what": "nucleus"}, kind="event"))
    assert page.topic("values") is None


def test_what_has_no_value_any_more_says_why(page, clock):
    page.hear(result("radius"))
    clock.now += 1
    page.hear(invalid("radius", "no counts", meta=META))
    (one,) = said(page)[1]["values"]
    assert (one["valid"], one["reason"], one["rows"]) == (False, "no counts", [])


def test_it_is_told_four_times_a_second_at_most_and_the_last_one_always(page, clock):
    page.hear(result(data=1))
    page.hear(result(data=2))
    assert said(page)[1]["values"][0]["rows"] == [[1]]
    clock.now += 1
    page.hear_status({"phase": "running"})
    assert said(page)[1]["values"][0]["rows"] == [[2]]


def test_another_engine_begins_anew(page):
    page.hear(result())
    page.attached(None)
    assert len(said(page)[1]["values"]) == 1
    page.attached(Path("e2"))
    assert said(page)[1]["values"] == []


def test_what_is_told_is_bounded(page, clock):
    wide = np.arange(10_000, dtype=float).reshape(100, 100)
    for k in range(MOST + 3):
        page.hear(result(f"n{k:03}", wide, "table"))
    clock.now += 1
    page.hear_status({})
    told = said(page)[1]
    assert (len(told["values"]), told["left_out"]) == (MOST, 3)
    one = told["values"][0]
    assert one["rows"][-1] == [9900, 9901, 9902, 9903, 9904, 9905, 9906, 9907]
    assert (len(one["rows"]), len(one["columns"]), one["of"]) == (8, 8, 100)


def test_a_vector_is_one_row_and_a_series_one_column():
    vector = result(data=np.array([1.0, 2.0]), kind="series", axes=("yx",), units="px")
    assert rows_of(vector).tolist() == [[1, 2]]
    assert heads_of(vector, 2) == [("y", "px"), ("x", "px")]
    series = result(data=np.arange(5), kind="series", axes=("frame",))
    assert rows_of(series).shape == (5, 1)


def test_columns_are_named_by_the_result():
    meta = {"columns": ["frame", "dy"], "units": ["", "px"]}
    table = result(data=np.ones((3, 2)), kind="table", meta=meta)
    assert heads_of(table, 2) == [("frame", ""), ("dy", "px")]
    wrong = result(data=np.ones((3, 2)), kind="table", meta={"columns": "xy"})
    assert [name for name, _ in heads_of(wrong, 2)] == ["column 0", "column 1"]


def test_a_series_is_thinned_and_keeps_its_peaks(page):
    values = np.zeros(100_000)
    values[[77_777, 12_345]] = 9, -9
    page.hear(result("counts", values, "series", axes=("frame",)))
    (line,) = page.questions["series"]({"key": "c.p.counts"})["lines"]
    assert len(line["x"]) <= 512
    assert line["thinned"]
    assert (line["x"][line["y"].index(9)], line["x"][line["y"].index(-9)]) == (
        77_777,
        12_345,
    )


def test_what_was_not_seen_is_a_gap_in_the_line():
    mask = np.array([True, False, True])
    found = lines_of(result(data=np.array([1, 0, 3]), kind="series", mask=mask))
    assert found["lines"][0]["y"] == [1, None, 3]
    nothing = np.full(1000, np.nan)
    assert set(np.isnan(nothing[peaks_kept(nothing, 10)])) == {True}


def test_a_table_is_drawn_over_its_first_column():
    meta = {"columns": ["r in Å", "G"], "units": ["Å", "Å⁻²"]}
    data = np.array([[0.5, 1.0], [1.0, 2.0], [1.5, 0.0]])
    found = lines_of(result("pdf", data, "table", meta=meta))
    assert (found["axis"], found["unit"]) == ("r in Å", "Å")
    (line,) = found["lines"]
    assert (line["name"], line["unit"], line["x"]) == ("G", "Å⁻²", [0.5, 1, 1.5])


def test_a_series_that_is_not_there_is_refused_in_words(page):
    with pytest.raises(ScopesideError, match=r"no series 'c\.p\.gone'"):
        page.questions["series"]({"key": "c.p.gone"})
