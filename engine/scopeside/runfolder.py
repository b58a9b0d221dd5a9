"""The folder of a running engine: its sockets, and how others find it.

It is private (0700), named by process, and locked as long as the engine lives; a
folder whose lock is free was left by an engine that was killed, and is removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISVTX, S_IWOTH
from typing import Self

from scopeside.errors import EngineError, EngineNotFoundError

_LOCK = "lock"
LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket, as the kernel has it."""
_OURS = re.compile(r"\d+-[a-z0-9_]+")


def root() -> Path:
    """Return the folder that holds the folders of this user's engines."""
    asked = os.environ.get("SCOPESIDE_RUN")
    if asked:
        return Path(asked) / "scopeside"
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():
        return Path(base) / "scopeside"
    return Path(tempfile.gettempdir()) / f"scopeside-{os.getuid()}"


def check_root(above: Path) -> None:
    """Refuse a folder for sockets that somebody else has made, or could put aside.

    Raises
    ------
    EngineError
        If it is a link, open to others or another user's, or if a folder on the way
        to it can be written to by everybody.
    """
    status = above.lstat()  # a link set by somebody else would lead us astray
    closed = S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    if not closed or status.st_uid != os.getuid():
        raise EngineError(
            f"{above} must be a folder of yours that is closed to others (chmod 700)"
        )
    for folder in above.resolve().parents:
        mode = folder.stat().st_mode
        if mode & S_IWOTH and not mode & S_ISVTX:
            raise EngineError(
                f"everybody may rename what is in {folder}, so also {above}: take "
                f"that right away (chmod o-w {folder}), or set SCOPESIDE_RUN to "
                "another folder"
            )


class RunFolder:
    """A private folder that goes with the process."""

    def __init__(self) -> None:
        above = root()
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_root(above)
        longest = f"{above}/{os.getpid()}-{'x' * 8}/collector"
        if len(os.fsencode(longest)) > LONGEST_SOCKET:
            raise EngineError(
                f"{above} is too long a path for sockets ({LONGEST_SOCKET} bytes with "
                "their names): set SCOPESIDE_RUN to a shorter one"
            )
        remove_stale()
        self.path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=above))
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        # Waits for nobody but one who is just looking whether the lock is free.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # The kernel's own time stamps tick every few ms: too few to tell two apart.
        began_ns = time.time_ns()
        os.utime(self._lock, ns=(began_ns, began_ns))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def running() -> Iterator[Path]:
    """Yield the folders of engines that run, oldest first.

    Raises
    ------
    EngineError
        If the folder above them could be another user's trap.
    """
    if root().is_dir():
        check_root(root())
        folders = [path for path in root().iterdir() if _OURS.fullmatch(path.name)]
        for path in sorted(folders, key=_began_ns):
            if not _is_free(path):
                yield path


def the_running() -> Path:
    """Return the folder of the engine that was started last.

    Raises
    ------
    EngineNotFoundError
        If none runs.
    """
    found = list(running())
    if not found:
        raise EngineNotFoundError("no scopeside engine of yours is running")
    return found[-1]


def remove_stale() -> None:
    """Remove what engines that were killed have left."""
    if root().is_dir():
        for path in root().iterdir():
            if _OURS.fullmatch(path.name) and _is_old(path) and _is_free(path):
                shutil.rmtree(path, ignore_errors=True)


def was_killed(path: Path) -> bool:
    """Whether an engine has left its folder: one that ends takes it away."""
    return (path / _LOCK).exists() and _is_free(path)


def _began_ns(path: Path) -> int:
    """Return when the engine of a folder was started; 0 if that is not known yet.

    It is that of the lock: the folder's changes with each socket in it.
    """
    try:
        return (path / _LOCK).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _is_free(path: Path) -> bool:
    """Whether nobody holds the lock of the folder."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _is_old(path: Path) -> bool:
    """Whether the process that made the folder is gone: it is not just being made."""
    pid = path.name.partition("-")[0]
    return not (pid.isdigit() and Path(f"/proc/{pid}").exists())
