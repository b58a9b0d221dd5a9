"""What ``scopeside runs`` does and prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from scopeside.control.audit_words import moment
from scopeside.errors import RunError
from scopeside.runs import manifest
from scopeside.runs.locate import in_words
from scopeside.runs.recover import recover
from scopeside.runs.run import Run
from scopeside.runs.verify import Damage, damages, size_of
from scopeside.wire import Kind

USUAL = Path("runs")
NEVER_CLOSED = "never closed"
MAX_DAMAGES = 20
"""So many are named; the rest is counted."""
_COLUMNS = ("run", "when", "kind", "frames", "size", "state", "lost", "events")


def list_command(folder: Path, *, as_json: bool) -> int:
    """Print a table of the runs in a folder."""
    if not folder.is_dir():
        raise RunError(
            f"there is no folder {folder}; recorded runs lie where [record] "
            "to says: scopeside runs list FOLDER"
        )
    found = [summary(path) for path in runs_in(folder)]
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print(f"{folder} holds no recorded run")
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in _COLUMNS:
        right = name in ("frames", "size", "lost", "events")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=name != "state",  # an id is copied by hand
            overflow="fold",
            min_width=8 if name == "state" else None,
        )
    for one in found:
        table.add_row(*(Text(_cell(name, one.get(name))) for name in _COLUMNS))
    Console(highlight=False).print(table)
    if any(one["state"] == NEVER_CLOSED for one in found):
        print(f"{NEVER_CLOSED}: its recorder was killed; scopeside runs recover RUN")
    return 0


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "when":
        return moment(value)[5:16]
    return size_in_words(value) if name == "size" else str(value)


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of runs in a folder, oldest first."""
    found = [
        path
        for path in folder.iterdir()
        if path.is_dir()
        and ((path / manifest.NAME).exists() or any(path.glob("*.seg")))
    ]
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.name))


def summary(folder: Path) -> dict[str, Any]:
    """Return what the table says of a run; of a damaged one what is wrong."""
    try:
        with Run(folder) as run:
            gaps = run.entries[run.entries["kind"] == Kind.GAP]
            known = gaps[gaps["first"] >= 0]
            return {
                "run": folder.name,
                "when": run.manifest.get("started_ns"),
                "kind": run.acquisition.kind,
                "frames": run.frames,
                "size": int(run.entries["size"].sum()),
                "state": state_of(run),
                "lost": int((known["last"] - known["first"] + 1).sum()),
                "events": len(run.events),
            }
    except (OSError, RunError, ValueError, KeyError) as error:
        return {"run": folder.name, "state": f"cannot be read: {error}"}


def state_of(run: Run) -> str:
    """Return the state of a run in words."""
    if run.growing and run.written_by_somebody is False:
        return NEVER_CLOSED
    return str(run.manifest["state"])


def size_in_words(size: int) -> str:
    """Return bytes as a person reads them."""
    number, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1000:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit in ("B", "kB") else f"{number:.1f} {unit}"


def folder_of(name: str) -> Path:
    """Return the folder of a run that is named by its path, or its name in ./runs.

    Raises
    ------
    RunError
        If there is none.
    """
    path = Path(name)
    for candidate in (path, USUAL / name):
        if candidate.is_dir():
            return candidate
    if path.name == manifest.NAME and path.is_file():
        return path.parent
    raise RunError(f"there is no run {name}, and none of that name in ./{USUAL}")


# -- show -----------------------------------------------------------------------------


def show_command(name: str, *, as_json: bool) -> int:
    """Print all that is known of a run."""
    folder = folder_of(name)
    with Run(folder) as run:
        if as_json:
            said = {**run.manifest, "summary": summary(folder)}
            print(json.dumps(said, indent=2))
            return 0
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for head, text in words(run):
            grid.add_row(Text(head, style="bold"), Text(text))
        Console(highlight=False).print(grid)
    return 0


