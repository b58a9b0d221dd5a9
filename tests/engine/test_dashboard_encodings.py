"""Images are made beside the page's loop: nothing else waits for a large one."""

import asyncio
import json
import threading
from urllib.request import Request, urlopen

import numpy as np
import pytest
from tests.engine.test_dashboard_live import image, tab
from tornado.websocket import websocket_connect

from scopeside.dashboard import encodings, live
from scopeside.dashboard.encodings import Encodings
from scopeside.dashboard.parts import Dashboard
from scopeside.dashboard.shelf import Shown
from scopeside.result import Result

TOKEN = "the-token-of-the-tests"
KEY = "stem.virtual.bf"


class Oven:
    """Makes messages only when it is let, and counts them."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.made = []
        self._encoded = encodings.picture.encoded

    def __call__(self, shown, beside, plane=None):
        self.begun.release()
        assert self.go_on.acquire(timeout=20)
        self.made.append(shown.number)
        return self._encoded(shown, beside, plane)


@pytest.fixture
def oven(monkeypatch):
    one = Oven()
    monkeypatch.setattr(encodings.picture, "encoded", one)
    yield one
    for _ in range(100):
        one.go_on.release()


@pytest.fixture
def served(oven):
    board = Dashboard(None, 0, TOKEN)
    board.server.start()
    yield board
    for _ in range(100):
        oven.go_on.release()
    board.page.over.set()
    board.server.close()


def run(scene):
    asyncio.run(asyncio.wait_for(scene(), 20))


async def begins(oven):
    assert await asyncio.to_thread(oven.begun.acquire, timeout=20)


def hold_by_post(served):
    heads = {"Authorization": f"Bearer {TOKEN}"}
    asked = Request(f"{served.server.address}/api/hold", b"{}", heads)
    with urlopen(asked, timeout=20) as answer:
        return json.loads(answer.read())


async def hold_by_socket(served):
    link = await websocket_connect(f"ws://127.0.0.1:{served.server.port}/stop")
    await link.write_message(json.dumps({"token": TOKEN, "stop": "hold"}))
    answer = json.loads(await link.read_message())
    link.close()
    assert await link.read_message() is None
    return answer


def test_a_hold_and_words_do_not_wait_for_an_image_that_is_being_made(served, oven):
    served.page.urgent["hold"] = lambda _body: {"state": "done"}

    async def scene():
        async with tab(served) as one:
            served.page.hear(image(1))
            await one.want("words", i1=KEY)
            await begins(oven)
            assert await asyncio.to_thread(hold_by_post, served) == {"state": "done"}
            assert await hold_by_socket(served) == {"state": "done"}
            served.page.tell("words", 1)
            assert (await one.next("topic"))["value"] == 1
            assert oven.made == []
            oven.go_on.release()
            assert (await one.next("image"))["number"] == 1

    run(scene)


def test_of_what_comes_while_one_is_made_only_the_newest_is_made(served, oven):
    async def scene():
        async with tab(served) as one:
            served.page.hear(image(1))
            await one.want(i1=KEY)
            await begins(oven)
            for value in range(2, 30):
                served.page.hear(image(value))
            for _ in range(2):
                oven.go_on.release()
                await one.painted(await one.next("image"))
            assert oven.made == [1, 29]

    run(scene)


def test_one_is_made_for_all_tabs(served, oven):
    async def scene():
        async with tab(served) as one, tab(served) as other:
            served.page.hear(image(1))
            await one.want(i1=KEY)
            await begins(oven)
            await other.want("words", i1=KEY)
            served.page.tell("words", 1)
            await other.next("topic")
            oven.go_on.release()
            for some in (one, other):
                assert (await some.next("image"))["number"] == 1
            assert oven.made == [1]

    run(scene)


def test_a_tab_that_was_opened_is_given_one_image_after_another(
    served, oven, monkeypatch
):
    monkeypatch.setattr(live, "LOST_S", 1000.0)
    monkeypatch.setattr(live, "BEAT_S", 0.02)
    for _ in range(10):
        oven.go_on.release()

    async def scene():
        async with tab(served) as one:
            served.page.hear(image(1))
            served.page.hear(Result("adf", np.ones((4, 4)), meta=image(1).meta))
            await one.want(i1=KEY, i2="stem.virtual.adf")
            first = await one.next("image")
            assert await one.until_beats(5) == []
            await one.painted(first)
            assert (await one.next("image"))["name"] == "adf"

    run(scene)


def test_a_result_is_made_once_and_the_next_version_anew(oven):
    for _ in range(10):
        oven.go_on.release()

    async def scene():
        some = Encodings(lambda _shown: {"meta": {}, "pixel": None})
        for number in (1, 1, 2):
            shown = Shown(KEY, image(1), number, 1)
            assert (await some.of(shown)).number == number
        some.close()

    run(scene)
    assert oven.made == [1, 2]


def test_what_is_made_at_the_same_time_is_sent_together(served, oven, monkeypatch):
    monkeypatch.setattr(live, "TOGETHER_S", 1000.0)
    monkeypatch.setattr(live, "BEAT_S", 0.02)

    def hear():
        for name in ("bf", "adf"):
            served.page.hear(Result(name, np.ones((4, 4)), meta=image(1).meta))

    async def scene():
        async with tab(served) as one:
            hear()
            await one.want(i1=KEY, i2="stem.virtual.adf")
            for ident in ("i1", "i2"):  # the first ones come one after another
                oven.go_on.release()
                await one.painted(await one.next("image"), ident)
            hear()
            (served_tab,) = served.server.tabs
            while not all(wanted.making for wanted in served_tab._images.values()):
                await asyncio.sleep(0.01)
            oven.go_on.release()
            for _ in range(4):
                await begins(oven)  # two first ones, and now both
            assert await one.until_beats(5) == []
            oven.go_on.release()
            names = {(await one.next("image"))["name"] for _ in range(2)}
            assert names == {"bf", "adf"}

    run(scene)
