"""A CUDA card, through CuPy's runtime."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from scopeside.device.card import Argument, Bytes, Memory
from scopeside.errors import DeviceFailedError

_TO_CARD, _TO_HOST = 1, 2
_OPTIONS = ("--std=c++14",)


@dataclass(frozen=True, slots=True)
class _CudaMemory:
    """Memory that CuPy holds."""

    address: int
    held: Any


class CupyCard:
    """Card number `number` of this machine.

    Raises
    ------
    DeviceFailedError
        If CuPy is not installed or there is no such card; the message says which.
    """

    def __init__(self, number: int = 0) -> None:
        try:
            self._cupy = importlib.import_module("cupy")
        except ImportError as error:
            raise DeviceFailedError(
                f"CuPy cannot be loaded ({error}): pip install 'scopeside[gpu12]' or "
                "[gpu13]"
            ) from error
        self._runtime = self._cupy.cuda.runtime
        self._kernels: dict[tuple[str, str], Any] = {}
        self._modules: dict[str, Any] = {}
        with _told("CUDA"):
            count = int(self._runtime.getDeviceCount())
        if number >= count:
            raise DeviceFailedError(
                f"there is no gpu:{number}; this machine has {count} GPU(s)"
            )
        self._label = f"gpu:{number}"
        with self._asked("use"):
            self._cupy.cuda.Device(number).use()
            about = self._runtime.getDeviceProperties(number)
        self.name = f"gpu:{number} ({about['name'].decode()})"
        self.processors = int(about["multiProcessorCount"])

    def register(self, address: int, size: int) -> None:
        """Lock memory of this machine."""
        with self._asked("cudaHostRegister"):
            self._runtime.hostRegister(address, size, 0)

    def unregister(self, address: int) -> None:
        """Undo `register`."""
        with self._asked("cudaHostUnregister"):
            self._runtime.hostUnregister(address)

    def memory(self, size: int) -> Memory:
        """Return memory of the card."""
        with self._asked(f"allocating {size} bytes"):
            held = self._cupy.cuda.alloc(size)
        return _CudaMemory(int(held.ptr), held)

    def host_memory(self, size: int) -> Bytes:
        """Return locked memory of this machine."""
        with self._asked(f"locking {size} bytes"):
            return np.frombuffer(
                self._cupy.cuda.alloc_pinned_memory(size), np.uint8, size
            )

    def stream(self) -> Any:
        """Return a new stream, which does not wait for the default one."""
        with self._asked("a stream"):
            return self._cupy.cuda.Stream(non_blocking=True)

    def mark(self) -> Any:
        """Return a new event without timing."""
        with self._asked("an event"):
            return self._cupy.cuda.Event(disable_timing=True)

    def set_mark(self, mark: Any, stream: Any) -> None:
        """Record an event."""
        with self._asked("recording an event"):
            mark.record(stream)

    def passed(self, mark: Any) -> bool:
        """Return whether an event is done."""
        with self._asked("a kernel or copy"):
            return bool(mark.done)

    def wait_for(self, stream: Any, mark: Any) -> None:
        """Let a stream wait for an event."""
        with self._asked("waiting for an event"):
            stream.wait_event(mark)

    def copy_in(self, to: int, pitch: int, rows: Bytes, stream: Any) -> None:
        """Copy rows to the card."""
        n, size = rows.shape
        source = rows.ctypes.data
        with self._asked("copying frames"):
            if pitch == size or n == 1:
                self._runtime.memcpyAsync(to, source, n * size, _TO_CARD, stream.ptr)
            else:
                self._runtime.memcpy2DAsync(
                    to, pitch, source, size, size, n, _TO_CARD, stream.ptr
                )

    def copy_out(self, to: Bytes, source: int, stream: Any) -> None:
        """Copy from the card."""
        with self._asked("copying results"):
            self._runtime.memcpyAsync(
                to.ctypes.data, source, to.size, _TO_HOST, stream.ptr
            )

    def clear(self, address: int, size: int, stream: Any) -> None:
        """Set memory of the card to zeros."""
        with self._asked("clearing memory"):
            self._runtime.memsetAsync(address, 0, size, stream.ptr)

    def kernel(self, source: str, name: str) -> Any:
        """Return a kernel, compiled by NVRTC for this card (CuPy keeps it on disk)."""
        if (source, name) not in self._kernels:
            with self._asked(f"compiling {name}"):
                if source not in self._modules:
                    self._modules[source] = self._cupy.RawModule(
                        code=source, options=_OPTIONS, backend="nvrtc"
                    )
                self._kernels[source, name] = self._modules[source].get_function(name)
        return self._kernels[source, name]

    def launch(
        self,
        kernel: Any,
        grid: tuple[int, int],
        block: int,
        arguments: Sequence[Argument],
        stream: Any,
    ) -> None:
        """Run a kernel."""
        with self._asked("launching a kernel"), stream:
            kernel((*grid, 1), (block, 1, 1), tuple(arguments))

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        with _told(f"{self._label}: {what}"):
            yield


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Make whatever CuPy raises one of our errors."""
    try:
        yield
    except Exception as error:  # CuPy's errors have no base of their own
        raise DeviceFailedError(
            f"{what}: {type(error).__name__}: {str(error).splitlines()[:1]}"
        ) from error
