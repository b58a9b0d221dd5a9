"""A result as the bytes that a tab paints, encoded once for all tabs.

4 bytes little-endian: length of the header; the header, JSON in UTF-8, padded with
spaces so that the pixels begin at a multiple of 8; the pixels, row by row. Whole
numbers that span less than 2^32 travel exactly, as ``u1``, ``u2`` or ``u4`` above
`offset`; all others as ``f4``, of complex ones the magnitude. A pixel that stands on no
frame is `unseen`, the largest number of its type, or NaN. Colours are red, green, blue
and 255, or 0 where there is none.

Of an image that is larger than `LONGEST` the means of ``step`` × ``step`` pixels are
sent (``block``: ``mean``), or of names of classes the middle ones (``middle``);
``shape`` is that of the whole image, ``sent`` that of the pixels. Of a part of an image
(`Part`) ``shape`` is that of the part, and ``origin`` where it begins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scopeside.dashboard.blocks import means, middles
from scopeside.dashboard.plain import plain
from scopeside.dashboard.planes import Mask, Plane, plane_of
from scopeside.dashboard.shelf import Shown
from scopeside.errors import ShapeError
from scopeside.result import Result

Pixels = npt.NDArray[Any]

LONGEST = 2048
"""Pixels along a side, at most; a screen shows no more."""
_EXACT = (np.uint8, np.uint16, np.uint32)
_SAFE = 1 << 53
"""From here on JavaScript's numbers are no longer exact."""


class Part(NamedTuple):
    """A part of an image: its first pixel, and how many; the rest is cut off."""

    row: int
    column: int
    rows: int
    columns: int


class Narrow(NamedTuple):
    """Values in few bytes: add `offset`; `unseen` is no value (None: there is none)."""

    pixels: Pixels
    offset: int
    unseen: int | None


def is_picture(shown: Shown) -> bool:
    """Whether a result can be painted as an image."""
    result = shown.result
    return (
        result.kind == "image"
        and isinstance(result.data, np.ndarray)
        and result.data.ndim >= 2
    )


def header_of(shown: Shown) -> dict[str, Any]:
    """Return what the header of a picture says of its result."""
    result, meta = shown.result, shown.result.meta
    said = {
        "key": shown.key,
        "number": shown.number,
        "kind": result.kind,
        "units": result.units,
        "first": result.first,
        "frame": result.frame,
        "used": result.used,
        "expected": result.expected,
        "valid": result.valid,
        "reason": result.reason,
        "acq": meta.get("acq"),
        "chain": meta.get("chain"),
        "processor": meta.get("processor"),
        "name": result.name,
        "params": meta.get("params"),
        "params_from": meta.get("params_from"),
        "final": bool(meta.get("final")),
        "t_frame_ms": (meta.get("t_frame_ns") or 0) / 1e6,
        "t_published_ms": (meta.get("t_published_ns") or 0) / 1e6,
    }
    return dict(plain(said))


def is_labels(result: Result) -> bool:
    """Whether an image's whole numbers are names, of classes or particles.

    A processor says so by ``labels`` in ``meta``; what is called ``labels`` is some.
    """
    data = result.data
    is_whole = isinstance(data, np.ndarray) and data.dtype.kind in "iub"
    return is_whole and bool(result.meta.get("labels", result.name == "labels"))


def encoded(
    shown: Shown,
    beside: Mapping[str, Any],
    plane: int | None = None,
    part: Part | None = None,
) -> bytes:
    """Return a result as a message; `beside` goes into its header."""
    result = shown.result
    header = {**header_of(shown), "labels": is_labels(result), **beside}
    data = result.data if isinstance(result.data, np.ndarray) else np.empty((0, 0))
    if result.valid and not data.size:
        header |= {"valid": False, "reason": "it has no pixels"}
    return pictured(data, header, result.mask, result.axes, plane, part=part)


