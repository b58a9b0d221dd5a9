"""Timepix3: hits a second from the socket to the virtual image, on one core.

    python bench/timepix3.py [--seconds 5] [--rate 120] [--cores 0 1] [--json FILE]

A sender on one core pushes raw TPX3 over loopback TCP as fast as it is taken; receiver,
parser and virtual detectors run in one thread on the other. The scan has 1024 columns
of 1 µs and a fly-back of a tenth of a line; hits come `--rate` million a second of the
detector's time, out of order by 20 µs, on 256 × 256 pixels.

Rows: parser alone (words in memory), parser with the hand-over of events, virtual
detectors alone, and the whole path. Hits in the fly-back count as hits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.events import EventBatch  # noqa: E402 - found by the lines above
from scopeside_adapters.timepix3 import gather  # noqa: E402
from scopeside_adapters.timepix3 import tables as k  # noqa: E402
from scopeside_adapters.timepix3.layout import LAYOUTS  # noqa: E402
from scopeside_adapters.timepix3.protocol import RawParser  # noqa: E402
from scopeside_adapters.timepix3.raw import BUFFER  # noqa: E402
from scopeside_adapters.timepix3.scan import ScanPlan  # noqa: E402
from scopeside_adapters.timepix3.synthetic import Beam, SyntheticScan  # noqa: E402
from scopeside_processors.kernels.events import labels_of, sum_labels  # noqa: E402
from scopeside_processors.kernels.virtual import runs_of  # noqa: E402

COLUMNS, LINES = 1024, 40
SHAPE = (256, 256)
_SLOT = 1 << 18
_FRAMES = 16384


@dataclass
class Row:
    """One line of the table."""

    what: str
    hits_per_s: float
    ns_per_hit: float
    gb_per_s: float


def words_of(rate: float) -> np.ndarray:
    """Return the raw words of a scan at `rate` hits a second."""
    dwell_s = 1e-6
    beam = Beam((LINES, COLUMNS), rate * dwell_s, dwell_s, COLUMNS * dwell_s / 10)
    scan = SyntheticScan(beam, LAYOUTS["single"], 1)
    return np.concatenate(list(scan.chunks(size=4000))).view(np.int64)


class Chain:
    """Everything between the words and the image."""

    def __init__(self, *, virtual: bool) -> None:
        plan = ScanPlan("line", COLUMNS, 1 << 30)
        self.parser = RawParser(LAYOUTS["single"], plan)
        self.words = np.empty(_SLOT, np.int64)
        self.index, self.stamps = np.empty((2, _FRAMES), np.int64)
        self.taken = np.zeros(2, np.int64)
        self.counts = 0
        self.labels = labels() if virtual else None

    def feed(self, words: np.ndarray, n: int) -> None:
        """Parse words, take the events, sum them."""
        done = 0
        while done < n:
            done = self.parser.feed(words, done, n)
            self.take()

    def take(self) -> None:
        """Take what is ready, as a slot would."""
        m = self.parser.memory
        while True:
            gather.take(
                int(m[k.NOW] - m[k.REORDER]), 1 << 62, self.words, self.index,
                self.stamps, 0, 0, m, self.taken,
            )  # fmt: skip
            frames, events = self.taken
            if not frames:
                return
            if self.labels is not None:
                self.counts += virtual(self, int(frames), int(events))


def labels():
    """Return a disk and two annuli as labels."""
    y, x = np.indices(SHAPE) - 127.5
    r = np.hypot(y, x)
    regions = [r <= 20, (r > 40) & (r <= 80), (r > 80) & (r <= 120)]
    return labels_of(runs_of(regions), SHAPE, (0, 0))


def virtual(path: Chain, frames: int, events: int) -> int:
    """Sum the events of a slot over the virtual detectors."""
    batch = EventBatch(
        path.words[:events].view(np.uint64), path.index[:frames],
        path.stamps[:frames], SHAPE, np.dtype(np.uint16),
    )  # fmt: skip
    return int(sum_labels(batch, path.labels).sum())


def parse_alone(words: np.ndarray, seconds: float, *, take: bool) -> float:
    """Return seconds for a word of the parser, with or without taking the events."""
    path, spent, done = Chain(virtual=False), 0.0, 0
    room = np.empty(BUFFER // 8, np.int64)
    m = path.parser.memory
    while spent < seconds:
        for begin in range(0, len(words), len(room)):
            part = words[begin : begin + len(room)]
            room[: len(part)] = part
            at, n = 0, len(part)
            began = time.thread_time()
            while at < n:
                at = path.parser.feed(room, at, n)
                if take:
                    path.take()
            spent += time.thread_time() - began
            path.take()
            done += n
    assert m[k.EVENTS] > 0
    return spent / done


def virtual_alone(seconds: float) -> float:
    """Return seconds for an event of the virtual detectors."""
    path = Chain(virtual=True)
    rng = np.random.default_rng(1)
    frames = 2048
    place = np.sort(rng.integers(0, frames, _SLOT)) << 40
    path.words[:] = place | (1 << 24) | rng.integers(0, SHAPE[0] * SHAPE[1], _SLOT)
    began, n = time.thread_time(), 0
    while time.thread_time() - began < seconds:
        virtual(path, frames, _SLOT)
        n += 1
    return (time.thread_time() - began) / n / _SLOT


def push(port: int, words: np.ndarray, seconds: float, core: int) -> None:
    """Send the words again and again, on a core of its own."""
    os.sched_setaffinity(0, {core})
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        view, until = memoryview(words).cast("B"), time.monotonic() + seconds
        while time.monotonic() < until:
            connection.sendall(view)


def whole_path(words: np.ndarray, seconds: float, cores: list[int]) -> float:
    """Return hits a second from the socket to the image."""
    path = Chain(virtual=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sender = multiprocessing.Process(
            target=push, args=(port, words, seconds, cores[0])
        )
        sender.start()
        os.sched_setaffinity(0, {cores[1]})
        connection = listener.accept()[0]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        view = memoryview(bytearray(BUFFER))
        room, filled = np.frombuffer(view, np.int64), 0
        began = time.monotonic()
        while n := connection.recv_into(view[filled:]):
            filled += n
            path.feed(room, filled >> 3)
            rest = filled & 7
            view[:rest] = view[filled - rest : filled]
            filled = rest
        spent = time.monotonic() - began
        sender.join()
    m = path.parser.memory
    print(dict(zip(("hits", "events", "flyback", "late", "outside"), m[k.COUNTS][:5],
                   strict=False)))  # fmt: skip
    return float(m[k.HITS]) / spent


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--seconds", type=float, default=5.0)
    asked.add_argument("--rate", type=float, default=120.0, help="million hits/s")
    asked.add_argument("--cores", type=int, nargs=2, default=[0, 1])
    asked.add_argument("--json", type=Path)
    options = asked.parse_args()
    words = words_of(options.rate * 1e6)
    parse_alone(words, 0.01, take=True)
    virtual_alone(0.01)
    per_hit = {
        "parse": parse_alone(words, options.seconds, take=False),
        "parse and hand over": parse_alone(words, options.seconds, take=True),
        "virtual": virtual_alone(options.seconds),
        "socket to image": 1 / whole_path(words, options.seconds, options.cores),
    }
    rows = [Row(what, 1 / s, s * 1e9, 8e-9 / s) for what, s in per_hit.items()]
    for row in rows:
        print(
            f"{row.what:22} {row.hits_per_s / 1e6:8.1f} million/s "
            f"{row.ns_per_hit:6.2f} ns {row.gb_per_s:6.2f} GB/s"
        )
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
