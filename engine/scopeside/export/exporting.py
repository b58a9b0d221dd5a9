"""Exports a run: finds the format, checks, writes, says what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scopeside.errors import ConfigError, ScopesideError, ShapeError
from scopeside.export.axes import axes_of
from scopeside.export.exporter import Progress, Source
from scopeside.export.frames import RunFrames
from scopeside.export.target import check_target, target_of, written_whole
from scopeside.messages import validate
from scopeside.plugins import exporter_class
from scopeside.runs.run import Run

Range = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    paths
        Files or folders.
    notes
        What a person should know: absent frames, a run that still grows.
    damaged
        Whether records of the run could not be read.
    """

    paths: list[Path]
    notes: list[str]
    damaged: bool


def export(
    folder: Path,
    kind: str,
    out: Path | None = None,
    *,
    frames: Range | None = None,
    skip_absent: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Exported:
    """Write the run in `folder` as a file of the format `kind`.

    Parameters
    ----------
    out
        File, or folder for it; by default the acquisition's id in this folder.
    frames
        Only frames from the first number up to but not including the second.
    skip_absent
        Make a list of the frames that are there. By default they are filled in, but
        not where only what surrounds events was recorded.
    settings
        Parameters of the format.

    Raises
    ------
    ConfigError
        If the format is not known, cannot hold the run, or there is no place for it.
    RunError
        If `folder` holds no run that can be read.
    """
    exporter_type = exporter_class(kind)
    exporter = exporter_type(
        validate(exporter_type.Params, settings or {}, where=f"export to {kind}")
    )
    with Run(folder) as run:
        name = _name_of(run)
        skip = _only_events(run) if skip_absent is None else skip_absent
        source = Source(
            run,
            RunFrames(run, frames=frames, skip_absent=skip)
            if exporter_type.takes_frames
            else None,
        )
        if problems := exporter.check(source):
            raise ConfigError("\n".join(problems))
        names = exporter.names(target_of(out, name, exporter_type.suffix))
        check_target(names, exporter.size(source), overwrite=overwrite)
        with written_whole(names) as partial:
            try:
                said = exporter.write(source, partial / names[0].name, progress)
            except OSError as error:
                raise _no_room(names[0], error) from error
        return Exported(names, [*notes_of(source), *said], _damaged(source))


def notes_of(source: Source) -> list[str]:
    """Return what a person should know of the frames that were exported."""
    frames, notes = source.frames, []
    if source.run.growing:
        notes.append("the run is still being recorded: what was there was exported")
    if frames is None:
        return notes
    absent = int((~frames.present).sum())
    if absent:
        causes = ", ".join(f"{k} {n}" for k, n in frames.absent_by_cause.items())
        notes.append(
            f"{absent} of {len(frames.present)} frames are absent ({causes}) and "
            f"filled with {frames.fill}"
        )
    if frames.unplaced:
        why = "" if frames.whole else "lie outside of --frames, or "
        notes.append(
            f"{frames.unplaced} recorded frames are left out: they {why}have no probe "
            "position"
            if frames.acquisition.scan is not None
            else f"{frames.unplaced} recorded frames are left out, as --frames says"
        )
    if frames.repeated:
        notes.append(f"{frames.repeated} frames were recorded twice; the first counts")
    notes += [f"damaged: {why}" for why in frames.damaged]
    axis = axes_of(frames)[0]
    if axis.values is not None:
        notes.append(
            f"the intervals between frames are not even (mean {axis.scale:.6g} s); "
            "all time stamps are kept"
        )
    return notes


def _damaged(source: Source) -> bool:
    return source.frames is not None and bool(source.frames.damaged)


def _only_events(run: Run) -> bool:
    record = run.manifest.get("record")
    return isinstance(record, Mapping) and record.get("mode") == "on_event"


def _name_of(run: Run) -> str:
    """Return the id of the acquisition, which cannot lead out of a folder."""
    try:
        return run.acquisition.id
    except ShapeError as error:
        raise ConfigError(f"{run.folder}: {error}") from error


def _no_room(path: Path, error: OSError) -> ScopesideError:
    return ConfigError(f"{path} could not be written, and nothing is left: {error}")
