"""Runs one target under Atheris, which looks for inputs that reach new code.

    pip install atheris
    python -m tests.fuzz.atheris_run merlin -max_total_time=60

Atheris is optional, and no part of any extra: without it, ``python -m tests.fuzz``
changes valid examples at random. Options after the target are those of libFuzzer. Each
example is given to it as a seed; code that numba has compiled gives it no coverage.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run; returns 2 where Atheris is not installed."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print("atheris is not installed; python -m tests.fuzz does without it")
        return 2
    with atheris.instrument_imports(include=["scopeside", "scopeside_adapters"]):
        from tests.fuzz.registry import targets
    target = targets()[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        for k, example in enumerate(target.corpus):
            (Path(folder) / str(k)).write_bytes(example)
        atheris.Setup([sys.argv[0], folder, *sys.argv[2:]], target.check)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
