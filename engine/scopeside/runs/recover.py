"""Restores a run whose recorder was killed, or whose machine lost its power.

All good records stay. What lies behind the last one is cut off; a record that is
damaged, with good ones behind it, becomes a gap in its place. Index and manifest are
made anew. A run that was closed is left as it is, but for its index.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scopeside.errors import RunError
from scopeside.runs import lock, manifest
from scopeside.runs.form import good_entries
from scopeside.runs.mending import carry_out, plan
from scopeside.runs.run import Run
from scopeside.runs.scan import INDEX
from scopeside.wire import Kind

RECOVERED = "recovered"
DAMAGED = "damaged"
"""Cause of the gaps that stand for damaged records."""


@dataclass(slots=True)
class Recovered:
    """What has come of it.

    Attributes
    ----------
    notes
        What was found and done, a line each.
    """

    folder: Path
    frames: int = 0
    records: int = 0
    cut_bytes: int = 0
    notes: list[str] = field(default_factory=list)


def recover(folder: Path) -> Recovered:
    """Restore a run up to its last good record.

    Raises
    ------
    RunError
        If it is being written, or nothing of it can be restored. It is then as it was.
    OSError
    """
    if not folder.is_dir() or not _is_run(folder):
        raise RunError(f"{folder} is no recorded run")
    said, damaged = _manifest_of(folder)
    closed = said is not None and said["state"] != manifest.RECORDING
    fd = os.open(folder / INDEX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        lock.take(fd, folder)
        done = Recovered(folder)
        if closed and said is not None:
            _index_only(fd, said, done)
        else:
            _restore(fd, said, damaged, done)
    finally:
        os.close(fd)
    return done


def _is_run(folder: Path) -> bool:
    return (folder / manifest.NAME).exists() or any(folder.glob("*.seg"))


def _manifest_of(folder: Path) -> tuple[dict[str, Any] | None, bool]:
    """Return the manifest, if it is whole, and whether it is there but damaged."""
    try:
        return manifest.read(folder), False
    except RunError:
        return None, (folder / manifest.NAME).exists()


def _index_only(fd: int, said: dict[str, Any], done: Recovered) -> None:
    """Make the index of a closed run anew where it does not fit.

    Raises
    ------
    RunError
        If a segment is damaged: who mends it would have to forge its seal.
    """
    found = plan(done.folder)
    if found.bad:
        raise RunError(
            f"{done.folder} was closed, and {found.bad} of its records are damaged "
            "since; all others can be read as they are: 'scopeside runs verify' names "
            "the damaged ones"
        )
    if found.records != said["records"]:
        raise RunError(
            f"{done.folder} was closed with {said['records']} records, and "
            f"{found.records} are left"
        )
    _write_index(fd, done, b"".join(found.entries))
    done.records = found.records
    done.frames = said.get("frames", {}).get("recorded", 0)
    if not done.notes:
        done.notes.append("it was closed and is whole; nothing was to be done")


def _restore(
    fd: int, said: dict[str, Any] | None, damaged: bool, done: Recovered
) -> None:
    folder = done.folder
    known = good_entries((folder / INDEX).read_bytes())
    found = plan(folder, known)
    acquisition = said["acquisition"] if said is not None else found.acquisition
    if acquisition is None:
        raise RunError(
            f"{folder} cannot be restored: neither its manifest nor its first record "
            "can be read, so nobody knows what was recorded"
        )
    carry_out(found)
    done.notes += found.notes
    done.records, done.cut_bytes = found.records, found.cut_bytes
    _write_index(fd, done, b"".join(found.entries))
    if damaged:
        kept = folder / f"{manifest.NAME}.damaged"
        (folder / manifest.NAME).replace(kept)
        done.notes.append(f"the damaged manifest is kept as {kept.name}")
    for left in folder.glob(f".{manifest.NAME}.*"):
        left.unlink()
    for left in folder.rglob("*.part"):
        left.unlink()
    first = said or {"acquisition": acquisition}
    manifest.write(folder, {**first, "state": manifest.RECORDING})
    manifest.write(folder, {**first, **_account(folder, done), **found.to_manifest()})


def _write_index(fd: int, done: Recovered, made: bytes) -> None:
    if (done.folder / INDEX).read_bytes() != made:
        os.ftruncate(fd, 0)
        os.pwrite(fd, made, 0)
        done.notes.append("the index was made anew from the segments")
    os.fsync(fd)


def _account(folder: Path, done: Recovered) -> dict[str, Any]:
    """Return what the manifest says of the frames that are there."""
    with Run(folder) as run:
        batches = run.batch_entries
        done.frames = run.frames
        return {
            "state": RECOVERED,
            "reason": "its recorder was killed before it was closed",
            "ended_ns": int(batches["t_last_ns"].max(initial=0)),
            "frames": {
                "recorded": run.frames,
                "bytes": int(batches["size"].sum()),
                "runs": [list(one) for one in run.present()],
            },
            "gaps": [list(gap) for gap in run.gaps if gap.cause in _OWN],
            "changes": _changes(run),
        }


_OWN = frozenset(
    {DAMAGED, "disk_slow", "disk_full", "disk_failed", "ring_full", "spool_full"}
)


def _changes(run: Run) -> list[dict[str, Any]]:
    """Return all changes of parameters, as recorded."""
    found: list[dict[str, Any]] = []
    for entry in run.entries:
        if entry["kind"] == Kind.START:
            found += run.message(entry).header.get("changes", [])
        elif entry["kind"] == Kind.PARAM:
            found.append(run.message(entry).header["change"])
    return found
