"""Merlin: from the socket into slots, at full speed.

    python bench/merlin.py [--seconds 5] [--runs 3] [--json FILE]

A simulated Merlin in another process sends as fast as it is read, over loopback; the
detector fills slots of 2 MiB that lie in 256 MiB and are thrown away. For each pixel
type: frames/s and GB/s of stored pixels (median of the runs), and CPU seconds of the
receiving process for a gigabyte.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.throughput import cpu_name  # noqa: E402 - found by the lines above

from scopeside.acquisition import Acquisition  # noqa: E402
from scopeside.detector import StopRequested  # noqa: E402
from scopeside.settings import AcquisitionSettings  # noqa: E402
from scopeside_adapters.merlin.simulator import MerlinSimulator  # noqa: E402
from scopeside_adapters.merlin.source import MerlinDetector  # noqa: E402

SLOT_BYTES = 2 << 20
SLAB_BYTES = 256 << 20
KINDS = {
    "256x256 U08": {"pixels": "U08"},
    "256x256 U16": {"pixels": "U16"},
    "256x256 R64 12 bit": {"pixels": "R64", "depth": 12},
    "256x256 R64 6 bit": {"pixels": "R64", "depth": 6},
    "256x256 R64 1 bit": {"pixels": "R64", "depth": 1},
    "512x512 U16 quad": {"pixels": "U16", "layout": "2x2"},
    "512x512 R64 quad 12 bit": {"pixels": "R64", "depth": 12, "layout": "2x2"},
}


@dataclass
class Row:
    """One line of the table."""

    frames: str
    frames_per_s: int
    gb_per_s: float
    cpu_s_per_gb: float


class Slot:
    """Room for a batch in one piece of a large array."""

    def __init__(self, memory: np.ndarray, about: Acquisition, sink: Sink) -> None:
        n = len(memory) // about.frame_bytes
        pixels = memory[: n * about.frame_bytes].view(about.dtype)
        self.pixels = pixels.reshape(n, *about.frame_shape)
        self.index = np.zeros(n, np.int64)
        self.timestamp_ns = np.zeros(n, np.int64)
        self.capacity = n
        self._sink = sink

    def commit(self, n: int) -> None:
        """Count."""
        self._sink.count(n)


class Sink:
    """Throws frames away; stops after some time."""

    max_latency_s = 0.002

    def __init__(self, seconds: float) -> None:
        self.memory = np.ones(SLAB_BYTES, np.uint8)
        self.stopping = False
        self.frames = 0
        self.batches = 0
        self.lost = 0
        self._seconds = seconds
        self._slots: list[Slot] = []
        self._turn = 0
        self._until = 0.0

    def start(self, about: Acquisition, **_: object) -> None:
        """Lay out slots, and begin to measure."""
        size = max(SLOT_BYTES, about.frame_bytes)
        pieces = self.memory[: SLAB_BYTES // size * size].reshape(-1, size)
        self._slots = [Slot(piece, about, self) for piece in pieces]
        self.began = time.perf_counter()
        self.cpu = time.process_time()
        self._until = self.began + self._seconds

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Lend one after the other."""
        if time.perf_counter() > self._until:
            self.stopping = True
            self.cpu = time.process_time() - self.cpu
            self.took = time.perf_counter() - self.began
            raise StopRequested
        self._turn = (self._turn + 1) % len(self._slots)
        yield self._slots[self._turn]

    def count(self, n: int) -> None:
        """Count a batch."""
        self.frames += n
        self.batches += 1

    def gap(self, first: int, last: int, _cause: str) -> None:
        """Count what is lost."""
        self.lost += last - first + 1

    def reject(self, _n: int, cause: str, message: str) -> None:
        """Say what is wrong."""
        print(cause, message)

    def end(self, *_: object, **__: object) -> None:
        """Be called once, at the stop."""

    def note(self, message: str) -> None:
        """Ignore what is told."""

    def new_id(self) -> str:
        """Return an id."""
        return "bench"


def simulate(settings: dict, pipe: Connection) -> None:
    """Play a Merlin in a process of its own."""
    params = {"port": 0, "control_port": 0, "frames": 0, **settings}
    simulator = MerlinSimulator(MerlinSimulator.Params(**params))
    pipe.send((simulator.port, simulator.control_port, simulator.recording.data.shape))
    simulator.run(lambda _text: None)


def measure(settings: dict, seconds: float) -> tuple[float, float, float]:
    """Return frames/s, GB/s and CPU s/GB of one run."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=simulate, args=(settings, there))
    process.start()
    port, control_port, (_, message) = here.recv()
    params = MerlinDetector.Params(port=port, control_port=control_port, arm=True)
    detector = MerlinDetector(params, AcquisitionSettings())
    detector.prepare()
    sink = Sink(seconds)
    try:
        detector.run(sink)
    except StopRequested:
        pass
    finally:
        process.terminate()
        process.join()
    assert sink.lost == 0
    gigabytes = sink.frames * message / 1e9
    return sink.frames / sink.took, gigabytes / sink.took, sink.cpu / gigabytes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = Table(title="Merlin, socket to slot, loopback")
    for name in ("frames", "frames/s", "GB/s", "CPU s/GB"):
        found.add_column(name, justify="right")
    rows = []
    for kind, settings in KINDS.items():
        if asked.only not in kind:
            continue
        runs = [measure(settings, asked.seconds) for _ in range(asked.runs)]
        rate, speed, cpu = (statistics.median(run[k] for run in runs) for k in range(3))
        rows.append(Row(kind, round(rate), round(speed, 2), round(cpu, 3)))
        found.add_row(*(str(value) for value in asdict(rows[-1]).values()))
    Console().print(found)
    if asked.json is not None:
        machine = {"cpu": cpu_name(), "cores": os.cpu_count()}
        asked.json.write_text(
            json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]})
        )


if __name__ == "__main__":
    main()
