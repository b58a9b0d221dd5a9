"""``scopeside page``: a page of its own, which follows one engine after another."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from scopeside import runfolder
from scopeside.dashboard.place import (
    PORT,
    announced,
    bokeh_scripts,
    check_port,
    pages,
    with_token,
)
from scopeside.dashboard.place import (
    address as address_of,
)
from scopeside.errors import EngineNotFoundError
from scopeside.inquiry import ask


def page_command(port: int | None, engine: Path | None) -> int:
    """Serve a page until Ctrl-C.

    Raises
    ------
    ConfigError
        If the port that was asked for is taken, or the page's packages are missing.
    EngineNotFoundError
        If the engine that was asked for does not run.
    """
    bokeh_scripts()
    check_port(port, "--port")
    if engine is not None:
        engine = _running(engine)
    from scopeside.dashboard.process import opened

    console = Console(highlight=False)
    with _kept_for_us() as signals:
        page = opened(engine, PORT if port is None else port)
        try:
            with announced(page.server.port):
                if port is None and page.server.port != PORT:
                    console.print(f"port {PORT} is taken; this is another one")
                where = with_token(page.server.address)
                console.print(f"page: {where}", markup=False, soft_wrap=True)
                console.print("Ctrl-C ends it; engines go on.")
                signal.sigwait(signals)
        finally:
            page.close()
    return 0


def say_address(engine: Path | None) -> int:
    """Print the address, with the token, of a page that runs.

    Raises
    ------
    EngineNotFoundError
        If none runs.
    """
    print(with_token(_address(engine)))
    return 0


@contextmanager
def _kept_for_us() -> Iterator[set[signal.Signals]]:
    """Let Ctrl-C and SIGTERM wait until they are asked for, in all threads."""
    signals = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield signals
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _address(engine: Path | None) -> str:
    """Return where the page is: the last one of its own, else that of an engine."""
    if engine is None and (ports := pages()):
        return address_of(ports[-1])
    for folder in [_running(engine)] if engine else reversed(list(runfolder.running())):
        where = ask(folder)["servers"].get("page")
        if where:
            return str(where)
    raise EngineNotFoundError(
        "no page of yours is open; begin with scopeside page, or scopeside run --page"
    )


def _running(engine: Path) -> Path:
    """Return the run folder of an engine as the others know it.

    Raises
    ------
    EngineNotFoundError
        If that engine does not run.
    """
    for folder in runfolder.running():
        if folder.resolve() == engine.resolve():
            return folder
    raise EngineNotFoundError(f"--run {engine}: no engine of yours runs there")
