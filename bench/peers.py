"""The same streams through scopeside and through LiberTEM-live, on this machine.

    python bench/peers.py [--quick] [--runs 5] [--only merlin] [--json FILE]

Rates: LiberTEM-live's own simulators send; disk, two annuli and the centre of mass are
computed for every frame. Runs alternate, scopeside first. Both take one acquisition to
get warm, then the one that counts: its frames, divided by the time from the moment the
simulator says that it begins to the moment the caller (a subscriber, or whoever called
`run_udf`) holds the whole result. LiberTEM-live is first asked in each of several ways
(workers, masks or UDFs), and in the fastest from then on.

Latency: a Merlin of our own sends at a steady rate and notes when it sends each frame;
what counts is the time from there to the moment the caller holds a result that stands
on the frame. LiberTEM-live is asked with small partitions; `taken_fps` below the rate
means that it could not follow, and that frames waited. A killed sender: the time until
somebody says so.

Every wait is bounded. LiberTEM is under the GPL: it runs as a peer, in processes of its
own, and nothing of scopeside stands on it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.against import (  # noqa: E402 - found by the lines above
    nobody,
    ours,
    waits,
)
from bench.against.senders import Sender, sender_of  # noqa: E402
from bench.against.streams import Stream  # noqa: E402
from bench.against.theirs import WAYS, Peer, peer, request  # noqa: E402
from bench.throughput import cpu_name  # noqa: E402

STREAMS = (
    Stream("merlin", 256, "uint8", (128, 256)),
    Stream("merlin", 256, "uint16", (128, 128)),
    Stream("dectris", 192, "uint16", (256, 256)),
    Stream("dectris", 96, "uint16", (512, 512)),
)
US, THEM = "scopeside", "LiberTEM-live"
NOBODY = "sender alone"
"""What the simulator sends to somebody who throws it away: the limit of both."""
BETWEEN_S = 1.0
"""A simulator that is left needs so long to see it."""
Asked = argparse.Namespace
Say = Callable[[str], None]


@dataclass
class Rates:
    """What was measured on one stream, frames/s."""

    stream: str
    frames: int
    fps: dict[str, list[float]] = field(
        default_factory=lambda: {US: [], THEM: [], NOBODY: []}
    )
    asked_for: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def median(self, who: str) -> float:
        """Return the median rate, NaN without one."""
        return statistics.median(self.fps[who]) if self.fps[who] else float("nan")

    @property
    def ratio(self) -> float:
        """How many times LiberTEM-live's rate ours is."""
        return self.median(US) / self.median(THEM)


class Course:
    """Both on one stream, whose sender is there."""

    def __init__(self, stream: Stream, sender: Sender, folder: Path, say: Say) -> None:
        self.found = Rates(stream.name, stream.frames)
        self._stream = stream
        self._sender = sender
        self._folder = folder
        self._say = say

    def run(self, asked: Asked) -> Rates:
        """Measure them in turn."""
        workers, way = (2, "masks and CoMUDF") if asked.quick else self._fastest()
        self.found.asked_for = f"{workers} workers, {way}"
        with peer(workers, self._folder) as other:
            for _ in range(asked.runs):
                self._note(NOBODY, partial(nobody.rate, self._stream, self._sender))
                self._note(US, self._ours)
                self._note(THEM, partial(self._theirs, other, way))
        return self.found

    def _fastest(self) -> tuple[int, str]:
        """Return with how many workers, and in which way, LiberTEM-live is fastest."""
        tried: dict[tuple[int, str], float] = {}
        for workers in (1, 2):
            with peer(workers, self._folder) as other:
                for way in WAYS:
                    rate = tried[workers, way] = self._theirs(other, way)
                    name = f"{workers} workers, {way}"
                    self.found.tried[name] = round(rate)
                    self._say(f"{self._stream.name}: {THEM}, {name}: {rate:.0f}")
                    time.sleep(BETWEEN_S)
        return max(tried, key=lambda choice: tried[choice])

    def _note(self, who: str, measure: Callable[[], float]) -> None:
        try:
            rate = measure()
            self.found.fps[who].append(round(rate, 1))
            self._say(f"{self._stream.name}: {who}: {rate:.0f}")
        except (RuntimeError, OSError) as error:
            self.found.problems.append(f"{who}: {error}")
            self._say(f"{self._stream.name}: {who}: {error}")
        time.sleep(BETWEEN_S)

    def _ours(self) -> float:
        stream, problems = self._stream, self.found.problems
        with ours.running(stream, self._sender.ports, 2, self._folder) as run:
            report = run.report()
            acquisitions = run.heard.acquisitions()
            if len(acquisitions) != 2:
                raise RuntimeError(f"it did not take two: {run.last_words()}")
            began = self._sender.process.last(self._sender.began)
            ended = ours.complete_s(run.heard, acquisitions[1])
            if wrong := ours.wrong(run.heard, acquisitions[1], stream):
                problems.append(f"{US}: not exact: {wrong}")
        account = report["ledger"]["stem"]
        if account["processed"] != 2 * stream.frames or not report["closed"]:
            problems.append(f"{US}: {account}")
        return stream.frames / (ended - began)

    def _theirs(self, other: Peer, way: str) -> float:
        stream = self._stream
        answer = other.ask(request("run", stream, self._sender.ports, way=way))
        if answer["wrong"]:
            self.found.problems.append(f"{THEM}: wrong: {answer['wrong']}")
        began = self._sender.process.last(self._sender.began)
        return stream.frames / (answer["done"][-1] - began)


