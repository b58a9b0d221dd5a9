"""``scopeside export``: a recorded run as files of other programs."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from scopeside.cli.assignments import assignments
from scopeside.errors import ConfigError
from scopeside.export.exporter import Progress as Told
from scopeside.export.exporting import Exported, Range, export

LINE_EVERY_S = 2.0
_OUT_WITH_BOTH = "--out names one file; with --to and --results it is a folder"


def export_command(
    run: Path,
    kinds: Sequence[str],
    out: Path | None,
    *,
    frames: str | None,
    settings: Sequence[str],
    chunk: int | None,
    absent: str | None,
    overwrite: bool,
) -> int:
    """Export the run in every format of `kinds`; return the exit code.

    Raises
    ------
    ConfigError
        If it is not clear what to export, or it cannot be.
    """
    if not kinds:
        raise ConfigError(
            "say what to export: --to FORMAT, such as --to hspy, or --results"
        )
    if len(kinds) > 1 and out is not None and not out.is_dir():
        raise ConfigError(_OUT_WITH_BOTH)
    table = assignments(settings, "compression=none")
    if chunk is not None:
        table["chunk"] = chunk
    console = Console(highlight=False)
    code = 0
    for kind in kinds:
        with _stoppable(), _shown(console, kind) as told:
            done = export(
                run,
                kind,
                out,
                frames=None if frames is None else range_of(frames),
                skip_absent=None if absent is None else absent == "skip",
                settings={} if kind == "results" else table,
                overwrite=overwrite,
                progress=told,
            )
        _say(console, done)
        code = max(code, int(done.damaged))
    return code


def range_of(text: str) -> Range:
    """Return the range that ``A:B`` is; either may be left out.

    Raises
    ------
    ConfigError
        If it is none.
    """
    parts = text.split(":")
    if len(parts) != 2 or not all(
        p.isascii() and (p.isdigit() or not p) for p in parts
    ):
        raise ConfigError(
            f"--frames {text!r}: expected A:B, numbers of frames from 0, B not included"
        )
    first, stop = (int(part) if part else None for part in parts)
    return first, stop


@contextmanager
def _shown(console: Console, kind: str) -> Iterator[Told]:
    """Show how far it is: a bar on a terminal, else a line every two seconds."""
    if not console.is_terminal:
        yield _lines(console, kind)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    with bar:
        task = bar.add_task(f"export to {kind}", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield told


def _lines(console: Console, kind: str) -> Told:
    due = time.monotonic() + LINE_EVERY_S

    def told(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LINE_EVERY_S
            console.print(f"export to {kind}: {done} of {total}", markup=False)

    return told


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: nothing half is left."""

    def stop(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(console: Console, done: Exported) -> None:
    for note in done.notes:
        style = "bold red" if note.startswith("damaged") else "yellow"
        console.print(f"[{style}]{escape(note)}[/]", soft_wrap=True)
    for path in done.paths:
        console.print(f"[green]written:[/] {escape(str(path))}", soft_wrap=True)
