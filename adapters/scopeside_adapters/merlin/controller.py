"""Speaks to a Merlin over its control socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from scopeside.errors import ProtocolError, SourceError
from scopeside_adapters.merlin.control import (
    BUSY,
    ControlParser,
    Reply,
    encode,
    parse_reply,
)

WAIT_S = 0.05
"""How long a stop may go unnoticed."""


REPLY_S = 5.0
"""For how long a reply is waited for."""
_LAST_WORD_S = 0.5
_STATUS_S = 0.3


def _go_on() -> None:
    """Do not give up."""


class ControlError(SourceError):
    """The detector did not do what it was told.

    Attributes
    ----------
    reply
        What it answered; None if there was no answer.
    """

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class Controller:
    """One control connection; a request, a reply.

    Parameters
    ----------
    host, port
        Where the detector listens.
    timeout_s
        For a reply; `REPLY_S` unless it is given.
    give_up
        Called while waiting; what it raises ends the wait.

    Raises
    ------
    ControlError
        If there is no connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        timeout_s: float | None = None,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self.name = f"Merlin control at {host}:{port}"
        self._timeout_s = timeout_s = timeout_s or REPLY_S
        self._give_up = give_up or _go_on
        self._parser = ControlParser()
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise ControlError(
                f"{self.name} cannot be reached: {error}; is the Merlin software "
                "started, and are host and control_port right?"
            ) from error
        self._socket.settimeout(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def hurry(self) -> None:
        """Say a last word: it is not waited for long, nor is the wait given up."""
        self._timeout_s = min(self._timeout_s, _LAST_WORD_S)
        self._give_up = _go_on

    def get(self, name: str) -> str:
        """Return the value of a variable."""
        return self._done(f"GET,{name}").value

    def set(self, name: str, value: object) -> None:
        """Set a variable."""
        self._done(f"SET,{name},{value}")

    def command(self, name: str) -> None:
        """Have a command done."""
        self._done(f"CMD,{name}")

    def start(self) -> bool:
        """Start an acquisition; False if the detector is busy with another one."""
        try:
            self.command("STARTACQUISITION")
        except ControlError as error:
            if error.reply is None or error.reply.error != BUSY:
                raise
            return False
        return True

    def stop(self) -> None:
        """Stop the acquisition that goes on, if there is one."""
        self.command("STOPACQUISITION")

    def version(self) -> str:
        """Return the version of the detector's software; empty if it has no word."""
        try:
            return self.get("SOFTWAREVERSION")
        except ControlError as error:
            if error.reply is None:
                raise
            return ""

    def status(self) -> int | None:
        """Return DETECTORSTATUS: 0 idle, others busy; None where it is not known.

        It is not waited for long: it is asked when the detector may be lost.
        """
        usual, self._timeout_s = self._timeout_s, _STATUS_S
        try:
            value = self.get("DETECTORSTATUS").strip()
        except ControlError:
            return None
        finally:
            self._timeout_s = usual
        return int(value) if value.isdigit() else None

    def _done(self, request: str) -> Reply:
        reply = self._ask(request)
        if reply.problem:
            raise ControlError(f"{self.name} refused {request}: {reply.problem}", reply)
        return reply

    def _ask(self, request: str) -> Reply:
        asked = ",".join(request.split(",")[:2])
        try:
            self._socket.sendall(encode(request))
            payload = self._payload(request)
            while not payload.startswith(asked):
                payload = self._payload(request)  # a late reply to what was given up
            return parse_reply(payload)
        except OSError as error:
            raise ControlError(f"{self.name} was lost at {request}: {error}") from error
        except ProtocolError as error:
            raise ControlError(
                f"{self.name}: {error}; another program listens there: check "
                "control_port"
            ) from error

    def _payload(self, request: str) -> str:
        until = time.monotonic() + self._timeout_s
        while True:
            self._give_up()
            if time.monotonic() > until:
                raise ControlError(
                    f"{self.name} did not answer {request} within {self._timeout_s:g} s"
                )
            try:
                data = self._socket.recv(1 << 12)
            except TimeoutError:
                continue
            if not data:
                raise ControlError(f"{self.name} hung up at {request}")
            for payload in self._parser.feed(data):
                return payload
