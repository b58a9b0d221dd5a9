"""The page's web server: files, the tabs' sockets, commands and questions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, url

from scopeside.dashboard.encodings import Encodings
from scopeside.dashboard.files import Front, KeptFiles, VersionedFiles, bundle
from scopeside.dashboard.live import Live
from scopeside.dashboard.pace import Pace
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.place import address, bokeh_scripts
from scopeside.dashboard.plain import plain
from scopeside.dashboard.rules import STATIC, NotThere, Ruled, RuledFiles
from scopeside.dashboard.shelf import Shown
from scopeside.dashboard.stop_socket import StopSocket
from scopeside.errors import ScopesideError
from scopeside.security.http import LARGEST_BODY, LARGEST_LINE
from scopeside.strangers import from_json

log = logging.getLogger(__name__)

_CHANGES = 8
"""Commands that are answered at once."""
_QUESTIONS = 3
"""Questions at once: anybody of this machine may ask, and they wait for Python's lock
with the thread that holds."""
_URGENT = 32
"""Holds and blanks at once: each is over within seconds, whatever hangs elsewhere."""
MOST_CONNECTIONS = 128
MOST_WAITING = 64
"""Questions of all tabs that wait for an answer."""
HEAD_S = 60.0
"""A request begins within this time after the last one, and its headers are whole."""
BODY_S = 10.0
"""A body is here by then, or the connection is cut."""
_FILE = r"(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_BOKEH = rf"({_FILE}\.min\.js)"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Pools:
    """The threads that answer: none waits for those of another pool."""

    def __init__(self) -> None:
        self.questions = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="asked")
        self.changes = ThreadPoolExecutor(_CHANGES, thread_name_prefix="changes")
        self.urgent = ThreadPoolExecutor(_URGENT, thread_name_prefix="urgent")

    def close(self) -> None:
        """Begin nothing more; who holds or blanks goes on."""
        self.questions.shutdown(wait=False, cancel_futures=True)
        self.changes.shutdown(wait=False, cancel_futures=True)
        self.urgent.shutdown(wait=False)


class Commands(Ruled):
    """``POST /api/NAME``: changes something; the token is needed."""

    page: Page
    pools: Pools

    def initialize(  # type: ignore[override]
        self, page: Page, pools: Pools, port: int, token: str
    ) -> None:
        """Take what all requests share."""
        super().initialize(port, token)
        self.page, self.pools = page, pools

    async def post(self, name: str) -> None:
        """Do what a person has asked for."""
        urgent = self.page.urgent.get(name)
        command = urgent or self.page.commands.get(name)
        if command is None:
            self._say(HTTPStatus.NOT_FOUND, {"error": f"no command {name!r:.40}"})
            return
        try:
            body = from_json(self.request.body or b"{}")
            if not isinstance(body, dict):
                raise TypeError("expected an object")
        except (ValueError, TypeError) as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"not understood: {error}"})
            return
        threads = self.pools.changes if urgent is None else self.pools.urgent
        await self._answer(command, body, threads)

    async def get(self, name: str) -> None:
        """Answer a question."""
        question = self.page.questions.get(name)
        if question is None:
            self._say(HTTPStatus.NOT_FOUND, {"error": f"no question {name!r:.40}"})
            return
        asked = {key: self.get_argument(key) for key in self.request.arguments}
        waiting: set[Commands] = self.settings["waiting"]
        if len(waiting) >= MOST_WAITING:
            what = {"error": "too many questions at once; ask again"}
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, what)
            return
        waiting.add(self)
        try:
            await self._answer(question, asked, self.pools.questions)
        finally:
            waiting.discard(self)

    # ---------------------------------------------------------------------------

    async def _answer(
        self, function: Callable[[Any], Any], asked: Any, threads: ThreadPoolExecutor
    ) -> None:
        answering: set[Any] = self.settings["answering"]
        stream = getattr(self.request.connection, "stream", None)
        answering.add(stream)
        try:
            await self._answer_from(function, asked, threads)
        finally:
            answering.discard(stream)

    async def _answer_from(
        self, function: Callable[[Any], Any], asked: Any, threads: ThreadPoolExecutor
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(threads, function, asked)
        except ScopesideError as error:
            self._say(HTTPStatus.CONFLICT, {"error": str(error)})
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            what = f"{type(error).__name__}: {error}"
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"not understood: {what}"})
        except Exception as error:
            # Said once for each kind: whoever asks again could fill the disk.
            what = f"{self.request.path[:60]}: {type(error).__name__}"
            failed: set[str] = self.settings["failed"]
            if what not in failed and len(failed) < MOST_WAITING:
                failed.add(what)
                log.exception("the page could not answer %s", what)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            await self._give(found)

    async def _give(self, found: Any) -> None:
        if not isinstance(found, Blob):
            self._say(HTTPStatus.OK, plain(found) if found is not None else {})
            return
        self.set_header("Content-Type", found.content_type)
        if found.filename:
            name = _UNSAFE.sub("_", found.filename)
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        with contextlib.suppress(StreamClosedError):  # it waits for no answer any more
            await self.finish(found.data)

    def _say(self, status: HTTPStatus, value: Any) -> None:
        self.set_status(status.value)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, allow_nan=False))


class _Listener(HTTPServer):
    """Takes so many connections and no more; sockets of tabs are counted by `Live`.

    Whoever opens all of them and asks nothing must not keep a hold from coming in: the
    one that has been there for longest goes, unless it is being answered.
    """

    answering: set[IOStream]
    _came: dict[IOStream, None]

    def initialize(  # type: ignore[override]
        self, *args: Any, answering: set[IOStream], **kwargs: Any
    ) -> None:
        """Take what others than Tornado do not know of."""
        super().initialize(*args, **kwargs)
        self.answering, self._came = answering, {}

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Take a connection, in place of another if there are too many."""
        # Sockets of tabs are not among them any more.
        there = {one.stream for one in self._connections if not one.stream.closed()}
        self._came = {one: None for one in self._came if one in there}
        if len(there) >= MOST_CONNECTIONS:
            idle = (one for one in self._came if one not in self.answering)
            next(idle, stream).close()
        if not stream.closed():
            self._came[stream] = None
            super().handle_stream(stream, address)


