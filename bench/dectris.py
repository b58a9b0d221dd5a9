"""DECTRIS stream V2, bslz4, Poisson mean 1: from the socket into the slab.

    python bench/dectris.py [--cores 1 2] [--seconds 3] [--rounds 5]

A simulated detector in a process of its own pushes messages that were composed
before; the receiving process is bound to the cores under test, its ZeroMQ thread with
it. In the same run, on the same cores: the decoder library alone on the same blobs
(threads, bytes thrown away), and the link alone (received, not decoded). With fewer
than cores + 1 CPUs the sender takes time from the receiver, which is said.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# This folder goes: in it, `dectris` would be this file and not the library.
sys.path[0:1] = [str(ROOT / part) for part in ("engine", "adapters", "processors", ".")]

from dectris.compression import decompress  # noqa: E402 - found by the lines above

from scopeside.detector import StopRequested  # noqa: E402
from scopeside.ingest.news import Filled  # noqa: E402
from scopeside.ingest.sink import SlabSink  # noqa: E402
from scopeside.settings import AcquisitionSettings, SlabSettings  # noqa: E402
from scopeside.slab import Slab  # noqa: E402
from scopeside_adapters.dectris.compose import compress  # noqa: E402
from scopeside_adapters.dectris.receiver import MOST_MESSAGES, Receiver  # noqa: E402
from scopeside_adapters.dectris.simulator import (  # noqa: E402
    DectrisSimulator,
    DectrisSimulatorParams,
)
from scopeside_adapters.dectris.source import DectrisDetector  # noqa: E402

ARINA = 120_000
"""Frames a second of the fastest detector."""
_AHEAD_BYTES = 600 << 20
"""Messages that the sender composes before."""


class SinkOfOneRun(SlabSink):
    """A slab of which every batch is given back at once; keeps first and last time."""

    def __init__(self) -> None:
        size = 256 << 20
        self._slab = Slab(Slab.allocate(size), size, writable=True)
        super().__init__(self._slab, SlabSettings(), AcquisitionSettings(), 0, 1)
        self.first = self.last = self.cpu = 0.0
        self.count = 0

    def _tell(self, event: Any) -> None:
        if isinstance(event, Filled):
            self.last = time.perf_counter()
            self.cpu = time.process_time()
            if not self.count:
                self.first, self.cpu_first = self.last, self.cpu
            self.count += event.n
            self.free.put(event.slot)


def send(side: int, stream: str, frames: int, cpus: set[int], pipe: Connection) -> None:
    """Be the detector; arm once for every word from the other process."""
    os.sched_setaffinity(0, cpus)
    params = DectrisSimulatorParams(
        api_port=0,
        port=0,
        shape=(side, side),
        frames=frames,
        stream=stream,
        distinct=256,
    )
    with DectrisSimulator(params) as simulator:
        pipe.send(simulator.port)
        while pipe.recv():
            simulator.take_series()
            pipe.send("done")


def receive(port: int, stream: str, decoders: int, start: Callable[[], None]) -> float:
    """Take one series into a slab; return frames a second."""
    params = DectrisDetector.Params(
        host="127.0.0.1",
        api_port=0,
        port=port,
        stream=stream,
        decoders=decoders,
        rcvhwm=4096,
    )
    sink = SinkOfOneRun()
    thread = threading.Thread(target=start)
    thread.start()
    with contextlib.suppress(StopRequested):  # after one series it has enough
        DectrisDetector(params, AcquisitionSettings()).run(sink)
    thread.join()
    cpu = (sink.cpu - sink.cpu_first) / sink.count * 1e6
    return sink.count / (sink.last - sink.first), cpu


def link_alone(port: int, start: Callable[[], None], frames: int) -> float:
    """Take one series and throw it away; return messages a second."""
    with Receiver(
        "127.0.0.1",
        port,
        pullers=1,
        io_threads=1,
        rcvhwm=4096,
        rcvbuf=None,
        largest=1 << 20,
    ) as receiver:
        parcel = receiver.new_parcel()
        receiver.all_up(5.0, lambda: False)
        thread = threading.Thread(target=start)
        thread.start()
        count, began, last = 0, 0.0, 0.0
        while count < frames:
            n = receiver.receive(parcel, MOST_MESSAGES, 0.05, 0.002)
            if n:
                last = time.perf_counter()
                began = began or last
                count += n
        thread.join()
    return count / (last - began)


def library_alone(
    blobs: list[bytes], threads: int, seconds: float
) -> tuple[float, float]:
    """Decode `blobs` again and again; return frames a second and CPU µs a frame."""
    until = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            for blob in blobs:
                decompress(blob, "bslz4", elem_size=2)
            done += len(blobs)
        return done

    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    spent = (time.process_time() - cpu) / done * 1e6
    return done / (time.perf_counter() - began), spent


def measure(side: int, stream: str, cores: int, rounds: int, seconds: float) -> None:
    """Print one line of the table."""
    cpus = sorted(os.sched_getaffinity(0))
    mine = set(cpus[:cores])
    others = set(cpus[cores:]) or set(cpus)
    counts = np.random.default_rng(0).poisson(1.0, (256, side, side))
    blobs = compress(counts.astype(np.uint16), "bslz4", "v2")
    size = sum(map(len, blobs)) // len(blobs)
    frames = min(_AHEAD_BYTES // size, int(seconds * ARINA))
    here, there = multiprocessing.Pipe()
    sender = multiprocessing.Process(
        target=send, args=(side, stream, frames, others, there), daemon=True
    )
    sender.start()
    port = here.recv()

    def start() -> None:
        time.sleep(1.0)  # until the receiver is linked
        here.send(True)
        here.recv()

    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, mine)
    library, link, slab = [], [], []
    for _ in range(rounds):
        library.append(library_alone(blobs, cores, min(seconds, 1.0)))
        link.append(link_alone(port, start, frames))
        slab.append(receive(port, stream, cores, start))
    os.sched_setaffinity(0, before)
    here.send(False)
    sender.join()
    rate, cpu = map(statistics.median, zip(*slab, strict=True))
    library_rate, library_cpu = map(statistics.median, zip(*library, strict=True))
    note = "" if len(cpus) > cores else " (the sender shares these cores)"
    print(
        f"{stream} {side:4d}² u16, {cores} core{'s'[: cores > 1]}: "
        f"{rate:8.0f} frames/s, {rate * side * side * 2 / 1e9:5.2f} GB/s; library "
        f"alone {library_rate:8.0f}, link alone {statistics.median(link):8.0f}; ratio "
        f"{rate / library_rate:.2f}; CPU {cpu:5.2f} µs a frame, library alone "
        f"{library_cpu:5.2f}, ratio {library_cpu / cpu:.2f}; ARINA's 120 kHz: "
        f"{ARINA * cpu / 1e6:.2f} cores' time{note}",
        flush=True,
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sides", type=int, nargs="+", default=[192, 96])
    parser.add_argument("--streams", nargs="+", default=["v2"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    for stream in asked.streams:
        for side in asked.sides:
            for cores in asked.cores:
                measure(side, stream, cores, asked.rounds, asked.seconds)


if __name__ == "__main__":
    main()
