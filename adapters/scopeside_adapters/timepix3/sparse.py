"""Reads ASI's sparse stream from a connection, until the peer hangs up."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
from scopeside.errors import ProtocolError, SourceLostError
from scopeside.scan import Scan
from scopeside.strangers import from_json
from scopeside_adapters.timepix3.csr import (
    HEADER,
    AcquisitionEnded,
    AcquisitionStarted,
    ChunkFollows,
    CsrParser,
    ScanEnded,
    ScanStarted,
)
from scopeside_adapters.timepix3.delivery import EVENT_FRAMES, Outlet, Piece
from scopeside_adapters.timepix3.link import fill

About = Callable[[str, tuple[int, int], tuple[int, int], dict[str, Any]], Acquisition]
_LEAST_ROOM = 1 << 16


class SparseStream:
    """Takes the acquisitions of one connection; each scan is an acquisition of ours.

    Parameters
    ----------
    about
        Gives the acquisition of (id, scan shape, frame shape, metadata).
    """

    def __init__(self, sink: Sink, about: About, name: str, largest: int) -> None:
        self._sink = sink
        self._about = about
        self._name = name
        self._parser = CsrParser(largest)
        self._started: AcquisitionStarted | None = None
        self._open: Acquisition | None = None
        self._outlet: Outlet | None = None
        self._room = bytearray(_LEAST_ROOM)
        self._done = 0

    def receive(self, connection: socket.socket) -> None:
        """Take messages until the peer hangs up."""
        try:
            while True:
                header = bytearray(HEADER)
                if not fill(connection, memoryview(header), self._name, self._sink):
                    break
                self._take(bytes(header), connection)
        except ProtocolError as error:
            message = f"{self._name}: {error}"
            self._sink.reject(1, error.cause, message)
            self._end("failed", message)
            return
        except SourceLostError as error:
            self._end("failed", str(error))
            return
        self._end(
            "failed", f"{self._name} hung up in mid-scan, after frame {self._done}"
        )

    def _take(self, header: bytes, connection: socket.socket) -> None:
        match self._parser.header(header):
            case AcquisitionStarted() as started:
                self._started = started
            case ScanStarted(_, size):
                self._start_scan(self._body(size, connection))
            case ChunkFollows() as chunk:
                self._deliver(chunk, self._body(chunk.size, connection))
            case ScanEnded():
                self._end_scan()
            case AcquisitionEnded():
                self._end("stopped", f"{self._name} ended it within a scan")

    def _body(self, size: int, connection: socket.socket) -> memoryview:
        """Receive what a header has announced; its size has been checked."""
        if len(self._room) < size:
            self._room = bytearray(size)
        view = memoryview(self._room)[:size]
        if size and not fill(connection, view, self._name, self._sink):
            raise SourceLostError(
                f"{self._name} hung up before a message of {size} bytes"
            )
        return view

    def _start_scan(self, raw: memoryview) -> None:
        started = self._started
        assert started is not None  # the parser sees to that
        try:
            said = from_json(bytes(raw)) if len(raw) else {}
        except ValueError as error:
            raise ProtocolError(
                f"the metadata of a scan is no JSON: {error}", cause="wrong_header"
            ) from error
        metadata = said if isinstance(said, dict) else {"said": said}
        about = self._about(
            self._sink.new_id(), started.scan_shape, started.frame_shape, metadata
        )
        events = about.encoding == "events"
        self._sink.start(about, batch_frames=EVENT_FRAMES if events else None)
        self._open, self._done = about, 0
        height, width = about.frame_shape
        self._outlet = Outlet(self._sink, about.encoding, height * width)

    def _deliver(self, chunk: ChunkFollows, body: memoryview) -> None:
        assert self._outlet is not None  # the parser sees to that
        words, bounds, cut = self._parser.events(chunk, body)
        self._outlet.cut_off += cut
        stamps = np.full(chunk.frames, time.time_ns())
        if chunk.frames:
            self._outlet.put(Piece(words, bounds, self._done, stamps))
        self._done += chunk.frames

    def _end_scan(self) -> None:
        started, about = self._started, self._open
        assert started is not None
        assert about is not None
        expected = started.scan_shape[0] * started.scan_shape[1]
        if self._done < expected:
            self._sink.gap(self._done, expected - 1, "never_sent")
            reason = f"ended the scan after {self._done} of {expected} frames"
            self._end("stopped", f"{self._name} {reason}", expected)
        else:
            self._end("complete", "", expected)

    def _end(self, state: Any, reason: str, total: int | None = None) -> None:
        if self._open is None:
            return
        if self._outlet is not None and self._outlet.cut_off:
            cut = self._outlet.cut_off
            self._sink.reject(cut, "overflow", f"{cut} counts were cut off at 65535")
        self._open = None
        self._sink.end(state, reason, self._done if total is None else total)


def with_scan(about: Acquisition, scan: Scan | None) -> Acquisition:
    """Return `about` as a scan of that shape."""
    if scan is None:
        return about
    return replace(about, kind="scan4d", scan=scan, frames=scan.frames)
