"""Vectors of 64 bytes of several frames at once, for processors with AVX-512.

A *bundle* is one vector for each of `FRAMES` frames. Its lanes are 16 integers of 32
bits, or 32 pixels of 16 bits, or 64 of 8. What is weighed the same way in all these
frames loads its weights once. The instructions are those of [1]_: VPMADDWD multiplies
pixels of 16 bits (signed) by weights of 16 bits and adds neighbours, VPDPBUSD does so
with four pixels of 8 bits (unsigned) and weights of 8 bits (signed).

References
----------
.. [1] Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

# ruff: noqa: ARG001 - numba calls it with the types of all arguments

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

FRAMES = 4
"""Frames in a bundle."""
BLOCK = 64
"""Bytes in a vector."""
_NEEDED = ("avx512f", "avx512bw", "avx512vl", "avx512vnni")

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_LANES = ir.VectorType(_I32, 16)
_PIXELS = {1: ir.VectorType(_I8, 64), 2: ir.VectorType(ir.IntType(16), 32)}
_BYTES = _I8.as_pointer()


@cache
def available() -> bool:
    """Return whether numba compiles for a processor that has the instructions."""
    # Variables of the environment may ask for another processor.
    name = getattr(numba.config, "CPU_NAME", None)
    asked = getattr(numba.config, "CPU_FEATURES", None) or ""
    if name or asked:
        return all(f"+{one}" in asked.split(",") for one in _NEEDED)
    features = llvmlite.binding.get_host_cpu_features()
    return all(features.get(one, False) for one in _NEEDED)


class _Vector(types.Type):
    """64 bytes."""

    def __init__(self) -> None:
        super().__init__("scopeside_vector")


class _Bundle(types.Type):
    """64 bytes of each of `FRAMES` frames."""

    def __init__(self) -> None:
        super().__init__("scopeside_bundle")


vector, bundle = _Vector(), _Bundle()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _LANES)


@register_model(_Bundle)
class _BundleModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.ArrayType(_LANES, FRAMES))


def _each(builder: Any, step: Any) -> Any:
    """Return the bundle of what `step` returns for each frame."""
    found = ir.Constant(ir.ArrayType(_LANES, FRAMES), ir.Undefined)
    for k in range(FRAMES):
        found = builder.insert_value(found, step(k), k)
    return found


def _zeros(_typing: Any) -> Any:
    """Return a bundle of zeros."""

    def generate(_context: Any, builder: Any, _signature: Any, _given: Any) -> Any:
        return _each(builder, lambda _: ir.Constant(_LANES, [0] * 16))

    return bundle(), generate


def _load(_typing: Any, address: Any) -> Any:
    """Return the 64 bytes at an address as a vector."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        pointer = builder.inttoptr(given[0], _LANES.as_pointer())
        return builder.load(pointer, align=1)

    return vector(types.uint64), generate


def _load_frames(_typing: Any, address: Any, steps: Any) -> Any:
    """Return the 64 bytes of each frame.

    The first frame's are at `address`, the others' at ``address + steps[k]``.
    """

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        def one(k: int) -> Any:
            place = builder.add(given[0], builder.extract_value(given[1], k))
            pointer = builder.inttoptr(place, _LANES.as_pointer())
            return builder.load(pointer, align=1)

        return _each(builder, one)

    return bundle(types.uint64, types.UniTuple(types.uint64, FRAMES)), generate


def _flip(_typing: Any, pixels: Any, frames: Any) -> Any:
    """Return pixels as the instructions take them.

    Unsigned 16 bits become signed by taking 2**15 off, signed 8 bits unsigned by
    adding 2**7: the highest bit is turned over. Others are left as they are.
    """
    dtype = frames.dtype
    turned = dtype.bitwidth == (8 if dtype.signed else 16)
    pattern = 0x80808080 if dtype.bitwidth == 8 else 0x80008000
    high = ir.Constant(_LANES, [pattern] * 16)

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        if not turned:
            return given[0]
        return _each(
            builder, lambda k: builder.xor(builder.extract_value(given[0], k), high)
        )

    return bundle(bundle, frames), generate


def _either(_typing: Any, one: Any, other: Any) -> Any:
    """Return the bits that are set in either bundle."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        def both(k: int) -> Any:
            return builder.or_(*(builder.extract_value(each, k) for each in given))

        return _each(builder, both)

    return bundle(bundle, bundle), generate


def _any_high(_typing: Any, bits: Any, frames: Any) -> Any:
    """Return whether pixels need `flip`, of which `bits` holds every bit that is set.

    All of signed 8 bits do, and those of unsigned 16 bits if one exceeds 32767.
    """
    dtype = frames.dtype
    high = ir.Constant(_LANES, [0x80008000] * 16)

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        if (dtype.bitwidth, dtype.signed) != (16, False):
            return ir.Constant(ir.IntType(1), int(dtype.signed and dtype.bitwidth == 8))
        every = builder.extract_value(given[0], 0)
        for k in range(1, FRAMES):
            every = builder.or_(every, builder.extract_value(given[0], k))
        zero = ir.Constant(_LANES, [0] * 16)
        found = builder.icmp_unsigned("!=", builder.and_(every, high), zero)
        packed = builder.bitcast(found, ir.IntType(16))
        return builder.icmp_unsigned("!=", packed, ir.Constant(ir.IntType(16), 0))

    return types.boolean(bundle, frames), generate


def _prefetch(_typing: Any, address: Any, steps: Any) -> Any:
    """Ask for memory of each frame to come: no fault, wherever it lies."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, _I32, _I32, _I32])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        for k in range(FRAMES):
            place = builder.add(given[0], builder.extract_value(given[1], k))
            constants = (ir.Constant(_I32, value) for value in (0, 3, 1))
            builder.call(call, [builder.inttoptr(place, _BYTES), *constants])
        return context.get_dummy_value()

    return types.void(types.uint64, types.UniTuple(types.uint64, FRAMES)), generate


