"""``scopeside status``: ask the engine that runs here how it is."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import zmq
from rich.console import Console

from scopeside.cli.progress import screen
from scopeside.errors import EngineNotFoundError
from scopeside.link import Link
from scopeside.runfolder import the_running
from scopeside.wire import Kind

PATIENCE_MS = 3000


def status_command(*, as_json: bool) -> int:
    """Print the status of the engine that was started last."""
    status = ask(the_running())
    if as_json:
        print(json.dumps(status, indent=2))
    else:
        Console(highlight=False).print(screen(status))
    return 0


def ask(folder: Path) -> dict[str, Any]:
    """Return the status of the engine whose run folder this is.

    Raises
    ------
    EngineNotFoundError
        If it does not answer.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    link = Link.dial(context, f"ipc://{folder}/control", f"client-{uuid.uuid4().hex}")
    try:
        link.send(Kind.STATUS, {})
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
