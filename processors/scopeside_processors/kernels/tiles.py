"""Adds pixels of 16 frames at once to sums that are chosen pixel by pixel.

Sums over rings of an image are a scatter: each pixel goes to a sum that its label
chooses. One frame at a time this is one load, one addition and one store a pixel, each
waiting for the one before. With 16 frames side by side the pixels of one place become
one vector, and so do their sums. What is written below is LLVM's own code for vectors:
it becomes AVX-512, AVX2, SSE or NEON, whichever the processor has.
"""

# ruff: noqa: ARG001 - numba calls it with the types of all arguments

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

FRAMES = 16
"""Frames that are taken side by side."""
TURNS = 2
"""Sums of each label that take turns, so that no pixel waits for its neighbour."""
_LANE = 128  # bits: within them vector instructions shuffle at full speed
_INT16, _INT32 = ir.IntType(16), ir.IntType(32)


def tile_of(itemsize: int) -> int:
    """Return how many pixels of `itemsize` bytes, 2 or more, a tile is wide."""
    return _LANE // 8 // itemsize


@intrinsic
def add_tile(
    _typing: Any, pixels: Any, pitch: Any, labels: Any, sums: Any, like: Any
) -> Any:
    """Add a tile, `tile_of` pixels of `FRAMES` frames, to the sums of its labels.

    Parameters
    ----------
    pixels, pitch
        Address of the first frame's pixels, and bytes from one frame to the next.
    labels
        Address of the labels of the tile's pixels, uint16.
    sums
        Address of (labels, `TURNS`, `FRAMES`) sums.
    like
        A pair of arrays with the dtypes of the pixels and of the sums; nothing else
        of them matters. (One function for all, and a global one: numba finds a
        compiled kernel again only if what it refers to has the same name everywhere.)
    """
    return _signature(pixels, like), _code(like, squares=False)


@intrinsic
def add_squares(
    _typing: Any, pixels: Any, pitch: Any, labels: Any, sums: Any, like: Any
) -> Any:
    """Add the squares of a tile's pixels, otherwise as `add_tile`."""
    return _signature(pixels, like), _code(like, squares=True)


def _signature(pixels: Any, like: Any) -> Any:
    address = types.uintp
    return types.void(address, address, address, address, like)


def _code(like: Any, *, squares: bool) -> Any:
    pixel, total = like[0].dtype, like[1].dtype
    itemsize = pixel.bitwidth // 8
    lanes = ir.VectorType(_llvm(pixel), tile_of(itemsize))
    wide = ir.VectorType(_llvm(total), FRAMES)

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        address, pitch, labels, sums = given[:4]
        rows = _load(builder, address, pitch, lanes, itemsize)
        for place, values in enumerate(_transposed(builder, rows, lanes.count)):
            at = builder.add(labels, ir.Constant(labels.type, 2 * place))
            label = builder.load(builder.inttoptr(at, _INT16.as_pointer()), align=2)
            row = builder.zext(label, sums.type)
            size = total.bitwidth // 8 * FRAMES
            offset = builder.mul(row, ir.Constant(sums.type, TURNS * size))
            turn = ir.Constant(sums.type, place % TURNS * size)
            to = builder.inttoptr(
                builder.add(builder.add(sums, offset), turn), wide.as_pointer()
            )
            value = _widened(builder, values, pixel, total, wide)
            if squares:
                times = builder.fmul if _is_float(total) else builder.mul
                value = times(value, value)
            plus = builder.fadd if _is_float(total) else builder.add
            known = builder.load(to, align=8)
            builder.store(plus(known, value), to, align=8)
        return context.get_dummy_value()

    return generate


def _load(builder: Any, address: Any, pitch: Any, lanes: Any, size: int) -> list[Any]:
    """Return the tile's rows, several frames in one vector.

    Vector i holds, lane after lane, the pixels of frames i, i + width, i + 2 width …;
    a pixel has `size` bytes.
    """
    rows = []
    for first in range(lanes.count):
        parts = []
        for frame in range(first, FRAMES, lanes.count):
            step = builder.mul(pitch, ir.Constant(pitch.type, frame))
            place = builder.inttoptr(builder.add(address, step), lanes.as_pointer())
            parts.append(builder.load(place, align=size))
        while len(parts) > 1:
            both = _mask(range(2 * parts[0].type.count))
            parts = [
                builder.shuffle_vector(one, other, both)
                for one, other in zip(parts[::2], parts[1::2], strict=True)
            ]
        rows.append(parts[0])
    return rows


def _transposed(builder: Any, rows: list[Any], width: int) -> list[Any]:
    """Return one vector of all frames for each pixel; `width` is 2, 4 or 8."""
    low, high = (_unpack(FRAMES, width, half) for half in (0, 1))
    for _ in range(width.bit_length() - 1):
        half = width // 2
        rows = [
            builder.shuffle_vector(rows[k], rows[k + half], mask)
            for k in range(half)
            for mask in (low, high)
        ]
    return rows


def _unpack(size: int, width: int, half: int) -> Any:
    """Return the mask that interleaves one half of each lane of two vectors."""
    picked = []
    for lane in range(0, size, width):
        for k in range(width // 2):
            at = lane + half * width // 2 + k
            picked += [at, size + at]
    return _mask(picked)


def _mask(picked: Any) -> Any:
    numbers = list(picked)
    return ir.Constant(ir.VectorType(_INT32, len(numbers)), numbers)


def _widened(builder: Any, values: Any, pixel: Any, total: Any, wide: Any) -> Any:
    if pixel.bitwidth == total.bitwidth:
        return values
    if _is_float(pixel):
        return builder.fpext(values, wide)
    return builder.sext(values, wide) if pixel.signed else builder.zext(values, wide)


def _is_float(kind: Any) -> bool:
    return isinstance(kind, types.Float)


def _llvm(kind: Any) -> Any:
    if _is_float(kind):
        return ir.FloatType() if kind.bitwidth == 32 else ir.DoubleType()
    return ir.IntType(kind.bitwidth)
