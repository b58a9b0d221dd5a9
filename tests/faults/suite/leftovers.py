"""What a run has left behind: processes, sockets, shared memory, half files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path


def marker(folder: Path) -> bytes:
    """Return what stands in the environment of all processes of a run."""
    return f"SCOPESIDE_RUN={folder / 'run'}".encode()


def processes(folder: Path) -> dict[int, str]:
    """Return the processes of a run that live, pid and command."""
    found = {}
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if marker(folder) not in (one / "environ").read_bytes().split(b"\0"):
                continue
            command = (one / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        found[int(one.name)] = command.decode(errors="replace").strip()
    return found


def leftovers(folder: Path, *, patience_s: float) -> list[str]:
    """Return what is left of a run that is over, one line each.

    `patience_s`: processes may take so long to end; 0 after an orderly end, when none
    may be left.
    """
    until = time.monotonic() + patience_s
    while processes(folder) and time.monotonic() < until:
        time.sleep(0.05)
    left = [f"process {pid}: {what}" for pid, what in processes(folder).items()]
    left += [str(one) for one in Path("/dev/shm").glob("*scopeside*")]
    for path in sorted(folder.rglob("*")):
        if _is_left(path, folder):
            left.append(str(path.relative_to(folder)))
    return left


def _is_left(path: Path, folder: Path) -> bool:
    if stat.S_ISSOCK(path.lstat().st_mode) or path.suffix in (".part", ".partial"):
        return True
    if path.name.startswith(".manifest.json"):
        return True
    return path.parent == folder / "run" / "scopeside"


def let_the_next_engine_clear(folder: Path) -> None:
    """Remove the run folder of a supervisor that was killed, as the next one does."""
    program = "from scopeside.runfolder import remove_stale; remove_stale()"
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SCOPESIDE_RUN": str(folder / "run")},
        check=True,
        timeout=60,
    )
