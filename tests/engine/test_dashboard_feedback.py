"""The page asks the guard, watches it, and reads its audit log."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.engine.audit_records import MS, T, answer, proposal, session
from tests.engine.guard_double import failed, guard_in, refused, silent
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from scopeside.control import asking
from scopeside.control.audit import AuditLog
from scopeside.control.audit_follow import Follower
from scopeside.control.audit_search import Search, Wanted
from scopeside.dashboard import audit_asked, guard_asked, guard_watch
from scopeside.dashboard.audit_asked import wanted_of
from scopeside.dashboard.guard_told import told_of_guard
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.parts import Dashboard
from scopeside.errors import AuditError, EngineNotFoundError, ScopesideError
from scopeside.publication import digest
from scopeside.result import Result

TOKEN = "a-token-of-the-tests"


@pytest.fixture
def root(short_path, monkeypatch):
    monkeypatch.setenv("SCOPESIDE_RUN", str(short_path))
    return short_path / "scopeside"


@pytest.fixture
def guard(root):
    with guard_in(root / "1-a") as double:
        double.status |= {"ceiling": "armed", "last": [], "limits": {}}
        yield double


@pytest.fixture
def board(root, monkeypatch):
    """A page that looks at no engine by itself."""
    monkeypatch.setattr(guard_watch, "POLL_S", 0.01)
    monkeypatch.setattr(audit_asked, "CHECK_EVERY_S", 0.01)
    one = Dashboard(None, 0, TOKEN)
    one.server.start()
    yield one
    one.page.over.set()
    one.server.close()


@pytest.fixture
def watched(board, guard):
    """A page that looks at the engine of the double's guard, and has heard it."""
    board.page.attached(guard.folder)
    until(lambda: (topic(board.page, "guard") or {}).get("mode"))
    return board


def until(found: Callable[[], Any], seconds: float = 20.0) -> Any:
    ends = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)
    return value


def topic(page: Page, name: str) -> Any:
    said = page.topic(name)
    return None if said is None else json.loads(said[1])


def post(board: Dashboard, name: str, body: Any = None, token: str = TOKEN) -> Any:
    asked = urllib.request.Request(
        f"{board.server.address}/api/{name}",
        data=json.dumps(body or {}).encode(),
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(asked, timeout=20) as response:
        return json.load(response)


def get(board: Dashboard, name: str, **asked: str) -> Any:
    return board.page.questions[name](asked)


# -- hold and blank -----------------------------------------------------------------


@pytest.mark.parametrize(("what", "said"), [("hold", "HELD"), ("blank", "BLANKED")])
def test_to_stop_reaches_the_guards_own_socket_for_it(watched, guard, what, said):
    found = post(watched, what)
    assert found["state"] == "done"
    assert found["words"].startswith(said)
    ((name, request),) = guard.heard
    assert (name, request["ask"]) == ("stop", what)
    assert request["who"] == f"{asking.who()} on the page"


def test_a_hold_works_while_all_other_requests_hang(watched, guard):
    let_go, hanging = threading.Event(), threading.Semaphore(0)

    def hang(_: Any) -> dict[str, Any]:
        hanging.release()
        let_go.wait(60)
        return {}

    watched.page.commands["hang"] = hang
    threads = [
        threading.Thread(target=post, args=(watched, "hang"), daemon=True)
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for _ in range(8):  # as many as are answered at once
        hanging.acquire(timeout=20)
    assert not hanging.acquire(timeout=0.05)
    assert post(watched, "hold")["state"] == "done"
    assert [name for name, _ in guard.heard] == ["stop"]
    let_go.set()
    for thread in threads:
        thread.join(20)


def test_what_is_asked_two_ways_with_one_id_is_asked_once(watched, guard):
    first = post(watched, "hold", {"id": "a"})
    assert by_socket(watched, {"token": TOKEN, "stop": "hold", "id": "a"}) == first
    assert len(guard.heard) == 1
    assert post(watched, "hold", {"id": "b"})["state"] == "done"
    assert len(guard.heard) == 2


def by_socket(board: Dashboard, asked: Any) -> Any:
    async def ask() -> Any:
        address = f"ws://127.0.0.1:{board.server.port}/stop"
        headers = {"Origin": board.server.address}
        socket = await websocket_connect(HTTPRequest(address, headers=headers))
        await socket.write_message(json.dumps(asked))
        answer = json.loads(await socket.read_message())
        assert await socket.read_message() is None
        socket.close()
        return answer

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"token": "another", "stop": "hold"}, "token"),
        ({"token": TOKEN, "stop": "arm"}, "no such stop"),
        ({"stop": "hold"}, "not understood"),
        ([], "not understood"),
    ],
)
def test_the_socket_to_stop_refuses_who_may_not(watched, guard, asked, why):
    assert why in by_socket(watched, asked)["error"]
    assert guard.heard == []


