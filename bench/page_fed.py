"""A page without an engine: it is fed two images of 256 × 256, ten a second."""

from __future__ import annotations

import threading
import time

import numpy as np

from scopeside.dashboard import pace
from scopeside.dashboard.place import token_of_this_user
from scopeside.dashboard.process import opened
from scopeside.result import Result

RATE_HZ = 10.0
SHAPE = (256, 256)
NAMES = ("bf", "adf")


def main() -> None:
    """Serve and feed it until the end."""
    pace.BUSY = -1.0  # images come as often however busy the machine is meanwhile
    page = opened(None, 0)
    print(f"page: {page.server.address}/#token={token_of_this_user()}", flush=True)
    rng = np.random.default_rng(2024)
    counts = {name: rng.poisson(40.0, (8, *SHAPE)).astype(np.uint32) for name in NAMES}
    number, due = 0, threading.Event()
    while not due.wait(1 / RATE_HZ):
        number += 1
        for name in NAMES:
            page.page.hear(_result(name, counts[name][number % 8], number))


def _result(name: str, data: np.ndarray, number: int) -> Result:
    now = time.time_ns()
    times = {"t_frame_ns": now, "t_published_ns": now}
    meta = {"acq": "scan-1", "chain": "stem", "processor": "virtual", **times}
    frames = SHAPE[0] * SHAPE[1]
    return Result(
        name, data, units="counts", frame=number, first=0, used=number,
        expected=frames, axes=("scan_y", "scan_x"), meta=meta,
    )  # fmt: skip


if __name__ == "__main__":
    main()
