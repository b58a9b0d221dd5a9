"""Where an export goes: whole under its name, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scopeside.errors import ConfigError


def target_of(out: Path | None, name: str, suffix: str) -> Path:
    """Return the path of an export: `out`, or ``name + suffix`` in it or here.

    `name` is an acquisition id and cannot lead elsewhere; `out` is the user's own word.
    """
    if out is None:
        return Path.cwd() / f"{name}{suffix}"
    out = out.expanduser()
    if out.is_dir() and out.suffix != suffix:
        return out / f"{name}{suffix}"
    return out if out.suffix == suffix else out.with_name(out.name + suffix)


def check_target(names: Sequence[Path], size: int, *, overwrite: bool) -> None:
    """Refuse a place where the export cannot go.

    Raises
    ------
    ConfigError
        If something is there already, the folder is not, or the disk has no room.
    """
    for path in names:
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} is there already; --overwrite replaces it")
    folder = names[0].parent
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; make it first")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ConfigError(
            f"{names[0].name} may need {size} bytes, and {folder} has {free} free; "
            "export a part of it with --frames A:B, or elsewhere with --out"
        )


@contextmanager
def written_whole(names: Sequence[Path]) -> Iterator[Path]:
    """Give a private folder beside the target; what is in it then takes its name.

    If anything is raised, Ctrl-C included, nothing is left and nothing replaced.

    Raises
    ------
    ConfigError
        If the folder cannot be made.
    """
    folder = names[0].parent
    try:
        made = tempfile.mkdtemp(".partial", f".{names[0].name}.", folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to: {error}") from error
    partial = Path(made)
    try:
        yield partial
        for path in names:
            if path.exists():
                path.rename(partial / f"{path.name}.replaced")
            (partial / path.name).rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