def test_a_hold_without_the_token_is_refused(watched, guard):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post(watched, "hold", token="another")
    assert guard.heard == []


def test_a_stop_that_nobody_answers_is_not_confirmed(watched, guard, monkeypatch):
    monkeypatch.setattr(asking.stop, "__defaults__", (0.3,))
    monkeypatch.setattr(asking, "STOPPER_S", 0.1)
    guard.answers |= {"stop": silent, "guard": silent}
    found = post(watched, "blank")
    assert found["state"] == "not_confirmed"
    assert "NOT CONFIRMED: use the instrument's own controls" in found["words"]


def test_a_blank_that_did_not_work_is_not_confirmed(watched, guard):
    guard.answers["stop"] = failed("the blanker is stuck")
    found = post(watched, "blank")
    assert found["state"] == "not_confirmed"
    assert "the blanker is stuck" in found["words"]


def test_without_a_guard_nothing_is_confirmed(board):
    found = post(board, "hold")
    assert found["state"] == "not_confirmed"
    assert "no guard of yours is running" in found["words"]


def test_where_no_engine_is_looked_at_all_guards_are_held(board, guard, root):
    with guard_in(root / "2-b") as other:
        assert post(board, "hold")["state"] == "done"
        assert len(guard.heard) == len(other.heard) == 1


# -- what else a person asks --------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "body", "words"),
    [
        ("arm", {"seconds": 60}, "ARMED until"),
        ("advise", {}, "ADVISE"),
        ("unblank", {}, "UNBLANKED"),
        ("accept", {"id": "a/b"}, "done by"),
        ("decline", {"id": "a/b"}, "declined"),
    ],
)
def test_a_command_asks_the_guard_as_the_page(watched, guard, command, body, words):
    found = post(watched, command, body)
    assert found["state"] == "done"
    assert words in found["words"]
    by = {"who": f"{asking.who()} on the page"}
    assert guard.heard == [("guard", {"ask": command, **body, **by})]


def test_a_refusal_keeps_its_cause(watched, guard):
    guard.answers["guard"] = refused("observe_only", "mode = 'observe'")
    found = post(watched, "arm", {"seconds": 60})
    assert (found["state"], found["cause"]) == ("refused", "observe_only")
    assert found["words"] == "REFUSED (observe_only): mode = 'observe'"


def test_a_guard_that_is_silent_has_not_confirmed(watched, guard, monkeypatch):
    monkeypatch.setattr(guard_asked, "PATIENCE_S", 0.2)
    guard.answers["guard"] = silent
    assert post(watched, "advise")["state"] == "not_confirmed"


def test_another_guard_than_the_one_that_was_seen_is_not_armed(watched, guard):
    with pytest.raises(urllib.error.HTTPError, match="409"):
        post(watched, "arm", {"seconds": 60, "run": "0-another"})
    assert guard.heard == []


@pytest.mark.parametrize("seconds", [None, True, "60"])
def test_a_time_that_is_no_number_is_not_asked_for(watched, guard, seconds):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        post(watched, "arm", {"seconds": seconds})
    assert guard.heard == []


