"""Serval's HTTP interface, and measurements through it."""

import socket

import numpy as np
import pytest
from tests.adapters.timepix3.playing import (
    SCAN,
    detector,
    expected,
    found,
    listening,
    room,
    simulator,
    until,
)

from scopeside.errors import SourceError
from scopeside_adapters.rest import RestError
from scopeside_adapters.timepix3.layout import layout_from_serval
from scopeside_adapters.timepix3.rest_double import ServalDouble
from scopeside_adapters.timepix3.serval import Serval, with_ours

POSITIONS = SCAN[0] * SCAN[1]


@pytest.fixture
def serval():
    simulated = simulator()
    with ServalDouble("127.0.0.1:0", simulated.send_to) as double:
        yield double


def armed(serval, **table):
    return {"serval": f"http://{serval.address}", "arm": True, **table}


def test_an_armed_detector_measures_and_leaves_all_as_it_was(serval):
    other = {"Base": "file:/data", "FilePattern": "raw"}
    serval.destination = {"Raw": [other]}
    sink = room()
    detector(**armed(serval)).run(sink)
    (scan,) = simulator().scans()
    np.testing.assert_array_equal(found(sink), expected(scan))
    assert sink.ends == [("complete", "", POSITIONS)]
    assert serval.destination == {"Raw": [other]}
    assert serval.config["Tdc"] == ["PN0123"]
    assert serval.config["BiasVoltage"] == 100
    order = [one for one in serval.asked if one != "GET /dashboard"]
    assert order.index("PUT /detector/config") < order.index("GET /measurement/start")
    assert order.index("PUT /server/destination") < order.index(
        "GET /measurement/start"
    )
    assert "GET /measurement/stop" in order


def test_three_measurements_in_a_row(serval):
    sink = room()
    detector(**armed(serval, measurements=3)).run(sink)
    assert sink.ends == [("complete", "", POSITIONS)] * 3


def test_a_measurement_that_runs_is_stopped_first(serval):
    serval.running = True
    sink = room()
    detector(**armed(serval)).run(sink)
    assert sink.ends == [("complete", "", POSITIONS)]
    starts = [k for k, one in enumerate(serval.asked) if one.endswith("/start")]
    assert len(starts) == 2
    assert "GET /measurement/stop" in serval.asked[starts[0] : starts[1]]


def test_the_layout_is_asked_for():
    simulated = simulator(layout="quad")
    with ServalDouble("127.0.0.1:0", simulated.send_to, "quad") as serval:
        sink = room()
        detector(**armed(serval)).run(sink)
    (scan,) = simulated.scans()
    np.testing.assert_array_equal(found(sink), expected(scan))


def test_what_the_detector_dropped_is_told(serval):
    serval.dropped = 7
    simulated = simulator(paced=True, dwell_us=10_000, flyback_us=5000, hits=2)
    serval._measure = simulated.send_to
    sink = room()
    with listening(sink, **armed(serval, measurements=0)):
        until(lambda: "dropped_by_detector" in [cause for _, cause, _ in sink.rejects])
    assert (7, "dropped_by_detector") in [told[:2] for told in sink.rejects]


TROUBLE = {
    "no detector": ({}, "no detector is connected"),
    "a web page": ({"GET /dashboard": (200, "<html>")}, "web page"),
    "no table": ({"GET /dashboard": (200, "[1]")}, "answered GET /dashboard"),
    "refuses": ({"GET /server/destination": (500, "disk full")}, "500 disk full"),
    "conflict": ({"GET /measurement/start": (409, "no chip")}, "409 no chip"),
    "layout": ({"GET /detector/layout": (200, "{}")}, "set layout yourself"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_is_told_in_words(serval, name):
    answers, said = TROUBLE[name]
    serval.answers = answers
    serval.detector = {"DetectorType": "Tpx3"} if answers else None
    with pytest.raises(SourceError, match=said):
        detector(**armed(serval)).run(room())


def test_a_serval_that_is_not_there_is_found_before():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    (problem,) = detector(serval=f"http://{address}").check()
    assert f"Serval at {address}" in problem


def test_another_detector_is_found_before(serval):
    serval.detector = {"DetectorType": "Mpx3"}
    (problem,) = detector(serval=f"http://{serval.address}").check()
    assert "has a Mpx3 detector" in problem


# Found by fuzzing: answers of other kinds than Serval gives.


@pytest.mark.parametrize("dropped", ["many", [1], float("inf")])
def test_a_number_of_dropped_frames_that_is_none_is_told(serval, dropped):
    serval.dropped = dropped
    with pytest.raises(RestError, match="says that DroppedFrames is"):
        Serval(f"http://{serval.address}").dropped()


@pytest.mark.parametrize("channels", ["x", 7, ["x"], {"a": {}}])
def test_destinations_that_are_none_are_told(channels):
    with pytest.raises(RestError, match="says that its destination Raw is"):
        with_ours({"Raw": channels}, {"Base": "tcp://x"})


@pytest.mark.parametrize("x", [float("inf"), 1e300, -5, "y", None])
def test_a_layout_with_impossible_places_is_told(x):
    chip = {"Chip": 0, "X": x, "Y": 0, "Orientation": "LtRTtB"}
    with pytest.raises(SourceError):
        layout_from_serval({"Original": {"Chips": [chip]}})
