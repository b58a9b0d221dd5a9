"""The part of the audit log that belongs to a run, copied beside it.

The lines are copied as they are: each bears the hash of the one before it, so that the
copy can be checked by itself and against the whole log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scopeside.control.audit_form import MAX_LINE, parsed

NAME = "audit.jsonl"


def begin(clock: str, log: str) -> dict[str, Any]:
    """Return what the first manifest says: where the log stands as the run begins."""
    try:
        size = Path(log).stat().st_size
    except OSError:
        size = 0
    return {"clock": clock, "log": log, "from_byte": size}


def copy(folder: Path, control: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what was written since `begin`; return what the last manifest says.

    It is ``clock``, ``audit`` (the file), and of what is in it ``records``, numbers of
    the first and last, and ``hash`` of the last, if there are any.

    Raises
    ------
    OSError
        If the copy cannot be written.
    """
    said: dict[str, Any] = {"clock": control["clock"], "audit": NAME}
    path = folder / NAME
    partial = path.with_suffix(f".{os.getpid()}.part")
    numbers: list[int] = []
    try:
        with partial.open("wb") as file:
            for line in _lines(Path(control["log"]), int(control["from_byte"])):
                file.write(line)
                record = parsed(line).record
                if record is not None:
                    numbers = [*numbers[:1], record["n"]]
                    said["hash"] = record["hash"]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if numbers:
        said["records"] = [numbers[0], numbers[-1]]
    return said


def _lines(log: Path, start: int) -> Iterator[bytes]:
    """Yield the whole lines of a log that begin at byte `start` or behind it."""
    try:
        file = log.open("rb")
    except OSError:
        return  # it is gone, or no guard has ever begun it
    with file:
        if start > file.seek(0, os.SEEK_END):
            start = 0  # another log lies there now
        file.seek(max(0, start - 1))
        if start and file.read(1) != b"\n":
            file.readline(MAX_LINE)  # the line that was being written
        while (line := file.readline(MAX_LINE)).endswith(b"\n"):
            yield line
