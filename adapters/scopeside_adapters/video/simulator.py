"""A video stream on the network: ``scopeside simulate video``, lossless, paced."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from scopeside.errors import ConfigError
from scopeside.params import Params
from scopeside_adapters.endpoint import check_double
from scopeside_adapters.faults import Fault, Faults, ResetRequested
from scopeside_adapters.pace import Pace
from scopeside_adapters.video.decoder import require_av, spelled

Array = npt.NDArray[Any]
Side = Annotated[int, Field(ge=16, le=1 << 13)]


def _target_here(target: str) -> str:
    """Return a target if we do not listen there for other machines."""
    if target.startswith("tcp://"):
        check_double(target.removeprefix("tcp://").rpartition(":")[0])
    return target


class VideoSimulatorParams(Params):
    """``scopeside simulate video``: what is sent, and where to."""

    to: Annotated[str, AfterValidator(_target_here)] = "tcp://127.0.0.1:5600"
    """Where to wait for one who connects (tcp://), else a file or what FFmpeg sends to
    (udp://…, rtsp://…)."""
    container: str = "matroska"
    """FFmpeg's name of the format of the stream."""
    frames: int = Field(300, ge=1)
    """How many frames are taken."""
    shape: tuple[Side, Side] = (240, 320)
    """Height and width of a frame, pixels."""
    dtype: Literal["uint8", "uint16"] = "uint16"
    """Of a pixel."""
    fps: int = Field(25, ge=1, le=1000)
    """Frames a second."""
    paced: bool = True
    """Whether frames leave at that rate, or as fast as they can."""
    seed: int = 0
    """Equal seeds give equal frames."""
    faults: Mapping[int, Fault] = {}
    """What goes wrong, by frame: drop, truncate (damaged), stall, reset (hang up)."""
    stall_s: float = Field(0.5, ge=0)
    """How long a stall lasts, s."""


def frames_of(params: VideoSimulatorParams) -> Iterator[Array]:
    """Yield the frames (height, width), which seed and number determine."""
    for number in range(params.frames):
        rng = np.random.default_rng((params.seed, number))
        yield rng.poisson(40, params.shape).astype(params.dtype)


class VideoSimulator:
    """Encodes frames without loss (FFV1) and sends them."""

    Params: ClassVar[type[VideoSimulatorParams]] = VideoSimulatorParams

    def __init__(self, params: VideoSimulatorParams) -> None:
        self._params = params

    def run(self, say: Callable[[str], None]) -> None:
        """Send the movie to the one who connects.

        Raises
        ------
        ConfigError
            If FFmpeg cannot send there.
        """
        require_av()
        import av  # noqa: PLC0415 - an extra

        params = self._params
        say(f"{params.frames} frames of {params.shape} go to {params.to}")
        try:
            with (
                self._target() as target,
                av.open(target, "w", format=params.container) as output,
            ):
                self._send(output, target)
        except (BrokenPipeError, ConnectionResetError, ResetRequested):
            say("the stream was broken off")
        except OSError as error:
            raise ConfigError(
                f"cannot send to {params.to}: {spelled(error)}"
            ) from error
        except av.FFmpegError as error:
            raise ConfigError(
                f"cannot send to {params.to}: {spelled(error)}"
            ) from error
        else:
            say(f"{params.frames} frames sent")

    @contextmanager
    def _target(self) -> Iterator[Any]:
        """Wait for one who connects; of other targets FFmpeg knows the way."""
        scheme, _, address = self._params.to.partition("://")
        host, _, port = address.rpartition(":")
        if scheme != "tcp" or not port.isdecimal():
            yield self._params.to
            return
        # FFmpeg waits for a connection with the interpreter's lock held, so not there.
        with (
            socket.create_server((host, int(port))) as listener,
            listener.accept()[0] as connection,
        ):
            yield _Wire(connection)

    def _send(self, output: Any, target: Any) -> None:
        params = self._params
        # Every frame stands for itself, so that one that is lost harms no other.
        stream = output.add_stream("ffv1", rate=params.fps, options={"g": "1"})
        stream.height, stream.width = params.shape
        stream.pix_fmt = "gray" if params.dtype == "uint8" else "gray16le"
        faults = Faults(params.faults, params.stall_s)
        for packet in faults.apply(self._packets(stream), _damaged):
            output.mux(packet)
            if getattr(target, "broken", False):
                raise ResetRequested
        for packet in stream.encode():
            output.mux(packet)

    def _packets(self, stream: Any) -> Iterator[tuple[int, Any]]:
        """Yield one packet for each frame, when it is due."""
        import av  # noqa: PLC0415 - an extra

        params = self._params
        pace = Pace(float(params.fps) if params.paced else None)
        for number, pixels in enumerate(frames_of(params)):
            while pace.due(number + 1) <= number:
                pace.wait(number)
            frame = av.VideoFrame.from_ndarray(pixels, format=stream.pix_fmt)
            frame.pts = number
            for packet in stream.encode(frame):
                yield number, packet


class _Wire:
    """A connection as FFmpeg writes to it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.broken = False

    def write(self, data: bytes) -> int:
        """Send everything, or remember that nobody listens any more."""
        try:
            self._connection.sendall(data)
        except OSError:
            self.broken = True  # an error raised here would not come out of FFmpeg
        return len(data)


def _damaged(packet: Any) -> Any:
    """Return a packet whose data mean nothing to the decoder."""
    import av  # noqa: PLC0415 - an extra

    broken = av.Packet(b"\xff" * max(1, packet.size // 2))
    broken.pts, broken.dts = packet.pts, packet.dts
    broken.stream, broken.time_base = packet.stream, packet.time_base
    return broken
