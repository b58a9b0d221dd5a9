"""All that 4D-STEM processors cost: one table for each subject, in one run.

    python bench/stem.py [SUBJECT …]

Each table is that of ``bench/stem_SUBJECT.py``, which says what is measured and how;
without a subject they are all run, one after the other, on one thread. Where a table
compares with other software, that ran on the same data in the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUBJECTS = sorted(path.stem.removeprefix("stem_") for path in HERE.glob("stem_*.py"))


def main() -> int:
    """Run the benchmarks; return how many of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", nargs="*", choices=[*SUBJECTS, []])
    wanted = parser.parse_args().subject or SUBJECTS
    print(f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    failed = 0
    for subject in wanted:
        print(f"\n## {subject}\n", flush=True)
        # Libraries that others use for linear algebra are to keep to one thread too.
        about = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _path()}
        program = [sys.executable, str(HERE / f"stem_{subject}.py")]
        failed += subprocess.run(program, env=about, check=False).returncode != 0
    return failed


def _path() -> str:
    root = HERE.parent
    folders = [str(root / part) for part in ("engine", "adapters", "processors", ".")]
    return os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
