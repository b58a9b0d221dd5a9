"""How a person asks the guard: over its sockets in the run's folder.

To hold and to blank go to a socket of their own, which a thread hears that never waits
for the instrument, the disk or the guard's main loop. All else goes to the guard.
"""

from __future__ import annotations

import getpass
import platform
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from scopeside import runfolder
from scopeside.control.dose_past import past_of
from scopeside.errors import ConfigError, EngineNotFoundError, ProtocolError
from scopeside.link import Link
from scopeside.series.past import Past
from scopeside.wire import Kind, Message

PATIENCE_S = 3.0
"""So long the guard is waited for; its stopper answers within 2 s, whatever hangs."""
STOPPER_S = 1.0
"""After so long without an answer of the stopper the guard's main loop is asked too."""
INSTRUMENT_S = 20.0
"""So long an answer is waited for that comes when the instrument has done it."""
_ON_THE_WAY = ("sent", "waiting")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the guard has answered.

    Attributes
    ----------
    state
        ``done``, ``refused``, ``failed``, or ``sent`` if it was not heard of since;
        empty: nobody has answered.
    cause
        One word; why it was refused.
    took_ms
        Between question and answer.
    """

    ok: bool
    state: str = ""
    cause: str = ""
    reason: str = ""
    took_ms: float = 0.0
    header: Mapping[str, Any] = field(default_factory=dict)


def who() -> str:
    """Return who asks: the user's name and this machine's."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        user = "somebody"
    return f"{user}@{platform.node()}"


def guarded() -> list[Path]:
    """Return the run folders of yours in which a guard listens, oldest first.

    Also of engines that were killed: their guards live on until they have made safe
    what they can.
    """
    above = runfolder.root()
    if not above.is_dir():
        return []
    found = [path for path in above.iterdir() if _listens(path / "stop")]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def the_guarded(run: Path | None = None) -> Path:
    """Return the run folder whose guard is to be asked.

    Parameters
    ----------
    run
        As a person has named it; None: the only one there is.

    Raises
    ------
    EngineNotFoundError
        If no guard listens there.
    ConfigError
        If there are several, and none was named.
    """
    if run is not None:
        if not _listens(run / "guard"):
            raise EngineNotFoundError(f"no guard listens in {run}")
        return run
    found = guarded()
    if not found:
        raise EngineNotFoundError(
            "no guard of yours is running: there is no engine, or its pipeline file "
            "has no [control]"
        )
    if len(found) > 1:
        names = "\n".join(f"  --run {path}" for path in found)
        raise ConfigError(f"several engines have a guard; choose one:\n{names}")
    return found[0]


def _listens(path: Path) -> bool:
    """Whether a process listens at a socket: one that was killed leaves the file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def ask(
    folder: Path, request: Mapping[str, Any], seconds: float = PATIENCE_S
) -> Answer:
    """Ask the guard something, and wait for what comes of it.

    Parameters
    ----------
    request
        ``ask`` and what belongs to it, such as {"ask": "arm", "seconds": 600}; with
        ``who`` if that is not simply `who`.
    seconds
        For so long an answer is awaited; `INSTRUMENT_S` where the instrument has to do
        something first.

    Returns
    -------
    Answer
        Not ok, and without a state, if there was none.
    """
    last = Answer(False)
    began = time.monotonic()
    until = began + seconds
    with _dialled(folder / "guard") as link:
        link.send(Kind.ASK, {"who": who(), **request})
        while (message := _next([link], until)) is not None:
            if message.kind is not Kind.ANSWER:
                continue
            last = _answer(message.header, began)
            if last.state not in _ON_THE_WAY:
                break
            until = time.monotonic() + INSTRUMENT_S
    return last


def stop(
    folder: Path, what: str, seconds: float = PATIENCE_S, *, by: str = ""
) -> Answer:
    """Have the guard hold or blank, past whatever it is doing.

    If that is not answered within `STOPPER_S`, the guard's main loop is asked the same;
    whichever answers first is heard.

    Parameters
    ----------
    what
        ``hold`` or ``blank``.
    by
        Who asks, if that is not simply `who`.
    """
    began = time.monotonic()
    request = {"ask": what, "id": uuid.uuid4().hex, "who": by or who()}
    with ExitStack() as stack:
        links: list[Link] = []
        for name, until_s in (("stop", STOPPER_S), ("guard", seconds)):
            if _listens(folder / name):
                links.append(stack.enter_context(_dialled(folder / name)))
                links[-1].send(Kind.ASK, request)
            until = began + min(until_s, seconds)
            while links and (message := _next(links, until)) is not None:
                if message.kind is Kind.ANSWER:
                    return _answer(message.header, began)
    if links:
        return Answer(False, reason=f"no answer within {seconds:g} s")
    return Answer(False, reason=f"no guard listens in {folder}")


def status(folder: Path, seconds: float = PATIENCE_S) -> dict[str, Any]:
    """Return how the guard is.

    Raises
    ------
    EngineNotFoundError
        If it does not answer.
    """
    return _status(folder, {}, seconds)


def dose_past(folder: Path, seconds: float = PATIENCE_S) -> Past:
    """Return how the dose account has been since the guard began.

    Raises
    ------
    EngineNotFoundError
        If it does not answer.
    ProtocolError
        If what it says is no past.
    """
    return past_of(_status(folder, {"past": True}, seconds)["past"])


def _status(folder: Path, asked: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    with _dialled(folder / "guard") as link:
        link.send(Kind.STATUS, asked)
        until = time.monotonic() + seconds
        while (message := _next([link], until)) is not None:
            if message.kind is Kind.STATUS:
                return message.header
    raise EngineNotFoundError(
        f"the guard in {folder} did not answer within {seconds:g} s"
    )


@contextmanager
def _dialled(path: Path) -> Iterator[Link]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    link = Link.dial(context, f"ipc://{path}", f"person-{uuid.uuid4().hex}")
    try:
        yield link
    finally:
        link.close()
        context.term()


def _next(links: Sequence[Link], until: float) -> Message | None:
    """Return the next message that can be read; None if it is too late for one."""
    poller = zmq.Poller()
    for link in links:
        poller.register(link.socket, zmq.POLLIN)
    while True:
        left_ms = int(1000 * (until - time.monotonic()))
        ready = dict(poller.poll(max(0, left_ms)))
        if not ready:
            return None
        try:
            return next(link for link in links if link.socket in ready).receive()
        except ProtocolError:
            continue  # who answers so is no guard; it may still come


def _answer(header: Mapping[str, Any], began: float) -> Answer:
    said_yes = header.get("ok") is True
    state = str(header.get("state", "done" if said_yes else "failed"))
    return Answer(
        ok=said_yes and state not in _ON_THE_WAY,
        state=state,
        cause=str(header.get("cause", "")),
        reason=str(header.get("reason", "")),
        took_ms=1000 * (time.monotonic() - began),
        header=header,
    )
