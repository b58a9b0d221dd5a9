"""Memory that ends at a page nobody may touch: a kernel that reaches out is killed.

It finds a read, too, which a guard zone of known bytes does not.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

PAGE = mmap.PAGESIZE
FILL = 0xA5
_libc = ctypes.CDLL(None, use_errno=True)


def at_edge(data: bytes, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
    """Return `data` as an array; behind its last byte memory ends."""
    array = room(len(data) // np.dtype(dtype).itemsize, dtype)
    array.view(np.uint8)[:] = np.frombuffer(data[: array.nbytes], np.uint8)
    return array


def room(n: int, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
    """Return an array (n,) behind which memory ends; before it lie bytes of FILL."""
    size = n * np.dtype(dtype).itemsize
    pages = max(1, -(-size // PAGE)) + 1  # one before, where FILL is
    memory = mmap.mmap(-1, (pages + 1) * PAGE)
    whole = np.frombuffer(memory, np.uint8)
    whole[: pages * PAGE] = FILL
    last = ctypes.c_void_p(whole.ctypes.data + pages * PAGE)
    if _libc.mprotect(last, PAGE, mmap.PROT_READ & 0):  # no rights at all
        raise OSError(ctypes.get_errno(), "mprotect")
    return whole[pages * PAGE - size : pages * PAGE].view(dtype)


def untouched_before(array: npt.NDArray[Any]) -> bool:
    """Say whether the bytes before an array that `room` gave are still FILL."""
    if not array.size:
        return True  # numpy does not say where nothing lies
    address = array.ctypes.data
    n = address - (address // PAGE) * PAGE + PAGE
    before = (ctypes.c_uint8 * n).from_address(address - n)
    return bytes(before) == bytes([FILL]) * n
