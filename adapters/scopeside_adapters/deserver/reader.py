"""Talks to DE-Server in a thread of its own: deapi waits for half a minute at a time.

What it gets goes into a short queue. While that is full nothing is fetched, and the
frames wait in the camera's computer. To end it, its connection is broken.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Any, Self

from scopeside.errors import MissingExtraError, ProtocolError, SourceError
from scopeside_adapters.deserver.protocol import (
    FramesReceived,
    MovieLayout,
    frames_of,
    layout_of,
)

Property = bool | int | float | str
_BUFFERS = 4
_FETCH_MS = 200
_CHECK_S = 0.05
_ENDING_S = 2.0
_FINISHED, _OK, _TIMEOUT = "FINISHED", "OK", "TIMEOUT"
_SAID = ("Frames Per Second", "Exposure Time (seconds)", "Server Software Version")


@dataclass(frozen=True, slots=True)
class Started:
    """An acquisition has begun; `scan` is (rows, columns), None without one."""

    camera: str
    layout: MovieLayout
    scan: tuple[int, int] | None
    properties: Mapping[str, Property]


@dataclass(frozen=True, slots=True)
class Finished:
    """DE-Server has given all frames of the acquisition."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The link is of no use any more."""

    reason: str


Event = Started | FramesReceived | Finished | Failed


def load() -> Any:
    """Return deapi, without what it does to the logging of the whole process.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        import deapi  # noqa: PLC0415 - only where a DE-Server is used
    except ImportError as error:
        raise MissingExtraError("the deserver detector", "deapi", "deserver") from error
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    # What goes wrong is said in words by us.
    logging.getLogger("DECameraClientLib").setLevel(logging.CRITICAL)
    return deapi


class Reader:
    """Starts acquisitions on a DE-Server and fetches their frames.

    Parameters
    ----------
    properties
        Set before the first acquisition, in this order.
    """

    def __init__(
        self, host: str, port: int, properties: Mapping[str, Property], timeout_s: float
    ) -> None:
        self._host = host
        self._port = port
        self._properties = properties
        self._deapi = load()
        self._events: Queue[Event] = Queue(_BUFFERS)
        self._asked: Queue[bool] = Queue()
        self._ending = threading.Event()
        answers(host, port, timeout_s)
        self._client = self._deapi.Client()
        # Memory shared with DE-Server exists only on its own computer, under Windows.
        self._client.usingMmf = False
        self._thread = threading.Thread(
            target=self._run, name="deserver reader", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._asked.put(False)
        until = time.monotonic() + _ENDING_S
        while self._thread.is_alive() and time.monotonic() < until:
            # Again and again: the thread may be about to connect.
            if connection := getattr(self._client, "socket", None):
                with contextlib.suppress(OSError):  # it is not connected yet
                    connection.shutdown(socket.SHUT_RDWR)
            self._thread.join(_CHECK_S)
        if connection := getattr(self._client, "socket", None):
            connection.close()
        self._client.connected = False

    def start(self) -> None:
        """Ask for an acquisition."""
        self._asked.put(True)

    def stop(self) -> None:
        """Have the camera stop, without waiting for an answer."""
        with (
            contextlib.suppress(OSError),  # who is not there needs no stop
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as messenger,
        ):
            messenger.sendto(b"PyClientStopAcq", (self._host, self._port))

    def receive(self, wait_s: float) -> Event | None:
        """Return what comes next; None if nothing comes within `wait_s`."""
        try:
            return self._events.get(timeout=wait_s)
        except Empty:
            return None

    # -- in the thread ----------------------------------------------------------

    def _run(self) -> None:
        try:
            self._client.connect(self._host, self._port)
            for name, value in self._properties.items():
                self._set(name, value)
            while self._asked.get() and not self._ending.is_set():
                self._acquire()
        except (ProtocolError, SourceError) as error:
            self._tell(Failed(str(error)))
        except Exception as error:  # noqa: BLE001 - deapi raises anything on a bad answer
            said = str(error) if isinstance(error, OSError) else type(error).__name__
            self._tell(Failed(f"the link broke, or its answer is no answer ({said})"))

    def _set(self, name: str, value: Property) -> None:
        if not self._client.set_property(name, value):
            raise SourceError(f"it does not take {name!r} = {value!r}")

    def _acquire(self) -> None:
        client = self._client
        width, height = client["Image Size X (pixels)"], client["Image Size Y (pixels)"]
        info = client.get_movie_buffer_info()
        layout = layout_of(
            info.headerBytes,
            info.frameIndexStartPos,
            info.imageDataType.value,
            (int(height), int(width)),
        )
        scan = None
        if client["Scan - Enable"] == "On":
            scan = int(client["Scan - Size Y"]), int(client["Scan - Size X"])
        said = {name: client[name] for name in _SAID}
        client.start_acquisition(1, request_movie_buffer=True)
        self._tell(Started(client.camera, layout, scan, said))
        largest = layout.header + info.imageBufferBytes
        while not self._ending.is_set():
            status, _, n, buffer = client.get_movie_buffer(b"", largest, 0, _FETCH_MS)
            if status.name == _OK:
                self._tell(frames_of(buffer, n, layout))
            elif status.name == _FINISHED:
                self._tell(Finished())
                return
            elif status.name != _TIMEOUT:
                raise SourceError(f"it cannot give the frames (status {status.name})")

    def _tell(self, event: Event) -> None:
        while not self._ending.is_set():
            try:
                self._events.put(event, timeout=_CHECK_S)
                return
            except Full:
                continue


def answers(host: str, port: int, timeout_s: float) -> None:
    """Connect and hang up.

    Raises
    ------
    SourceError
        If nobody listens.
    """
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise SourceError(
            f"DE-Server at {host}:{port} cannot be reached: {error}; is DE-MC running "
            "there, and does its firewall let us in?"
        ) from error
