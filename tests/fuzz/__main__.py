"""Fuzzes parsers for as long as is asked for.

    python -m tests.fuzz --list
    python -m tests.fuzz --target merlin --seconds 60
    python -m tests.fuzz --seconds 60 --seed 7        every target in turn
    python -m tests.fuzz --target merlin --input FILE one input, as it was kept

What an input did that none may do is told, and the input kept in ``--keep``. A target
that kills this process, or hangs, has left its input there as ``TARGET.now``.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import resource
import sys
import time
import traceback
from pathlib import Path
from random import Random

from tests.fuzz.registry import targets
from tests.fuzz.target import Target

_MEMORY = 8 << 30
"""Of the whole process, bytes: numba and its libraries take most."""
_HUNG_S = 60.0
_ARMED_S = 1.0
"""Between two arming: the watch is a thread, and costs more than most parsers."""


def main(arguments: list[str] | None = None) -> int:
    """Run; returns 1 where something was found."""
    options = _options().parse_args(arguments)
    if options.list:
        print("\n".join(targets()))
        return 0
    chosen = options.target or list(targets())
    if options.input is not None:
        targets()[chosen[0]].check(options.input.read_bytes())
        return 0
    options.keep.mkdir(parents=True, exist_ok=True)
    found = [_fuzz(targets()[name], options) for name in chosen]
    return int(any(found))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.fuzz")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--target", action="append", help="one of them; may be again")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"))
    parser.add_argument("--input", type=Path, help="run one file through a target")
    return parser


def _fuzz(target: Target, options: argparse.Namespace) -> bool:
    """Run one target; return whether something was found."""
    dice = Random(f"{target.name} {options.seed}")
    known: set[str] = set()
    now = options.keep / f"{target.name}.now"
    assert target.corpus
    count, armed, until = 0, 0.0, time.monotonic() + options.seconds
    with now.open("wb", buffering=0) as file:
        while time.monotonic() < until:
            data = target.changed(dice)
            file.seek(0)
            file.truncate()
            file.write(data)
            count += 1
            if time.monotonic() > armed + _ARMED_S:
                armed = time.monotonic()
                faulthandler.dump_traceback_later(
                    _HUNG_S, exit=True, file=sys.__stderr__
                )
            with contextlib.suppress(MemoryError):
                _try(target, data, known, options.keep)
    faulthandler.cancel_dump_traceback_later()
    now.unlink()
    print(f"{target.name}: {count} inputs, {len(known)} findings", flush=True)
    return bool(known)


def _try(target: Target, data: bytes, known: set[str], keep: Path) -> None:
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        ours = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if "scopeside" in frame.filename
        ]
        at = ours[-1] if ours else where
        name = f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"
        if name in known:
            return
        known.add(name)
        path = keep / f"{target.name}.{len(known)}"
        path.write_bytes(data)
        print(f"{target.name}: {name}: {error!s:.200} (kept in {path})", flush=True)


if __name__ == "__main__":
    logging.disable()  # libraries tell of each file what is wrong with it
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    sys.exit(main())
