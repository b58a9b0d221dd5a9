"""The tables of a running pipeline, in its run folder, for those who look on.

The engine writes them once, before it starts; whoever shows or saves the pipeline reads
them there, and asks the engine (``status``) for the parameters that were changed since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scopeside.errors import EngineNotFoundError
from scopeside.pipeline import Pipeline

FILE = "pipeline.json"


@dataclass(frozen=True, slots=True)
class Tables:
    """A pipeline as it was read, before its plug-ins looked at it.

    Attributes
    ----------
    source
        The pipeline file, or what stands in its place, such as ``demo``.
    folder
        Relative paths are taken from here.
    tables
        As in the file.
    """

    source: str
    folder: Path
    tables: Mapping[str, Any]


def write(run_folder: Path, pipeline: Pipeline) -> None:
    """Leave the tables of `pipeline` in a run folder, which is private."""
    said = {
        "source": pipeline.source,
        "folder": str(pipeline.folder),
        "tables": pipeline.raw,
    }
    path = run_folder / FILE
    path.touch(mode=0o600)
    path.write_text(json.dumps(said, default=str), encoding="utf-8")


def read(run_folder: Path) -> Tables:
    """Return the tables of the engine whose run folder this is.

    Raises
    ------
    EngineNotFoundError
        If it has none: the engine has ended.
    """
    try:
        said = json.loads((run_folder / FILE).read_text(encoding="utf-8"))
        return Tables(said["source"], Path(said["folder"]), said["tables"])
    except (OSError, ValueError, KeyError) as error:
        raise EngineNotFoundError(
            f"{run_folder / FILE} cannot be read: the engine has ended, or is of "
            f"another version of scopeside ({error})"
        ) from error