def _where(_typing: Any, mask: Any, weights: Any, frames: Any) -> Any:
    """Return weights where a bit of `mask` (one a pixel) is set, else 0.

    Of `frames` only the size of a pixel matters, here and below.
    """
    pixels = _PIXELS[frames.dtype.bitwidth // 8]

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        bits = given[0]
        if pixels.count < 64:
            bits = builder.trunc(bits, ir.IntType(pixels.count))
        chosen = builder.bitcast(bits, ir.VectorType(ir.IntType(1), pixels.count))
        held = builder.bitcast(given[1], pixels)
        nothing = ir.Constant(pixels, [0] * pixels.count)
        return builder.bitcast(builder.select(chosen, held, nothing), _LANES)

    return vector(types.uint64, vector, frames), generate


def _add_product(
    _typing: Any, sums: Any, pixels: Any, weights: Any, frames: Any
) -> Any:
    """Return sums, with pixels times weights added to the lanes that hold them."""
    size = frames.dtype.bitwidth // 8
    form = _PIXELS[size]

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        def one(k: int) -> Any:
            total = builder.extract_value(given[0], k)
            values = builder.extract_value(given[1], k)
            if size == 1:
                kind = ir.FunctionType(_LANES, [_LANES] * 3)
                name = "llvm.x86.avx512.vpdpbusd.512"
                call = cgutils.get_or_insert_function(builder.module, kind, name)
                return builder.call(call, [total, values, given[2]])
            kind = ir.FunctionType(_LANES, [form, form])
            name = "llvm.x86.avx512.pmaddw.d.512"
            call = cgutils.get_or_insert_function(builder.module, kind, name)
            both = [builder.bitcast(one, form) for one in (values, given[2])]
            return builder.add(total, builder.call(call, both))

        return _each(builder, one)

    return bundle(bundle, bundle, vector, frames), generate


def _add(_typing: Any, one: Any, other: Any) -> Any:
    """Return the sum of two bundles, lane by lane."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        def both(k: int) -> Any:
            return builder.add(*(builder.extract_value(each, k) for each in given))

        return _each(builder, both)

    return bundle(bundle, bundle), generate


def _take(_typing: Any, address: Any) -> Any:
    """Return the bundle that `put` has left at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        pointer = builder.inttoptr(given[0], _LANES.as_pointer())

        def one(k: int) -> Any:
            place = builder.gep(pointer, [ir.Constant(_I32, k)])
            return builder.load(place, align=BLOCK)

        return _each(builder, one)

    return bundle(types.uint64), generate


def _put(_typing: Any, address: Any, given_bundle: Any) -> Any:
    """Write a bundle to an address, a multiple of 64."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        pointer = builder.inttoptr(given[0], _LANES.as_pointer())
        for k in range(FRAMES):
            place = builder.gep(pointer, [ir.Constant(_I32, k)])
            builder.store(builder.extract_value(given[1], k), place, align=BLOCK)
        return context.get_dummy_value()

    return types.void(types.uint64, bundle), generate


def _totals(_typing: Any, sums: Any) -> Any:
    """Return the sum of all lanes for each frame, a tuple of int64."""
    found = types.UniTuple(types.int64, FRAMES)

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        wide = ir.VectorType(_I64, 16)
        name = "llvm.vector.reduce.add.v16i64"
        kind = ir.FunctionType(_I64, [wide])
        call = cgutils.get_or_insert_function(builder.module, kind, name)
        each = [
            builder.call(call, [builder.sext(builder.extract_value(given[0], k), wide)])
            for k in range(FRAMES)
        ]
        return context.make_tuple(builder, found, each)

    return found(bundle), generate


# mypy does not know that numba fills in the first argument.
zeros: Any = intrinsic(_zeros)
load: Any = intrinsic(_load)
load_frames: Any = intrinsic(_load_frames)
flip: Any = intrinsic(_flip)
either: Any = intrinsic(_either)
any_high: Any = intrinsic(_any_high)
prefetch: Any = intrinsic(_prefetch)
where: Any = intrinsic(_where)
add_product: Any = intrinsic(_add_product)
add: Any = intrinsic(_add)
take: Any = intrinsic(_take)
put: Any = intrinsic(_put)
totals: Any = intrinsic(_totals)
