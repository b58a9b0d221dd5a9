"""A whole engine and a page's server, each in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.page_tabs import wait_for

from scopeside.cli.asking import ask
from scopeside.errors import EngineNotFoundError

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (256, 256)
FRAME_BYTES = SHAPE[0] * SHAPE[1] * 2
SCAN = (256, 256)
LONGEST_S = 600

PIPELINE = """
[detector]
kind = "bench.memory_detector:MemoryDetector"
shape = [{shape[0]}, {shape[1]}]
seconds = {seconds}
waits = {waits}
frames = {frames}
{rate}
[acquisition]
scan = [{scan[0]}, {scan[1]}]
[slab]
mib = 256
batch_kib = 2048
[[chain]]
name = "stem"
[[chain.processor]]
kind = "virtual"
[chain.processor.detectors]
bf = {{ disk = [127.5, 127.5, 25] }}
adf = {{ annulus = [127.5, 127.5, 40, 75] }}
"""


class Engine:
    """An engine that runs; it is asked how many frames it has taken."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._folder = folder

    def status(self) -> dict[str, Any]:
        """Return what the engine says of itself; empty before it answers."""
        if self.process.poll() is not None:
            raise SystemExit(f"the engine has ended: {self.process.returncode}")
        for control in (self._folder / "scopeside").glob("*/control"):
            try:
                return ask(control.parent)
            except EngineNotFoundError:
                continue
        return {}

    def frames(self) -> int:
        """Return how many frames were processed."""
        return sum(edge["processed"] for edge in self.status()["edges"].values())

    def lost(self) -> int:
        """Return how many frames were not."""
        edges = self.status()["edges"].values()
        return sum(sum({**e["dropped"], **e["failed"]}.values()) for e in edges)


@contextmanager
def engine(folder: Path, rate: float | None = None) -> Iterator[Engine]:
    """Run an engine on 256 × 256 frames from memory, as fast as it can or at `rate`."""
    path = folder / "page.toml"
    path.write_text(
        PIPELINE.format(
            shape=SHAPE,
            scan=SCAN,
            frames=SCAN[0] * SCAN[1],
            seconds=LONGEST_S,
            waits=str(rate is None).lower(),
            rate="" if rate is None else f"rate = {rate:.1f}",
        )
    )
    command = ["-m", "scopeside.cli.main", "run", str(path), "--headless"]
    with process(command, folder) as started:
        found = Engine(folder, started)
        wait_for(lambda: found.status().get("phase") == "running" and found.frames())
        yield found


OURS = ("-m", "scopeside.cli.main", "page", "--port", "0")
PANEL = (str(ROOT / "bench" / "page_panel.py"),)


@contextmanager
def server(command: tuple[str, ...], folder: Path) -> Iterator[tuple[int, str]]:
    """Run a page's server; yield its process id and its address."""
    with process(list(command), folder, subprocess.PIPE) as started:
        assert started.stdout is not None
        said = started.stdout.readline().decode().strip()
        address = said.removeprefix("page: ")
        if not address.startswith("http"):
            raise SystemExit(f"{' '.join(command)} did not start: {said}")
        yield started.pid, address


@contextmanager
def process(
    arguments: list[str], folder: Path, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python in a session of its own, so that Ctrl-C reaches us only; end it."""
    parts = ("engine", "adapters", "processors", ".")
    path = os.pathsep.join(str(ROOT / part) for part in parts)
    started = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": path,
            "SCOPESIDE_RUN": str(folder),
            "COLUMNS": "200",
        },
        stdout=stdout,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        if started.stdout is not None:
            started.stdout.close()
