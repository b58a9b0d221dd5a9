"""``python -m tests.faults.suite``: seeded faults in whole engines, and the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.faults.suite.judge import Verdict
from tests.faults.suite.material import stored
from tests.faults.suite.one import run_seed
from tests.faults.suite.schedule import plan_of
from tests.faults.suite.table import markdown


def main() -> int:
    """Run the seeds that are asked for; return 1 if one of them failed."""
    asked = _arguments()
    seeds = (
        asked.seed
        if asked.seed
        else list(range(asked.first_seed, asked.first_seed + asked.seeds))
    )
    with tempfile.TemporaryDirectory(prefix="sf-", dir=asked.folder) as store:
        for name in ("scan", "movie"):
            stored(Path(store), name)
        verdicts = _run_all(seeds, Path(store), asked)
    print("\n" + markdown(dict(sorted(verdicts.items()))))
    failed = [seed for seed, one in sorted(verdicts.items()) if one.failures]
    for seed in failed:
        print(f"\nseed {seed} ({plan_of(seed).fault}) failed; to repeat it:")
        print(f"  python -m tests.faults.suite --seed {seed}")
        print("\n".join(f"  {line}" for line in verdicts[seed].failures))
    return 1 if failed else 0


def _run_all(
    seeds: list[int], store: Path, asked: argparse.Namespace
) -> dict[int, Verdict]:
    """Run the seeds; Ctrl-C ends after those that run, and what is there is shown."""
    verdicts: dict[int, Verdict] = {}
    began = time.monotonic()
    with ThreadPoolExecutor(asked.jobs) as pool:
        jobs = {
            pool.submit(run_seed, one, store, keep=asked.keep): one for one in seeds
        }
        try:
            for job in as_completed(jobs):
                verdicts[jobs[job]] = job.result()
                minutes = (time.monotonic() - began) / 60
                print(f"{len(verdicts):>4}/{len(seeds)} {minutes:5.1f} min  ", end="")
                _say(jobs[job], verdicts[jobs[job]], verbose=asked.verbose)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    return verdicts


def _say(seed: int, one: Verdict, *, verbose: bool) -> None:
    words = "FAILED" if one.failures else "ok"
    plan = plan_of(seed)
    print(
        f"seed {seed:<5} {words:<6} {plan.source}: {plan.fault}; "
        f"{one.declared} lost as declared, {one.restarts} restarts"
    )
    for line in [*one.failures, *(one.notes if verbose else [])]:
        print(f"          {line}")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.suite")
    parser.add_argument("--seeds", type=int, default=100, help="how many (100)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, action="append", help="only this one")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (2)")
    parser.add_argument("--folder", type=Path, help="where runs lie while they run")
    parser.add_argument("--keep", type=Path, help="leave the folders of runs here")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
