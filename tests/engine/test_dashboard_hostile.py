"""The page in an unlucky world: strange results, races, questions that fail."""

import asyncio
import contextlib
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from tests.engine.test_dashboard_live import header_of
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.websocket import websocket_connect

from scopeside.dashboard import catalogue, feed, rules
from scopeside.dashboard import server as serving
from scopeside.dashboard.catalogue import Catalogue
from scopeside.dashboard.encodings import message_of
from scopeside.dashboard.feed import Feed
from scopeside.dashboard.page import Page
from scopeside.dashboard.parts import Dashboard
from scopeside.dashboard.shelf import Shown
from scopeside.dashboard.steering import Steering
from scopeside.dashboard.values import Values
from scopeside.errors import EngineNotFoundError
from scopeside.result import Result, invalid

TOKEN = "the-token-of-the-tests"
META = {"chain": "c", "processor": "p", "acq": "a"}


def image(name="bf", **meta):
    return Result(name, np.ones((4, 4)), units="counts", meta={**META, **meta})


def nothing_beside(_shown):
    return {"meta": {}, "pixel": None}


def told(page, topic):
    said = page.topic(topic)
    return None if said is None else json.loads(said[1])


@pytest.fixture
def served():
    board = Dashboard(None, 0, TOKEN)
    board.server.start()
    yield board
    board.page.over.set()
    board.server.close()


# -- strange results -------------------------------------------------------------------


def test_a_table_without_rows_is_shown_and_takes_no_other_value_away():
    page = Page()
    Values(page, clock=iter(range(100)).__next__)
    page.hear(Result("particles", np.empty((0, 5)), kind="table", meta=META))
    page.hear(Result("dose", 3.0, kind="scalar", meta=META))
    assert page.failed_parts == {}
    rows = {one["name"]: one["rows"] for one in told(page, "values")["values"]}
    assert rows == {"dose": [[3.0]], "particles": []}
    assert page.questions["series"]({"key": "c.p.particles"})["lines"][0]["y"] == []


def test_parameters_that_are_no_number_are_none_in_an_images_header():
    shown = Shown("c.p.bf", image(params={"most": float("inf")}), 1, 1)
    assert header_of(b"\0" * 8 + message_of(shown, nothing_beside))["params"] == {
        "most": None
    }


def test_an_image_that_cannot_be_painted_says_so_in_its_place():
    texts = Result("bf", np.array([["a", "b"]]), meta={**META, "t_frame_ns": "now"})
    header = header_of(
        b"\0" * 8 + message_of(Shown("c.p.bf", texts, 7, 1), nothing_beside)
    )
    assert (header["valid"], header["number"], header["acq"]) == (False, 7, "a")
    assert header["reason"].startswith("it cannot be painted: ")


def test_an_image_without_pixels_says_so_instead_of_looking_live():
    empty = Shown("c.p.bf", Result("bf", np.empty((0, 5)), meta=META), 1, 1)
    header = header_of(b"\0" * 8 + message_of(empty, nothing_beside))
    assert (header["valid"], header["reason"]) == (False, "it has no pixels")


# -- the catalogue ---------------------------------------------------------------------


def test_an_image_without_a_value_stays_an_image_for_who_comes_meanwhile(monkeypatch):
    monkeypatch.setattr(catalogue, "EVERY_S", 0.0)
    page = Page()
    Catalogue(page)
    page.hear(image())
    page.hear(invalid("bf", "no beam", meta=META))
    (one,) = told(page, "catalogue")
    assert (one["kind"], one["shape"], one["units"]) == ("image", [4, 4], "counts")
    assert (one["valid"], one["reason"]) == (False, "no beam")
    page.hear(image())
    assert told(page, "catalogue")[0]["valid"] is True


def test_hundreds_of_new_results_are_told_together():
    page = Page()
    tells = []
    Catalogue(page)
    tell = page.tell
    page.tell = lambda topic, value: (tells.append(topic), tell(topic, value))
    for acq in "ab":
        for k in range(400):
            page.hear(image(f"r{k}", acq=acq))
    assert len(tells) < 400


def test_what_is_new_after_the_last_telling_is_told_without_anything_else_coming():
    page = Page()
    Catalogue(page)

    async def last():
        page.hear(image("first"))
        page.hear(image("last"))
        while len(told(page, "catalogue")) < 2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(last(), 20))


# -- one engine after another ----------------------------------------------------------


def test_an_answer_of_an_engine_that_is_left_meanwhile_is_not_heard(monkeypatch):
    heard = []
    one = Feed(None, _nothing, _nothing, heard.append)
    one._engine = Path("old")

    def answer(engine):
        one._engine = Path("new") if engine == Path("old") else engine
        if engine == Path("new"):
            one._over.set()
        return {"folder": str(engine)}

    monkeypatch.setattr(feed, "ask", lambda engine, _ended: answer(engine))
    monkeypatch.setattr(feed, "STATUS_S", 0.0)
    one._ask()
    assert heard == [{"folder": "new"}]


def test_the_status_of_the_last_engine_is_nothing_to_go_by_for_the_next():
    page = Page()
    page.hear_status({"folder": "old", "record": {"folders": {"a": "/old/a"}}})
    page.attached(None)
    assert page.status["folder"] == "old"
    page.attached(Path("new"))
    assert page.status == {}


