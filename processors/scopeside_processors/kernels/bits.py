"""Counting bits, and adding up 512 bits at once in binary digits of their own.

Counters are rows of eight words. Row k holds digit k of 512 sums, one for each place of
the words. They are in LLVM's own vectors, which become what the processor has.
"""

# ruff: noqa: ARG001 - numba calls it with the types of all arguments

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_WORD = ir.IntType(64)
_ROW = ir.VectorType(_WORD, 8)
_ROW_BYTES = 64


def _count(_typing: Any, word: Any) -> Any:
    """Return how many bits of a word are set."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD])
        return builder.call(
            builder.module.declare_intrinsic("llvm.ctpop", [_WORD], kind), given
        )

    return types.uint64(types.uint64), generate


def _add_rows(_typing: Any, words: Any, counters: Any, carry: Any) -> Any:
    """Add eight rows of words to three digits of counters.

    All are addresses. What is carried out of the third digit is left in `carry`, a row.
    """

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        rows = [_load(builder, given[0], k) for k in range(8)]
        one, two, four = (_load(builder, given[1], k) for k in range(3))
        up = []
        for k in range(0, 8, 2):
            one, carried = _full(builder, one, rows[k], rows[k + 1])
            up.append(carried)
        two, left = _full(builder, two, up[0], up[1])
        two, right = _full(builder, two, up[2], up[3])
        four, carried = _full(builder, four, left, right)
        for k, digit in enumerate((one, two, four)):
            _store(builder, digit, given[1], k)
        _store(builder, carried, given[2], 0)
        return context.get_dummy_value()

    address = types.uintp
    return types.void(address, address, address), generate


def _carry_on(_typing: Any, counters: Any, carry: Any) -> Any:
    """Add a carry to one digit of counters; what is carried out of it replaces it."""

    def generate(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        digit, carried = _load(builder, given[0], 0), _load(builder, given[1], 0)
        _store(builder, builder.xor(digit, carried), given[0], 0)
        _store(builder, builder.and_(digit, carried), given[1], 0)
        return context.get_dummy_value()

    return types.void(types.uintp, types.uintp), generate


# mypy does not know that numba fills in the first argument.
count: Any = intrinsic(_count)
add_rows: Any = intrinsic(_add_rows)
carry_on: Any = intrinsic(_carry_on)


def _full(builder: Any, one: Any, two: Any, three: Any) -> tuple[Any, Any]:
    """Return sum and carry of three bits, in each place."""
    differ = builder.xor(one, two)
    carried = builder.or_(builder.and_(one, two), builder.and_(differ, three))
    return builder.xor(differ, three), carried


def _row(builder: Any, base: Any, k: int) -> Any:
    address = builder.add(base, ir.Constant(base.type, _ROW_BYTES * k))
    return builder.inttoptr(address, _ROW.as_pointer())


def _load(builder: Any, base: Any, k: int) -> Any:
    return builder.load(_row(builder, base, k), align=8)


def _store(builder: Any, row: Any, base: Any, k: int) -> None:
    builder.store(row, _row(builder, base, k), align=8)
