"""A processor with a GPU twin for tests of the engine, and its kernel in Python."""

import ctypes
from collections import deque

import numpy as np
from tests.engine.small import SHAPE, Counts


def run_kernel(name, grid, block, arguments):
    """Sum frames; write as many int64."""
    assert name == "sum_frames"
    address, pitch, n, out = map(int, arguments)
    pixels = SHAPE[0] * SHAPE[1]
    found = (ctypes.c_int64 * n).from_address(out)
    for k in range(n):
        frame = (ctypes.c_uint16 * pixels).from_address(address + k * pitch)
        found[k] = sum(frame)


class CardCounts(Counts):
    """ANY, `Counts` with a GPU twin; `ways` is how it was fed."""

    devices = ("cpu", "gpu")
    ways = deque()

    def __init__(self, acquisition, params, device="cpu"):
        super().__init__(acquisition, params, device)
        self._device = device

    def takes_card(self):
        return self._device == "gpu"

    def process(self, batch):
        self.ways.append(("cpu", len(batch)))
        super().process(batch)

    def launch(self, frames):
        n, lanes = len(frames), frames.lanes
        out = lanes.room(8 * n)
        arguments = (
            np.uint64(frames.address),
            np.uint64(frames.pitch),
            np.int32(n),
            np.uint64(out.what.address),
        )
        lanes.run("no source", "sum_frames", (1, 1), 1, arguments)
        brought = lanes.bring(out, (n,), np.int64)

        def finish():
            index = frames.batch.index
            self.ways.append(("gpu", n))
            self._sums[index] = brought() * self._gain
            self._seen[index] = True
            if self._fail_at in index:
                raise ValueError("this frame cannot be")

        return finish


class Refusing(CardCounts):
    """Has a twin and cannot be made."""

    def __init__(self, acquisition, params, device="cpu"):
        raise ValueError("not for these frames")