def pictured(
    data: Pixels,
    header: Mapping[str, Any],
    mask: Mask | None = None,
    axes: tuple[str, ...] = (),
    plane: int | None = None,
    *,
    part: Part | None = None,
) -> bytes:
    """Return any array as a message, such as the answer to a question.

    Parameters
    ----------
    header
        What else is known of it; ``key`` and ``number`` at least. With ``labels`` its
        numbers are names.
    mask : shape of `data`, True where there is a value
    axes
        Names of the axes of `data`, slowest first.
    plane
        Which one of more than two dimensions, see `plane_of`.
    part
        Of that plane; None: all of it.
    """
    cut = plane_of(data, mask, axes, plane)
    if np.iscomplexobj(cut.pixels):
        cut = replace(cut, pixels=np.abs(cut.pixels))
    whole = cut.pixels.shape[:2]
    if part is not None:
        cut = _part_of(cut, part)
    rows, columns = cut.pixels.shape[:2]
    step = max(1, -(-max(rows, columns) // LONGEST))
    block = "" if step == 1 else "middle" if header.get("labels") else "mean"
    pixels, offset, unseen = _small(cut if step == 1 else _blocks(cut, step, block))
    about = {
        "shape": [rows, columns, *pixels.shape[2:]],
        "sent": list(pixels.shape),
        "step": step,
        "dtype": pixels.dtype.str[1:],
        "offset": offset,
        "unseen": unseen,
        "form": cut.form,
        "axes": list(cut.axes),
        "block": block,
        "whole_numbers": cut.pixels.dtype.kind in "iub",
    }
    if part is not None:
        about |= {"origin": [part.row, part.column], "of_shape": list(whole)}
    if abs(offset) >= _SAFE:
        about["offset_exact"] = str(offset)
    if cut.sizes:
        names, sizes, at = list(cut.across), list(cut.sizes), list(cut.at)
        about["planes"] = {"axes": names, "sizes": sizes, "at": at}
    return packed({**header, **about}, pixels)


def packed(header: Mapping[str, Any], pixels: Pixels) -> bytes:
    """Return header and pixels as one message."""
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % 8)
    little = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    return b"".join((len(text).to_bytes(4, "little"), text, little.tobytes()))


def addressed(ident: str, message: bytes) -> bytes:
    """Return a message for the image `ident` of a tab: 1 byte, the name, padding."""
    name = ident.encode()
    head = bytes([len(name)]) + name
    return head + b"\0" * (-len(head) % 8) + message


def narrowed(data: Pixels, mask: Mask | None = None) -> Narrow:
    """Return the values in few bytes, and what is to be added to them.

    Parameters
    ----------
    data : any shape; whole numbers, floats or bool of any byte order
    mask : shape of `data`, True where there is a value
    """
    if mask is not None and bool(mask.all()):
        mask = None
    seen = data if mask is None else data[mask]
    if data.dtype.kind in "iub" and seen.size:
        low, span = int(seen.min()), int(seen.max()) - int(seen.min())
        for small in _EXACT:
            most = int(np.iinfo(small).max)
            if span + (mask is not None) <= most:
                above = _above(data, low).astype(small)
                if mask is None:
                    return Narrow(above, low, None)
                above[~mask] = most
                return Narrow(above, low, most)
    with np.errstate(over="ignore"):  # beyond f4 is infinite there
        values = data.astype(np.float32)
    if mask is not None:
        values[~mask] = np.nan
    return Narrow(values, 0, None)


def _part_of(cut: Plane, part: Part) -> Plane:
    rows = slice(part.row, part.row + part.rows)
    columns = slice(part.column, part.column + part.columns)
    mask = None if cut.mask is None else cut.mask[rows, columns]
    pixels = cut.pixels[rows, columns]
    if not pixels.size:
        raise ShapeError(f"there is no such part of an image: {tuple(part)}")
    return replace(cut, pixels=pixels, mask=mask)


def _blocks(cut: Plane, step: int, block: str) -> Plane:
    """Return one pixel for each `step` × `step` of a plane."""
    if block == "middle":
        there = None if cut.mask is None else middles(cut.mask, step)
        return replace(cut, pixels=middles(cut.pixels, step), mask=there)
    found = means(cut.pixels, cut.mask, step)
    if cut.form != "rgb":
        return replace(cut, pixels=found, mask=None)
    seen: Mask = np.isfinite(found[..., 0])  # all three, or none
    colours = np.rint(np.nan_to_num(found)).astype(np.uint8)
    return replace(cut, pixels=colours, mask=seen)


def _small(cut: Plane) -> Narrow:
    pixels, mask = cut.pixels, cut.mask
    if cut.form == "rgb":
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        if mask is not None:
            alpha[~mask] = 0
        return Narrow(np.dstack([pixels, alpha]), 0, None)
    if cut.form == "vector":
        mask = None if mask is None else np.repeat(mask[..., None], 2, axis=2)
        return narrowed(pixels.astype(np.float32), mask)
    return narrowed(pixels, mask)


def _above(data: Pixels, low: int) -> Pixels:
    """Return ``data - low`` as unsigned numbers of the same size.

    They wrap around where `data` is signed, and so are right; what lies below `low` is
    not seen, and is overwritten.
    """
    if data.dtype.kind == "b":
        return data.astype(np.uint8) - np.uint8(low)
    native = data.astype(data.dtype.newbyteorder("="), copy=False)
    unsigned = native.astype(f"u{native.dtype.itemsize}")
    start = np.array(low, native.dtype).astype(unsigned.dtype)
    above: Pixels = unsigned - start
    return above
