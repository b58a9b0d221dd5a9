"""What an engine costs that waits for frames: share of one core, all processes.

    python bench/idle.py [--seconds 20]

The simulated microscope is paced at one frame in a hundred seconds; two chains wait.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))

from bench.throughput import cpu_name, cpu_seconds  # noqa: E402 - by the lines above

from scopeside.pipeline import Pipeline  # noqa: E402
from scopeside.supervise.engine import Engine  # noqa: E402
from scopeside.supervise.phase import Phase  # noqa: E402
from scopeside.supervise.session import Options, run  # noqa: E402
from scopeside.supervise.status import Watch  # noqa: E402

TABLES = {
    "detector": {"kind": "simulator", "fps": 0.01, "acquisitions": 0},
    "chain": [
        {"name": "a", "processor": [{"kind": "sum"}]},
        {"name": "b", "edge": "latest", "processor": [{"kind": "sum"}]},
    ],
}
SETTLE_S = 3.0


class Idle:
    """Measures from some seconds after the start, then asks the engine to end."""

    def __init__(self, seconds: float) -> None:
        self.used: dict[str, float] = {}
        self._seconds = seconds
        self._ready: float | None = None
        self._before: dict[str, float] | None = None

    def observe(self, engine: Engine, watch: Watch) -> None:
        """Take a look; called by the run."""
        watch.status()  # as a view would
        now = time.monotonic()
        if engine.phase is not Phase.RUNNING:
            return
        self._ready = self._ready or now
        waited = now - self._ready
        if waited > SETTLE_S and self._before is None:
            self._before = _used(engine)
        elif waited > SETTLE_S + self._seconds and not self.used:
            after, before = _used(engine), self._before or {}
            self.used = {
                name: (after[name] - before[name]) / self._seconds for name in after
            }
            engine.request_stop("measured")


def _used(engine: Engine) -> dict[str, float]:
    pids = {name: m.process.pid for name, m in engine.members.items() if m.process}
    pids["supervisor"] = os.getpid()
    return {name: cpu_seconds(pid) or 0.0 for name, pid in pids.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    idle = Idle(parser.parse_args().seconds)
    pipeline = Pipeline.from_raw(TABLES, folder=ROOT, source="idle")
    run(pipeline, Options(), idle.observe)
    for name, share in idle.used.items():
        print(f"{name:<12} {share:7.2%} of one core")
    print(f"{'together':<12} {sum(idle.used.values()):7.2%} of one core; {cpu_name()}")


if __name__ == "__main__":
    main()