class Server:
    """Serves a page on a port of 127.0.0.1, in a thread of its own.

    Parameters
    ----------
    port
        0: any free one.
    beside
        What goes into the header of an image beside the result's own.

    Raises
    ------
    OSError
        If nobody can listen there.
    MissingExtraError
        If BokehJS is not installed.
    """

    def __init__(
        self,
        page: Page,
        port: int,
        token: str,
        beside: Callable[[Shown], Mapping[str, Any]],
    ) -> None:
        self.page = page
        self.tabs: set[Live] = set()
        self._asked_port, self._token = port, token
        self._pools = Pools()
        self._encodings = Encodings(beside)
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._over = asyncio.Event()
        self._waking = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.port = port
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def start(self) -> None:
        """Listen; returns when tabs can come."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        self.page.wake = self._wake
        self.page.tabs = lambda: len(self.tabs)

    @property
    def address(self) -> str:
        """Where the page is."""
        return address(self.port)

    @property
    def address_to_change(self) -> str:
        """Where the page is, with the token: browsers do not send what follows #."""
        return f"{self.address}/#token={self._token}"

    def close(self) -> None:
        """Hang up."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
        self._pools.close()
        self._encodings.close()

    # ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - told to whoever has started it
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Whoever sends nonsense is refused; a line for each would be a flood.
        logging.getLogger("tornado.general").setLevel(logging.ERROR)
        bokeh = bokeh_scripts()
        sockets = bind_sockets(self._asked_port, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        application = self._application(bokeh)
        server = _Listener(
            application,
            answering=application.settings["answering"],
            max_body_size=LARGEST_BODY,
            max_header_size=LARGEST_LINE,
            idle_connection_timeout=HEAD_S,
            body_timeout=BODY_S,
        )
        server.add_sockets(sockets)
        self._ready.set()
        await self._over.wait()
        server.stop()
        for tab in list(self.tabs):
            tab.close(1001, "the page ends")
        await server.close_all_connections()

    def _application(self, bokeh: Path) -> Application:
        ours = bundle(bokeh)
        rules = {"port": self.port, "token": self._token}
        shared = {
            "page": self.page,
            "tabs": self.tabs,
            "encodings": self._encodings,
            "pace": Pace(lambda stretch: self.page.tell("pace", {"stretch": stretch})),
            "greeting": {"page": secrets.token_hex(8), "version": ours.version},
        }
        files = {"port": self.port}
        bokehs = {"path": str(bokeh), **files}
        loaded = {"bundle": ours, **files}
        asked = {"page": self.page, "pools": self._pools, **rules}
        urgent = self._pools.urgent
        stops = {"page": self.page, "urgent": urgent, "token": self._token}
        return Application(
            [
                url(r"/live", Live, shared),
                url(r"/stop", StopSocket, stops),
                url(r"/api/([a-z_]{1,40})", Commands, asked),
                url(r"/(?:index\.html)?", Front, loaded),
                url(rf"/v/{ours.version}/bokeh/{_BOKEH}", VersionedFiles, bokehs),
                url(rf"/v/([0-9a-f]+)/({_FILE})", KeptFiles, loaded),
                url(rf"/bokeh/{_BOKEH}", RuledFiles, bokehs),
                url(rf"/({_FILE})", RuledFiles, {"path": str(STATIC), **files}),
            ],
            default_handler_class=NotThere,
            default_handler_args={"port": self.port, "token": None},
            port=self.port,
            token=self._token,
            waiting=set(),
            failed=set(),
            answering=set(),
            websocket_max_message_size=LARGEST_BODY,
            websocket_ping_interval=10.0,
            log_function=_silent,
        )

    def _wake(self) -> None:
        """Wake all tabs, once, however often it is called meanwhile."""
        if self._waking or self._loop is None or not self.tabs:
            return
        self._waking = True
        self._loop.call_soon_threadsafe(self._wake_tabs)

    def _wake_tabs(self) -> None:
        self._waking = False
        for tab in self.tabs:
            tab.wake()


def _silent(_handler: Any) -> None:
    """Say nothing of single requests: a flood of them would be a flood of lines."""
