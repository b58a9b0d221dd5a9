"""scopeside's side of `bench/peers.py`: ``scopeside run`` and a subscriber.

All keys of the pipelines stand in `tables`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench.against.senders import PATIENCE_S, Process
from bench.against.streams import DISK, NAMES, RINGS, Stream

from scopeside.errors import EngineNotFoundError
from scopeside.inquiry import ask
from scopeside.result import Result
from scopeside.subscribe import subscribe

ROOT = Path(__file__).resolve().parents[2]
_LOOK_S = 0.01


def tables(stream: Stream, ports: dict[str, int]) -> dict[str, Any]:
    """Return the pipeline that takes `stream`."""
    detector: dict[str, Any] = {"kind": stream.protocol, "host": "127.0.0.1"}
    if stream.protocol == "merlin":
        detector |= {
            "port": ports["data"],
            "control_port": ports["control"],
            "arm": True,
            "acquisitions": 0,
            "frames": stream.frames,
            "trigger": "soft",
            "flip_y": False,
        }
    else:
        detector |= {
            "stream": "v1",
            "port": ports["data"],
            "api_port": ports["control"],
            "arm": True,
        }
    middle, size = stream.centre, stream.size
    rings = {
        name: {"annulus": [middle, middle, inner * size, outer * size]}
        for name, (inner, outer) in zip(NAMES[1:], RINGS, strict=True)
    }
    disk = {"disk": [middle, middle, DISK * size]}
    virtual = {"kind": "virtual", "detectors": {NAMES[0]: disk, **rings}}
    return {
        "detector": detector,
        "acquisition": {"scan": list(stream.scan)},
        "chain": [
            {"name": "stem", "processor": [virtual, {"kind": "com", "of": ["com"]}]}
        ],
    }


def as_toml(value: Any) -> str:
    """Return plain values as TOML in one line."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    return json.dumps(value)


@dataclass
class Topic:
    """What came of one result: when, up to which frame, and the last of it."""

    at_ns: list[int] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    whole_ns: int | None = None
    last: Result | None = None


class Heard:
    """What a subscriber gets, by acquisition and name."""

    def __init__(self, endpoint: str) -> None:
        self.topics: dict[tuple[str, str], Topic] = {}
        self._ended = threading.Event()
        self._endpoint = endpoint
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def acquisitions(self) -> list[str]:
        """Return the acquisitions that were heard of, in order."""
        return list(dict.fromkeys(acquisition for acquisition, _ in self.topics))

    def stop(self) -> None:
        """Listen no more."""
        self._ended.set()
        self._thread.join(5)

    def _hear(self) -> None:
        with subscribe(self._endpoint, timeout=0.1) as subscription:
            while not self._ended.is_set():
                for result in subscription:
                    self._note(time.monotonic_ns(), result)

    def _note(self, now: int, result: Result) -> None:
        if not result.valid:
            return
        topic = self.topics.setdefault((result.meta["acq"], result.name), Topic())
        topic.at_ns.append(now)
        topic.frame.append(result.frame)
        topic.last = result
        if result.complete and topic.whole_ns is None:
            topic.whole_ns = now


class Run:
    """One ``scopeside run`` and its subscriber."""

    def __init__(self, process: Process, runs: Path, report: Path) -> None:
        self.process = process
        self._report = report
        self.folder = self._folder(runs)
        self.heard = Heard(f"ipc://{self.folder}/results")

    def _folder(self, runs: Path) -> Path:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.process.process.poll() is None:
            for folder in runs.glob("scopeside/*"):
                if (folder / "results").exists():
                    return folder
            time.sleep(_LOOK_S)
        raise RuntimeError(f"the engine did not start: {self.last_words()}")

    def status(self) -> dict[str, Any]:
        """Return what the engine says of itself; nothing if it does not answer."""
        try:
            return ask(self.folder)
        except EngineNotFoundError:
            return {}

    def last_words(self) -> str:
        """Return what it said last."""
        return " | ".join(line for _, line in self.process.lines[-4:])

    def report(self) -> dict[str, Any]:
        """Wait for the end; return the report."""
        self.process.process.wait(PATIENCE_S)
        self.heard.stop()
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found


@contextmanager
def running(
    stream: Stream, ports: dict[str, int], acquisitions: int, folder: Path
) -> Iterator[Run]:
    """Run scopeside until it has had so many acquisitions."""
    runs = folder / "runs"
    runs.mkdir(exist_ok=True)
    pipeline, report = folder / "pipeline.toml", folder / "report.json"
    report.unlink(missing_ok=True)
    lines = [
        f"{key} = {as_toml(value)}" for key, value in tables(stream, ports).items()
    ]
    pipeline.write_text("\n".join(lines) + "\n")
    path = [str(ROOT / part) for part in ("engine", "adapters", "processors", ".")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "SCOPESIDE_RUN": str(runs),
    }
    command = [
        sys.executable, "-m", "scopeside.cli.main", "run", str(pipeline), "--headless",
        "--acquisitions", str(acquisitions), "--report", str(report),
    ]  # fmt: skip
    with Process(command, environment) as process:
        run = Run(process, runs, report)
        try:
            yield run
        finally:
            run.heard.stop()


def complete_s(heard: Heard, acquisition: str) -> float:
    """Return when the whole of every result had come, s of the monotonic clock."""
    ends = []
    for name in (*NAMES, "com"):
        topic = heard.topics.get((acquisition, name), Topic())
        if topic.whole_ns is None:
            raise RuntimeError(f"no complete {name} of {acquisition} was heard")
        ends.append(topic.whole_ns)
    return max(ends) / 1e9


def wrong(heard: Heard, acquisition: str, stream: Stream) -> list[str]:
    """Return the names of results that are not what the frames sum up to, exactly."""
    found = []
    for name, expected in stream.truth().items():
        last = heard.topics[acquisition, name].last
        assert last is not None
        if not np.array_equal(np.asarray(last.data).reshape(expected.shape), expected):
            found.append(name)
    return found


def here_ns(heard: Heard, acquisition: str, frames: int) -> np.ndarray:
    """Return when the value of each frame was here in all results, (frames,) int64.

    0 where it never was. Frames come in order, so a result stands on all up to its
    last.
    """
    latest = np.zeros(frames, np.int64)
    for name in (*NAMES, "com"):
        topic = heard.topics[acquisition, name]
        which = np.searchsorted(np.maximum.accumulate(topic.frame), np.arange(frames))
        at = np.append(topic.at_ns, np.iinfo(np.int64).max)
        latest = np.maximum(latest, at[which])
    latest[latest == np.iinfo(np.int64).max] = 0
    return latest
