"""A tab's socket: the newest, when the tab has painted, and nothing that waits."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from urllib.request import urlopen

import numpy as np
import pytest
from tornado.websocket import websocket_connect

from scopeside.dashboard import live
from scopeside.dashboard.parts import Dashboard
from scopeside.dashboard.rules import STATIC
from scopeside.result import Result

TOKEN = "the-token-of-the-tests"
KEY = "stem.virtual.bf"
PATIENCE_S = 20


@pytest.fixture(scope="module")
def served():
    board = Dashboard(None, 0, TOKEN)
    board.server.start()
    yield board
    board.server.close()


def image(value):
    meta = {"chain": "stem", "processor": "virtual", "t_frame_ns": time.time_ns()}
    return Result("bf", np.full((4, 4), value), meta=meta)


@asynccontextmanager
async def tab(served):
    link = await websocket_connect(f"ws://127.0.0.1:{served.server.port}/live")
    try:
        yield Tab(link)
    finally:
        link.close()
        while await link.read_message() is not None:
            pass  # until it is closed


class Tab:
    """The browser's side of the socket."""

    def __init__(self, link):
        self._link = link

    async def want(self, *topics, hz=30, **images):
        wanted = {ident: {"key": key, "hz": hz} for ident, key in images.items()}
        want = {"images": wanted, "topics": list(topics)}
        await self._link.write_message(json.dumps({"want": want}))

    async def painted(self, header, ident="i1"):
        said = {"painted": [ident, header["number"]]}
        await self._link.write_message(json.dumps(said))

    async def next(self, what):
        """Return the next image, or the next of these words; beats are left out."""
        while True:
            said = await asyncio.wait_for(self._link.read_message(), PATIENCE_S)
            assert said is not None, "the page has hung up"
            if isinstance(said, bytes):
                if what == "image":
                    return header_of(said)
            elif what in json.loads(said):
                return json.loads(said)

    async def until_beats(self, n):
        """Return the images that come before the n-th beat from now on."""
        found = []
        while n:
            said = await asyncio.wait_for(self._link.read_message(), PATIENCE_S)
            if isinstance(said, bytes):
                found.append(header_of(said))
            n -= "beat" in json.loads(said) if isinstance(said, str) else 0
        return found


def header_of(message):
    at = -(-(1 + message[0]) // 8) * 8
    length = int.from_bytes(message[at : at + 4], "little")
    return json.loads(message[at + 4 : at + 4 + length])


def run(scene):
    asyncio.run(scene)


def test_a_tab_is_greeted_with_the_version_of_the_files(served):
    async def scene():
        async with tab(served) as one:
            hello = (await one.next("hello"))["hello"]
            assert set(hello) == {"page", "version"}

    run(scene())


def test_a_tab_that_paints_gets_the_next_and_one_that_does_not_gets_nothing(
    served, monkeypatch
):
    monkeypatch.setattr(live, "BEAT_S", 0.02)
    monkeypatch.setattr(live, "LOST_S", 1000.0)

    async def scene():
        async with tab(served) as one:
            served.page.hear(image(1))
            await one.want(i1=KEY)
            first = await one.next("image")
            for value in range(2, 50):
                served.page.hear(image(value))
            assert await one.until_beats(10) == []
            await one.painted(first)
            newest = await one.next("image")
            assert newest["number"] == first["number"] + 48

    run(scene())


def test_a_tab_that_never_says_that_it_has_painted_is_tried_again_after_a_while(
    served, monkeypatch
):
    monkeypatch.setattr(live, "LOST_S", 0.1)
    monkeypatch.setattr(live, "BEAT_S", 0.02)

    async def scene():
        async with tab(served) as one:
            served.page.hear(image(1))
            await one.want(i1=KEY)
            first = await one.next("image")
            served.page.hear(image(2))
            second = await one.next("image")
            assert second["number"] == first["number"] + 1

    run(scene())


def test_a_tab_that_wants_no_image_any_more_gets_none(served, monkeypatch):
    monkeypatch.setattr(live, "BEAT_S", 0.02)

    async def scene():
        async with tab(served) as one:
            served.page.hear(image(1))
            await one.want(i1=KEY)
            await one.painted(await one.next("image"))
            await one.want("this topic comes when the wish is known")
            served.page.tell("this topic comes when the wish is known", 1)
            await one.next("topic")
            served.page.hear(image(2))
            assert await one.until_beats(5) == []

    run(scene())


def test_of_a_topic_a_tab_gets_the_last_value_and_again_when_it_asks_again(served):
    async def scene():
        async with tab(served) as one:
            for value in range(5):
                served.page.tell("t", value)
            await one.want("t")
            assert await one.next("topic") == {"topic": "t", "value": 4}
            await one.want()
            await one.want("t")
            assert await one.next("topic") == {"topic": "t", "value": 4}

    run(scene())


def test_two_tabs_paint_at_their_own_pace(served):
    async def scene():
        async with tab(served) as quick, tab(served) as slow:
            served.page.hear(image(1))
            for one in (quick, slow):
                await one.want(i1=KEY)
            await slow.next("image")
            for value in range(2, 6):
                await quick.painted(await quick.next("image"))
                served.page.hear(image(value))
            await quick.next("image")
            assert len(served.server.tabs) >= 2

    run(scene())


def test_the_page_knows_how_many_tabs_are_open(served):
    async def scene():
        before = served.page.tabs()
        async with tab(served) as one:
            await one.next("hello")
            assert served.page.tabs() == before + 1

    run(scene())


def test_no_file_that_is_served_holds_the_token(served):
    names = ["", *(str(path.relative_to(STATIC)) for path in STATIC.rglob("*.*"))]
    assert len(names) > 20
    for name in names:
        with urlopen(f"{served.server.address}/{name}") as found:
            assert TOKEN.encode() not in found.read(), name
            assert TOKEN not in str(found.headers), name
