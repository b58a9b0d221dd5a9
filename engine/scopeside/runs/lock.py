"""Who writes a run holds a lock on its index; the kernel lets it go when he dies.

They are locks of the open file (Linux ``F_OFD_SETLK``), which can be asked for without
being taken: a reader never stands in a writer's way.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from scopeside.errors import RunError
from scopeside.runs.scan import INDEX

_FLOCK = struct.Struct("hhqqi4x")
_HELD = (errno.EACCES, errno.EAGAIN)


def take(fd: int, folder: Path) -> None:
    """Take the lock, until `fd` is closed.

    On a file system that has no locks it is gone on without.

    Raises
    ------
    RunError
        If another one writes it.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _of(fcntl.F_WRLCK))
    except OSError as error:
        if error.errno in _HELD:
            raise RunError(f"{folder} is being written by another process") from error


def held(folder: Path) -> bool | None:
    """Return whether somebody writes it; None where that cannot be known."""
    try:
        fd = os.open(folder / INDEX, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _of(fcntl.F_WRLCK))
    except OSError:
        return None
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _of(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
