"""The interface of a detector adapter: parameters, a check, and one loop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from scopeside.acquisition import Acquisition
from scopeside.ledger import FrameRanges
from scopeside.settings import AcquisitionSettings

EndState = Literal["complete", "stopped", "failed"]


class Slot(Protocol):
    """Room for a batch in shared memory.

    `pixels` is (capacity, height, width), `index` and `timestamp_ns` are
    (capacity,) int64. Fill the first `n` of each, then `commit(n)`. A slot that
    is not committed when its context ends is given back unused.

    Where the acquisition has ``encoding="events"``, `pixels` has length 0. Fill
    `words` (see `scopeside.events`: any order, place below `n`) with all events of
    the `n` frames, then ``commit(n, words=m)``. A frame lies in one slot, with all
    of its events; one without events is committed too.
    """

    pixels: npt.NDArray[Any]
    words: npt.NDArray[np.uint64]
    index: npt.NDArray[Any]
    timestamp_ns: npt.NDArray[Any]

    @property
    def capacity(self) -> int:
        """Number of frames that fit."""

    def commit(self, n: int, *, words: int = 0) -> None:
        """Hand the first `n` frames on, and their first `words` events, now.

        Words that lie outside of the frames are left out and count as rejected,
        ``bad_event``.
        """


class Sink(Protocol):
    """Where a detector puts its frames; given to `Detector.run`.

    Every call may raise `StopRequested` (the engine is asked to end); a detector
    lets it pass, closing what it opened.
    """

    @property
    def stopping(self) -> bool:
        """Whether the engine is asked to end; for detectors that wait."""

    @property
    def max_latency_s(self) -> float:
        """For how long frames may wait in a slot for others to fill it, s."""

    def start(
        self,
        acquisition: Acquisition,
        *,
        batch_frames: int | None = None,
        batch_bytes: int = 0,
    ) -> None:
        """Begin an acquisition. `batch_frames` limits the frames in a slot.

        Of events a slot takes `batch_frames` (4096 if None) frames and as many words
        as ``[slab] batch_kib`` holds. A slot has room for `batch_bytes` at least, if
        the slab is large enough: for batches that were made by somebody else.
        """

    def slot(self) -> AbstractContextManager[Slot]:
        """Wait for room (this is where backpressure is felt) and lend it.

        Raises
        ------
        SlabError
            If one frame is larger than the slab.
        """

    def try_slot(self) -> AbstractContextManager[Slot] | None:
        """Lend room if there is some now; None for a source that cannot wait."""

    def gap(self, first: int, last: int, cause: str) -> None:
        """Say that frames `first` to `last`, inclusive, will not come, and why."""

    def reject(self, n: int, cause: str, message: str) -> None:
        """Count what came but is no frame (duplicate, malformed), and say so once."""

    def end(
        self,
        state: EndState = "complete",
        reason: str = "",
        total: int | None = None,
    ) -> None:
        """End the acquisition. `total`: how many frames the detector says it sent."""

    def new_id(self) -> str:
        """Return an id for an acquisition that the detector has not named."""

    def note(self, message: str) -> None:
        """Tell the operator something, such as what is being waited for."""

    def change(self, values: Mapping[str, Any]) -> None:
        """Have parameters of a processor change with the next batch, or before all.

        For a replay: `values` are those of a recorded `scopeside.changes.Change`.
        """


class StopRequested(Exception):  # noqa: N818 - it is no error
    """The engine is asked to end; raised by the sink inside `Detector.run`."""


@runtime_checkable
class Previewing(Protocol):
    """A detector that knows what its next acquisition will be, as a file does."""

    def preview(self) -> Acquisition:
        """Return it, without starting anything; its id has no meaning."""


@runtime_checkable
class Preparing(Protocol):
    """A detector that has something to load or compile before it is started."""

    def prepare(self) -> None:
        """Do it now: the process calls this before it says that it is ready."""


@runtime_checkable
class Replaying(Protocol):
    """A detector that delivers what was recorded; nobody acts on what it shows.

    With it, ``[control]`` observes, and has no instrument but one on paper.
    """

    def frames_of(self, chain: str) -> FrameRanges | None:
        """Return the only frames that a chain shall get; None: as its edge says."""


class Detector(Protocol):
    """An adapter's whole duty.

    `Params` validates the ``[detector]`` table (without ``kind``); `check` lists
    what would go wrong (files that are missing, ports that are taken) without
    starting anything; `run` delivers acquisitions until there are no more or the
    sink stops it. Raise `SourceError` when the acquisition cannot go on.

    An optional attribute ``resumes`` (True if absent) says whether a new process can
    take the next acquisition after this one has died; a file, for one, cannot: it
    would begin again. An optional method ``prepare`` loads or compiles what takes
    time; it is called before anything is asked for. With an optional ``preview``
    (see `Previewing`) the chains are tried out before the start. One that replays has
    ``frames_of`` (see `Replaying`).
    """

    Params: ClassVar[type[BaseModel]]

    def __init__(self, params: Any, settings: AcquisitionSettings) -> None: ...

    def check(self) -> list[str]:
        """Return what would go wrong, one sentence each."""

    def run(self, sink: Sink) -> None:
        """Deliver acquisitions to `sink`."""
