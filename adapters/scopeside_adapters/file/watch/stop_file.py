"""A file whose appearance says that an acquisition is over."""

from __future__ import annotations

from pathlib import Path


class StopFile:
    """Notices when `path` appears or is written again; what was there is old."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known = self._signature()

    @property
    def reason(self) -> str:
        """Why an acquisition ended, in words."""
        return f"{self.path.name} was written" if self.path else ""

    def appeared(self) -> bool:
        """Whether it has come since the last time it had."""
        signature = self._signature()
        if signature in (None, self._known):
            return False
        self._known = signature
        return True

    def _signature(self) -> tuple[int, int, int] | None:
        if self.path is None:
            return None
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
