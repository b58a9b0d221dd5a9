"""Requests and replies of the control socket, without I/O.

::

    MPX,0000000025,SET,NUMFRAMESTOACQUIRE,1  ->  MPX,…,SET,NUMFRAMESTOACQUIRE,ERROR
    MPX,0000000023,GET,NUMFRAMESTOACQUIRE    ->  MPX,…,GET,NUMFRAMES…,VALUE,ERROR
    MPX,0000000021,CMD,STARTACQUISITION      ->  MPX,…,CMD,STARTACQUISITION,ERROR

The number counts the comma after it and what follows. Some servers state one less:
then the error, the last field, lies behind the stated end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scopeside.errors import ProtocolError

LONGEST_REPLY = 1 << 16
"""Bytes; the longest real values are paths."""
ERRORS = {1: "busy", 2: "not recognised", 3: "parameter out of range"}
BUSY = 1
_PREFIX = re.compile(rb"MPX,(\d{10}),")
_LENGTH = 15
_DIGITS = re.compile(r"[0-9]+")  # str.isdigit takes ², which int does not


@dataclass(frozen=True, slots=True)
class Reply:
    """What the detector answers.

    Attributes
    ----------
    kind
        GET, SET or CMD.
    value
        Of a GET; may hold commas.
    error
        0: done; others in `ERRORS`.
    """

    kind: str
    name: str
    value: str
    error: int

    @property
    def problem(self) -> str:
        """In words; empty if there is none."""
        if not self.error:
            return ""
        return ERRORS.get(self.error, f"error {self.error}")


def encode(payload: str) -> bytes:
    """Return a message for the control socket, such as of ``GET,DETECTORSTATUS``."""
    return f"MPX,{len(payload) + 1:010d},{payload}".encode("latin1")


class ControlParser:
    """Turns bytes into messages. Owns no socket, clock or thread."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Return the payloads that `data` completes: requests, or replies.

        Raises
        ------
        ProtocolError
            If the bytes cannot be those of a Merlin. What came so far is dropped.
        """
        self._buffer += data
        found: list[str] = []
        while (payload := self._next()) is not None:
            found.append(payload)
        return found

    def _next(self) -> str | None:
        """Cut off the next payload; None until all of it is here."""
        prefix = _PREFIX.search(self._buffer)
        if prefix is None:
            self._refuse_nonsense()
            return None
        size = int(prefix[1]) - 1
        del self._buffer[: prefix.start()]
        if size > LONGEST_REPLY:
            self._buffer.clear()
            raise ProtocolError(
                f"a control message of {size} bytes; at most {LONGEST_REPLY} are taken",
                cause="oversized",
            )
        stop = _LENGTH + max(size, 0)
        if self._buffer[stop - 1 : stop] == b",":
            stop += 1  # the length is one too small: the last field follows
        if len(self._buffer) < stop:
            return None
        payload = self._buffer[_LENGTH:stop].replace(b"\0", b"").decode("latin1")
        del self._buffer[:stop]
        return payload

    def _refuse_nonsense(self) -> None:
        """Refuse what cannot be the beginning of a message; wait for more of the rest.

        It has no prefix; what comes next may complete one at its end.
        """
        if len(self._buffer) > LONGEST_REPLY or self._buffer.startswith(
            (b"HTTP/", b"<", b"SSH-")
        ):
            shown = bytes(self._buffer[:32])
            self._buffer.clear()
            raise ProtocolError(
                f"expected a reply b'MPX,…', got {shown!r}", cause="wrong_magic"
            )


def parse_reply(payload: str) -> Reply:
    """Read the payload of a reply.

    Raises
    ------
    ProtocolError
        If it is none.
    """
    kind, _, rest = payload.partition(",")
    body, _, last = rest.rpartition(",")
    name, _, value = body.partition(",")
    if (
        kind not in ("GET", "SET", "CMD")
        or not name
        or not _DIGITS.fullmatch(last.strip())
    ):
        raise ProtocolError(
            f"expected a reply 'GET|SET|CMD,NAME,…,ERROR', got {payload[:80]!r}",
            cause="wrong_header",
        )
    return Reply(kind, name, value, int(last.strip()[:6]))
