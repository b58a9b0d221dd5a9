"""Questions and commands to the HTTP server of temscript, as its version 2 takes them.

``GET /v1/NAME`` answers 200 with a JSON value; ``PUT /v1/NAME``, with one, answers 204
or 200. An error is a web page whose status line says what was wrong. The server does
one request after another, and closes each connection.
"""

from __future__ import annotations

import json
import math
import time
from typing import Any

import urllib3

from scopeside.errors import InstrumentError
from scopeside.strangers import from_json

LARGEST_ANSWER = 1 << 20
_CHUNK = 1 << 14


class TemscriptServer:
    """Asks one server; whatever goes wrong is an `InstrumentError` in words."""

    def __init__(self, host: str, port: int) -> None:
        at = f"[{host}]" if ":" in host else host
        self.name = f"the temscript server at {at}:{port}"
        self._base = f"http://{at}:{port}/v1/"
        # Nothing is tried again behind our back: a stage moved twice is moved twice.
        self._pool = urllib3.PoolManager(retries=False, maxsize=1)

    def close(self) -> None:
        """Close what is still open."""
        self._pool.clear()

    def get(self, what: str, timeout_s: float) -> Any:
        """Return the value that `what` has."""
        data = self._ask("GET", what, None, timeout_s)
        try:
            return from_json(data)
        except ValueError as error:
            raise InstrumentError(
                f"{self.name} answered GET {what} with what is not JSON: {data[:60]!r}"
            ) from error

    def put(self, what: str, value: Any, timeout_s: float) -> None:
        """Set a value, and wait until the server says that it did."""
        self._ask("PUT", what, json.dumps(value, allow_nan=False).encode(), timeout_s)

    def number(self, what: str, timeout_s: float) -> float:
        """Return a value that is a finite number."""
        return self.as_number(what, self.get(what, timeout_s))

    def switch(self, what: str, timeout_s: float) -> bool:
        """Return a value that is true or false."""
        value = self.get(what, timeout_s)
        if type(value) is not bool:
            raise InstrumentError(f"{self.name}: {what} is {value!r:.60}, no switch")
        return value

    def word(self, what: str, timeout_s: float) -> str:
        """Return a value that is a text."""
        value = self.get(what, timeout_s)
        if not isinstance(value, str) or not 1 <= len(value) <= 100:
            raise InstrumentError(f"{self.name}: {what} is {value!r:.60}, no word")
        return value

    def pair(self, what: str, timeout_s: float) -> tuple[float, float]:
        """Return a value that is two numbers."""
        value = self.get(what, timeout_s)
        if not isinstance(value, list) or len(value) != 2:
            raise InstrumentError(f"{self.name}: {what} is {value!r:.60}, no pair")
        return self.as_number(what, value[0]), self.as_number(what, value[1])

    def table(self, what: str, timeout_s: float) -> dict[str, Any]:
        """Return a value that is names with values."""
        value = self.get(what, timeout_s)
        if not isinstance(value, dict):
            raise InstrumentError(f"{self.name}: {what} is {value!r:.60}, no table")
        return value

    def as_number(self, what: str, value: Any) -> float:
        """Return a finite number that `what` holds.

        Raises
        ------
        InstrumentError
            If it is none: the server hands NaN on as it was given.
        """
        try:
            number = float(value) if type(value) in (int, float) else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InstrumentError(
                f"{self.name}: {what} is {value!r:.60}, no finite number"
            )
        return number

    def _ask(self, verb: str, what: str, body: bytes | None, timeout_s: float) -> bytes:
        asked = f"{verb} {what}"
        end = time.monotonic() + timeout_s
        try:
            answer = self._pool.request(
                verb,
                self._base + what,
                body=body,
                headers={"Accept": "application/json"},
                timeout=urllib3.Timeout(total=timeout_s),
                preload_content=False,
                decode_content=False,  # what comes packed has no bound
                redirect=False,
            )
            try:
                return self._taken(asked, answer, end)
            finally:
                answer.close()
        except TimeoutError as error:
            raise InstrumentError(self._silent(asked, timeout_s)) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise InstrumentError(self._why(asked, timeout_s, error)) from error

    def _taken(self, asked: str, answer: urllib3.BaseHTTPResponse, end: float) -> bytes:
        """Return what was answered, before a time by the monotonic clock."""
        if answer.status == 404:
            raise InstrumentError(
                f"{self.name} does not know {asked} (404 {answer.reason!s:.200}); is "
                "it a temscript server of version 2?"
            )
        if not 200 <= answer.status < 300:
            raise InstrumentError(
                f"{self.name} refused {asked}: {answer.status} {answer.reason!s:.200}"
            )
        data = b""
        while chunk := answer.read1(_CHUNK):  # what has come, however little
            data += chunk
            if len(data) > LARGEST_ANSWER:
                raise InstrumentError(
                    f"{self.name} answered {asked} with more than {LARGEST_ANSWER} "
                    "bytes"
                )
            if time.monotonic() > end:
                raise TimeoutError
        return data

    def _why(self, asked: str, timeout_s: float, error: Exception) -> str:
        # A connection that is refused counts among urllib3's timeouts.
        refused = isinstance(error, urllib3.exceptions.NewConnectionError)
        if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
            return self._silent(asked, timeout_s)
        cause: BaseException = error
        while (deeper := cause.__cause__ or cause.__context__) is not None:
            cause = deeper
        return (
            f"{self.name} cannot be reached ({asked}): {cause}; is it started, and are "
            "host and port right?"
        )

    def _silent(self, asked: str, timeout_s: float) -> str:
        return (
            f"{self.name} did not answer {asked} within {timeout_s:g} s; it does one "
            "thing after another, and may still do this"
        )
