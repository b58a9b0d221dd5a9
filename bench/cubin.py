"""CUDA sources compiled without a GPU, and what the compiler made of each kernel.

NVRTC is loaded as it comes with the wheel ``nvidia-cuda-nvrtc-cu12`` or with a CUDA
toolkit. Registers and local memory are read from the cubin itself, an ELF file whose
sections ``.nv.info`` hold attributes of kernels::

    u8 format | u8 attribute | u16 size, or the value itself | size bytes

Of format 4 the bytes of interest are u32 symbol, u32 value. (The layout is that of the
open tools that read cubins; a test holds it against what ptxas prints.)
"""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
"""A100, H100 and H200, B200."""

_SIZED = 4
_REGISTERS, _FRAME, _MIN_STACK = 0x2F, 0x11, 0x12
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOLS = 2


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one thread of a kernel takes up.

    Attributes
    ----------
    registers
        Of 32 bits; 255 at most.
    stack
        Bytes of local memory: arrays that found no register, and spilt registers.
    """

    registers: int
    stack: int


class CompileError(Exception):
    """NVRTC is not there, or does not take a source; its log is the message."""


def nvrtc() -> ctypes.CDLL:
    """Load NVRTC.

    Raises
    ------
    CompileError
        If it is nowhere to be found.
    """
    wheels = [
        found
        for folder in sys.path
        for found in Path(folder or ".").glob("nvidia/*/lib/libnvrtc.so.*")
        if "builtins" not in found.name
    ]
    names = [str(found) for found in sorted(wheels, reverse=True)]
    for name in [*names, ctypes.util.find_library("nvrtc")]:
        if name is not None:
            try:
                return ctypes.CDLL(name)
            except OSError:
                continue
    raise CompileError(
        "NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12, which "
        "'scopeside[dev]' brings"
    )


def version(library: ctypes.CDLL) -> str:
    """Return the version of NVRTC, such as 12.9."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def compile_cubin(library: ctypes.CDLL, source: str, architecture: str) -> bytes:
    """Return the machine code of a CUDA source for an architecture, such as sm_90.

    Raises
    ------
    CompileError
        If NVRTC refuses it, or warns.
    """
    program = ctypes.c_void_p()
    text = source.encode()
    created = library.nvrtcCreateProgram(
        ctypes.byref(program), text, b"kernels.cu", 0, None, None
    )
    if created:
        raise CompileError(f"NVRTC gives error {created}")
    try:
        options = [f"--gpu-architecture={architecture}".encode(), b"--std=c++14"]
        given = (ctypes.c_char_p * len(options))(*options)
        status = library.nvrtcCompileProgram(program, len(options), given)
        log = _taken(library, program, "ProgramLog").rstrip(b"\0").decode().strip()
        if status or log:
            raise CompileError(f"{architecture}: {log or f'NVRTC gives {status}'}")
        return _taken(library, program, "CUBIN")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _taken(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    data = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, data)
    return data.raw


def footprints(cubin: bytes) -> dict[str, Footprint]:
    """Return what each kernel of a cubin takes up, by its name.

    Raises
    ------
    ValueError
        If this is no cubin.
    """
    if len(cubin) < _ELF.size or cubin[:5] != b"\x7fELF\x02":
        raise ValueError("a cubin is an ELF file of 64 bits")
    head = _ELF.unpack_from(cubin)
    at, size, count, names_in = head[6], head[11], head[12], head[13]
    sections = [_SECTION.unpack_from(cubin, at + k * size) for k in range(count)]
    names = _content(cubin, sections[names_in])
    symbols: list[str] = []
    for section in sections:
        if section[1] == _SYMBOLS:
            strings = _content(cubin, sections[section[6]])
            table = _SYMBOL.iter_unpack(_content(cubin, section))
            symbols = [_text(strings, symbol[0]) for symbol in table]
    found: dict[str, dict[int, int]] = {}
    for section in sections:
        if _text(names, section[0]).startswith(".nv.info"):
            for attribute, symbol, value in _attributes(_content(cubin, section)):
                found.setdefault(symbols[symbol], {})[attribute] = value
    return {
        name: Footprint(
            said[_REGISTERS], max(said.get(_FRAME, 0), said.get(_MIN_STACK, 0))
        )
        for name, said in found.items()
        if _REGISTERS in said
    }


def _content(cubin: bytes, section: tuple[int, ...]) -> bytes:
    return cubin[section[4] : section[4] + section[5]]


def _text(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()


def _attributes(info: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (attribute, symbol, value) of those that are about a symbol."""
    at = 0
    while at + 4 <= len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != _SIZED:
            continue
        if attribute in (_REGISTERS, _FRAME, _MIN_STACK):
            yield attribute, *struct.unpack_from("<II", info, at)
        at += size