def test_parameters_are_not_changed_in_another_engine_than_the_person_has_seen():
    page = Page()
    Steering(page)
    page.attached(Path("run/2-new"))
    body = {"processor": "c.p", "values": {}, "engine": "run/1-old"}
    with pytest.raises(EngineNotFoundError, match="another engine runs now"):
        page.commands["set_params"](body)


def _broken(_asked):
    raise OSError("the disk is gone")


def _nothing(_heard):
    pass


# -- questions -------------------------------------------------------------------------


def test_a_question_that_fails_fills_no_log(served, caplog):
    served.page.hear(Result("frame", np.ones((4, 4)), used=1, meta={
        **META, "scan": 0, "row": 0, "column": 0}))  # fmt: skip
    served.page.questions["broken"] = _broken

    async def ask(what):
        try:
            where = f"{served.server.address}/api/{what}"
            return (await AsyncHTTPClient().fetch(where)).code
        except HTTPClientError as error:
            return error.code

    async def scene():
        far = "9" * 40
        there = f"pattern?row={far}&column=1&acquisition=a"
        assert [await ask(there) for _ in range(3)] == [400] * 3
        assert [await ask("broken") for _ in range(5)] == [500] * 5

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert len(caplog.records) == 1


def test_a_tab_outlives_an_image_that_cannot_be_painted(served):
    async def scene():
        link = await websocket_connect(f"ws://127.0.0.1:{served.server.port}/live")
        served.page.hear(Result("bf", np.array([["a"]]), meta=META))
        want = {"images": {"i1": {"key": "c.p.bf"}}, "topics": []}
        await link.write_message(json.dumps({"want": want}))
        while isinstance(said := await link.read_message(), str):
            pass
        assert header_of(said)["valid"] is False
        await gone(link)

    asyncio.run(asyncio.wait_for(scene(), 20))


@pytest.mark.parametrize("said", ["[" * 60_000, "[]", '{"token": 1, "stop": 2}'])
def test_nonsense_at_the_stop_socket_is_answered_in_words(served, caplog, said):
    async def scene():
        link = await websocket_connect(f"ws://127.0.0.1:{served.server.port}/stop")
        await link.write_message(said)
        assert "error" in json.loads(await link.read_message())
        await gone(link)

    asyncio.run(asyncio.wait_for(scene(), 20))
    assert caplog.records == []


def test_an_open_tab_stays_when_more_connections_come_than_there_is_room_for(
    served, monkeypatch
):
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 2)

    async def scene():
        tab = await websocket_connect(f"ws://127.0.0.1:{served.server.port}/live")
        links = [
            await asyncio.open_connection("127.0.0.1", served.server.port)
            for _ in range(5)
        ]
        assert await links[0][0].read() == b""
        served.page.tell("there", 1)
        await tab.write_message(
            json.dumps({"want": {"images": {}, "topics": ["there"]}})
        )
        while "topic" not in json.loads(await tab.read_message()):
            pass
        for _, link in links:
            link.close()
            with contextlib.suppress(ConnectionError):
                await link.wait_closed()
        await gone(tab)

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_changes_and_holds_do_not_wait_for_questions(served):
    go_on = threading.Event()
    served.page.questions["slow"] = lambda _asked: go_on.wait(20)
    served.page.commands["change"] = lambda _body: {"changed": True}
    served.page.urgent["hold"] = lambda _body: {"state": "done"}

    def ask(name, body=None):
        heads = {"Authorization": f"Bearer {TOKEN}"}
        where = f"{served.server.address}/api/{name}"
        with urlopen(Request(where, body, heads), timeout=20) as answer:
            return answer.status

    with ThreadPoolExecutor(9) as persons:
        slow = [persons.submit(ask, "slow") for _ in range(9)]
        assert ask("change", b"{}") == 200
        assert ask("hold", b"{}") == 200
        assert not any(one.done() for one in slow)
        go_on.set()


def test_a_hold_does_not_wait_for_those_who_try_tokens(served, monkeypatch):
    monkeypatch.setattr(rules, "WRONG_S", 1000.0)
    served.page.urgent["hold"] = lambda _body: {"state": "done"}
    where = ("127.0.0.1", served.server.port)
    head = f"POST /api/hold HTTP/1.1\r\nHost: {where[0]}:{where[1]}\r\n"
    rest = "Content-Length: 2\r\nConnection: close\r\n\r\n{}"

    async def ask(token):
        reader, writer = await asyncio.open_connection(*where)
        writer.write(f"{head}Authorization: Bearer {token}\r\n{rest}".encode())
        try:
            return await reader.read()
        finally:
            writer.close()

    async def scene():
        async with asyncio.TaskGroup() as persons:
            wrong = [persons.create_task(ask("wrong")) for _ in range(40)]
            assert b'{"state": "done"}' in await ask(TOKEN)
            assert not any(one.done() for one in wrong)
            for one in wrong:
                one.cancel()

    asyncio.run(asyncio.wait_for(scene(), 20))


async def gone(link):
    link.close()
    while await link.read_message() is not None:
        pass
