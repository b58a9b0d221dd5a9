"""A second way to hold and to blank: a socket that is opened for it.

A browser keeps six requests to a server under way and lets the seventh wait: six that
hang, in any of its tabs, would keep a hold from ever leaving it. Sockets are not
counted among these. So the page asks both ways at once, with one id.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from scopeside.dashboard.page import Page
from scopeside.dashboard.rules import environ_of
from scopeside.security.http import refusal
from scopeside.strangers import from_json

ASKED_S = 10.0
"""A socket that has not asked by then is closed."""
MOST = 64
"""Sockets at once; each is there for one question."""


class StopSocket(WebSocketHandler):
    """Takes one ``{"token": …, "stop": "hold", "id": …}``, answers, and is closed."""

    page: Page
    urgent: ThreadPoolExecutor
    token: str
    opened = 0

    def initialize(self, page: Page, urgent: ThreadPoolExecutor, token: str) -> None:
        """Take what all sockets share."""
        self.page, self.urgent, self.token = page, urgent, token
        self._late: asyncio.TimerHandle | None = None

    def prepare(self) -> None:
        """Refuse whoever calls us by another name, and one socket too many."""
        refused = refusal(environ_of(self), self.settings["port"], None)
        if refused is not None:
            self.set_status(refused.status.value)
            self.finish({"error": refused.reason})
        elif StopSocket.opened >= MOST:
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self.finish({"error": f"{MOST} of these are open"})

    def check_origin(self, origin: str) -> bool:
        """Let in pages of ours only."""
        return origin == f"http://{self.request.host}"

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Wait for the question, not for ever."""
        StopSocket.opened += 1
        self.set_nodelay(True)
        self._late = asyncio.get_running_loop().call_later(ASKED_S, self.close)

    def on_close(self) -> None:
        """Count it no more."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
            StopSocket.opened -= 1

    async def on_message(self, message: str | bytes) -> None:
        """Do what was asked, if the token is right."""
        with contextlib.suppress(WebSocketClosedError):
            await self.write_message(json.dumps(await self._answer(message)))
        self.close()

    async def _answer(self, message: str | bytes) -> Any:
        try:
            raw = message if isinstance(message, bytes) else message.encode()
            said = from_json(raw)
            shown, what = str(said["token"]), str(said["stop"])
        except (ValueError, TypeError, KeyError) as error:
            return {"error": f"not understood: {error}"}
        if not hmac.compare_digest(shown.encode(errors="replace"), self.token.encode()):
            return {"error": "the token is not the one of this page"}
        command = self.page.urgent.get(what)
        if command is None:
            return {"error": f"no such stop: {what!r:.40}"}
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.urgent, command, said)
