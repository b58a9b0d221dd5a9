"""PVs over Channel Access, by aioca.

aioca keeps one Channel Access client for a process, and its calls wait in an event
loop. So all links share one loop in a thread of its own, which ends with the last of
them; a put of one that waits does not hold up another's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, ClassVar

from scopeside.errors import InstrumentError, MissingExtraError
from scopeside_adapters.microscope.epics.link import PvValue

INVALID = 3
"""Alarm severity: the value is not to be trusted."""
MARGIN_S = 1.0
"""The library's own time-out comes first; it has the better words."""


class _Loop:
    """The event loop that all links share."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _users: ClassVar[int] = 0
    _loop: ClassVar[asyncio.AbstractEventLoop | None] = None
    _thread: ClassVar[threading.Thread | None] = None

    @classmethod
    def enter(cls) -> asyncio.AbstractEventLoop:
        """Return the loop, started for the first user."""
        with cls._lock:
            cls._users += 1
            if cls._loop is None:
                cls._loop = asyncio.new_event_loop()
                cls._thread = threading.Thread(
                    target=cls._loop.run_forever, name="channel access", daemon=True
                )
                cls._thread.start()
            return cls._loop

    @classmethod
    def leave(cls) -> None:
        """Close all channels and the loop after the last user."""
        with cls._lock:
            cls._users -= 1
            loop, thread = cls._loop, cls._thread
            if cls._users or loop is None or thread is None:
                return
            cls._loop = cls._thread = None
            asyncio.run_coroutine_threadsafe(_purge(), loop).result(MARGIN_S * 5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


class CaLink:
    """Reads and writes by name; the EPICS_CA_ environment variables say where."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, names: Sequence[str]) -> None:
        """Connect to these PVs."""
        aioca_library()
        if self._loop is None:
            self._loop = _Loop.enter()
        try:
            self.read(names)
        except InstrumentError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect; may be called twice."""
        if self._loop is not None:
            self._loop = None
            _Loop.leave()

    def read(self, names: Sequence[str]) -> dict[str, PvValue]:
        """Return the values that can be trusted."""
        aioca = aioca_library()
        found = self._wait(
            aioca.caget(
                list(names),
                format=aioca.FORMAT_TIME,
                timeout=self._timeout_s,
                throw=False,
            )
        )
        values: dict[str, PvValue] = {}
        for name, value in zip(names, found, strict=True):
            if not value.ok:
                raise InstrumentError(_words("read", name, value))
            if value.severity < INVALID:
                values[name] = _value(name, value)
        return values

    def put(self, values: Mapping[str, float]) -> None:
        """Write all of them, and wait until the IOC says that it has done so."""
        answers = self._wait(
            aioca_library().caput(
                list(values),
                list(values.values()),
                wait=True,
                timeout=self._timeout_s,
                throw=False,
            )
        )
        for name, answer in zip(values, answers, strict=True):
            if not answer.ok:
                raise InstrumentError(_words("set", name, answer))

    def _wait(self, call: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            call.close()
            raise InstrumentError("the link to EPICS is not open")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result(self._timeout_s + MARGIN_S)
        except TimeoutError as error:
            future.cancel()
            raise InstrumentError(
                f"Channel Access did not answer within {self._timeout_s:g} s"
            ) from error


async def _purge() -> None:
    aioca_library().purge_channel_caches()


def _value(name: str, value: Any) -> PvValue:
    if isinstance(value, str):
        return str(value)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InstrumentError(f"PV {name!r} holds no number or text") from error


def _words(what: str, name: str, answer: Any) -> str:
    return f"PV {name!r} could not be {what}: {answer}"


def aioca_library() -> Any:
    """Return the library, or raise `MissingExtraError`."""
    try:
        import aioca  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise MissingExtraError(
            "control over Channel Access", "aioca", "epics"
        ) from error
    return aioca
