"""Calls C functions from compiled loops, so that Python runs once a batch.

A thousand messages a slot are received, parsed and decoded by three calls. The
functions are those of ZeroMQ, as pyzmq loaded it, and of dectris-compression, which
offers a destination buffer in C but not in Python.
"""

# ruff: noqa: ARG001, PLR0917 - an intrinsic names its arguments for its callers
from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
_WORD = ir.IntType(64)
_INT = ir.IntType(32)


def compiled(function: F) -> F:
    """Compile on first use, keep the result on disk, and run without the GIL."""
    return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))


def _intrinsic(function: Any) -> Any:
    return intrinsic(function)  # callers leave out `context`, and mypy cannot know


def _call(builder: Any, result: Any, address: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)


@_intrinsic
def call_size(
    context: Any, function: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any
) -> Any:
    """Call ``int64 function(int32 a, b, c, d, e, f)``, words but for the first."""
    signature = types.int64(*[types.int64] * 7)

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        address, first, *rest = values
        arguments = [builder.trunc(first, _INT), *rest]
        return _call(builder, _WORD, address, arguments)

    return signature, generate


@_intrinsic
def call_int(context: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call ``int32 function(pointer a, pointer b, word c, int32 d)``."""
    signature = types.int64(*[types.int64] * 5)

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        address, one, two, three, four = values
        arguments = [one, two, three, builder.trunc(four, _INT)]
        return builder.sext(_call(builder, _INT, address, arguments), _WORD)

    return signature, generate


@_intrinsic
def call_lz4(context: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call ``int32 function(pointer a, pointer b, int32 c, int32 d)``."""
    signature = types.int64(*[types.int64] * 5)

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        address, one, two, three, four = values
        arguments = [one, two, builder.trunc(three, _INT), builder.trunc(four, _INT)]
        return builder.sext(_call(builder, _INT, address, arguments), _WORD)

    return signature, generate


@_intrinsic
def call_option(context: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call ``int32 function(pointer a, int32 b, pointer c, pointer d)``."""
    signature = types.int64(*[types.int64] * 5)

    def generate(_: Any, builder: Any, __: Any, values: Any) -> Any:
        address, one, two, three, four = values
        arguments = [one, builder.trunc(two, _INT), three, four]
        return builder.sext(_call(builder, _INT, address, arguments), _WORD)

    return signature, generate


@cache
def zeromq(name: str) -> int:
    """Return the address of a function of the ZeroMQ that pyzmq uses; 0 if hidden."""
    from zmq.backend.cython import _zmq  # noqa: PLC0415 - other backends lack it

    # The loader looks into the libraries that this extension depends on as well.
    return address_of(_zmq.__file__, name)


def address_of(library: str, name: str) -> int:
    """Return the address of an exported function; 0 if there is none."""
    try:
        function = getattr(ctypes.CDLL(library), name)
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
