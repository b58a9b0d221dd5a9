"""The `csv` channel: a table of text that a logger writes while the engine runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from io import FileIO
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from scopeside.channel import ChannelSink
from scopeside.detector import StopRequested
from scopeside.errors import SourceError
from scopeside.params import LocalPath, Params
from scopeside_adapters.channels.rows import Form, Found, Rows
from scopeside_adapters.channels.times import TimeFormat, reader, zone_of

CHUNK = 1 << 18
NAP_S = 0.05


def _known_zone(name: str) -> str:
    zone_of(name)
    return name


Column = Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, Field(min_length=1)]


class CsvParams(Params):
    """``[[channel]] kind = "csv"``."""

    path: LocalPath
    """The file; it need not be there yet, its folder must."""
    time: Column
    """Column of the times: its name in the heading, or its number from 0."""
    value: Column
    """Column of the values, likewise."""
    time_format: TimeFormat = "epoch_s"
    """epoch_s, epoch_ms, epoch_us, epoch_ns: since 1970; iso: 2026-01-31T10:15:00.25;
    clock: 10:15:00.25; elapsed_s: seconds after t0."""
    t0: datetime | date | None = None
    """elapsed_s: when 0 was; clock: the date of the first row, by default today."""
    timezone: Annotated[str, AfterValidator(_known_zone)] = "local"
    """Of times without one: local, UTC, or a name such as Europe/Berlin."""
    delimiter: str = Field(",", min_length=1, max_length=1)
    """Between columns: one character, such as ";" or a tab, "\\t"."""
    decimal: Literal[".", ","] = "."
    """Decimal point or comma of the values."""
    skip_until: str = ""
    """The heading is the first line that contains this text; empty: the first line."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """How the file is encoded."""
    history_kib: int = Field(1024, ge=0, le=1 << 20)
    """Of what is in the file already, so much is read, from its end, KiB."""
    poll_s: float = Field(0.1, gt=0, le=60)
    """How often it is looked for new rows, s."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.time_format == "elapsed_s" and not isinstance(self.t0, datetime):
            raise ValueError(
                "time_format = 'elapsed_s' needs t0, date and time of its 0, such as "
                "t0 = 2026-01-31T10:15:00+01:00"
            )
        if self.t0 is not None and self.time_format not in ("elapsed_s", "clock"):
            raise ValueError("t0 belongs to time_format = 'elapsed_s' or 'clock'")
        if self.delimiter == self.decimal:
            raise ValueError("delimiter and decimal cannot be the same character")
        if self.delimiter in '"\r\n\0':
            raise ValueError("delimiter cannot be a quote or an end of line")
        return self


class CsvFile:
    """Follows a table of text that grows: a row is a sample once its line is whole."""

    Params: ClassVar[type[CsvParams]] = CsvParams

    def __init__(self, params: CsvParams) -> None:
        self._params = params
        self._path = params.path
        self._form = Form(
            params.time,
            params.value,
            params.delimiter,
            params.decimal,
            params.skip_until,
            params.encoding,
        )

    def check(self) -> list[str]:
        """Return why the file cannot be followed, if it cannot."""
        if not self._path.parent.is_dir():
            return [f"path: there is no folder {self._path.parent}"]
        if self._path.is_dir():
            return [f"path: {self._path} is a folder"]
        if self._path.exists() and not os.access(self._path, os.R_OK):
            return [f"path: {self._path} may not be read"]
        return self._heading_problem() if self._path.is_file() else []

    def _heading_problem(self) -> list[str]:
        """Return what is wrong with the heading, if it is there already."""
        try:
            with self._opened() as file:
                self._rows().feed(file.read(CHUNK) or b"")
        except SourceError as error:
            return [f"{self._path}: {error}"]
        return []

    def run(self, sink: ChannelSink) -> None:
        """Follow the file until the engine is asked to end."""
        told = False
        since_ns, history = sink.since_ns, self._params.history_kib * 1024
        while True:
            if not self._path.exists():
                if not told:
                    sink.note(f"waits for {self._path}")
                    told = True
                self._nap(sink)
                continue
            with self._opened() as file:
                follower = _Follower(file, self._rows(), sink, since_ns)
                follower.begin(history)
                self._follow(file, follower, sink)
            # A file that takes its place is new from its first row on.
            since_ns, history, told = None, 1 << 62, False

    def _follow(self, file: FileIO, follower: _Follower, sink: ChannelSink) -> None:
        """Read until the file is another one, or shorter than it was."""
        while True:
            follower.read_all()
            try:
                now = self._path.stat()
            except FileNotFoundError:
                sink.note(f"{self._path} is gone; waits for another")
                return
            except OSError as error:
                raise SourceError(f"{self._path}: {error.strerror}") from error
            mine = os.fstat(file.fileno())
            if (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino):
                follower.read_all()  # its last words
                sink.note(f"{self._path} is another file now: read from its beginning")
                return
            if now.st_size < file.tell():
                sink.note(f"{self._path} has shrunk: read from its beginning")
                return
            self._nap(sink)

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        try:
            file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error
        with file:
            try:
                yield file
            except OSError as error:
                raise SourceError(f"{self._path}: {error.strerror}") from error

    def _rows(self) -> Rows:
        asked = self._params
        return Rows(self._form, reader(asked.time_format, asked.timezone, asked.t0))

    def _nap(self, sink: ChannelSink) -> None:
        until = time.monotonic() + self._params.poll_s
        while (left := until - time.monotonic()) > 0:
            if sink.stopping:
                raise StopRequested
            time.sleep(min(left, NAP_S))


class _Follower:
    """Reads one open file into the sink."""

    def __init__(
        self, file: FileIO, rows: Rows, sink: ChannelSink, since_ns: int | None
    ) -> None:
        self._file = file
        self._rows = rows
        self._sink = sink
        self._since_ns = since_ns

    def begin(self, history: int) -> None:
        """Read the heading, then go to `history` bytes before the end."""
        found = []
        while not self._rows.headed and (data := self._file.read(4096)):
            found.append(self._rows.feed(data))
        behind = os.fstat(self._file.fileno()).st_size - history
        if self._rows.headed and behind > self._file.tell():
            self._file.seek(behind)
            self._rows.skip()
        else:
            for one in found:
                self._pass_on(one)

    def read_all(self) -> None:
        """Take all that is there."""
        while data := self._file.read(CHUNK):
            self._pass_on(self._rows.feed(data))

    def _pass_on(self, found: Found) -> None:
        if found.bad:
            self._sink.reject(found.bad, "wrong_row", found.why)
        times = np.array(found.times, np.int64)
        values = np.array(found.values, np.float64)
        if self._since_ns is not None:
            fresh = times > self._since_ns
            times, values = times[fresh], values[fresh]
        if len(times):
            self._sink.samples(times, values)
