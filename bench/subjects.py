"""Runs the benchmarks of one family, ``bench/FAMILY_SUBJECT.py``, one after another."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run(family: str, about: str, apart: tuple[str, ...] = ()) -> int:
    """Run what the command line asks for; return how many of them failed.

    Parameters
    ----------
    about
        For ``--help``.
    apart
        Subjects that are run only when they are named.
    """
    files = HERE.glob(f"{family}_*.py")
    subjects = sorted(path.stem.removeprefix(f"{family}_") for path in files)
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", nargs="*", choices=[*subjects, []])
    asked = parser.parse_args().subject
    print(f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    failed = 0
    for subject in asked or [name for name in subjects if name not in apart]:
        print(f"\n## {subject}\n", flush=True)
        # Libraries that others use for linear algebra are to keep to one thread too.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _path()}
        program = [sys.executable, str(HERE / f"{family}_{subject}.py")]
        failed += subprocess.run(program, env=environment, check=False).returncode != 0
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
