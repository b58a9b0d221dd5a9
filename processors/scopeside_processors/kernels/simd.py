"""Sums of 64 bytes of pixels at once, in the vector instructions of any processor.

What is written below is LLVM's own code for vectors. When a kernel is compiled it
becomes AVX-512, AVX2, SSE or NEON, whichever the processor has.
"""

# ruff: noqa: ARG001 - numba calls it with the types of all arguments

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

BLOCK = 64
"""Bytes in a block: a cache line, and the widest vector there is."""
_AHEAD = 2048
"""Bytes that are asked for before they are needed. Frames from another core's cache
were summed at 9.1 GB/s so, at 6.7 without (a 2-core Xeon virtual machine, one run)."""

_INT32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()
_PREFETCH = ir.FunctionType(ir.VoidType(), [_BYTES, _INT32, _INT32, _INT32])


TAKEN = ("u1", "u2", "u4", "i1", "i2", "i4")
"""Pixels that can be summed so."""


@intrinsic
def add_block(_typing: Any, pixels: Any, mask: Any, sums: Any, frames: Any) -> Any:
    """Add a block of pixels to sums.

    The first three are addresses. `pixels` and `mask` are 64 bytes each; where the
    mask is 0 a pixel does not count. `sums` are 64 bytes of integers twice as wide as
    a pixel: each takes up two neighbours. Of `frames` only the dtype matters. (One
    function for all of them, and a global one: numba finds a compiled kernel again
    only if what it refers to has the same name in each process.)
    """
    bits, signed = frames.dtype.bitwidth, frames.dtype.signed
    lanes = ir.VectorType(ir.IntType(2 * bits), 8 * BLOCK // (2 * bits))
    half = ir.Constant(lanes, [bits] * lanes.count)
    low_bits = ir.Constant(lanes, [2**bits - 1] * lanes.count)

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        from_pixels, behind, to_sums = (
            builder.inttoptr(address, lanes.as_pointer()) for address in given[:3]
        )
        _prefetch(builder, given[0])
        both = builder.and_(
            builder.load(from_pixels, align=1), builder.load(behind, align=1)
        )
        if signed:
            high = builder.ashr(both, half)
            low = builder.ashr(builder.shl(both, half), half)
        else:
            high = builder.lshr(both, half)
            low = builder.and_(both, low_bits)
        total = builder.add(builder.load(to_sums, align=1), builder.add(low, high))
        builder.store(total, to_sums, align=1)
        return context.get_dummy_value()

    address = types.uintp
    return types.void(address, address, address, frames), generate


def _prefetch(builder: Any, address: Any) -> None:
    """Ask for memory to come: no fault, wherever it lies."""
    ahead = builder.add(address, ir.Constant(address.type, _AHEAD))
    call = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], _PREFETCH)
    read, keep, data = (ir.Constant(_INT32, k) for k in (0, 3, 1))
    builder.call(call, [builder.inttoptr(ahead, _BYTES), read, keep, data])