def rates(asked: Asked, say: Say) -> list[Rates]:
    """Measure both on all streams that are asked for."""
    found = []
    streams = [stream for stream in STREAMS if asked.only in stream.name]
    if asked.quick:
        streams = [replace(s, scan=(32, s.scan[1] // 2)) for s in streams]
    for stream in streams:
        with scratch() as folder, sender_of(stream, folder) as sender:
            found.append(Course(stream, sender, folder, say).run(asked))
    return found


def latency(asked: Asked, say: Say) -> list[dict[str, Any]]:
    """Measure both at each rate, LiberTEM-live with several sizes of partition."""
    found = []
    for fps in asked.fps:
        rows = max(1, round(fps * (3 if asked.quick else 10) / 128))
        stream = Stream("merlin", 256, "uint8", (rows, 128))
        todo = {US: partial(waits.our_latency, stream, fps)}
        for size in (16,) if asked.quick else (8, 16, 32):
            name = f"{THEM}, {size} frames a partition"
            todo[name] = partial(waits.their_latency, stream, fps, size)
        for who, measure in todo.items():
            found.append({"fps": fps, "who": who, **measured(measure)})
            say(str(found[-1]))
    return found


def killed(asked: Asked, say: Say) -> list[dict[str, Any]]:
    """Measure how long it takes each to say that its sender was killed."""
    stream = Stream("merlin", 256, "uint8", (256, 128))
    found = []
    for who, measure in (
        (US, waits.killed_before_us),
        (THEM, waits.killed_before_them),
    ):
        noticed = measured(partial(measure, stream, asked.fps[-1]))
        found.append({"who": who, **noticed})
        say(str(found[-1]))
    return found


def measured(measure: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Return what `measure` finds, or what went wrong."""
    with scratch() as folder:
        try:
            return measure(folder)
        except (RuntimeError, OSError, LookupError) as error:
            return {"problem": f"{type(error).__name__}: {error}"}


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that goes in the end."""
    with tempfile.TemporaryDirectory(
        prefix="peers-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def machine() -> dict[str, Any]:
    """Return what it was measured on and with."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("libertem", "libertem-live", "numpy", "numba", "pyzmq")
    }
    load = round(os.getloadavg()[0], 2)
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "load_before": load, **versions}


def table(rows: list[Rates], about: dict[str, Any]) -> Table:
    """Return the rates as a table."""
    title = f"frames/s, medians; {about['cpu']}, {about['cores']} cores"
    found = Table(
        "stream", "frames", US, THEM, "ratio", NOBODY, "asked for", title=title
    )
    for row in rows:
        numbers = [f"{row.median(who):.0f}" for who in (US, THEM)]
        found.add_row(
            row.stream,
            str(row.frames),
            *numbers,
            f"{row.ratio:.2f}",
            f"{row.median(NOBODY):.0f}",
            row.asked_for,
        )
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="shows that it works")
    parser.add_argument("--runs", type=int, help="of each; 5, or 1 if quick")
    parser.add_argument("--only", default="", help="streams with this in their name")
    parser.add_argument("--fps", type=float, nargs="+", default=[2000.0, 500.0])
    parser.add_argument("--skip", nargs="*", default=[], choices=list(PARTS))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.runs = asked.runs or (1 if asked.quick else 5)
    console = Console(highlight=False, soft_wrap=True)
    found: dict[str, Any] = {"machine": machine()}
    for name, measure in PARTS.items():
        if name not in asked.skip:
            found[name] = measure(asked, partial(console.print, markup=False))
    if rows := found.get("rates"):
        console.print(table(rows, found["machine"]))
        for row in rows:
            for problem in row.problems:
                console.print(f"{row.stream}: {problem}", markup=False)
        found["rates"] = [{**asdict(row), "ratio": row.ratio} for row in rows]
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


PARTS: dict[str, Any] = {"rates": rates, "latency": latency, "killed": killed}


if __name__ == "__main__":
    main()
