"""Loaded by every Python of a disturbed engine: its clock and its disk obey the suite.

SCOPESIDE_FAULT names a file of three int64: the jump of the clock in ns, the rate of
the disk in bytes/s (0: as it is), and the pid that the clock's jump is for (0: all).
The product knows nothing of it.
"""

import mmap
import os
import time


def _disturb(path: str) -> None:
    with open(path, "r+b") as file:  # noqa: PTH123 - pathlib is slow to import
        page = memoryview(mmap.mmap(file.fileno(), 24)).cast("q")
    true_time_ns, true_pwritev = time.time_ns, os.pwritev

    def time_ns() -> int:
        mine = page[2] in (0, os.getpid())
        return true_time_ns() + (page[0] if mine else 0)

    def pwritev(fd, buffers, offset, flags=0):  # type: ignore[no-untyped-def]
        written = true_pwritev(fd, buffers, offset, flags)
        if rate := page[1]:
            time.sleep(written / rate)
        return written

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    os.pwritev = pwritev


if "SCOPESIDE_FAULT" in os.environ:
    _disturb(os.environ["SCOPESIDE_FAULT"])
