"""What Linux does for a process that asks: ties to its parent, a name (prctl(2))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from collections.abc import Iterator

_SET_PDEATHSIG = 1
_SET_NAME = 15
_SET_CHILD_SUBREAPER = 36
_one_at_a_time = threading.Lock()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)


def set_name(name: str) -> None:
    """Give this thread a name, which is the process's in `ps` and `top`, cut to 15."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _prctl(_SET_NAME, ctypes.addressof(buffer))


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of what is orphaned below this process meanwhile.

    Not for good: what a plug-in's program leaves behind is not ours to wait for.
    """
    with _one_at_a_time:
        _prctl(_SET_CHILD_SUBREAPER, 1)
        try:
            yield
        finally:
            _prctl(_SET_CHILD_SUBREAPER, 0)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")
