"""What a message of the frame wire says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState


@dataclass(frozen=True, slots=True)
class SeriesStarted:
    """An acquisition begins; one that was open is over."""

    acquisition: Acquisition
    epoch: int


@dataclass(frozen=True, slots=True)
class SeriesResumed:
    """The producer was restarted and goes on with the acquisition that is open."""

    acquisition: Acquisition
    epoch: int


@dataclass(frozen=True, slots=True)
class FramesReceived:
    """Frames, still where they were received.

    Attributes
    ----------
    pixels
        ``n`` frames, raw bytes, of the shape and dtype of the acquisition.
    index
        (n,) indices as little-endian int64, or None: `first` and those after it.
    t_ns
        (n,) time stamps as little-endian int64, or that of the first frame (the
        others follow `dt_ns` apart), or None: nobody has said.
    """

    n: int
    first: int
    pixels: memoryview
    index: memoryview | None = None
    t_ns: int | memoryview | None = None
    dt_ns: int = 0


@dataclass(frozen=True, slots=True)
class SequenceBroken:
    """Batches did not come one after another; the frames are taken all the same."""

    cause: Literal["missing_batches", "out_of_order"]
    message: str


@dataclass(frozen=True, slots=True)
class GapDeclared:
    """Frames `first` to `last`, inclusive, will not come."""

    first: int
    last: int
    cause: str


@dataclass(frozen=True, slots=True)
class SeriesEnded:
    """The acquisition is over; `total` is how many frames it has had."""

    total: int | None
    state: EndState
    reason: str


Event = (
    SeriesStarted
    | SeriesResumed
    | FramesReceived
    | SequenceBroken
    | GapDeclared
    | SeriesEnded
)