def test_without_a_guard_nothing_is_asked(board):
    with pytest.raises(EngineNotFoundError, match="nothing was asked"):
        board.page.commands["advise"]({})


# -- what tabs are told -------------------------------------------------------------


def test_tabs_are_told_of_proposals_in_words(watched, guard):
    guard.status["waiting"] = [
        {
            "id": "acq/go/7",
            "action": "set_fov",
            "fields": {"width_m": 1e-6},
            "rule": "go",
            "confidence": 0.75,
            "t_frame_ns": T,
            "until_ns": T + 60 * 10**9,
        }
    ]
    (one,) = until(lambda: topic(watched.page, "guard")["waiting"])
    assert one["words"] == "set_fov: width = 1 µm"
    assert one["until_ms"] - one["t_frame_ms"] == 60_000


def test_tabs_are_told_of_verdicts_newest_first(watched, guard):
    guard.status["last"] = [{"id": "a", "state": "sent"}, {"id": "b", "state": "done"}]
    found = until(lambda: topic(watched.page, "guard_verdicts"))
    assert [one["id"] for one in found] == ["b", "a"]


def test_a_verdict_tells_what_was_asked_for_with_the_minus_of_the_page(watched, guard):
    call = "set_view_offset: x = -12 nm, y = 3 nm"
    reason = "a-1 is -2 nm too far (-2 nm … 2 nm)"
    one = {"id": "a", "state": "refused", "call": call, "reason": reason}
    guard.status["last"] = [one]
    (told,) = until(lambda: topic(watched.page, "guard_verdicts"))
    assert told["words"] == "set_view_offset: x = −12 nm, y = 3 nm"
    assert told["reason"] == "a-1 is −2 nm too far (−2 nm … 2 nm)"


def test_a_guard_that_falls_silent_is_said_to_be(root, board, monkeypatch):
    monkeypatch.setattr(guard_watch, "ANSWER_S", 0.2)
    with guard_in(root / "1-a") as double:
        board.page.attached(double.folder)
        until(lambda: (topic(board.page, "guard") or {}).get("mode"))
    said = until(lambda: (one := topic(board.page, "guard"))["mode"] is None and one)
    assert said["was"] == "advise"
    assert said["reason"]
    assert said["silent_s"] >= 0


def test_a_pipeline_without_feedback_has_no_guard(board, root):
    folder = root / "3-c"
    folder.mkdir(parents=True)
    board.page.attached(folder)
    board.page.hear_status({"folder": str(folder), "control": {}})
    until(lambda: board.page.topic("guard") is not None)
    assert topic(board.page, "guard") is None


def test_what_the_guard_says_in_a_wrong_form_does_not_end_the_watch(watched, guard):
    guard.status["readback"] = {"values": {"x_m": 1e-9}, "t_ns": "x"}
    guard.status["waiting"] = ["x", {"id": 7}]
    guard.status["parked"] = "because"
    found = until(lambda: topic(watched.page, "guard")["parked"])
    assert found["words"] == "because"
    assert topic(watched.page, "guard")["readback"]["values"] == [["x", "1 nm"]]


def test_every_cause_of_a_park_comes_with_what_to_do():
    causes = "held blanked budget silence instrument overdue second_writer no_readback"
    for cause in (*causes.split(), "restarted", "ended"):
        told = told_of_guard({"parked": {"cause": cause, "reason": "x"}})["parked"]
        assert told["remedy"] != "See why; then advise or arm."


# -- the audit log ------------------------------------------------------------------


