"""How numbers have been: kept by the collector, told to a page that comes late."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from tests.engine.parts import LEDGER, collector
from tests.engine.small import acquisition, pipeline

from scopeside.collect import collector as module
from scopeside.collect.collector import Collector
from scopeside.collect.journal import Journal
from scopeside.collect.past_kept import MOST_SAMPLES, PastKept
from scopeside.control.dose_past import DosePast, past_of
from scopeside.errors import ProtocolError
from scopeside.publication import to_header as header_of
from scopeside.result import Result
from scopeside.series.happenings import MOST as MOST_EVENTS
from scopeside.series.happenings import Happenings
from scopeside.series.lines import Line
from scopeside.series.past import (
    TOPIC,
    Past,
    ask_past,
    from_header,
    to_header,
    to_message,
)
from scopeside.wire import Kind, decode_own, encode

BEGIN_NS = 1_795_000_000_000_000_000
SECOND = 10**9
PIPELINE = pipeline(("movie", {"Trail": {}}, {}))
LINE = Line("movie.dose.rate.counted", "rate", "counted", "e⁻/Å²/s", band="± 1 σ")


def said(it: Collector, name: str, frame: int, *results: Result) -> None:
    """Have a chain say results of a frame, a second after those of the frame before."""
    said: list[Any] = []
    arrays: list[Any] = []
    for result in results:
        head, payload = header_of(result)
        said.append(["p", head, len(payload)])
        arrays += payload
    header = {
        "acq": name,
        "chain": "movie",
        "runs": [[frame, frame]],
        "held": {},
        "t_ns": BEGIN_NS + frame * SECOND,
        "ages": [],
        "said": said,
    }
    it.hear(decode_own(encode(Kind.SAID, header, arrays)))


def dose(frame: int) -> Result:
    meta = {
        "columns": ["rate_e_per_A2_s", "cumulative_e_per_A2"],
        "rate_sigma_e_per_A2_s": 0.5,
    }
    data = np.array([[8.0, 8.0 * frame]])
    return Result("dose", data, "table", frame=frame, meta=meta)


def nucleus(frame: int, ident: int, status: str = "confirmed") -> Result:
    data = {"id": ident, "status": status, "birth_frame": frame - 1.0}
    return Result("nucleation", data, "event", frame=frame)


@pytest.fixture
def fds() -> Iterator[list[int]]:
    fds = Journal.allocate()
    yield fds
    for fd in fds:
        os.close(fd)


@pytest.fixture
def it(fds: list[int], monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setattr("scopeside.collect.past_kept.EVERY_S", 0.0)
    one: Collector = collector(PIPELINE, fds)
    one.start(acquisition("a").to_dict())
    return one


def values(past: Past, label: str) -> list[float]:
    (points,) = (points for line, points in past.lines if line.label == label)
    return [value for _, value, _, _ in points]


def test_numbers_of_all_acquisitions_are_kept_with_their_bands(it: Collector) -> None:
    said(it, "a", 0, dose(0))
    said(it, "a", 1, dose(1))
    it.close("a", LEDGER)
    for k, name in enumerate(("b", "c", "d")):  # "a" itself is let go meanwhile
        it.start(acquisition(name).to_dict())
        said(it, name, 10 + k, dose(10 + k))
        it.close(name, LEDGER)
    past = it.past_now()
    assert values(past, "of the field") == [0.0, 8.0, 80.0, 88.0, 96.0]
    ((line, points),) = (one for one in past.lines if one[0].row == "rate")
    assert line.band == "± 1 σ"
    assert points[1] == (BEGIN_NS + SECOND, 8.0, 7.5, 8.5)
    assert list(past.begins) == ["a", "b", "c", "d"]


def test_who_asks_gets_the_newest_however_recently_it_was_looked(
    it: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopeside.collect.past_kept.EVERY_S", math.inf)
    said(it, "a", 0, dose(0))
    said(it, "a", 5, dose(5))
    assert values(it.past_now(), "of the field")[-1] == 40.0


@pytest.mark.parametrize("compact", [1 << 30, 1], ids=["whole", "compacted"])
def test_a_collector_that_was_restarted_knows_what_was_before(
    it: Collector, fds: list[int], monkeypatch: pytest.MonkeyPatch, compact: int
) -> None:
    monkeypatch.setattr(module, "COMPACT_BYTES", compact)
    for frame in range(6):
        said(it, "a", frame, dose(frame), nucleus(frame, frame))
    before, again = it.past_now(), collector(PIPELINE, fds)
    after = again.past_now()
    assert values(after, "of the field") == values(before, "of the field")
    assert [one.data["id"] for one in after.events] == [0, 1, 2, 3, 4, 5]
    said(again, "a", 6, dose(6))
    assert values(again.past_now(), "of the field")[-1] == 48.0


def test_times_of_frames_outlive_a_journal_that_was_compacted(
    it: Collector, fds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMPACT_BYTES", 1)
    for frame in range(6):
        said(it, "a", frame, dose(frame))
    before = it.past_now()
    assert len(before.times["a"]) == 6
    assert collector(PIPELINE, fds).past_now().times == before.times


@pytest.mark.parametrize(
    "odd",
    [
        Result("dose", np.array([[8.0]]), "table", frame=-(1 << 62)),
        Result("ensemble", np.array([[1e20, 1.0, 2.0]]), "table", frame=1),
    ],
    ids=["its frame", "a frame of a table"],
)
def test_a_time_that_no_message_can_hold_is_left_out(
    it: Collector, odd: Result
) -> None:
    columns = {"dose": ["cumulative_e_per_A2"]}
    columns["ensemble"] = ["frame", "particles", "mean_radius_px"]
    odd = replace(odd, meta={"columns": columns[odd.name]})
    said(it, "a", 0, dose(0))
    said(it, "a", 1, dose(1), odd)
    it.close("a", LEDGER)
    header, parts = to_header(it.past_now())
    known = from_header(msgpack.unpackb(msgpack.packb(header)), parts)
    assert values(known, "of the field")[0] == 0.0


def test_a_result_that_only_bears_the_name_of_ours_does_no_harm(it: Collector) -> None:
    odd = Result("drift", np.zeros(2), "series", frame=0, meta={"covariance": "none"})
    said(it, "a", 0, odd, dose(0))
    said(it, "a", 1, Result("nucleation", 3.0, "event", frame=1), dose(1))
    assert values(it.past_now(), "of the field") == [0.0, 8.0]


def test_of_an_event_the_last_news_are_kept_and_a_rejected_one_is_let_go(
    it: Collector,
) -> None:
    said(it, "a", 1, nucleus(1, 7, "candidate"), nucleus(1, 8, "candidate"))
    said(it, "a", 2, nucleus(2, 7), nucleus(2, 8, "rejected"))
    (event,) = it.past_now().events
    assert (event.data["id"], event.data["status"]) == (7, "confirmed")
    assert event.meta["acq"] == "a"
    assert event.meta["chain"] == "movie"


def test_events_are_bounded_and_the_oldest_go() -> None:
    kept = Happenings()
    for ident in range(MOST_EVENTS + 3):
        kept.take(nucleus(ident, ident))
    assert len(list(kept)) == MOST_EVENTS
    assert next(iter(kept)).data["id"] == 3


def test_a_channel_keeps_its_peaks_however_many_samples_come() -> None:
    kept = PastKept({"heater": "K"})
    values = np.sin(np.arange(100_000.0))
    values[[500, 90_000]] = [7.0, -7.0]
    kept.sample("heater", np.arange(100_000, dtype=np.int64), values)
    ((line, points),) = kept.past().lines
    assert line.unit == "K"
    assert len(points) <= MOST_SAMPLES
    assert {7.0, -7.0} <= {value for _, value, _, _ in points}


def test_the_dose_account_is_kept_by_the_guard() -> None:
    kept = DosePast()
    kept.take(None, BEGIN_NS)
    kept.take({"here_e_per_A2": 3.0, "rate_e_per_A2_s": 1.0}, BEGIN_NS)
    kept.take({"here_e_per_A2": 4.0, "rate_e_per_A2_s": 1.0}, BEGIN_NS + SECOND)
    past = past_of(kept.told())
    assert values(past, "guard: here, at most") == [3.0, 4.0]


def test_a_past_comes_back_as_it_was_sent() -> None:
    points = [(BEGIN_NS, 1.0, 0.5, 1.5), (BEGIN_NS + 1, 2.0, 1.0, 3.0)]
    past = Past([(LINE, points)], {"a": BEGIN_NS}, {"a": [(0, BEGIN_NS)]})
    found = from_header(*to_header(past))
    assert (found.lines, found.begins) == (past.lines, past.begins)
    assert found.times == past.times


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"v": 9}, [b""]),
        ({"lines": [{}]}, [b""]),
        ({"lines": [{}] * 65}, [b""] * 65),
        ({"begins": 3}, [b""]),
        ({"times": [["a", [3]]]}, [b""]),
        ({"events": [3]}, [b""]),
        ({}, []),
        ({}, [b"123"]),
        ({}, [bytes(32 * 5000)]),
    ],
)
def test_what_is_no_past_is_refused(change: dict[str, Any], parts: list[bytes]) -> None:
    header, _ = to_header(Past([(LINE, [])]))
    with pytest.raises(ProtocolError, match=r"this is no (past|result)"):
        from_header({**header, **change}, parts)


def test_who_asks_waits_until_it_is_told(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.XPUB)
    found: list[Past | None] = []
    asks = threading.Thread(
        target=lambda: found.append(ask_past(tmp_path, lambda: True))
    )
    asks.start()
    socket.bind(f"ipc://{tmp_path}/results")
    assert socket.recv() == b"\x01^"
    socket.send_multipart(to_message(Past([(LINE, [])])))
    asks.join(10)
    context.destroy(linger=0)
    assert found[0] is not None
    assert found[0].lines[0][0] == LINE


def test_who_does_not_go_on_waits_for_nobody(tmp_path: Path) -> None:
    assert ask_past(tmp_path, lambda: False) is None
    assert TOPIC == b"^past"
