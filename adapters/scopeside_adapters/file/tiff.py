"""TIFF: stacks mapped into memory where they lie in one piece, else by page."""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile

from scopeside.errors import ProtocolError, SourceError
from scopeside_adapters.file.frames import (
    Array,
    ArrayFrames,
    Facts,
    FrameLostError,
    Frames,
    map_records,
    one_channel,
    pixel_dtype,
    shortfall,
)
from scopeside_adapters.file.watch.tiff_chain import Dialect

log = logging.getLogger(__name__)

Page = tifffile.TiffPage | tifffile.TiffFrame | None


def open_tiff(path: Path, key: str | None) -> Frames:
    """Open a stack; `key` is the number of the series where a file holds several."""
    _refuse_a_circle(path)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tifffile.TiffFile(path))
        series = _choose(file, key)
        if images := _lost_imagej(file, series):
            page = file.pages.first
            return _map_pages(path, file, page, page.dataoffsets[0], images)
        if series is not None and _lies_in_one_piece(series):
            return _map(path, file, series)
        frames = TiffPages(path, file, series)
        stack.pop_all()  # from here on the frames close the file
        return frames


def load_tiff(path: Path) -> Array:
    """Return the only page of a file, (height, width)."""
    _refuse_a_circle(path)
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise SourceError(f"it has {len(file.pages)} pages, expected one a file")
        page = file.pages.first
        _check_whole(page, file.filehandle.size)
        if _is_decoded_here(page):
            return one_channel(_channels_last(page, page.asarray()))
    with iio.imopen(path, "r", plugin="pillow") as picture:
        return one_channel(np.asarray(picture.read(index=0)))


def _refuse_a_circle(path: Path) -> None:
    """Refuse a file whose pages lead back: tifffile would go round four million times.

    Raises
    ------
    SourceError
        With the place to which they lead.
    """
    with path.open("rb") as file:

        def read(at: int, n: int) -> bytes:
            file.seek(min(at, 1 << 62))
            return file.read(n)

        try:
            dialect = Dialect.of(read(0, 4))
        except ProtocolError:
            return  # of another kind; tifffile says so
        seen: set[int] = set()
        link = 0 if dialect is None else dialect.first_link
        while dialect is not None and (at := dialect.follow(read, link)):
            if at in seen:
                raise SourceError(f"its pages lead back to the one at byte {at}")
            seen.add(at)
            link = dialect.link_of(read, at)


