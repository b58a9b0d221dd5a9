"""Drift and nucleation on simulated movies with exact truth, as a Markdown table.

    python bench/insitu_accuracy.py drift      --evaluators FOLDER [--seeds 1000 1001]
    python bench/insitu_accuracy.py nucleation --evaluators FOLDER [--presets core]

FOLDER holds the evaluators (``run_insitu.py`` and its simulator), which are not part
of this repository; without it, ``SCOPESIDE_EVAL`` says where they are. Whatever else is
asked for is handed on to them. A movie of 300 frames of 512² takes about 15 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HEADS = {
    "drift": ("rmse, px", "bound, px", "ratio", "wrong", "wrong and sure"),
    "nucleation": ("found", "false", "missed", "F1", "delay, frames"),
}


def cells(what: str, row: dict[str, Any]) -> list[str]:
    """Return what stands in a line of the table, after preset and dose."""
    if what == "drift":
        return [
            f"{row['rmse_px']:.3f}",
            f"{row['crb_px']:.3f}",
            f"{row['ratio']:.2f}",
            f"{row['frac_wrong']:.1%}",
            f"{row['silent_wrong']:.1%}",
        ]
    delay = row["delay_median"]
    return [
        *(str(row[key]) for key in ("tp", "fp", "fn")),
        f"{row['f1']:.3f}",
        "" if delay is None else f"{delay:g}",
    ]


def main() -> int:
    """Run the evaluator and print its table; return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=sorted(HEADS))
    parser.add_argument("--evaluators", default=os.environ.get("SCOPESIDE_EVAL"))
    asked, rest = parser.parse_known_args()
    if asked.evaluators is None:
        parser.error("say where the evaluators are: --evaluators or SCOPESIDE_EVAL")
    script = Path(asked.evaluators) / "run_insitu.py"
    if not script.is_file():
        parser.error(f"there is no {script}")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "rows.json"
        program = [sys.executable, str(script), asked.what, *rest, "--json", str(found)]
        done = subprocess.run(program, check=False)
        if done.returncode:
            return done.returncode
        rows = json.loads(found.read_text(encoding="utf-8"))
    heads = ("preset", "e⁻/px", *HEADS[asked.what])
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        line = [row["preset"], f"{row['dose']:g}", *cells(asked.what, row)]
        print(f"| {' | '.join(line)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
