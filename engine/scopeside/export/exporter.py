"""What an export format is: an entry point of the group ``scopeside.sinks``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from scopeside.export.frames import RunFrames
from scopeside.runs.run import Run

Progress = Callable[[int, int], None]
"""Told (done, of how many); what it raises ends the export, and nothing is left."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported.

    Attributes
    ----------
    run
        The run, as far as it is there.
    frames
        Its frames; None for a format that has no use for them.
    """

    run: Run
    frames: RunFrames | None

    @property
    def pixels(self) -> RunFrames:
        """The frames, for a format that asked for them."""
        assert self.frames is not None
        return self.frames


class Exporter(Protocol):
    """Writes a run as a file, or a folder, of one format.

    Attributes
    ----------
    suffix
        What the name of the file ends in, with its dot.
    takes_frames
        Whether it writes frames; else it writes what else lies in the run.
    """

    Params: ClassVar[type[BaseModel]]
    suffix: ClassVar[str]
    takes_frames: ClassVar[bool]

    def __init__(self, params: Any) -> None: ...

    def check(self, source: Source) -> list[str]:
        """Return why this run cannot be written so; loads optional libraries.

        Raises
        ------
        MissingExtraError
            If a library is not installed.
        """

    def names(self, target: Path) -> list[Path]:
        """Return all files or folders that will be written for `target`."""

    def size(self, source: Source) -> int:
        """Return how many bytes it takes at most, or nearly so."""

    def write(self, source: Source, target: Path, progress: Progress) -> list[str]:
        """Write `target` and what belongs to it into its folder, which is private.

        Returns
        -------
        What a person should know of it.
        """


class FrameExporter:
    """What formats of frames have in common."""

    takes_frames: ClassVar[bool] = True

    def check(self, source: Source) -> list[str]:  # noqa: ARG002 - of the protocol
        """Find nothing wrong: any dtype and shape will do."""
        return []

    def names(self, target: Path) -> list[Path]:
        """Return the one file or folder."""
        return [target]

    def size(self, source: Source) -> int:
        """Return the size of all pixels, and of what is kept for each frame."""
        return source.pixels.nbytes + 64 * len(source.pixels.places) + (1 << 20)
