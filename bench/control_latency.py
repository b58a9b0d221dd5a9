"""From the last pixel of the frame in which an event is decided to the command.

    python bench/control_latency.py [--seconds 60]

The simulated microscope delivers 512 × 512 pixels at 100 frames a second. A chain finds
the drift and looks for nuclei, as at a microscope, and says an event in every fifth
frame besides (real nuclei are too few for a p99). A rule makes a command of each, the
guard checks it, writes it down (fsync) and sends it to the microscope over its control
socket. The time counts from the end of the frame's exposure, and so holds what the
simulator takes to draw it. All figures are read from the audit log.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PIPELINE = """
[detector]
kind = "simulator"
mode = "movie"
shape = [512, 512]
fps = {fps}
frames = 10000000
dose_e_per_px = 5.0
control = "ipc://{folder}/microscope"
movie = {{ nuclei = 4 }}

[[chain]]
name = "movie"
[[chain.processor]]
kind = "drift"
[[chain.processor]]
kind = "nucleation"
min_radius_px = 3.0
[[chain.processor]]
kind = "control_plugins:Often"
name = "often"

[control]
mode = "armed"
adapter = {{ kind = "simulator", endpoint = "ipc://{folder}/microscope" }}
audit = "{folder}/audit.jsonl"
per_s = 200.0
[control.limits.set_defocus]
every_s = 0.01
[control.limits.set_defocus.defocus_m]
min = -1e-6
max = 1e-6
step = 5e-7
excursion = 1e-6
tolerance = 1e-12
[[control.rule]]
name = "refocus"
when = "often.event"
propose = {{ action = "set_defocus", defocus_m = "result.defocus_m" }}
"""


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=100.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "latency.toml"
        path.write_text(PIPELINE.format(folder=folder, fps=arguments.fps))
        report = measure(path, folder, arguments.seconds)
        records = [json.loads(line) for line in (folder / "audit.jsonl").open()]
    show(records, report)
    return 0


def measure(path: Path, folder: Path, seconds: float) -> dict[str, object]:
    """Run an engine, arm it, wait, and stop it; return its report."""
    parts = [str(ROOT / part) for part in ("engine", "adapters", "processors", "bench")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(parts),
        "SCOPESIDE_RUN": str(folder),
    }
    scopeside = [sys.executable, "-m", "scopeside.cli.main"]
    report = folder / "report.json"
    run = subprocess.Popen(
        [*scopeside, "run", str(path), "--headless", "--report", str(report)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        arm = [*scopeside, "arm", "--for", f"{seconds + 60:.0f}s", "--yes"]
        until = time.monotonic() + 120
        while subprocess.run(arm, env=environment, capture_output=True).returncode:  # noqa: PLW1510
            if run.poll() is not None or time.monotonic() > until:
                raise SystemExit("the engine could not be armed")
            time.sleep(0.5)
        time.sleep(seconds)
    finally:
        run.terminate()
        run.wait(60)
    said: dict[str, object] = json.loads(report.read_text())
    return said


def show(records: list[dict[str, object]], report: dict[str, object]) -> None:
    """Print the table."""
    answers = [r for r in records if r["kind"] == "answer" and r["ok"]]
    proposals = [r for r in records if r["kind"] == "proposal"]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"{len(proposals)} proposals, {len(answers)} commands done\n")
    print(f"{'ms':34}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    rows = {
        "frame → proposal": [r["latency_ms"]["frame_to_proposal"] for r in proposals],
        "proposal → verdict": [
            r["latency_ms"]["proposal_to_verdict"] for r in proposals
        ],
        "frame → command sent": [r["latency_ms"]["frame_to_command"] for r in answers],
        "command sent → answer, read back": [
            r["latency_ms"]["sent_to_answer"] for r in answers
        ],
    }
    for name, values in rows.items():
        shares = np.percentile(np.array(values, float), [50, 95, 99, 100])
        print(f"{name:34}" + "".join(f"{value:8.1f}" for value in shares))
    print("\nframe → result, of all frames:", report["latency_ms"])


if __name__ == "__main__":
    sys.exit(main())