@pytest.fixture
def log(watched, guard, tmp_path):
    path = session(tmp_path / "audit.jsonl")
    guard.status["audit"] = str(path)
    until(lambda: topic(watched.page, "guard").get("audit"))
    return path


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, ["10", "9", "7", "6", "5", "3", "2", "1"]),
        ({"state": "refused"}, ["10", "5"]),
        ({"state": "fail"}, ["6"]),
        ({"who": "anna"}, ["7", "6", "2"]),
        ({"who": "visit"}, ["10"]),
        ({"action": "arm"}, ["2"]),
        ({"text": "did not ARRIVE"}, ["9", "6"]),
        ({"text": "1.2 nm", "state": "done"}, ["3"]),
        ({"id": "hold_still/43"}, ["5"]),
        ({"from_ms": str((T + 10 * MS) / 1e6), "state": "failed"}, ["6"]),
        ({"to_ms": str((T - 100 * MS) / 1e6)}, ["2", "1"]),
        ({"text": "nowhere"}, []),
    ],
)
def test_the_audit_log_is_searched(tmp_path, asked, numbers):
    search = Search(session(tmp_path / "audit.jsonl"), wanted_of(asked))
    found = search.more(100, 60)
    assert [shown.n for _, shown in found.rows] == numbers
    assert found.over


def test_tabs_search_the_log_that_the_guard_writes(watched, log):
    found = get(watched, "audit", state="refused")
    assert [one["n"] for one in found["rows"]] == ["10", "5"]
    assert found["more"] is None
    assert found["path"] == str(log)


def test_a_search_that_takes_long_comes_in_pieces(tmp_path):
    log = session(tmp_path / "audit.jsonl")
    search = Search(log, Wanted())
    first, second = search.more(3, 60), search.more(100, 60)
    assert [shown.n for _, shown in first.rows] == ["10", "9", "7"]
    assert [shown.n for _, shown in second.rows] == ["6", "5", "3", "2", "1"]
    assert not first.over
    assert second.over
    assert Search(log, Wanted()).more(3, 0.0).rows == ()


def test_a_search_is_gone_on_with_until_it_is_let_go(watched, log, monkeypatch):
    monkeypatch.setattr(audit_asked, "MOST_ROWS", 3)
    first = get(watched, "audit")
    assert [one["n"] for one in first["rows"]] == ["10", "9", "7"]
    then = get(watched, "audit", more=first["more"])
    assert [one["n"] for one in then["rows"]] == ["6", "5", "3"]
    for _ in range(8):
        get(watched, "audit")
    with pytest.raises(AuditError, match="search again"):
        get(watched, "audit", more=first["more"])


def test_the_story_of_a_proposal_is_told(watched, log):
    (told,) = get(watched, "explain", id="acq7/hold_still/44/0")["stories"]
    text = "\n".join(f"{head} {line}" for head, line in told)
    assert "the stage did not arrive" in text
    assert "anna@tem asked to accept it" in text


def test_who_asks_cannot_name_a_file(board, tmp_path):
    path = session(tmp_path / "audit.jsonl")
    for name in ("audit", "explain"):
        with pytest.raises(ScopesideError, match="no guard has said"):
            get(board, name, id="1", path=str(path), file=str(path))


def test_the_chain_is_followed_once_somebody_looks(watched, log):
    get(watched, "audit")
    found = until(lambda: topic(watched.page, "audit_checked"))
    assert found["records"] == 10
    assert (found["n_faults"], found["left_bytes"]) == (0, 0)


def test_a_log_that_grows_is_followed_line_by_line(tmp_path):
    path = session(tmp_path / "audit.jsonl")
    follower = Follower(path)
    assert follower.more(60).records == 10
    with AuditLog.open(path) as open_log:
        open_log.append("answer", answer("x"), T + 9000 * MS)
        assert follower.more(60).records == 11
    assert follower.more(60).n_faults == 0
    with path.open("ab") as file:
        file.write(b'{"torn')
    assert follower.more(60).left_bytes == 6


def test_a_changed_line_is_a_fault(tmp_path):
    path = session(tmp_path / "audit.jsonl")
    path.write_bytes(path.read_bytes().replace(b"did not arrive", b"did not depart", 1))
    found = Follower(path).more(60)
    assert found.n_faults
    assert "line" in str(found.faults[0])


@pytest.mark.parametrize("how", ["cut", "replaced"])
def test_a_log_that_was_exchanged_is_a_fault(tmp_path, how):
    path = session(tmp_path / "audit.jsonl")
    follower = Follower(path)
    follower.more(60)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        path.rename(tmp_path / "old.jsonl")
        session(path)
    found = follower.more(60)
    assert how in str(found.faults[0])


