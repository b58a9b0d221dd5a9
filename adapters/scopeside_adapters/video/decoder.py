"""Decodes in a thread of its own, so that a stream that stalls holds up nobody.

FFmpeg waits in its own code, without the interpreter's lock, and cannot be woken from
outside; it gives up by itself a second after `silence_s`. Until then the thread may
outlive the acquisition; it closes what it opened.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Any

from scopeside.errors import MissingExtraError, SourceError
from scopeside_adapters.video.parameters import VideoParams

_AHEAD = 8  # decoded frames that may wait
_STEP_S = 0.05
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Opened:
    """The stream is there.

    Attributes
    ----------
    rate
        Frames a second that it says, None if it does not.
    constant
        Whether its rate is said to be constant.
    frames
        How many it says there are, 0 if it does not.
    """

    time_base: float
    rate: float | None
    constant: bool
    frames: int
    codec: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame."""

    frame: Any


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that could not be decoded."""

    why: str


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more will come; `why` is empty at a regular end."""

    why: str


Event = Opened | Decoded | Damaged | Over


class Decoder:
    """Opens an input and decodes it, a few frames ahead."""

    def __init__(self, params: VideoParams) -> None:
        self._params = params
        self._events: Queue[Event] = Queue(_AHEAD)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> Event | None:
        """Return what comes next; None if nothing has come in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except Empty:
            return None

    def leave(self) -> None:
        """Want nothing more; the thread ends as soon as FFmpeg returns."""
        self._left.set()
        self._thread.join(_STEP_S)

    def _put(self, event: Event) -> bool:
        while not self._left.is_set():
            try:
                self._events.put(event, timeout=_STEP_S)
                return True
            except Full:
                continue
        return False

    def _run(self) -> None:
        try:
            with open_input(self._params) as container:
                stream = choose(container, self._params.stream)
                if self._put(_opened(stream)):
                    self._decode(container, stream)
        except SourceError as error:
            self._put(Over(str(error)))
        except Exception as error:  # noqa: BLE001 - FFmpeg's errors are of many kinds
            self._put(Over(spelled(error)))
        else:
            self._put(Over(""))

    def _decode(self, container: Any, stream: Any) -> None:
        import av  # noqa: PLC0415 - an extra

        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError as error:
                if not self._put(Damaged(spelled(error))):
                    return
                continue
            for frame in frames:
                event = Damaged("its data are damaged") if frame.is_corrupt else None
                if not self._put(event or Decoded(frame)):
                    return


def open_input(params: VideoParams) -> Any:
    """Open what `params` name.

    Raises
    ------
    SourceError
        If FFmpeg cannot; the message says why, and what it was.
    MissingExtraError
        If PyAV is not installed.
    """
    require_av()
    import av  # noqa: PLC0415 - an extra

    try:
        return av.open(
            params.input,
            format=params.format,
            options=dict(params.options),
            # We notice a stall first; FFmpeg would take it for an end.
            timeout=(params.connect_s, params.silence_s + _GRACE_S),
        )
    except Exception as error:  # FFmpeg's errors are of many kinds
        raise SourceError(f"cannot open {params.input}: {spelled(error)}") from error


def choose(container: Any, number: int) -> Any:
    """Return a video stream, and let it decode on several cores."""
    streams = container.streams.video
    if number >= len(streams):
        raise SourceError(
            f"it has {len(streams)} video streams; stream = {number} is none of them"
        )
    streams[number].thread_type = "AUTO"
    return streams[number]


def require_av() -> None:
    """Refuse to go on without PyAV."""
    try:
        import av  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("the video detector", "PyAV", "video") from error


def spelled(error: Exception) -> str:
    """Return what FFmpeg says, in an operator's words where they are known."""
    said = str(getattr(error, "strerror", None) or error)
    known = {
        "ProtocolNotFoundError": "FFmpeg knows no such protocol",
        "InvalidDataError": "it is no movie, or its beginning is damaged",
        "ExitError": "nothing came in time",
        "ExternalError": "a library of FFmpeg failed",
    }
    hint = known.get(type(error).__name__)
    return said if hint is None else f"{hint} ({said})"


def _opened(stream: Any) -> Opened:
    average, base = stream.average_rate, stream.base_rate
    rate = average or stream.guessed_rate
    return Opened(
        time_base=float(stream.time_base or 0),
        rate=float(rate) if rate else None,
        constant=bool(average and base and abs(float(average / base) - 1) < 1e-3),
        frames=int(stream.frames),
        codec=stream.codec_context.name,
    )
