"""What of an array is painted: its rows and columns, and which of its planes.

An image may have more axes than two: scans one after another, classes, vectors. Two of
them are rows and columns, a last one of vectors (``yx``) or colours (``rgb``) is kept,
and of all others one number is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Form = Literal["scalar", "vector", "rgb"]

_ROWS_AND_COLUMNS = (("scan_y", "scan_x"), ("y", "x"))


@dataclass(frozen=True, slots=True)
class Plane:
    """A part of an image that can be painted.

    Attributes
    ----------
    pixels : (rows, columns); of vectors (rows, columns, 2), of rgb (rows, columns, 3)
    mask : (rows, columns), True where there is a value; None: everywhere
    axes
        Names of rows and columns; empty where nobody has said.
    across, sizes, at
        The other axes: their names, sizes, and which number was chosen of each.
    """

    pixels: Pixels
    mask: Mask | None
    form: Form
    axes: tuple[str, ...] = ()
    across: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    at: tuple[int, ...] = ()


def plane_of(
    data: Pixels,
    mask: Mask | None = None,
    axes: tuple[str, ...] = (),
    number: int | None = None,
) -> Plane:
    """Return a plane of an array of any shape.

    Parameters
    ----------
    number
        Counts the planes, the last axis fastest; beyond the last: the last. None: of
        scans the last one that has begun, of all else the first.
    """
    if data.ndim < 2 or data.size == 0:
        flat = data.reshape(1, -1) if data.size else np.empty((0, 0), np.uint8)
        kept = None if mask is None or not data.size else mask.reshape(1, -1)
        return Plane(flat, kept, "scalar")
    named = axes if len(axes) == data.ndim else ()
    form = _form(data, named)
    rows, columns = _rows_and_columns(data.ndim - (form != "scalar"), named)
    rest = [k for k in range(data.ndim) if k not in {rows, columns}]
    across = rest if form == "scalar" else rest[:-1]
    order = (*across, rows, columns, *([] if form == "scalar" else rest[-1:]))
    turned = data.transpose(order)
    turned_mask = None if mask is None else mask.transpose(order)
    names = tuple(named[k] if named else f"axis {k}" for k in across)
    sizes = tuple(data.shape[k] for k in across)
    at = _chosen(names, sizes, turned_mask, number)
    there = None if turned_mask is None else turned_mask[at]
    if there is not None and there.ndim == 3:
        there = there.all(axis=2)
    shown = (named[rows], named[columns]) if named else ()
    return Plane(turned[at], there, form, shown, names, sizes, at)


def _form(data: Pixels, named: tuple[str, ...]) -> Form:
    """Return what the last axis is: by its name, else by its size."""
    last = data.shape[-1]
    name = named[-1] if named else ""
    unnamed = not named and data.ndim == 3
    is_vector = name == "yx" or (unnamed and data.dtype.kind == "f")
    is_colour = (name == "rgb" or unnamed) and data.dtype == np.uint8
    if data.ndim > 2 and last == 2 and is_vector:
        return "vector"
    if data.ndim > 2 and last == 3 and is_colour:
        return "rgb"
    return "scalar"


def _rows_and_columns(ndim: int, named: tuple[str, ...]) -> tuple[int, int]:
    for rows, columns in _ROWS_AND_COLUMNS:
        if rows in named and columns in named:
            return named.index(rows), named.index(columns)
    return ndim - 2, ndim - 1


def _chosen(
    names: tuple[str, ...],
    sizes: tuple[int, ...],
    mask: Mask | None,
    number: int | None,
) -> tuple[int, ...]:
    if not sizes:
        return ()
    if number is not None:
        last = int(np.prod(sizes)) - 1
        return tuple(map(int, np.unravel_index(min(max(number, 0), last), sizes)))
    at = [0] * len(sizes)
    if "scan" in names:
        axis = names.index("scan")
        at[axis] = sizes[axis] - 1
        if mask is not None:
            others = tuple(k for k in range(mask.ndim) if k != axis)
            begun = np.flatnonzero(mask.any(axis=others))
            at[axis] = int(begun[-1]) if begun.size else 0
    return tuple(at)
