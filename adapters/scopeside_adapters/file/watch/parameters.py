"""``[detector] kind = "watch"``."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool

from scopeside.params import LocalPath, Params
from scopeside_adapters.file.raw import RawLayout

Positions = Annotated[int, Field(ge=1, strict=True)]


def _one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if groups != 1:
        raise ValueError(
            r"expected a regular expression with one group, such as 'frame_(\d+)'"
        )
    return pattern


def _of_names(pattern: str) -> str:
    if not pattern or "/" in pattern.removeprefix("**/"):
        raise ValueError(
            'expected a pattern of file names, such as "*.tif", or "**/*.dm4" for '
            "those in sub-folders as well"
        )
    return pattern


class WatchParams(Params):
    """``[detector] kind = "watch"``."""

    path: LocalPath
    """A file that grows, or the folder that a camera writes to. It need not be there
    yet; the folder it lies in must."""
    file_is: Literal["frame", "series"] = "frame"
    """What a file in a folder is: one frame, or a series that grows."""
    pattern: Annotated[str, AfterValidator(_of_names)] = "*"
    """Which files of the folder, such as "*.tif"; "**/*.dm4" looks into sub-folders."""
    number: Annotated[str, AfterValidator(_one_group)] | None = None
    r"""A regular expression whose one group is the frame's number in a file's name;
    absent: the last digits in the name."""
    first_number: int | None = Field(None, ge=0)
    """Number of the first frame; absent: the lowest that is there at the beginning."""
    frames_per_second: int | None = Field(None, ge=1)
    """In a tree of Hour_/Minute_/Second_ folders: frames in each second, if known."""
    existing: StrictBool = True
    """Whether files that are there when the engine starts are taken as well."""
    frames: Positions | None = None
    """Length of an acquisition; further frames begin the next one."""
    scan: tuple[Positions, Positions] | None = None
    """Probe positions as [rows, columns]; [acquisition] scan comes first."""
    raw: RawLayout | None = None
    """How a file of bare pixels is laid out: { shape = [512, 512], dtype = "<u2" }."""
    key: str | None = None
    """Which data set of an HDF5 file."""
    stop_file: LocalPath | None = None
    """An acquisition ends when this file appears or is written again."""
    silence_s: float = Field(10.0, gt=0)
    """An acquisition ends when nothing has been written for so long, s."""
    hole_s: float = Field(2.0, ge=0)
    """For so long a missing or unreadable frame is waited for when a later one is
    there, s."""
    settle_s: float = Field(0.2, ge=0)
    """A file is looked at when it has not changed for so long, or was closed or moved
    into place, s."""
    wake: Literal["auto", "poll"] = "auto"
    """auto: the operating system tells of changes, and we look every poll_s; poll: only
    that, which is what network drives need."""
    poll_s: float = Field(0.1, gt=0, le=10)
    """How often to look, s."""
