"""Turns the bytes of a table of text into samples. Does no I/O.

Lines that end; a heading that names the columns, perhaps after other lines that a
logger writes first; then a row for each sample. A line counts when its end has come.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from scopeside.errors import SourceError
from scopeside_adapters.channels.times import Reader

MAX_LINE = 1 << 16
"""Bytes of a line; a longer one is passed over."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a table is written.

    `time` and `value`: names of columns, or their numbers from 0. `skip_until`: the
    heading is the first line that contains this text. `decimal`: point or comma.
    """

    time: str | int
    value: str | int
    delimiter: str = ","
    decimal: str = "."
    skip_until: str = ""
    encoding: str = "utf-8"

    @property
    def headed(self) -> bool:
        """Whether there is a heading to be found."""
        return bool(self.skip_until) or not (
            isinstance(self.time, int) and isinstance(self.value, int)
        )


@dataclass(slots=True)
class Found:
    """What some bytes came to: samples, and lines that are none."""

    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    bad: int = 0
    why: str = ""

    def refuse(self, why: str) -> None:
        """Count a line that is no sample, and keep the first reason."""
        self.bad += 1
        self.why = self.why or why


class Rows:
    """The rows of one file, from its beginning."""

    def __init__(self, form: Form, read_time: Reader) -> None:
        self._form = form
        self._read_time = read_time
        self._partial = b""
        self._overlong = False
        self._columns: tuple[int, int] | None = None
        if not form.headed:
            assert isinstance(form.time, int)
            assert isinstance(form.value, int)
            self._columns = (form.time, form.value)

    @property
    def headed(self) -> bool:
        """Whether the heading has been found, or there is none."""
        return self._columns is not None

    def skip(self) -> None:
        """Expect a jump in the bytes: what comes up to the next end of line is cut."""
        self._partial, self._overlong = b"", True

    def feed(self, data: bytes) -> Found:
        """Return what the lines come to that `data` completes.

        Raises
        ------
        SourceError
            If the heading lacks a column.
        """
        found = Found()
        for line in self._lines(data, found):
            if not line or line.isspace():
                continue
            if self._columns is None:
                self._take_heading(line)
                continue
            try:
                self._take_row(line, self._columns, found)
            except (ValueError, IndexError, OverflowError, csv.Error) as error:
                found.refuse(f"the line {line!r:.60} is no sample: {error}")
        return found

    def _lines(self, data: bytes, found: Found) -> Iterator[str]:
        *whole, rest = data.split(b"\n")
        for piece in whole:
            line, self._partial = self._partial + piece, b""
            if self._overlong or len(line) > MAX_LINE:
                self._overlong = False
                continue
            text = line.decode(self._form.encoding, errors="replace")
            yield text.strip("\r\x00\ufeff")
        self._partial += rest
        if len(self._partial) > MAX_LINE:
            if not self._overlong:
                found.refuse(f"a line is longer than {MAX_LINE} bytes")
            self._partial, self._overlong = b"", True

    def _cells(self, line: str) -> list[str]:
        row = next(csv.reader([line], delimiter=self._form.delimiter))
        return [cell.strip() for cell in row]

    def _take_heading(self, line: str) -> None:
        form = self._form
        if form.skip_until and form.skip_until not in line:
            return
        try:
            names = self._cells(line)
        except csv.Error as error:
            raise SourceError(
                f"the heading {line!r:.80} cannot be read: {error}"
            ) from (error)
        self._columns = (_number_of(form.time, names), _number_of(form.value, names))

    def _take_row(self, line: str, columns: tuple[int, int], found: Found) -> None:
        cells = self._cells(line)
        t_ns = self._read_time(cells[columns[0]])
        value = float(cells[columns[1]].replace(self._form.decimal, "."))
        if not math.isfinite(value):
            raise ValueError(f"the value {value} cannot be")
        found.times.append(t_ns)
        found.values.append(value)


def _number_of(column: str | int, names: list[str]) -> int:
    if isinstance(column, int):
        return column
    if column not in names:
        raise SourceError(
            f"there is no column {column!r}; the heading has "
            f"{', '.join(repr(name) for name in names[:20])}"
        )
    return names.index(column)
