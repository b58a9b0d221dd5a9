"""A folder that receives one picture a file: complete ones, in order, holes named."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState, Sink, Slot
from scopeside.errors import SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.file.frames import Array
from scopeside_adapters.file.watch.frame_files import FRAME_SUFFIXES, load_frame
from scopeside_adapters.file.watch.listing import Arrivals
from scopeside_adapters.file.watch.numbering import Due, Hole, Numbering, key_of
from scopeside_adapters.file.watch.parameters import WatchParams
from scopeside_adapters.file.watch.stop_file import StopFile
from scopeside_adapters.file.watch.wake import Wake


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an acquisition ended."""

    state: EndState
    reason: str
    total: int


@dataclass(frozen=True, slots=True)
class Picture:
    """One that has been read, and has not been handed on yet."""

    path: Path
    pixels: Array
    written_ns: int


class Pictures:
    """Delivers the pictures of a folder, one acquisition after another."""

    def __init__(
        self, params: WatchParams, settings: AcquisitionSettings, sink: Sink
    ) -> None:
        self._params = params
        self._settings = settings
        self._sink = sink
        self._scan = settings.scan_of(params.scan)
        self._limit = params.frames if self._scan is None else self._scan.frames
        self._stop = StopFile(params.stop_file)
        self._arrivals = Arrivals(params.path, params.pattern, params.settle_s)
        self._numbering = self._fresh()
        self._ahead: Picture | None = None
        self._owed: Hole | None = None  # of a hole that reaches into this acquisition
        self._news = time.monotonic()
        self._ended = False  # nothing more will be written
        self._open = False
        self._why = ""
        self._told: set[str] = set()
        if not params.existing:
            self._arrivals.skip()
        sink.note(f"waiting for pictures in {params.path}")

    def run(self, wake: Wake) -> None:
        """Deliver acquisitions until the engine stops."""
        while not self._sink.stopping:
            self._take_in(wake)
            if self._is_first_here() and self._ready():
                self._acquire(wake)
            else:
                self._stop.appeared()  # one that comes between acquisitions ends none
                self._wait(wake)

    def _is_first_here(self) -> bool:
        """Whether no picture is still being written that would come before all."""
        lowest = self._numbering.lowest
        if lowest is None:
            return False
        rising = (key_of(p, self._params.number) for p in self._arrivals.rising)
        return all(key is None or key > lowest for key in rising)

    def _wait(self, wake: Wake) -> None:
        """Sleep until there is something to be done."""
        at_most = self._params.silence_s
        if self._arrivals.rising:
            at_most = min(at_most, self._params.settle_s)
        if self._numbering.lowest is not None:
            at_most = min(at_most, self._params.hole_s)
        wake.wait(lambda: self._sink.stopping, max(at_most, 0.001))

    def _acquire(self, wake: Wake) -> None:
        """Deliver one acquisition."""
        sink = self._sink
        sink.start(self._acquisition(sink.new_id()))
        self._news, self._open, self._ended = time.monotonic(), True, False
        owed, self._owed = self._owed, None
        if owed is not None:
            self._give_up(owed, "hole")
        while (verdict := self._turn(wake)) is None:
            pass
        self._open = self._ended = False
        sink.end(verdict.state, verdict.reason, total=verdict.total)

    def _turn(self, wake: Wake) -> Verdict | None:
        """Deliver what is ready, or wait; return how it ended, None if it goes on."""
        sink = self._sink
        if sink.stopping:
            asked = "the engine is asked to end"
            return Verdict("stopped", asked, self._numbering.reached)
        if self._limit is not None and self._is_over():
            self._numbering.shift(self._limit)
            return Verdict("complete", "", self._limit)
        if gone := self._take_in(wake):
            return self._over("failed", gone)
        if self._ready():
            return self._fill()
        if self._ended:
            return self._finish()
        silence_s = self._params.silence_s
        if self._stop.appeared():
            self._ended, self._why = True, self._stop.reason
        elif time.monotonic() - self._news > silence_s:
            self._ended, self._why = True, f"nothing came for {silence_s:g} s"
        else:
            self._wait(wake)
        return None

    def _fill(self) -> Verdict | None:
        """Fill a slot with pictures that are ready."""
        sink, n = self._sink, 0
        first = self._ahead
        assert first is not None
        began = time.monotonic()
        if self._is_over():
            return None
        if unlike := self._unlike(first):
            total = self._numbering.reached
            self._numbering.shift(total)
            return Verdict("failed", unlike, total)
        with sink.slot() as slot:
            while n < slot.capacity and self._ready() and not self._is_over():
                picture = self._ahead
                assert picture is not None
                if self._unlike(picture):
                    break
                self._put(slot, n, picture)
                n += 1
                if time.monotonic() - began > sink.max_latency_s:
                    break
            if n:
                slot.commit(n)
        self._news = time.monotonic()
        return None

    def _put(self, slot: Slot, n: int, picture: Picture) -> None:
        np.copyto(slot.pixels[n], picture.pixels)
        slot.index[n] = self._numbering.reached
        slot.timestamp_ns[n] = picture.written_ns
        self._numbering.done()
        self._ahead = None

    def _is_over(self) -> bool:
        return self._limit is not None and self._numbering.reached >= self._limit

    def _ready(self) -> bool:
        """Read the picture that comes next, if it is there and whole."""
        while self._ahead is None:
            step = self._numbering.next(time.monotonic(), ended=self._ended)
            if step is None:
                return False
            if isinstance(step, Hole):
                self._give_up(step, "hole")
            elif not self._read(step):
                return False
        return True

    def _read(self, due: Due) -> bool:
        """Read a picture; give it up if it has not been whole for `hole_s`."""
        params, path = self._params, Path(due.path)
        try:
            pixels = load_frame(path, params.key, params.raw)
            status = path.stat()
            self._arrivals.taken(path, status)
            self._ahead = Picture(path, pixels, status.st_mtime_ns)
        except (SourceError, OSError) as error:
            waited_s = time.monotonic() - self._numbering.since(due)
            if not self._ended and waited_s < params.hole_s:
                return False
            self._sink.reject(1, "unreadable", f"{path.name}: {error}")
            self._numbering.done()
            self._give_up(Hole(due.index, due.index), "unreadable")
        return True

    def _give_up(self, hole: Hole, cause: str) -> None:
        """Say that frames will not come; what belongs to the next is kept for it."""
        first, last = hole.first, hole.last
        if not self._open:
            self._owed = Hole(self._owed.first if self._owed else first, last)
            return
        if self._limit is not None and last >= self._limit:
            self._owed = Hole(max(0, first - self._limit), last - self._limit)
            last = self._limit - 1
        if first <= last:
            self._sink.gap(first, last, cause)

    def _take_in(self, wake: Wake) -> str:
        """Put what has come to rest in order; return why nothing more can come."""
        try:
            paths = self._arrivals.look(wake.finished(), ended=self._ended)
        except OSError as error:
            return f"{self._params.path} cannot be read any more: {error.strerror}"
        now = time.monotonic()
        for path in paths:
            if path != self._params.stop_file and self._is_frame(path):
                self._add(path, now)
        if self._arrivals.rising:
            self._news = now  # something is being written
        if not paths and self._open and not self._params.path.is_dir():
            return f"{self._params.path} is gone"
        return ""

    def _is_frame(self, path: Path) -> bool:
        return bool(self._params.raw) or path.suffix.lower() in FRAME_SUFFIXES

    def _add(self, path: Path, now: float) -> None:
        key = key_of(path, self._params.number)
        if key is None:
            self._tell("number", f"{path.name} is left out: no number is in its name")
            return
        match self._numbering.add(key, path, now):
            case "late":
                self._sink.reject(
                    1,
                    "late",
                    f"{path.name} came after its turn: a missing frame is waited for "
                    f"hole_s = {self._params.hole_s:g} s",
                )
            case "duplicate":
                self._sink.reject(
                    1, "duplicate", f"{path.name} has the number of another file"
                )

    def _tell(self, about: str, message: str) -> None:
        """Say something once."""
        if about not in self._told:
            self._told.add(about)
            self._sink.note(message)

    def _finish(self) -> Verdict:
        """End what nothing more has come for."""
        total = self._numbering.reached
        if self._limit is not None and total < self._limit:
            why = f"{self._why} after {total} of {self._limit} frames"
            return self._over("failed", why)
        return self._over("complete", self._why)

    def _over(self, state: EndState, reason: str) -> Verdict:
        total = self._numbering.reached
        self._numbering = self._fresh()
        self._ahead = None
        return Verdict(state, reason, total)

    def _unlike(self, picture: Picture) -> str:
        """Say how a picture differs from those before; empty if it does not."""
        shape, dtype = picture.pixels.shape, picture.pixels.dtype
        if (shape, dtype) == (self._like.frame_shape, self._like.dtype):
            return ""
        height, width = self._like.frame_shape
        return (
            f"{picture.path.name} has {shape[0]} × {shape[1]} pixels of {dtype}, those "
            f"before had {height} × {width} of {self._like.dtype}"
        )

    def _acquisition(self, name: str) -> Acquisition:
        picture, params = self._ahead, self._params
        assert picture is not None
        self._like = self._settings.complete(
            Acquisition(
                id=name,
                kind="movie" if self._scan is None else "scan4d",
                frame_shape=(picture.pixels.shape[0], picture.pixels.shape[1]),
                dtype=picture.pixels.dtype,
                frames=self._limit,
                scan=self._scan,
                detector=f"watch {params.path.name}",
                started_ns=time.time_ns(),
                metadata={"path": str(params.path), "first_file": picture.path.name},
            )
        )
        return self._like

    def _fresh(self) -> Numbering:
        asked = self._params
        return Numbering(asked.first_number, asked.hole_s, asked.frames_per_second)
