"""TIFF stacks that grow: a page counts when all of its pixels are in the file.

Programs link a page before they write its pixels, or after; either way its place is
in its directory, and what lies behind the end of the file is not there yet. The last
page is held back until another is linked or the file has rested, since a size alone
does not tell that its bytes have arrived.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tifffile

from scopeside.errors import ProtocolError, SourceError, SourceLostError
from scopeside_adapters.file.frames import Array, Facts, one_channel, pixel_dtype
from scopeside_adapters.file.watch.growing import Growing, NotYetError
from scopeside_adapters.file.watch.tiff_chain import Dialect, Directory


class TiffStack(Growing):
    """A TIFF or BigTIFF whose chain of pages becomes longer.

    Raises
    ------
    NotYetError
        If not even the first page is there.
    """

    def __init__(self, path: Path, settle_s: float) -> None:
        self._file, self._dialect = _open(path)
        try:
            super().__init__(path, _facts(self._file))
        except BaseException:
            self._file.close()
            raise
        self._stream: BinaryIO = io.BytesIO()
        self._settle_s = settle_s
        self._pages: dict[int, Directory] = {}  # whole ones that are not read yet
        self._whole = 0
        self._read_end = 0
        self._last = 0
        self._link = self._dialect.first_link

    def count(self, *, ended: bool = False) -> int:
        """Walk on along the chain, as far as pages are whole."""
        size = os.fstat(self._fd).st_size
        while (page := self._page(size)) is not None:
            self._pages[self._whole] = page
            self._whole += 1
            self._link, self._last = page.link, page.at
        sure = ended or self._linked() or self.rested_s() >= self._settle_s
        return self._whole if sure else max(0, self._whole - 1)

    def read_into(self, first: int, out: Array) -> None:
        """Decode one page after another."""
        for i in range(len(out)):
            directory = self._pages.pop(first + i)
            self._read_end = max(self._read_end, directory.end)
            try:
                self._decode(directory, first + i, out[i])
            except Exception as error:  # decoders raise whatever damage leads to
                raise SourceLostError(
                    f"page {first + i} of {self.path.name} cannot be read: {error}"
                ) from error

    def leftover(self) -> str:
        """Say that a page is linked whose pixels are not there."""
        if not self._linked():
            return ""
        return f"{self.path.name} ends in the middle of page {self._whole}"

    def needed(self, frames: int) -> int:  # noqa: ARG002 - it is known here
        """Return where the pixels of the pages end that were read."""
        return self._read_end

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._stream.close()
        super().close()

    def _decode(self, directory: Directory, number: int, out: Array) -> None:
        if self._file.filehandle.size < directory.end:  # as large as when it was opened
            self._reopen()
        self._file.filehandle.seek(directory.at)
        page = tifffile.TiffPage(self._file, index=number)
        if page.shape == out.shape and page.dtype == out.dtype:
            page.asarray(out=out)
            return
        image = one_channel(page.asarray())
        if image.shape != out.shape or pixel_dtype(image.dtype) != out.dtype:
            raise SourceError(
                f"it has {image.shape} pixels of {image.dtype}, those before had "
                f"{out.shape} of {out.dtype}"
            )
        np.copyto(out, image, casting="safe")

    def _reopen(self) -> None:
        """Open the same file, whatever lies under its name by now."""
        self._file.close()
        self._stream.close()
        self._stream = open(  # noqa: SIM115 - it stays open
            self.path, "rb", opener=lambda *_: os.dup(self._fd)
        )
        self._stream.seek(0)
        self._file = tifffile.TiffFile(self._stream)

    def _linked(self) -> bool:
        return self._dialect.follow(self._read, self._link) != 0

    def _page(self, size: int) -> Directory | None:
        """Return the page that comes next; None if it is not whole."""
        at = self._dialect.follow(self._read, self._link)
        if at <= self._last:  # nowhere, or back: programs write pages one by one
            return None
        try:
            page = self._dialect.directory(self._read, at, size)
        except ProtocolError as error:
            raise SourceLostError(f"{self.path.name}: {error}") from error
        return page if page is not None and 0 < page.end <= size else None

    def _read(self, at: int, n: int) -> bytes:
        return os.pread(self._fd, n, at) if at < 1 << 62 else b""


def _open(path: Path) -> tuple[tifffile.TiffFile, Dialect]:
    """Open a file whose first page is whole."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size

        def read(at: int, n: int) -> bytes:
            return os.pread(file.fileno(), n, at) if at < 1 << 62 else b""

        try:
            dialect = Dialect.of(read(0, 4))
            at = 0 if dialect is None else dialect.follow(read, dialect.first_link)
            first = (
                None if dialect is None or not at else dialect.directory(read, at, size)
            )
        except ProtocolError as error:
            raise SourceError(str(error)) from error
    if dialect is None or first is None or not 0 < first.end <= size:
        raise NotYetError("its first page is not there")
    try:
        return tifffile.TiffFile(path), dialect
    except Exception as error:  # readers raise whatever damage leads to
        raise NotYetError(str(error)) from error


def _facts(file: tifffile.TiffFile) -> Facts:
    try:
        first = file.pages.first
    except Exception as error:
        raise NotYetError(f"its first page cannot be read: {error}") from error
    if first.dtype is None:
        raise SourceError(f"its pixels have {first.bitspersample} bits")
    return Facts(
        frame_shape=(first.imagelength, first.imagewidth),
        dtype=pixel_dtype(first.dtype),
        count=0,
        expected=None,
        metadata={"format": "TIFF"},
    )