class TiffPages(Frames):
    """Frames that are decoded page by page."""

    def __init__(
        self,
        path: Path,
        file: tifffile.TiffFile,
        series: tifffile.TiffPageSeries | None,
    ) -> None:
        self._file = file
        self._pages: Sequence[Page] = file.pages if series is None else series.pages
        first = file.pages.first if series is None else series.keyframe
        shape = (first.imagelength, first.imagewidth)
        expected = len(self._pages)
        if series is not None:
            expected = max(expected, int(np.prod(series.shape)) // first.size)
        count = _pages_there(self._pages)
        if first.dtype is None:
            raise SourceError(f"its pixels have {first.bitspersample} bits")
        super().__init__(
            Facts(
                frame_shape=shape,
                dtype=pixel_dtype(first.dtype),
                count=count,
                expected=expected,
                missing=shortfall(path, count, expected) or _cut_off(path, file),
                scan_shape=None if series is None else _scan_of(series),
                metadata={"format": "TIFF"},
            )
        )
        self._pillow = (
            None if _is_decoded_here(first) else iio.imopen(path, "r", plugin="pillow")
        )

    def read_into(self, first: int, out: Array) -> None:
        """Decode straight into `out` where the page has its shape and dtype."""
        for i in range(len(out)):
            try:
                self._read_page(first + i, out[i])
            except Exception as error:  # decoders raise whatever damage leads to
                raise FrameLostError(
                    f"page {first + i} of {self.facts.expected} cannot be read: "
                    f"{error}",
                    frame=first + i,
                ) from error

    def close(self) -> None:
        """Close the file."""
        if self._pillow is not None:
            self._pillow.close()
        self._file.close()

    def _read_page(self, number: int, out: Array) -> None:
        page = self._pages[number]
        assert page is not None  # `count` ends before the first that is not there
        _check_whole(page, self._file.filehandle.size)
        if self._pillow is not None:
            image = one_channel(np.asarray(self._pillow.read(index=number)))
        elif page.shape == out.shape and page.dtype == out.dtype:
            page.asarray(out=out)
            return
        else:
            image = one_channel(_channels_last(page, page.asarray()))
        if image.shape != out.shape or pixel_dtype(image.dtype) != out.dtype:
            raise SourceError(
                f"it has {image.shape} pixels of {image.dtype}, "
                f"expected {out.shape} of {out.dtype}"
            )
        np.copyto(out, image, casting="safe")


def _choose(file: tifffile.TiffFile, key: str | None) -> tifffile.TiffPageSeries | None:
    """Return the series to read; None for all pages as they follow each other."""
    try:
        series = file.series
    except Exception as error:  # noqa: BLE001 - damage leads to anything
        log.debug("%s: no series: %s", file.filename, error)
        return None
    if key is not None:
        if not key.isdecimal() or int(key) >= len(series):
            raise SourceError(
                f"it holds series 0 to {len(series) - 1}, there is no key {key!r}"
            )
        return series[int(key)]
    if len(series) == 1:
        return series[0]
    if len({(one.keyframe.shape, one.dtype) for one in series}) == 1:
        return None
    listed = ", ".join(f"{i}: {one.shape} {one.dtype}" for i, one in enumerate(series))
    raise SourceError(f"it holds several series ({listed}); choose one with key")


def _lies_in_one_piece(series: tifffile.TiffPageSeries) -> bool:
    return series.dataoffset is not None and series.axes.endswith("YX")


def _map(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> Frames:
    assert series.dataoffset is not None  # or the series were not in one piece
    images = int(np.prod(series.shape[:-2], dtype=np.int64))
    frames = _map_pages(path, file, series.keyframe, series.dataoffset, images)
    frames.facts = replace(frames.facts, scan_shape=_scan_of(series))
    return frames


def _lost_imagej(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries | None
) -> int:
    """Return how many images ImageJ promised, if the pages after the first are lost.

    They follow the first in one piece, so they can be read without their pages.
    """
    promised = (file.imagej_metadata or {}).get("images", 1)
    if (series is not None and series.kind == "imagej") or promised < 2:
        return 0
    return int(promised) if file.pages.first.is_contiguous else 0


def _map_pages(
    path: Path, file: tifffile.TiffFile, page: Any, offset: int, images: int
) -> Frames:
    """Map images that lie one after another and are like `page`."""
    shape = (page.imagelength, page.imagewidth)
    dtype = page.dtype.newbyteorder(file.byteorder)
    there = path.stat().st_size - offset
    count = max(0, min(images, there // (shape[0] * shape[1] * dtype.itemsize)))
    facts = Facts(
        frame_shape=shape,
        dtype=pixel_dtype(dtype),
        count=count,
        expected=images,
        missing=shortfall(path, count, images) or _cut_off(path, file),
        metadata={"format": "TIFF"},
    )
    return ArrayFrames(map_records(path, offset, (dtype, shape), count), facts)


def _scan_of(series: tifffile.TiffPageSeries) -> tuple[int, int] | None:
    """Return the scan where two axes have no meaning of their own.

    Axes that are named time, depth or channel are no scan.
    """
    if series.ndim == 4 and series.axes == "QQYX":
        return int(series.shape[0]), int(series.shape[1])
    return None


def _is_decoded_here(page: Any) -> bool:
    """Whether tifffile decodes it alone; LZW it does only with imagecodecs."""
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError:
        return False
    return True


def _check_whole(page: Any, size: int) -> None:
    """Refuse a page whose pixels lie beyond the end; some decoders fill with zeros."""
    ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if (end := max(ends, default=0)) > size:
        raise SourceError(f"its pixels end at byte {end}, the file at byte {size}")


def _channels_last(page: Any, image: Array) -> Array:
    separate = image.ndim == 3 and page.planarconfig == 2
    return np.moveaxis(image, 0, -1) if separate else image


def _pages_there(pages: Sequence[Page]) -> int:
    for number in range(len(pages)):
        try:
            if pages[number] is None:
                return number
        except Exception as error:  # noqa: BLE001 - damage leads to anything
            log.debug("page %d: %s", number, error)
            return number
    return len(pages)


def _cut_off(path: Path, file: tifffile.TiffFile) -> str:
    """Say so where the chain of pages points beyond the end of the file."""
    pages, tiff = len(file.pages), file.tiff
    with path.open("rb") as raw:
        raw.seek(file.pages.next_page_offset or 0)
        link = raw.read(tiff.offsetsize)
    if len(link) == tiff.offsetsize:
        (following,) = struct.unpack(tiff.offsetformat, link)
        if following < path.stat().st_size:
            return ""
    return f"{path.name} ends after {pages} pages, though more should follow"
