"""What is asked of a GPU: memory, streams, copies, kernels, and nothing more.

A card is used by one thread. Everything given to a stream is done in its order, later;
a `Mark` says when. Whatever goes wrong is a `DeviceFailedError`, from which a worker
goes on without the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Argument = np.generic
"""An argument of a kernel: a numpy number of the very type that it takes."""


class Memory(Protocol):
    """Memory of a card; it is freed with the object."""

    @property
    def address(self) -> int:
        """Where it begins."""


class Card(Protocol):
    """One GPU."""

    name: str
    """Such as ``gpu:0 (NVIDIA H100)``."""
    processors: int
    """Its multiprocessors: how many blocks it runs side by side at least."""

    def register(self, address: int, size: int) -> None:
        """Lock this machine's memory, so that it is copied at the link's full speed."""

    def unregister(self, address: int) -> None:
        """Undo `register`."""

    def memory(self, size: int) -> Memory:
        """Return `size` bytes of the card, at a multiple of 256."""

    def host_memory(self, size: int) -> Bytes:
        """Return `size` bytes of this machine that are locked, as `register` does."""

    def stream(self) -> Any:
        """Return a new stream."""

    def mark(self) -> Any:
        """Return a new mark; it counts as passed until it is set."""

    def set_mark(self, mark: Any, stream: Any) -> None:
        """Set a mark behind what `stream` was given so far."""

    def passed(self, mark: Any) -> bool:
        """Return whether all before a mark is done."""

    def wait_for(self, stream: Any, mark: Any) -> None:
        """Let what `stream` is given from now on wait for a mark of another."""

    def copy_in(self, to: int, pitch: int, rows: Bytes, stream: Any) -> None:
        """Copy ``rows (n, size)``, contiguous, to the card, `pitch` bytes apart."""

    def copy_out(self, to: Bytes, source: int, stream: Any) -> None:
        """Copy from the card as many bytes as ``to (size,)`` takes."""

    def clear(self, address: int, size: int, stream: Any) -> None:
        """Set memory of the card to zeros."""

    def kernel(self, source: str, name: str) -> Any:
        """Return the kernel `name` of a CUDA source, compiled once."""

    def launch(
        self,
        kernel: Any,
        grid: tuple[int, int],
        block: int,
        arguments: Sequence[Argument],
        stream: Any,
    ) -> None:
        """Run a kernel on ``grid (x, y)`` blocks of `block` threads."""
