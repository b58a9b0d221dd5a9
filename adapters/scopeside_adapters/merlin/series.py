"""One acquisition as it goes on: what it is, what has come, whether it is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.scan import Scan
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.medipix import AcquisitionHeader, FrameHeader
from scopeside_adapters.merlin.numbers import Numbers
from scopeside_adapters.merlin.protocol import FrameReceived
from scopeside_adapters.merlin.survey import MOST, NO_TIME, Survey

IntArray = npt.NDArray[np.int64]

_FACTOR = 5  # intervals without a frame that are silence
_UNKNOWN_S = 30.0  # silence, while one frame alone has come


@dataclass(frozen=True, slots=True)
class Portion:
    """Which of the frames that were looked at are delivered.

    Attributes
    ----------
    messages
        How many are taken from the stream.
    which
        The places of those that are delivered.
    index, time_ns
        Of these.
    missing, back, beyond
        See `numbers.Taken`.
    """

    messages: int
    which: IntArray
    index: IntArray
    time_ns: IntArray
    missing: tuple[tuple[int, int], ...] = ()
    back: str = ""
    beyond: int = 0


@dataclass(slots=True)
class Series:
    """The acquisition that is open.

    Attributes
    ----------
    frame
        A frame of it that was parsed with care.
    survey
        What its frames look like.
    expected
        Frames until its end; None where nobody has said.
    counter
        Which of two counters is taken; None: both.
    other
        Frames of the counter that is not.
    waited_for
        Whether it was told that the detector is silent, but busy.
    broken
        Why it cannot go on, in words; empty while it can.
    longest_s
        Longest interval between frames so far, s.
    """

    acquisition: Acquisition
    header: AcquisitionHeader | None
    frame: FrameReceived
    survey: Survey
    numbers: Numbers
    expected: int | None
    counter: int | None
    other: int = 0
    waited_for: bool = False
    broken: str = ""
    longest_s: float = 0.0
    last_ns: int = NO_TIME

    def admit(self, n: int, room: int) -> Portion:
        """Decide on up to `n` frames that were looked at; there is `room` for some."""
        n = min(n, room, self._until_the_end())
        survey = self.survey
        self._note_times(survey.time_ns[:n])
        mine = np.arange(n)
        if self.counter is not None:
            mine = np.flatnonzero(survey.counter[:n] == self.counter)
        if len(mine) < n:
            self._meet_other(n)
            self.other += n - len(mine)
            if not len(mine):
                return Portion(n, mine, mine, mine)
        taken = self.numbers.take(survey.sequence[mine])
        if taken.restarts is not None:
            self.broken = "the frame numbers began again"
            n = int(mine[taken.restarts])
        which = mine[taken.which]
        return Portion(
            n,
            which,
            taken.index,
            survey.time_ns[which],
            taken.missing,
            taken.back,
            taken.beyond,
        )

    def like(self, frame: FrameReceived, data: bytearray) -> None:
        """Have the frames from now on look like `frame`."""
        self.frame = frame
        self.survey = Survey.like(frame, data)

    @property
    def whole(self) -> bool:
        """Whether the last of the expected frames has come."""
        return self.expected is not None and self.numbers.next >= self.expected

    @property
    def over(self) -> bool:
        """Whether no further frame belongs to it."""
        return self.whole or bool(self.broken)

    @property
    def progress(self) -> str:
        """In words, such as ``40 of 64 frames``."""
        of = "" if self.expected is None else f" of {self.expected}"
        return f"{self.numbers.received}{of} frames"

    @property
    def is_half(self) -> bool:
        """Whether the count was one of both counters, and all have come."""
        both = self.numbers.received + self.other
        return self.other > 0 and both == self.expected

    def note_interval(self, seconds: float) -> None:
        """Learn that frames came so long after each other."""
        # A clock that is set while frames come is not believed.
        if seconds < _UNKNOWN_S:
            self.longest_s = max(self.longest_s, seconds)

    def patience_s(self, silence_s: float) -> float:
        """Return for how long it may be silent."""
        shutter = self.frame.header.shutter_s
        least = silence_s if self.numbers.received > 1 else _UNKNOWN_S
        return max(least, _FACTOR * self.longest_s, silence_s + 2 * shutter)

    def _until_the_end(self) -> int:
        """Return how many messages may belong to what is still expected."""
        if self.expected is None:
            return MOST
        return max(1, self.expected - self.numbers.next) * (2 if self.other else 1)

    def _meet_other(self, n: int) -> None:
        """Find out, once, whether both counters of an exposure have one number."""
        if self.other:
            return
        counter, sequence = self.survey.counter[:n], self.survey.sequence[:n]
        at = int(np.flatnonzero(counter != self.counter)[0])
        if self.counter == 0:  # its twin comes behind it
            before = int(sequence[at - 1]) if at else self.numbers.last
            in_turn = int(sequence[at]) != before
        else:
            mine = sequence[counter == self.counter]
            in_turn = len(mine) < 2 or bool(mine[1] - mine[0] > 1)
        if in_turn and self.numbers.stride == 1:
            self.numbers.widen()

    def _note_times(self, stamps: IntArray) -> None:
        """Learn the interval of the frames from their time stamps, ns."""
        if stamps[0] == NO_TIME:
            return
        if self.last_ns != NO_TIME:
            self.note_interval((int(stamps[0]) - self.last_ns) / 1e9)
        if len(stamps) > 1:
            self.note_interval(float(np.diff(stamps).max()) / 1e9)
        self.last_ns = int(stamps[-1])


def begin(
    frame: FrameReceived,
    data: bytearray,
    header: AcquisitionHeader | None,
    settings: AcquisitionSettings,
    name: str,
    *,
    flip_y: bool,
    counter: int | None,
    other: int | None,
    new_id: str,
) -> Series:
    """Return the acquisition whose first frame is `frame`.

    Parameters
    ----------
    data
        The buffer that holds the frame.
    header
        Of the acquisition; None if it was not heard.
    name
        Of the detector.
    other
        Number of the frame before it, if that was of the other counter.
    """
    stride = frame.stride if other in (None, frame.header.sequence) else 2
    scan = _scan(header, settings)
    frames = header.frames if header is not None and header.frames else None
    if frames is None and scan is not None:
        frames = scan.frames
    acquisition = Acquisition(
        id=new_id,
        frame_shape=frame.pixels.frame_shape,
        dtype=frame.pixels.dtype,
        kind="movie" if scan is None else "scan4d",
        frames=frames,
        scan=scan,
        detector=name,
        started_ns=time.time_ns(),
        metadata={
            **({} if header is None else header.metadata()),
            **_metadata(frame.header, counter),
            "rows": "top first" if flip_y else "as stored, bottom first",
        },
    )
    return Series(
        acquisition,
        header,
        frame,
        Survey.like(frame, data),
        Numbers(_first_index(frame, header, frames) // stride, stride, frames),
        frames,
        counter,
        0 if other is None else 1,
    )


def _metadata(header: FrameHeader, counter: int | None) -> dict[str, Any]:
    return {
        "pixel_type": header.pixel_type,
        "chips": header.chips,
        "shutter_s": header.shutter_s,
        "counter": "all" if counter is None else counter,
    }


def _first_index(
    frame: FrameReceived, header: AcquisitionHeader | None, frames: int | None
) -> int:
    """Return which index is awaited first: 0 where the begin has been heard."""
    late = header is None or (frames is not None and frame.header.sequence > frames)
    return max(0, frame.header.sequence - 1) if late else 0


def _scan(
    header: AcquisitionHeader | None, settings: AcquisitionSettings
) -> Scan | None:
    shape = None if header is None else header.scan_shape
    if shape is not None and header is not None and header.frames_per_trigger:
        rows, columns = shape
        # A trigger for each row: the fly-back frames are among those of the row.
        if columns == header.frames_per_trigger and columns > settings.flyback:
            shape = rows, columns - settings.flyback
    return settings.scan_of(shape)
