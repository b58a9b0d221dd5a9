"""From a p4p server to the slab: frames a second of 1024×1024 uint16, and what is lost.

    python bench/epics.py [--seconds 5] [--size 1024x1024:uint16]

The server is a process of its own on this machine. For each codec it posts as fast as
it can (PVAccess then replaces what is not fetched in time), then at rates that fall by
a tenth until `--seconds` pass with no frame missing. The slab's slots are given back at
once: no chain is in the way.

Columns: posted/s and taken/s unpaced; then frames/s and GB/s (of pixels, unpacked) of
the highest rate with none missing, and the CPU time of the detector's process for a
frame there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.throughput import cpu_name  # noqa: E402 - found by the lines above

from scopeside.detector import StopRequested  # noqa: E402
from scopeside.ingest.news import Ended, Filled, Missed  # noqa: E402
from scopeside.ingest.sink import SlabSink  # noqa: E402
from scopeside.settings import AcquisitionSettings, SlabSettings  # noqa: E402
from scopeside.slab import Slab  # noqa: E402
from scopeside_adapters.epics.encode import ntndarray, pack  # noqa: E402
from scopeside_adapters.epics.simulator import (  # noqa: E402
    EpicsSimulatorParams,
    Ioc,
)
from scopeside_adapters.epics.source import EpicsDetector  # noqa: E402

PV = "bench:image"
CODECS = ("none", "lz4", "bslz4", "blosc")
DIFFERENT = 16
UNPACED = 1e9
TRIES = 12
LOWER = 0.9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", default="1024x1024:uint16")
    parser.add_argument("--codecs", nargs="+", default=CODECS, choices=CODECS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.size, asked.serve)
        return
    table = Table(title=f"p4p server → slab, {asked.size}, {cpu_name()}")
    for name in ("codec", "posted/s", "taken/s", "frames/s", "GB/s", "CPU ms/frame"):
        table.add_column(name, justify="right")
    for codec in asked.codecs:
        table.add_row(codec, *measured(asked.size, codec, asked.seconds))
    Console().print(table)


def measured(size: str, codec: str, seconds: float) -> list[str]:
    """Return the cells of one codec."""
    shape, dtype = parsed(size)
    with Camera(size, codec) as camera, Receiver(camera.address) as receiver:
        camera.play(UNPACED, seconds)
        free, posted = receiver.ended(), camera.posted()
        rate = free["taken"] / seconds
        unpaced = [f"{posted / seconds:.0f}", f"{rate:.0f}"]
        for _ in range(TRIES):
            camera.play(rate, seconds)
            found, _ = receiver.ended(), camera.posted()
            if not found["missing"]:
                break
            rate *= LOWER
    frame = int(np.prod(shape)) * dtype.itemsize
    per_s = found["taken"] / seconds
    return [
        *unpaced,
        f"{per_s:.0f}" if not found["missing"] else "none",
        f"{per_s * frame / 1e9:.2f}",
        f"{found['cpu_s'] / max(found['taken'], 1) * 1e3:.2f}",
    ]


def parsed(size: str) -> tuple[tuple[int, int], np.dtype[Any]]:
    """Return shape and dtype of such as 1024x1024:uint16."""
    pixels, dtype = size.split(":")
    height, width = map(int, pixels.split("x"))
    return (height, width), np.dtype(dtype)


class Camera:
    """The server, in a process of its own."""

    def __init__(self, size: str, codec: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--size", size, "--serve", codec],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def play(self, rate: float, seconds: float) -> None:
        """Have it post for so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{rate} {seconds}\n")
        self._process.stdin.flush()

    def posted(self) -> int:
        """Return how many it has posted."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


def serve(size: str, codec: str) -> None:
    """Serve the channel, and post when asked to on the standard input."""
    shape, dtype = parsed(size)
    rng = np.random.default_rng(0)
    frames = rng.poisson(1.0, (DIFFERENT, *shape)).astype(dtype)
    packed = [pack(f, codec) for f in frames]  # type: ignore[arg-type]  # main checks it
    params = EpicsSimulatorParams(pv=PV, port=0, shape=(1, 1), frames=1)
    with Ioc(params) as ioc:
        print(ioc.address, flush=True)
        for line in sys.stdin:
            rate, seconds = map(float, line.split())
            n = 0
            for n in due(rate, seconds):
                k = n % len(frames)
                ioc.post(
                    ntndarray(
                        frames[k],
                        unique_id=n,
                        timestamp_ns=time.time_ns(),
                        codec=codec,  # type: ignore[arg-type]  # main checks it
                        packed=packed[k],
                    )
                )
            print(n, flush=True)


def due(rate: float, seconds: float) -> Iterator[int]:
    """Yield 1, 2 … when they are due, for so long."""
    began = time.monotonic()
    n = 0
    while (now := time.monotonic() - began) < seconds:
        if n / rate > now:
            time.sleep(min(n / rate - now, 0.01))
            continue
        n += 1
        yield n


class Receiver:
    """The detector on a real slab whose slots are given back at once."""

    def __init__(self, address: str) -> None:
        table = {"pv": PV, "servers": [address], "silence_s": 0.5}
        self._detector = EpicsDetector(
            EpicsDetector.Params.model_validate(table), AcquisitionSettings()
        )
        settings = SlabSettings()
        slab = Slab(
            Slab.allocate(settings.mib << 20), settings.mib << 20, writable=True
        )
        self._sink = SlabSink(slab, settings, AcquisitionSettings(), 0, None)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Receiver:
        self._thread.start()
        while not (self._detector.intake and self._detector.intake.idle):
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._sink.stop()
        self._thread.join()
        os.close(self._sink.wake)

    def _run(self) -> None:
        try:
            self._detector.run(self._sink)
        except StopRequested:
            return

    def ended(self) -> dict[str, float]:
        """Wait for the end of the acquisition and return its account."""
        taken = missing = 0
        used = time.process_time()
        while True:
            match self._sink.events.get():
                case Filled() as filled:
                    if not taken:
                        used = time.process_time()
                    taken += filled.n
                    self._sink.free.put(filled.slot)
                case Missed(_, first, last, _):
                    missing += last - first + 1
                case Ended():
                    cpu_s = time.process_time() - used
                    return {"taken": taken, "missing": missing, "cpu_s": cpu_s}


if __name__ == "__main__":
    main()
