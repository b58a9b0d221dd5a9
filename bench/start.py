"""How long an engine takes to start, and a killed process to be back.

    python bench/start.py [--rounds 5] [PIPELINE]

Both ways in turn in the same run: processes forked from a fork server, as the engine
does it, and each an interpreter of its own (`python -m`). A first round of each, in
which kernels may be compiled, does not count.

Columns: seconds from the start of the engine until frames are asked for; seconds from
the kill of a worker, and of the collector, until it is ready again; CPU seconds of all
processes until then. Medians.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from scopeside.pipeline import Pipeline  # noqa: E402 - found by the lines above
from scopeside.runfolder import RunFolder  # noqa: E402
from scopeside.supervise import engine as module  # noqa: E402
from scopeside.supervise.engine import Engine  # noqa: E402
from scopeside.supervise.forks import Forks  # noqa: E402
from scopeside.supervise.member import State  # noqa: E402
from scopeside.supervise.phase import Phase  # noqa: E402

PIPELINE = ROOT / "examples" / "stem.toml"


class Interpreters:
    """Starts each process as an interpreter of its own."""

    def __init__(self, modules: Collection[str]) -> None:
        pass

    def prepare(self) -> None:
        """Do nothing: there is nothing to share."""

    def start(
        self, name: str, fds: Sequence[int], said: bytes
    ) -> subprocess.Popen[bytes]:
        """Start a process that runs a module."""
        path = os.pathsep.join(p for p in sys.path if p)
        process = subprocess.Popen(
            [sys.executable, "-m", name],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            process_group=0,
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path},
        )
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        assert process.stdin is not None
        process.stdin.write(said)
        process.stdin.close()
        return process

    def close(self) -> None:
        """Do nothing."""


def measure(pipeline: Pipeline) -> tuple[float, float, float, float]:
    """Return the row of one engine."""
    before = _cpu_s()
    with RunFolder() as folder:
        began = time.monotonic()
        engine = Engine(pipeline, folder, results_port=0)
        try:
            engine.start()
            _turn_until(engine, lambda: engine.phase is Phase.RUNNING)
            start_s = time.monotonic() - began
            worker = next(name for name in engine.members if name.startswith("worker"))
            back_s = [_killed(engine, name) for name in (worker, "collector")]
            engine.request_stop("measured")
            _turn_until(engine, lambda: engine.ended)
        finally:
            engine.close()
    return start_s, back_s[0], back_s[1], _cpu_s() - before


def _killed(engine: Engine, name: str) -> float:
    member = engine.members[name]
    incarnation = member.spec.incarnation
    began = time.monotonic()
    member.kill()
    _turn_until(
        engine,
        lambda: member.spec.incarnation > incarnation and member.state is State.RUNNING,
    )
    return time.monotonic() - began


def _turn_until(engine: Engine, happened: Callable[[], bool]) -> None:
    while not happened():
        if engine.failure:
            raise SystemExit(f"the engine failed: {engine.failure}")
        engine.turn(5)


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of its ended children."""
    used = (
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", nargs="?", type=Path, default=PIPELINE)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pipeline = Pipeline.load(told.pipeline)
    ways = {"forked": Forks, "interpreters of their own": Interpreters}
    rows: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
    for number in range(told.rounds + 1):
        for way, how in ways.items():
            setattr(module, "Forks", how)  # noqa: B010 - the engine's own name for it
            found = measure(pipeline)
            if number:
                rows[way].append(found)
    table = Table("processes", "start s", "worker back s", "collector back s", "CPU s")
    for way, measured in rows.items():
        medians = [statistics.median(column) for column in zip(*measured, strict=True)]
        table.add_row(way, *(f"{value:.2f}" for value in medians))
    Console().print(
        f"{told.pipeline.name}, {told.rounds} rounds, {os.cpu_count()} cores"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
