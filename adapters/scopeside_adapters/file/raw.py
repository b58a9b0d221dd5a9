"""Bare pixels (.raw): EMPAD files, and any layout that is described.

An EMPAD frame has 130 rows of 128 float32: 128 of the image, two of the detector's
own. The scan stands in the .xml of the acquisition, or in the file's name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from scopeside.errors import SourceError
from scopeside.params import Params
from scopeside_adapters.file.frames import Frames, pixel_dtype
from scopeside_adapters.file.strided import Strided, open_strided, record_of

_EMPAD_ROWS = 130
_EMPAD = (128, 128)
_XML_LIMIT = 1 << 20
_NAMED_SCAN = re.compile(r"_x(\d{1,6})_y(\d{1,6})", re.IGNORECASE)


def _plain_pixel(dtype: str) -> str:
    try:
        pixel_dtype(dtype)
    except (SourceError, TypeError) as error:
        raise ValueError(
            f"expected a NumPy dtype of plain numbers, such as '<u2': {error}"
        ) from error
    return dtype


class RawLayout(Params):
    """``raw = { … }``: what a file of bare pixels does not say."""

    shape: tuple[
        Annotated[int, Field(ge=1, le=1 << 16)], Annotated[int, Field(ge=1, le=1 << 16)]
    ]
    """Height and width of a frame, pixels."""
    dtype: Annotated[str, AfterValidator(_plain_pixel)] = "<u2"
    """Of a pixel, as NumPy spells it: "<u2", ">u2", "|u1", "<f4" …"""
    header_bytes: int = Field(0, ge=0)
    """Before the first frame."""
    before_bytes: int = Field(0, ge=0, le=1 << 24)
    """Before the pixels of each frame."""
    after_bytes: int = Field(0, ge=0, le=1 << 24)
    """After the pixels of each frame."""


def open_raw(path: Path, described: RawLayout | None = None) -> Frames:
    """Map the frames of an EMPAD file, or of one that is `described`.

    Raises
    ------
    SourceError
        If nothing describes the file and it is not of an EMPAD.
    """
    if described is None and path.stat().st_size % _empad_record().itemsize:
        raise SourceError(
            f"it has {path.stat().st_size} bytes, which is no whole number of EMPAD "
            f"frames ({_empad_record().itemsize} bytes); for another detector give "
            "raw = { shape = [height, width], dtype = … }"
        )
    return open_strided(path, raw_layout(path, described))


def raw_layout(path: Path, described: RawLayout | None) -> Strided:
    """Return how the file is laid out: as `described`, else as EMPAD files are."""
    if described is None:
        scan = _empad_scan(path)
        return Strided(
            format="EMPAD", offset=0, record=_empad_record(), scan_shape=scan
        )
    before, after = described.before_bytes, described.after_bytes
    pixels = np.dtype((described.dtype, described.shape)).itemsize
    record = record_of(
        described.dtype, described.shape, before=before, size=before + pixels + after
    )
    return Strided(format="raw", offset=described.header_bytes, record=record)


def _empad_record() -> np.dtype[Any]:
    return record_of("<f4", _EMPAD, size=4 * _EMPAD_ROWS * _EMPAD[1])


def _empad_scan(path: Path) -> tuple[int, int] | None:
    """Return (rows, columns) from the .xml that names the file, or from its name."""
    for beside in (path.with_suffix(".xml"), *sorted(path.parent.glob("*.xml"))):
        if beside.is_file() and beside.stat().st_size <= _XML_LIMIT:
            text = beside.read_text("utf-8", "replace")
            if path.name in text or beside.stem == path.stem:
                return _scan_in(text)
    named = _NAMED_SCAN.search(path.name)
    return None if named is None else (int(named[2]), int(named[1]))


def _scan_in(xml: str) -> tuple[int, int] | None:
    """Find the size of the scan in either of the two dialects; a series has none."""
    if _number(xml, "series_count"):
        return None
    acquire = re.search(
        r"<scan_parameters\b[^>]*mode\s*=\s*[\"']acquire[\"'].*?</scan_parameters>",
        xml,
        re.DOTALL,
    )
    inside = xml if acquire is None else acquire[0]
    for x, y in (("scan_resolution_x", "scan_resolution_y"), ("pix_x", "pix_y")):
        columns, rows = _number(inside, x), _number(inside, y)
        if rows and columns:
            return rows, columns
    return None


def _number(xml: str, tag: str) -> int:
    """Return the number in an element's text or attribute; 0 if there is none."""
    found = re.search(rf"\b{tag}\b[^>0-9]{{0,40}}>?\s*[\"']?(\d{{1,6}})\b", xml)
    return 0 if found is None else int(found[1])
