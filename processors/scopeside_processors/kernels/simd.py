"""Sums of 64 bytes of pixels at once, in the vector instructions of any processor.

What is written below is LLVM's own code for vectors. When a kernel is compiled it
becomes AVX-512, AVX2, SSE or NEON, whichever the processor has.
"""

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


def _adder(bits: int, *, signed: bool) -> Any:
    """Return ``add(pixels, mask, sums)`` for pixels of so many bits.

    The three are addresses. `pixels` and `mask` are 64 bytes each; where the mask is
    0 a pixel does not count. `sums` are 64 bytes of integers twice as wide as a
    pixel: each takes up two neighbours.
    """
    lanes = ir.VectorType(ir.IntType(2 * bits), 8 * BLOCK // (2 * bits))
    half = ir.Constant(lanes, [bits] * lanes.count)
    low_bits = ir.Constant(lanes, [2**bits - 1] * lanes.count)

    def generate(context: Any, builder: Any, _signature: Any, addresses: Any) -> Any:
        pixels, mask, sums = (
            builder.inttoptr(address, lanes.as_pointer()) for address in addresses
        )
        _prefetch(builder, addresses[0])
        both = builder.and_(builder.load(pixels, align=1), builder.load(mask, align=1))
        if signed:
            high = builder.ashr(both, half)
            low = builder.ashr(builder.shl(both, half), half)
        else:
            high = builder.lshr(both, half)
            low = builder.and_(both, low_bits)
        total = builder.add(builder.load(sums, align=1), builder.add(low, high))
        builder.store(total, sums, align=1)
        return context.get_dummy_value()

    @intrinsic
    def add(_typing: Any, pixels: Any, mask: Any, sums: Any) -> Any:  # noqa: ARG001
        return types.void(types.uintp, types.uintp, types.uintp), generate

    return add


def _prefetch(builder: Any, address: Any) -> None:
    """Ask for memory to come: no fault, wherever it lies."""
    ahead = builder.add(address, ir.Constant(address.type, _AHEAD))
    call = builder.module.declare_intrinsic("llvm.prefetch", [_BYTES], _PREFETCH)
    read, keep, data = (ir.Constant(_INT32, k) for k in (0, 3, 1))
    builder.call(call, [builder.inttoptr(ahead, _BYTES), read, keep, data])


ADDERS = {
    f"{kind}{bits // 8}": _adder(bits, signed=kind == "i")
    for kind in "ui"
    for bits in (8, 16, 32)
}
"""By dtype of the pixels: ``u1`` to ``i4``."""
