"""How numbers have been until now, as a message of the results bus (docs/wire.md).

``[0]`` topic ``^past``, ``[1]`` msgpack header, then a part for each line: the times of
its n points (int64, ns since 1970 UTC), then (n, 3) float64, the value, and the lower
and the upper end of its band, NaN where there is none; all little endian.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq

from scopeside import publication
from scopeside.errors import ProtocolError
from scopeside.publication import VERSION
from scopeside.result import Result
from scopeside.series.kept import MOST_LINES
from scopeside.series.lines import Line
from scopeside.series.trace import MOST, Point
from scopeside.strangers import from_msgpack
from scopeside.wire import Buffer

MARK = b"^"
"""Whoever subscribes to what begins so is told the past, once."""
TOPIC = MARK + b"past"
_POINT_BYTES = 32
_MOST_BYTES = _POINT_BYTES * (MOST + 3)
_TEXTS = ("ident", "row", "label", "unit", "band")
_FIELDS = (*_TEXTS, "holds")
_LOOK_MS = 250


@dataclass(frozen=True, slots=True)
class Past:
    """Numbers over time.

    Attributes
    ----------
    lines
        Each with its points by time.
    begins
        When each acquisition began, ns since 1970 UTC, in their order.
    times
        Of each acquisition frames, each with its time.
    events
        What has happened; ``meta`` says whose result it is.
    """

    lines: Sequence[tuple[Line, list[Point]]] = ()
    begins: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    events: Sequence[Result] = ()


def to_header(past: Past) -> tuple[dict[str, Any], list[Buffer]]:
    """Return the header, and a payload part for each line."""
    lines = [{name: getattr(line, name) for name in _FIELDS} for line, _ in past.lines]
    begins = [[acq, t_ns] for acq, t_ns in past.begins.items()]
    times = [[acq, [list(pair) for pair in one]] for acq, one in past.times.items()]
    events = [publication.to_header(event)[0] for event in past.events]
    header = {"begins": begins, "times": times, "lines": lines, "events": events}
    return {"v": VERSION, **header}, [_packed(points) for _, points in past.lines]


def from_header(header: Mapping[str, Any], parts: Sequence[Buffer]) -> Past:
    """Return what `to_header` was given.

    Raises
    ------
    ProtocolError
        If it is no past.
    """
    try:
        if header["v"] != VERSION or len(header["lines"]) > MOST_LINES:
            raise ValueError(f"version {header['v']}, {len(header['lines'])} lines")
        lines = [
            (_line(about), _unpacked(part))
            for about, part in zip(header["lines"], parts, strict=True)
        ]
        begins = {str(acq): int(t_ns) for acq, t_ns in header["begins"]}
        times = {
            str(acq): [(int(frame), int(t_ns)) for frame, t_ns in one]
            for acq, one in header["times"]
        }
        events = [publication.from_header(event, ()) for event in header["events"]]
        return Past(lines, begins, times, events)
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(
            f"this is no past: {type(error).__name__}: {error}", cause="wrong_header"
        ) from error


def to_message(past: Past) -> list[Buffer]:
    """Return the parts of the message."""
    header, parts = to_header(past)
    return [TOPIC, msgpack.packb(header), *parts]


def ask_past(engine: Path, goes_on: Callable[[], bool]) -> Past | None:
    """Return the past of the engine with this run folder; waits till it tells.

    None if `goes_on`, which is asked four times a second, says no before.

    Raises
    ------
    ProtocolError
        If what came is no past.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        socket = context.socket(zmq.SUB)
        socket.subscribe(MARK)
        socket.connect(f"ipc://{engine}/results")
        while goes_on():
            if socket.poll(_LOOK_MS):
                return _from_message(socket.recv_multipart())
        return None
    finally:
        context.destroy(linger=0)


def _from_message(parts: Sequence[bytes]) -> Past:
    try:
        header = from_msgpack(parts[1])
    except (ValueError, IndexError) as error:
        raise ProtocolError(
            f"this is no past: {error}", cause="wrong_header"
        ) from error
    return from_header(header, parts[2:])


def _line(about: Mapping[str, Any]) -> Line:
    ident, row, label, unit, band = (str(about[name]) for name in _TEXTS)
    return Line(ident, row, label, unit, bool(about["holds"]), band)


def _packed(points: Sequence[Point]) -> bytes:
    times = np.array([point[0] for point in points], "<i8")
    values = np.array([point[1:] for point in points], "<f8")
    return times.tobytes() + values.tobytes()


def _unpacked(part: Buffer) -> list[Point]:
    size = len(part)
    if size % _POINT_BYTES or size > _MOST_BYTES:
        raise ValueError(f"a line has {size} bytes")
    count = size // _POINT_BYTES
    times = np.frombuffer(part, "<i8", count).tolist()
    values = np.frombuffer(part, "<f8", 3 * count, 8 * count).reshape(count, 3)
    rows = zip(times, values.tolist(), strict=True)
    return [(t_ns, value, low, high) for t_ns, (value, low, high) in rows]
