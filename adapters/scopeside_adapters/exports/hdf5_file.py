"""An HDF5 file that survives a full disk.

A write that fails, or that Ctrl-C breaks, leaves the HDF5 library in a state in which
it crashes the process later, when the file is let go (seen with h5py 3.16). So it
writes through an object of ours, which keeps the error, takes all that comes after it
without writing it, and so lets the library close the file in peace. The error is then
raised by us.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from scopeside.errors import MissingExtraError
from scopeside.export.exporter import Progress


def load_h5py(what: str) -> Any:
    """Return the module.

    Raises
    ------
    MissingExtraError
    """
    try:
        import h5py  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(what, "h5py", "export") from error
    return h5py


@contextmanager
def new_file(path: Path, progress: Progress) -> Iterator[tuple[Any, Progress]]:
    """Give a new file, and what is to be told of progress in place of `progress`.

    Raises
    ------
    OSError
        If it could not be written as a whole.
    """
    h5py = load_h5py(f"writing {path.name}")
    with path.open("w+b", buffering=0) as raw:
        disk = _Disk(raw)

        def told(done: int, total: int) -> None:
            disk.check()
            progress(done, total)

        with h5py.File(disk, "w") as file:
            yield file, told
        disk.check()


class _Disk:
    """A file that never fails its user; `check` raises what went wrong."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of `data`, unless a write has failed before."""
        rest = memoryview(data).cast("B")
        size = rest.nbytes
        try:
            while rest.nbytes and self._error is None:
                rest = rest[self._raw.write(rest) :]
        except BaseException as error:  # noqa: BLE001 - `check` raises it: Ctrl-C, too
            self._error = error
        return size

    def readinto(self, room: Any) -> int:
        """Fill `room`; what was not written reads as zeros."""
        memory = memoryview(room).cast("B")
        data = self._raw.read(memory.nbytes)
        memory[: len(data)] = data
        memory[len(data) :] = bytes(memory.nbytes - len(data))
        return memory.nbytes

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._raw.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._raw.tell()

    def truncate(self, size: int | None = None) -> int:
        """Make it so long, unless a write has failed."""
        try:
            return self._raw.truncate(size) if self._error is None else size or 0
        except OSError as error:
            self._error = error
            return size or 0

    def flush(self) -> None:
        """Do nothing: nothing is held back."""
