"""A detector's HTTP interface: JSON in, JSON or text out, errors in plain words."""

from __future__ import annotations

import json
from typing import Any

import urllib3

from scopeside.errors import SourceError
from scopeside.strangers import from_json

LARGEST_ANSWER = 64 << 20
"""Bytes; a flat field of a 16-megapixel camera as base64 is smaller."""
_SHOWN = 200


class RestError(SourceError):
    """A detector's HTTP interface refused, hung, or answered nonsense.

    Attributes
    ----------
    status
        The HTTP status; None if there was no answer.
    text
        What the detector said, cut to a line.
    """

    def __init__(self, message: str, status: int | None = None, text: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class RestApi:
    """Speaks to one detector; one connection, kept open.

    Parameters
    ----------
    base
        Address without a path, such as ``http://127.0.0.1:80``.
    name
        Who it is, in the operator's words, such as ``DECTRIS at 10.0.0.5:80``.
    timeout_s
        For an answer, unless a call says otherwise.
    """

    def __init__(self, base: str, name: str, timeout_s: float = 5.0) -> None:
        self.name = name
        self._base = base.rstrip("/")
        self._timeout_s = timeout_s
        # Nothing is tried again behind our back: an `arm` sent twice is two series.
        self._pool = urllib3.PoolManager(retries=False, maxsize=2)

    def get(self, path: str, *, timeout_s: float | None = None) -> Any:
        """Return what `path` holds: a JSON value, or text where it is none.

        Raises
        ------
        RestError
            If there is no answer, or it is an error or a web page.
        """
        return self._ask("GET", path, None, timeout_s)

    def put(
        self, path: str, body: Any = None, *, timeout_s: float | None = None
    ) -> Any:
        """Send `body` as JSON (nothing if it is None) and return the answer.

        Raises
        ------
        RestError
            As `get`.
        """
        return self._ask("PUT", path, body, timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _ask(self, verb: str, path: str, body: Any, timeout_s: float | None) -> Any:
        seconds = self._timeout_s if timeout_s is None else timeout_s
        asked = f"{verb} {path}"
        try:
            answer = self._pool.request(
                verb,
                f"{self._base}{path}",
                body=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"}
                if body is not None
                else {},
                timeout=urllib3.Timeout(connect=min(seconds, 5.0), read=seconds),
                preload_content=False,
                redirect=False,
            )
            data = _all_of(answer)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RestError(self._why_silent(asked, seconds, error)) from error
        if len(data) > LARGEST_ANSWER:
            answer.close()
            raise RestError(f"{self.name} answered {asked} with more than 64 MiB")
        if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise RestError(
                f"{self.name} answered {asked} packed as {coding!r:.40}; it was not "
                "asked to"
            )
        return self._value(asked, answer.status, data)

    def _why_silent(self, asked: str, seconds: float, error: Exception) -> str:
        # A connection that is refused counts among urllib3's timeouts.
        refused = isinstance(error, urllib3.exceptions.NewConnectionError)
        if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
            return f"{self.name} did not answer {asked} within {seconds:g} s"
        return (
            f"{self.name} cannot be reached ({asked}): {_reason(error)}; is it "
            "switched on, and are host and port right?"
        )

    def _value(self, asked: str, status: int, data: bytes) -> Any:
        text = data.decode("utf-8", "replace").strip()
        line = " ".join(text.split())[:_SHOWN]
        if text[:1] == "<":
            raise RestError(
                f"{self.name} answered {asked} with a web page (status {status}); "
                "another program listens there, or a proxy stands between",
                status,
                line,
            )
        if not 200 <= status < 300:
            raise RestError(
                f"{self.name} refused {asked}: {status} {line}".rstrip(), status, line
            )
        try:
            return from_json(text.encode()) if text else None
        except ValueError:
            return text


def _all_of(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Return the body, or a byte more than is allowed of it.

    As it was sent: a few bytes may unpack to more than there is memory for. Read until
    nothing comes: only then does urllib3 say that a body broke off (IncompleteRead).
    """
    data = bytearray()
    while part := answer.read(LARGEST_ANSWER + 1 - len(data), decode_content=False):
        data += part
        if len(data) > LARGEST_ANSWER:
            break
    return bytes(data)


def _reason(error: BaseException) -> str:
    """Return the words of the deepest cause: urllib3 wraps what the system said."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error)
