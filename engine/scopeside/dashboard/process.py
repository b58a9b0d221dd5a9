"""The page of an engine: ``python -m scopeside.dashboard.process``.

It is no part of the data path. The engine neither waits for it nor misses it: it starts
when it is ready, and ends last.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from scopeside.child import Child, main
from scopeside.dashboard.parts import Dashboard
from scopeside.dashboard.place import token_of_this_user
from scopeside.wire import Kind

log = logging.getLogger(__name__)

NICE = 10
"""Where all cores are busy, frames come first and the page is painted later."""
SWITCH_S = 0.0005
"""A thread that computes an answer lets others have Python after this time, not after
the usual 5 ms: a hold asks for it a dozen times until it is answered."""
HEAR_MS = 500


def run(child: Child) -> None:
    """Serve the page until the supervisor says that it is enough."""
    spec = child.spec
    asked = spec.page_port or 0
    page = opened(Path(spec.run_folder), asked)
    if asked and page.server.port != asked:
        message = f"port {asked} is taken; the page is at {page.server.address}"
        child.tell(Kind.NOTE, message=message)
    child.tell(Kind.READY, port=page.server.port)
    while not _told_to_end(child):
        child.control.socket.poll(HEAR_MS)
    page.close()


def opened(engine: Path | None, port: int) -> Dashboard:
    """Return a page that is served, at `port` if it is free, else at any other.

    This process gives way from now on.
    """
    os.nice(NICE)
    sys.setswitchinterval(SWITCH_S)
    token = token_of_this_user()
    page = Dashboard(engine, port, token)
    try:
        page.start()
    except OSError:
        page = Dashboard(engine, 0, token)
        page.start()
    return page


def _told_to_end(child: Child) -> bool:
    while (message := child.control.receive()) is not None:
        if message.kind is Kind.STOP:
            return True
        if message.kind is not Kind.EPOCH:  # it is the same to us who takes the frames
            log.warning("a page does not know what to do on %s", message.kind)
    return False


if __name__ == "__main__":
    main(run)
