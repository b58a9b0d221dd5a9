"""Asking an engine how it is: what ``scopeside status`` and the page see."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import zmq

from scopeside.errors import EngineNotFoundError
from scopeside.link import Link
from scopeside.wire import Kind

PATIENCE_MS = 3000


def ask(folder: Path, ended: int | None = None) -> dict[str, Any]:
    """Return the status of the engine whose run folder this is (docs/status.md).

    Parameters
    ----------
    ended
        So many acquisitions that are over, the last ones; None: all that are kept.

    Raises
    ------
    EngineNotFoundError
        If it does not answer.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    link = Link.dial(context, f"ipc://{folder}/control", f"client-{uuid.uuid4().hex}")
    try:
        link.send(Kind.STATUS, {} if ended is None else {"ended": ended})
        link.socket.poll(PATIENCE_MS)
        answer = link.receive()
    finally:
        link.close()
        context.term()
    if answer is None:
        raise EngineNotFoundError(
            f"the engine in {folder} did not answer within {PATIENCE_MS / 1000:g} s"
        )
    return answer.header
