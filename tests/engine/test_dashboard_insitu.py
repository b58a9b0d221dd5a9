"""The record of an experiment: which numbers, events and places a tab is told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scopeside.dashboard.insitu import InSitu
from scopeside.dashboard.insitu_events import MOST as MOST_EVENTS
from scopeside.dashboard.insitu_places import MOST_SHOWN
from scopeside.dashboard.page import Blob, Page
from scopeside.errors import ScopesideError
from scopeside.result import Result, invalid
from scopeside.series.kept import MOST_LINES, channel
from scopeside.series.past import Past

BEGIN_NS = 1_795_000_000_000_000_000
FRAME_S = 0.1
TRACK = ("id", "y", "x", "radius_px", "probability", "seen")


class Told:
    """A page that a test speaks to, and what a tab is told."""

    def __init__(self) -> None:
        self.page = Page()
        self.part = InSitu(self.page)

    def status(self, acq: str = "a", **beside: Any) -> None:
        calibration = {"frame_time_s": FRAME_S, "pixel_size_m": 2e-9}
        about = {"started_ns": BEGIN_NS, "calibration": calibration}
        opened = {acq: {"state": "running", "acquisition": about}}
        self.page.hear_status({"open": opened, "acquisitions": {}, **beside})

    def hear(
        self, name: str, data: Any, frame: int, processor: str = "p", **about: Any
    ) -> None:
        meta = {"acq": "a", "chain": "movie", "processor": processor}
        meta["t_frame_ns"] = BEGIN_NS + round(frame * FRAME_S * 1e9)
        meta |= about.pop("meta", {})
        kind = about.pop("kind", "table")
        self.page.hear(Result(name, data, kind, frame=frame, meta=meta, **about))

    def table(self, name: str, columns: tuple[str, ...], rows: Any, frame: int) -> None:
        data = np.array(rows, np.float64).reshape(-1, len(columns))
        self.hear(name, data, frame, meta={"columns": list(columns)})

    def drift(self, frame: int, dy: float, dx: float) -> None:
        self.hear("drift", np.array([dy, dx]), frame, "drift", kind="series")

    def nucleus(self, ident: int, frame: int, **about: Any) -> None:
        data = {
            "id": ident,
            "status": "confirmed",
            "y": 10.0,
            "x": 20.0,
            "radius_px": 3.0,
            "radius_error_px": 0.2,
            "birth_frame": 1.0,
            "confidence": 0.9,
            "reason": "",
            "course": [[1.0, 0.0, 0.1], [2.0, 1.0, 0.1]],
            "thumbnail": [[0.0, 1.0], [2.0, 3.0]],
        }
        self.hear("nucleation", {**data, **about}, frame, kind="event")

    def answer(self, **asked: str) -> dict[str, Any]:
        found: dict[str, Any] = self.page.questions["insitu"](asked)
        json.dumps(found, allow_nan=False)
        return found

    def line(self, label: str) -> Mapping[str, Any]:
        (found,) = (one for one in self.answer()["lines"] if one["label"] == label)
        return found


@pytest.fixture
def told() -> Told:
    one = Told()
    one.status()
    return one


def test_drift_is_drawn_at_the_time_of_its_frame_in_nm(told: Told) -> None:
    told.drift(0, 0.0, 0.0)
    told.drift(5, 1.5, -2.0)
    line = told.line("dx")
    assert line["t"] == [0.0, 0.5]
    assert line["v"] == [0.0, -4.0]
    assert told.answer()["rows"][0]["title"] == "drift"
    assert told.answer()["rows"][0]["unit"] == "nm"


def test_drift_before_the_page_was_opened_comes_from_its_trace(told: Told) -> None:
    told.drift(9, 9.0, 0.0)
    rows = [[frame, frame, 0.0, 0.1, 1.0] for frame in range(8)]
    columns = ["frame", "dy", "dx", "sigma", "confidence"]
    told.hear("trace", np.array(rows), 9, "drift", meta={"columns": columns})
    assert told.line("dy")["v"] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 18.0]


def test_dose_and_its_rate_have_a_row_each(told: Told) -> None:
    columns = ("rate_e_per_A2_s", "cumulative_e_per_A2")
    told.table("dose", columns, [[7.5, 30.0]], 4)
    assert told.line("counted")["v"] == [7.5]
    assert told.line("of the field")["v"] == [30.0]
    assert [row["title"] for row in told.answer()["rows"]] == ["dose rate", "dose"]


def test_what_is_not_known_of_a_dose_is_not_drawn(told: Told) -> None:
    columns = ("e_per_px", "rate_e_per_A2_s", "cumulative_e_per_A2")
    told.table("dose", columns, [[math.nan, math.nan, math.nan]], 4)
    assert told.answer()["lines"] == []


def test_the_guards_account_brings_its_dose_and_budget(told: Told) -> None:
    account = {
        "here_e_per_A2": 12.0,
        "highest_e_per_A2": [11.0, 13.0],
        "run_e_per_A2": [40.0, 44.0],
        "budget_e_per_A2": 100.0,
        "run_budget_e_per_A2": None,
        "rate_e_per_A2_s": 5.0,
        "blanked": True,
    }
    told.drift(1, 0.0, 0.0)
    told.status(control={"dose": account})
    assert told.line("guard: here, at most")["v"] == [12.0]
    assert told.line("guard: calibrated")["v"] == [0.0]  # the beam is blanked
    (row,) = (row for row in told.answer()["rows"] if row["title"] == "dose")
    assert [limit["value"] for limit in row["limits"]] == [100.0]


def test_channels_are_drawn_at_the_times_of_their_samples(told: Told) -> None:
    sample = {"value": 300.0, "t_ns": BEGIN_NS + 10**9, "unit": "°C", "age_s": 0.1}
    told.hear("sum", 1.0, 11, kind="scalar", meta={"channels": {"heater": sample}})
    line = told.line("heater")
    assert (line["t"], line["v"]) == ([1.0], [300.0])
    (row,) = told.answer()["rows"]
    assert (row["title"], row["unit"]) == ("heater", "°C")


def test_channels_before_the_page_was_opened_come_from_their_series(told: Told) -> None:
    told.drift(9, 0.0, 0.0)
    values = np.array([1.0, np.nan, 3.0])
    about = {"units": "V", "kind": "series", "meta": {"chain": "channels"}}
    told.hear("bias", values, 9, "channels", **about)
    line = told.line("bias")
    assert (line["t"], line["v"]) == ([0.0, 0.2], [1.0, 3.0])


def test_a_table_of_particles_gives_their_number_and_mean_radius(told: Told) -> None:
    rows = [[1, 5, 5, 2.0, 0.9, 1], [2, 9, 9, 4.0, 0.9, 1]]
    told.table("tracks", TRACK, rows, 3)
    assert told.line("followed")["v"] == [2.0]
    assert told.line("median")["v"] == [6.0]


def test_no_particles_are_none_and_an_invalid_table_is_nothing(told: Told) -> None:
    told.table("tracks", TRACK, [], 3)
    told.page.hear(invalid("tracks", "no counts", frame=4, meta={"acq": "a"}))
    assert told.line("followed")["v"] == [0.0]


def test_places_are_those_of_the_specimen(told: Told) -> None:
    told.drift(3, 1.0, -2.0)
    told.table("tracks", TRACK, [[7, 5.0, 6.0, 2.0, 0.9, 1]], 3)
    places = told.answer()["places"]
    assert places["rows"] == [[7, 4.0, 8.0, 2.0, 0.9, 1]]
    assert places["tails"] == {"7": [[4.0, 8.0]]}


def test_more_particles_than_can_be_drawn_are_counted(told: Told) -> None:
    many = [[at, 1.0, 1.0, 2.0, at / 1000, 1] for at in range(MOST_SHOWN + 5)]
    told.table("tracks", TRACK, many, 3)
    places = told.answer()["places"]
    assert len(places["rows"]) == MOST_SHOWN
    assert places["left_out"] == 5
    assert places["rows"][0][0] == MOST_SHOWN + 4  # the surest


def test_outlines_are_told_to_who_asks(told: Told) -> None:
    contour = np.array([[1, 5, 5], [1, 5, 6], [2, 8, 8]], np.int32)
    told.hear("contours", contour, 3)
    assert told.answer()["places"]["outlines"] == []
    assert told.answer(outlines="1")["places"]["outlines"] == [
        [1, [5.0, 5.0, 5.0, 6.0]],
        [2, [8.0, 8.0]],
    ]


def test_a_nucleus_is_one_event_with_what_is_known_last(told: Told) -> None:
    told.drift(4, 1.0, 2.0)
    told.nucleus(3, 4, status="candidate", confidence=0.4)
    told.nucleus(3, 6)
    (event,) = told.answer()["events"]
    assert event["status"] == "confirmed"
    assert (event["y"], event["x"]) == (9.0, 18.0)  # of the specimen
    assert event["t"] == pytest.approx(0.6)
    assert event["birth"] == pytest.approx(0.1)
    assert event["course"] == [[0.1, 0.0], [0.2, 1.0]]


def test_the_picture_of_an_event_is_given_when_it_is_asked_for(told: Told) -> None:
    told.nucleus(3, 4)
    (event,) = told.answer()["events"]
    found = told.page.questions["insitu_thumbnail"]({"id": str(event["uid"])})
    assert isinstance(found, Blob)
    assert np.frombuffer(found.data[-16:], "<f4").tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ScopesideError, match="event 99 has no picture"):
        told.page.questions["insitu_thumbnail"]({"id": "99"})


def test_nuclei_of_before_the_page_was_opened_come_from_their_table(told: Told) -> None:
    columns = ("id", "y", "x", "radius_px", "birth_frame", "confirmed_frame")
    columns = (*columns, "dissolved_frame", "confidence")
    told.nucleus(2, 9)
    rows = [[1, 4, 5, 3, 2, 6, np.nan, 0.9], [2, 0, 0, 9, 9, 9, np.nan, 0.1]]
    told.table("nuclei", columns, rows, 9)
    by_id = {event["id"]: event for event in told.answer()["events"]}
    assert by_id[1]["status"] == "confirmed"
    assert "opened later" in by_id[1]["reason"]
    assert by_id[2]["confidence"] == 0.9  # what was heard of it is newer
    assert told.line("nuclei so far")["v"] == [2.0]


def test_meetings_and_changes_of_growth_are_events(told: Told) -> None:
    met = {"parents": [3, 7], "children": [3], "met": 5, "y": 1.0, "x": 2.0}
    told.hear("coalescence", met, 15, kind="event")
    change = {"id": 4, "at_frame": 8, "speed_before": 0.1, "speed_after": 0.0}
    told.hear("change_point", change, 15, kind="event")
    first, second = told.answer()["events"]
    assert (first["id"], first["frame"], first["t"]) == ("3 + 7 → 3", 5, 0.5)
    assert second["reason"] == "dr/dt from 0.1 to 0 px/frame"


def test_events_are_bounded_and_those_that_came_to_nothing_go_first(told: Told) -> None:
    told.nucleus(0, 1)
    told.nucleus(1, 1, status="rejected")
    for ident in range(2, MOST_EVENTS + 1):
        told.nucleus(ident, 1, status="candidate")
    answer = told.answer()
    assert len(answer["event_ids"]) == MOST_EVENTS
    kept = {event["id"] for event in answer["events"]}
    assert 0 in kept
    assert 1 not in kept
    assert answer["left_out"]["events"] == 1


def test_a_tab_is_told_what_has_changed_since_it_asked(told: Told) -> None:
    told.drift(0, 0.0, 0.0)
    told.nucleus(1, 2)
    first = told.answer()
    told.drift(5, 3.0, 0.0)
    asked = {"epoch": first["epoch"], "since": str(first["revision"])}
    second = told.answer(**asked)
    assert not second["whole"]
    assert second["events"] == []
    (line,) = (one for one in second["lines"] if one["label"] == "dy")
    assert line["v"] == [6.0]
    assert line["after"] == 0.0


def test_another_acquisition_is_marked_and_goes_on(told: Told) -> None:
    told.drift(0, 1.0, 0.0)
    told.status("b")
    told.hear(
        "drift",
        np.array([2.0, 0.0]),
        0,
        "drift",
        kind="series",
        meta={"acq": "b", "t_frame_ns": BEGIN_NS + 60 * 10**9},
    )
    answer = told.answer()
    assert [(mark["acq"], mark["t"]) for mark in answer["marks"]] == [
        ("a", 0.0),
        ("b", 60.0),
    ]
    assert told.line("dy")["v"] == [2.0, 4.0]


def test_another_engine_begins_anew(told: Told) -> None:
    told.drift(0, 1.0, 0.0)
    before = told.answer()
    told.page.attached(Path("another"))
    after = told.answer(epoch=before["epoch"], since=str(before["revision"]))
    assert after["whole"]
    assert after["lines"] == []


def test_lines_are_bounded_and_those_left_out_are_counted(told: Told) -> None:
    sample = {"value": 1.0, "t_ns": BEGIN_NS, "unit": "V", "age_s": 0.0}
    names = [f"c{at}" for at in range(MOST_LINES + 3)]
    told.hear(
        "sum", 1.0, 1, kind="scalar", meta={"channels": dict.fromkeys(names, sample)}
    )
    answer = told.answer()
    assert len(answer["lines"]) == MOST_LINES
    assert answer["left_out"]["lines"] == 3


def test_images_are_told_by_what_they_show(told: Told) -> None:
    picture = np.zeros((4, 4))
    told.hear("frame", picture, 1, "frame", kind="image")
    where = {"coordinates": "specimen", "drift": [1.0, 2.0]}
    told.hear("denoised", picture, 1, "denoise", kind="image", meta=where)
    assert told.answer()["images"] == [
        {"key": "movie.frame.frame", "role": "raw"},
        {"key": "movie.denoise.denoised", "role": "specimen"},
    ]
    assert told.answer()["drift"] == [[1, 1.0, 2.0]]  # nobody else tells of drift


def past_of(*points: tuple[float, float], **about: Any) -> Past:
    """Return the past of a channel: times in s after the beginning, and values."""
    at = [(BEGIN_NS + round(t * 1e9), v, math.nan, math.nan) for t, v in points]
    return Past([(channel("bias", "V"), at)], **about)


def test_the_past_is_whole_whatever_was_heard_before_it(told: Told) -> None:
    record = told.part._record
    sample = {"value": 9.0, "t_ns": BEGIN_NS + 9 * 10**9, "unit": "V", "age_s": 0.1}
    told.hear("sum", 1.0, 90, kind="scalar", meta={"channels": {"bias": sample}})
    series = {"units": "V", "kind": "series"}
    told.hear(
        "bias", np.array([1.0]), 0, "channels", meta={"chain": "channels"}, **series
    )
    told.part._hear_past(record, past_of((0.0, 1.0), (4.0, 4.0), (8.0, 8.0)))
    line = told.line("bias")
    assert (line["t"], line["v"]) == ([0.0, 4.0, 8.0, 9.0], [1.0, 4.0, 8.0, 9.0])
    told.hear("bias", np.ones(40), 39, "channels", **series)
    assert told.line("bias")["v"] == [1.0, 4.0, 8.0, 9.0]


def test_acquisitions_of_before_the_page_was_opened_are_marked_in_their_order(
    told: Told,
) -> None:
    begins = {"before": BEGIN_NS - 60 * 10**9, "a": BEGIN_NS}
    told.drift(1, 0.0, 0.0)
    told.part._hear_past(told.part._record, Past(begins=begins))
    marks = told.answer()["marks"]
    assert [(mark["acq"], mark["t"]) for mark in marks] == [("before", 0), ("a", 60)]


def test_events_of_before_lie_where_and_when_they_were(told: Told) -> None:
    told.drift(900, 50.0, 0.0)
    meta = {"acq": "a", "chain": "movie", "processor": "p"}
    data = {"id": 3, "status": "confirmed", "y": 5.0, "x": 6.0, "birth_frame": 100.0}
    event = Result("nucleation", data, "event", frame=110, meta=meta)
    times = {"a": [(0, BEGIN_NS), (200, BEGIN_NS + 40 * 10**9)]}
    past = Past(begins={"a": BEGIN_NS}, times=times, events=[event])
    told.part._hear_past(told.part._record, past)
    columns = ["frame", "dy", "dx", "sigma", "confidence"]
    rows = np.array([[0, 0, 0, 0, 1], [110, 2.0, 0, 0, 1]], np.float64)
    told.hear("trace", rows, 900, "drift", meta={"columns": columns})
    (found,) = told.answer()["events"]
    assert (found["birth"], found["y"]) == (20.0, 3.0)  # two frame times, not one


def test_a_channel_goes_on_between_acquisitions(told: Told) -> None:
    told.drift(1, 0.0, 0.0)
    about = {"kind": "epics", "unit": "V", "value": 2.5, "state": "ok"}
    told.status(channels={"bias": {**about, "t_ns": BEGIN_NS + 5 * 10**9}})
    told.status(channels={"bias": {**about, "value": None, "t_ns": None}})
    assert told.line("bias")["v"] == [2.5]
    far = {**about, "t_ns": BEGIN_NS + 90_000 * 10**9}  # a movie of another day
    told.status(channels={"bias": far})
    assert told.line("bias")["v"] == [2.5]


def test_what_has_no_uncertainty_has_no_band(told: Told) -> None:
    told.drift(1, 1.0, 0.0)
    assert "low" not in told.line("dy")
    meta = {"covariance": [[0.25, 0.0], [0.0, 0.0]]}
    told.hear("drift", np.array([1.0, 0.0]), 2, "drift", kind="series", meta=meta)
    line = told.line("dy")
    assert (line["band"], line["low"], line["high"]) == (
        "± 1 σ",
        [None, 1.0],
        [None, 3.0],
    )


def test_the_growth_of_the_fastest_has_the_interval_of_its_fit(told: Told) -> None:
    columns = ("speed", "speed_low", "speed_high", "speed_m_s")
    nothing = [0.0, math.nan, math.nan, 0.0]
    rows = [[0.2, 0.1, 0.4, 2e-9], [-0.1, -0.3, -0.05, -1e-9], nothing]
    told.table("growth", columns, rows, 3)
    fastest, slowest = told.line("fastest"), told.line("slowest")
    assert (fastest["v"], fastest["low"], fastest["high"]) == ([2.0], [1.0], [4.0])
    assert (slowest["v"], slowest["low"], slowest["high"]) == ([-1.0], [-3.0], [-0.5])