def words(run: Run) -> list[tuple[str, str]]:
    """Return what there is to say of a run, with headings."""
    said, acquisition = run.manifest, run.acquisition
    height, width = acquisition.frame_shape
    lines = [
        ("run", str(run.folder)),
        ("state", " · ".join(filter(None, [state_of(run), said.get("reason", "")]))),
        ("acquisition", f"{acquisition.id}, {acquisition.kind}"),
        ("detector", acquisition.detector),
        ("started", moment(said["started_ns"]) if "started_ns" in said else ""),
        ("ended", moment(said["ended_ns"]) if said.get("ended_ns") else ""),
        (
            "frames",
            f"{run.frames} of {height}×{width} {acquisition.dtype} as "
            f"{acquisition.encoding}, {size_in_words(int(run.entries['size'].sum()))} "
            f"in {len(run.batch_entries)} batches",
        ),
        ("present", in_words(run.present(), 8) if run.frames else "none"),
        ("scan", _scan(run)),
        *(("lost", f"{in_words([gap[:2]])}: {gap.cause}") for gap in run.gaps[:20]),
        ("", f"… and {len(run.gaps) - 20} gaps more" if len(run.gaps) > 20 else ""),
        *(("event", text) for text in _events(run)),
        ("results", ", ".join(run.results)),
        ("channels", ", ".join(said.get("channels", {}))),
        *(("change", _change(one)) for one in said.get("changes", [])[:20]),
        ("decisions", _decisions(said.get("control", {}))),
        ("pipeline", said.get("pipeline_source", "")),
        ("software", _software(said.get("software", {}))),
    ]
    return [(head, text) for head, text in lines if text]


def _scan(run: Run) -> str:
    scan = run.acquisition.scan
    if scan is None:
        return ""
    found = scan.account(run.present())
    return (
        f"{scan.shape[0]}×{scan.shape[1]} {scan.pattern}, "
        f"{found['seen']} of {found['positions']} positions"
    )


def _events(run: Run) -> list[str]:
    found = [
        f"{k}: {moment(begin)} to {moment(end)}: {', '.join(labels)}"
        for k, (begin, end, labels) in enumerate(run.events[:20])
    ]
    if len(run.events) > len(found):
        found.append(f"… and {len(run.events) - len(found)} more")
    return found


def _change(change: dict[str, Any]) -> str:
    where = f"{change.get('chain', '')}.{change.get('processor', '')}"
    return f"from frame {change.get('frame', 0)}: {where} {change.get('params', '')}"


def _decisions(control: dict[str, Any]) -> str:
    if "records" not in control:
        return ""
    first, last = control["records"]
    return f"records {first} to {last} of the audit log, in {control['audit']}"


def _software(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


# -- verify, recover ------------------------------------------------------------------


def verify_command(names: list[str]) -> int:
    """Read every byte of runs; 1 if one is damaged."""
    folders = [folder_of(name) for name in names]
    return max(_verify(folder) for folder in folders)


def _verify(folder: Path) -> int:
    found: list[Damage] = []
    more = 0
    with _progress() as bar:
        task = bar.add_task(folder.name, total=size_of(folder))
        for damage in damages(folder, lambda n: bar.advance(task, n)):
            if len(found) < MAX_DAMAGES:
                found.append(damage)
            else:
                more += 1
    for damage in found:
        print(damage)
    if more:
        print(f"… and {more} more")
    places = len(found) + more
    damaged = f"DAMAGED in {places} place{'s' if places > 1 else ''}"
    print(f"{folder}: {damaged if found else 'sound'}")
    return 1 if found else 0


def recover_command(names: list[str]) -> int:
    """Restore runs; 1 if one could not be."""
    failed = 0
    for folder in [folder_of(name) for name in names]:
        try:
            done = recover(folder)
        except (RunError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 1
            continue
        for note in done.notes:
            print(f"{folder}: {note}")
        print(f"{folder}: {done.frames} frames in {done.records} records")
    return failed


def _progress() -> Progress:
    """Return a bar on the terminal; none where the output is read by a program."""
    return Progress(
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