# -- evidence -----------------------------------------------------------------------


def event(frame: int, number: int = 7, **more: Any) -> Result:
    data = {
        "id": number,
        "status": "confirmed",
        "y": 40.0,
        "x": 50.0,
        "radius_px": 4.0,
        "radius_error_px": 0.5,
        "thumbnail": [[0.0, 1.0], [2.0, 3.0]],
        **more,
    }
    meta = {"acq": "acq7", "chain": "movie", "processor": "nucleation", "params": 1}
    return Result("nucleation", data, "event", frame=frame, meta=meta)


def view(side: int = 128) -> Result:
    meta = {"acq": "acq7", "chain": "movie", "processor": "drift", "params": 1}
    data = np.arange(side * side, dtype=np.int64).reshape(side, side)
    return Result("view", data, frame=44, first=40, used=5, meta=meta)


@pytest.fixture
def asks(watched, guard, tmp_path):
    """Writes a proposal into the audit log, and asks what it stands on."""
    path = tmp_path / "audit.jsonl"
    guard.status["audit"] = str(path)

    def ask(sources: Any = None, why: str = "", name: str = "p") -> Any:
        body = proposal(name, "waiting", why=why)
        if sources is not None:
            body["decision"]["proposal"]["evidence"]["sources"] = sources
        with AuditLog.open(path) as open_log:
            open_log.append("proposal", body, T)
        until(lambda: topic(watched.page, "guard").get("audit"))
        return get(watched, "evidence", id="p")

    return ask


def read(blob: Blob) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(blob.data[:4], "little")
    return json.loads(blob.data[4 : 4 + length]), blob.data[4 + length :]


def test_the_thumbnail_of_the_very_event_is_shown(watched, asks):
    result = event(41)
    watched.page.hear(event(41, number=8))
    watched.page.hear(result)
    watched.page.hear(view())
    header, pixels = read(asks([{"digest": digest(result)}]))
    assert header["shape"] == [2, 2]
    assert np.frombuffer(pixels, "<f4").tolist() == [0.0, 1.0, 2.0, 3.0]
    assert "the very result that it stands on" in header["about"]
    assert header["mark"] == {"row": 0.5, "col": 0.5, "r": 0.4}


def test_else_that_of_the_event_that_it_names(watched, asks):
    watched.page.hear(event(41))
    watched.page.hear(event(43))
    watched.page.hear(event(44, number=8))
    header, _ = read(asks(why="event 7, confidence 0.9"))
    assert header["frame"] == 43
    assert "which it names" in header["about"]


def test_else_the_newest_image_cut_around_the_place(watched, asks):
    watched.page.hear(event(41, thumbnail=[]))
    watched.page.hear(view())
    header, _ = read(asks(why="event 7, confidence 0.9"))
    assert header["shape"] == [65, 65]
    assert header["mark"]["row"] == header["mark"]["col"] == 32
    assert "not the evidence itself" in header["about"]
    assert header["offset"] == 8 * 128 + 18


def test_else_the_newest_image_of_the_same_processor(watched, asks):
    other = view(8)
    watched.page.hear(view())
    watched.page.hear(replace(other, meta={**other.meta, "processor": "sum"}))
    header, _ = read(asks())
    assert header["key"] == "movie.drift.view"
    assert header["mark"] is None


def test_without_any_image_a_sentence_says_so(watched, asks):
    assert "nothing to be shown" in asks()["none"]
    assert "not in the audit log" in get(watched, "evidence", id="unknown")["none"]


@pytest.mark.parametrize("thumbnail", ["x", [[1], [1, 2]], [1.0, 2.0], 7, None])
def test_a_thumbnail_of_a_wrong_form_is_none(watched, asks, thumbnail):
    watched.page.hear(event(41, thumbnail=thumbnail))
    assert "none" in asks(why="event 7")
