"""The page's web server: files, the tabs' sockets, commands and questions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, url

from scopeside.dashboard.live import Encoded, Live
from scopeside.dashboard.page import Blob, Page
from scopeside.dashboard.place import address, bokeh_scripts
from scopeside.dashboard.rules import STATIC, Ruled, RuledFiles
from scopeside.dashboard.shelf import Shown
from scopeside.errors import ScopesideError
from scopeside.security.http import LARGEST_BODY, LARGEST_LINE

log = logging.getLogger(__name__)

_THREADS = 8
"""Commands and questions that are answered at once."""


class Commands(Ruled):
    """``POST /api/NAME``: changes something; the token is needed."""

    page: Page
    threads: ThreadPoolExecutor

    def initialize(  # type: ignore[override]
        self, page: Page, threads: ThreadPoolExecutor, port: int, token: str
    ) -> None:
        """Take what all requests share."""
        super().initialize(port, token)
        self.page, self.threads = page, threads

    async def post(self, name: str) -> None:
        """Do what a person has asked for."""
        command = self.page.commands.get(name)
        if command is None:
            self._say(HTTPStatus.NOT_FOUND, {"error": f"no command {name!r:.40}"})
            return
        try:
            body = json.loads(self.request.body or b"{}")
            if not isinstance(body, dict):
                raise TypeError("expected an object")
        except (ValueError, TypeError) as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"not understood: {error}"})
            return
        await self._answer(command, body)

    async def get(self, name: str) -> None:
        """Answer a question."""
        question = self.page.questions.get(name)
        if question is None:
            self._say(HTTPStatus.NOT_FOUND, {"error": f"no question {name!r:.40}"})
            return
        asked = {key: self.get_argument(key) for key in self.request.arguments}
        await self._answer(question, asked)

    # ---------------------------------------------------------------------------

    async def _answer(self, function: Callable[[Any], Any], asked: Any) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self.threads, function, asked)
        except ScopesideError as error:
            self._say(HTTPStatus.CONFLICT, {"error": str(error)})
            return
        except (KeyError, ValueError, TypeError) as error:
            what = f"{type(error).__name__}: {error}"
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"not understood: {what}"})
            return
        if isinstance(found, Blob):
            self.set_header("Content-Type", found.content_type)
            if found.filename:
                how = f'attachment; filename="{found.filename}"'
                self.set_header("Content-Disposition", how)
            await self.finish(found.data)
        else:
            self._say(HTTPStatus.OK, found if found is not None else {})

    def _say(self, status: HTTPStatus, value: Any) -> None:
        self.set_status(status.value)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, allow_nan=False))


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
        self._asked_port, self._token, self._beside = port, token, beside
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="asked")
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
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - told to whoever has started it
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        bokeh = bokeh_scripts()
        sockets = bind_sockets(self._asked_port, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        server = HTTPServer(
            self._application(bokeh),
            max_body_size=LARGEST_BODY,
            max_header_size=LARGEST_LINE,
            idle_connection_timeout=60.0,
        )
        server.add_sockets(sockets)
        self._ready.set()
        await self._over.wait()
        server.stop()
        for tab in list(self.tabs):
            tab.close(1001, "the page ends")
        await server.close_all_connections()

    def _application(self, bokeh: Path) -> Application:
        rules = {"port": self.port, "token": self._token}
        shared = {
            "page": self.page,
            "tabs": self.tabs,
            "encodings": Encoded(self._beside),
            "greeting": {"page": secrets.token_hex(8), "version": version_of_files()},
        }
        asked = {"page": self.page, "threads": self._threads, **rules}
        return Application(
            [
                url(r"/live", Live, shared),
                url(r"/api/([a-z_]{1,40})", Commands, asked),
                url(r"/bokeh/(.*\.min\.js)", RuledFiles, {"path": str(bokeh)}),
                url(
                    r"/(.*)",
                    RuledFiles,
                    {"path": str(STATIC), "default_filename": "index.html"},
                ),
            ],
            port=self.port,
            websocket_max_message_size=64 << 10,
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


def version_of_files() -> str:
    """Return what changes when the page's files do: tabs then load them anew."""
    hashed = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


def _silent(_handler: Any) -> None:
    """Say nothing of single requests: a flood of them would be a flood of lines."""
