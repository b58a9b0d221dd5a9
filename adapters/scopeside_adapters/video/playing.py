"""Plays one input from its opening to its end."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState, Sink, Slot
from scopeside.errors import SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.video.decoder import (
    Damaged,
    Decoded,
    Decoder,
    Event,
    Opened,
    Over,
)
from scopeside_adapters.video.luma import Luma
from scopeside_adapters.video.parameters import VideoParams
from scopeside_adapters.video.timeline import Place, Timeline

Array = npt.NDArray[Any]
_STEP_S = 0.02  # so that a stop is seen soon


class Playing:
    """One connection: as many acquisitions as sizes, lengths and losses make."""

    def __init__(
        self, params: VideoParams, settings: AcquisitionSettings, sink: Sink
    ) -> None:
        self._params = params
        self._settings = settings
        self._sink = sink
        self._scan = settings.scan_of(params.scan)
        self._limit = params.frames if self._scan is None else self._scan.frames
        self._luma: Luma | None = None  # of the acquisition that is open
        self._crop = (slice(None), slice(None))
        self._began = False
        self._before: Array | None = None  # the frame before, where it is compared
        self._timeline = Timeline(0, 0.0, None, None, by_time=False)
        self._heard = time.monotonic()

    def run(self) -> None:
        """Play until nothing more comes.

        Raises
        ------
        SourceError
            If it cannot be opened, or holds no frame.
        """
        decoder = Decoder(self._params)
        try:
            self._opened = self._open(decoder)
            if self._opened is not None:
                self._play(decoder)
        except SourceError as error:
            self._end("failed", str(error))
            raise
        finally:
            decoder.leave()

    def _open(self, decoder: Decoder) -> Opened | None:
        """Wait until the input is open; None if the engine stops."""
        until = time.monotonic() + self._params.connect_s + 1
        while not self._sink.stopping:
            match decoder.get(_STEP_S):
                case Opened() as opened:
                    return opened
                case Over(why):
                    raise SourceError(why)
            if time.monotonic() > until:
                raise SourceError(
                    f"{self._params.input} did not open within "
                    f"{self._params.connect_s:g} s"
                )
        return None

    def _play(self, decoder: Decoder) -> None:
        sink = self._sink
        event: Event | None = None
        self._heard = time.monotonic()
        while True:
            if sink.stopping:
                self._end("stopped", "the engine is asked to end")
                return
            event = event or decoder.get(_STEP_S)
            if event is not None:
                self._heard = time.monotonic()
            match event:
                case Decoded(frame) if self._fits(frame):
                    event = self._fill(decoder, frame)
                    continue
                case Decoded(frame):
                    self._begin(frame)
                    continue
                case Damaged(why):
                    self._damaged(why)
                case Over(why):
                    self._over(why)
                    return
                case _ if time.monotonic() - self._heard > self._params.silence_s:
                    self._over(f"no frame came for {self._params.silence_s:g} s")
                    return
            event = None

    def _fits(self, frame: Any) -> bool:
        """Whether a frame belongs to the acquisition that is open."""
        return self._luma is not None and Luma.of(frame) == self._luma

    def _begin(self, frame: Any) -> None:
        """Begin an acquisition of frames like this one."""
        luma = Luma.of(frame)
        if self._luma is not None:
            self._end(
                "failed",
                f"frame {self._timeline.count} has {_spelled(luma)}, those before had "
                f"{_spelled(self._luma)}",
            )
        self._crop = self._crop_of(luma)
        self._before = None
        opened, params = self._opened, self._params
        assert opened is not None
        by_time = params.gaps == "pts" or (
            params.gaps == "auto" and params.live and opened.constant
        )
        self._timeline = Timeline(
            time.time_ns(),
            opened.time_base,
            opened.rate,
            params.fps,
            by_time=by_time and params.repeated == "keep",
        )
        self._sink.start(self._acquisition(luma, opened))
        self._luma, self._began = luma, True

    def _fill(self, decoder: Decoder, frame: Any) -> Event | None:
        """Fill a slot, beginning with `frame`; return what comes after it."""
        sink, n = self._sink, 0
        began = time.monotonic()
        event: Event | None = Decoded(frame)
        with sink.slot() as slot:
            while isinstance(event, Decoded) and n < slot.capacity:
                if not self._fits(event.frame):
                    break
                n += self._put(slot, n, event.frame)
                event = None
                left = sink.max_latency_s - (time.monotonic() - began)
                if left <= 0 or self._is_whole() or self._params.realtime:
                    break
                event = decoder.get(left)
            if n:
                slot.commit(n)
        if self._is_whole():
            self._end("complete", "")
        return event

    def _put(self, slot: Slot, n: int, frame: Any) -> int:
        """Copy a frame's luma; return 1, or 0 where it is left out."""
        luma, params = self._luma, self._params
        assert luma is not None
        out = slot.pixels[n]
        luma.copy(frame, self._crop, out, params.levels == "full")
        if params.repeated == "drop":
            if self._before is not None and np.array_equal(out, self._before):
                self._sink.reject(1, "repeated", "a frame equals the one before")
                return 0
            self._before = out.copy()
        place = self._timeline.place(frame.pts)
        if place.late:
            self._sink.reject(1, "time_goes_back", "a frame's time stamp goes back")
            return 0
        self._tell_missing(place)
        slot.index[n] = place.index
        slot.timestamp_ns[n] = place.timestamp_ns
        if params.realtime:
            self._pace(place)
        return 1

    def _tell_missing(self, place: Place) -> None:
        if place.missing:
            last = place.index - 1
            self._sink.gap(place.index - place.missing, last, "dropped_by_stream")

    def _pace(self, place: Place) -> None:
        """Wait until a frame is due."""
        while not self._sink.stopping:
            left = (place.timestamp_ns - time.time_ns()) / 1e9
            if left <= 0:
                return
            time.sleep(min(left, _STEP_S))

    def _damaged(self, why: str) -> None:
        self._sink.reject(1, "decode_error", f"{self._params.input}: {why}")
        if self._luma is not None:
            index = self._timeline.skip()
            self._sink.gap(index, index, "decode_error")

    def _is_whole(self) -> bool:
        return self._limit is not None and self._timeline.count >= self._limit

    def _over(self, why: str) -> None:
        """End what is open; no acquisition at all means that there was no frame."""
        if not self._began:
            what = why or "it ended"
            raise SourceError(f"{self._params.input} gave no frame: {what}")
        total, limit = self._timeline.count, self._limit
        if why:
            self._end("failed", f"{self._params.input}: {why}")
        elif limit is not None and total < limit:
            self._end("failed", f"it ended after {total} of {limit} frames")
        elif self._params.live:
            self._end("complete", "the stream ended")
        else:
            self._end("complete", "")

    def _end(self, state: EndState, reason: str) -> None:
        if self._luma is None:
            return
        self._luma = None
        rate, longest_s = self._timeline.rate, self._timeline.longest_s
        if rate and longest_s > 1.5 / rate and not self._timeline.by_time:
            self._sink.note(
                f"the longest time between two frames was {longest_s:.3g} s at "
                f"{rate:.4g} frames/s: frames may be missing, which this stream does "
                "not tell"
            )
        total = self._timeline.count
        self._sink.end(state, reason, total=min(total, self._limit or total))

    def _crop_of(self, luma: Luma) -> tuple[slice, slice]:
        if self._params.crop is None:
            return slice(None), slice(None)
        top, left, bottom, right = self._params.crop
        if bottom > luma.shape[0] or right > luma.shape[1]:
            raise SourceError(
                f"crop = {list(self._params.crop)} reaches beyond the frames, which "
                f"have {_spelled(luma)}"
            )
        return slice(top, bottom), slice(left, right)

    def _acquisition(self, luma: Luma, opened: Opened) -> Acquisition:
        params = self._params
        rows, columns = (
            part.indices(size)
            for part, size in zip(self._crop, luma.shape, strict=True)
        )
        whole_movie = opened.frames if not params.live else 0
        rate = params.fps or opened.rate
        levels = "limited" if luma.limited and params.levels == "keep" else "full"
        return self._settings.complete(
            Acquisition(
                id=self._sink.new_id(),
                kind="movie" if self._scan is None else "scan4d",
                frame_shape=(rows[1] - rows[0], columns[1] - columns[0]),
                dtype=luma.dtype,
                frames=self._limit,
                scan=self._scan,
                calibration={"frame_time_s": 1 / rate} if rate else {},
                detector=f"video {params.input}"[:200],
                started_ns=time.time_ns(),
                metadata={
                    "codec": opened.codec,
                    "pixel_format": luma.format,
                    "levels": levels,
                    "bits": luma.bits,
                    **({"frames_by_header": whole_movie} if whole_movie else {}),
                },
            )
        )


def _spelled(luma: Luma) -> str:
    return f"{luma.shape[0]} × {luma.shape[1]} pixels ({luma.format})"
