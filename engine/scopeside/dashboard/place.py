"""Where pages are, and the token that changes need: files beside the run folders.

A page that follows engines (``scopeside page``) holds the lock of a file ``page-PORT``
there, so that who has lost its address can ask for it. The page of an engine is in that
engine's status.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scopeside import runfolder
from scopeside.errors import ConfigError, MissingExtraError
from scopeside.security.http import new_token
from scopeside.security.listening import problem_with

PORT = 8765
"""Of 127.0.0.1, where a page is served if nobody asks for another port."""
_NEEDED = ("tornado", "bokeh")
_NAME = "page-"


def token_of_this_user() -> str:
    """Return the token that changes need; it is made once, and kept (0600).

    It stays the same when an engine ends and another begins, so that a tab that was
    opened with it can go on.
    """
    path = _root() / "page.token"
    try:
        token = path.read_text(encoding="ascii").strip()
        if token:
            return token
        path.unlink()  # the disk was full when it was made
    except FileNotFoundError:
        pass
    try:
        return new_token(path)
    except FileExistsError:  # another page was quicker
        return path.read_text(encoding="ascii").strip()


def address(port: int) -> str:
    """Return where a page is."""
    return f"http://127.0.0.1:{port}"


def with_token(where: str) -> str:
    """Return an address that lets a tab change things.

    A browser does not send what follows ``#``, so it is in no log.
    """
    return f"{where}/#token={token_of_this_user()}"


def bokeh_scripts() -> Path:
    """Return the folder of BokehJS, which draws the plots.

    Raises
    ------
    MissingExtraError
        If what the page needs is not installed.
    """
    found = [importlib.util.find_spec(name) for name in _NEEDED]
    for name, one in zip(_NEEDED, found, strict=True):
        if one is None or one.origin is None:
            raise MissingExtraError("the page", name, "page")
    bokeh = found[-1]
    assert bokeh is not None
    assert bokeh.origin is not None
    return Path(bokeh.origin).parent / "server" / "static" / "js"


def check_port(port: int | None, key: str) -> None:
    """Refuse a port that somebody has asked for and that is taken.

    Raises
    ------
    ConfigError
        If it is.
    """
    if port and problem_with(f"tcp://127.0.0.1:{port}"):
        raise ConfigError(
            f"{key} {port}: this port of 127.0.0.1 is taken by another program; "
            "choose another, or 0 for any that is free"
        )


@contextmanager
def announced(port: int) -> Iterator[None]:
    """Let `pages` know of a page as long as this lasts."""
    path = _root() / f"{_NAME}{port}"
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def pages() -> list[int]:
    """Return the ports of the pages that follow engines, oldest first."""
    found = []
    for path in _root().glob(f"{_NAME}*"):
        port = path.name.removeprefix(_NAME)
        if port.isdecimal() and (since_ns := _held_since(path)) is not None:
            found.append((since_ns, int(port)))
    return [port for _, port in sorted(found)]


def _held_since(path: Path) -> int | None:
    """Return when the page that lives has announced itself, ns; None if it is gone."""
    try:
        lock = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None  # it has ended since its file was listed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.fstat(lock).st_mtime_ns
    finally:
        os.close(lock)
    return None


def _root() -> Path:
    """Return the folder of this user's engines, which is his alone."""
    folder = runfolder.root()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    runfolder.check_root(folder)
    return folder
