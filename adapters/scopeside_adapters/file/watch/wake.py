"""Waits for something to happen in a folder: told by the system, or by looking.

What is told is only a hint to look now. Programs on other machines, and those that
write through mapped memory, cause no notice; therefore we also look every `poll_s`.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Literal, Self

from scopeside.errors import MissingExtraError, SourceError

MOUNTS = Path("/proc/self/mounts")
_STEP_S = 0.02  # so that a stop is seen soon
_REMOTE = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "gpfs",
    "beegfs",
)


class Wake:
    """Sleeps until the folder has news.

    Parameters
    ----------
    folder
        Where to look; it may come later.
    deep
        Whether folders within it are looked at as well.
    each_write
        Whether every write is news, or only what is opened, closed, and moved.
    """

    def __init__(
        self,
        folder: Path,
        poll_s: float,
        how: Literal["auto", "poll"],
        *,
        deep: bool = False,
        each_write: bool = False,
    ) -> None:
        self.folder = folder
        self._poll_s = poll_s
        self._deep = deep
        self._each_write = each_write
        self._news = threading.Event()
        self._finished: set[Path] = set()
        self._lock = threading.Lock()
        self._observer: Any = None
        self._listening = how == "auto" and not is_remote(folder)

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def wait(self, sink_is_stopping: Any, at_most_s: float) -> None:
        """Sleep until there is news, a look is due, or the engine stops."""
        self._listen()
        until = time.monotonic() + min(at_most_s, self._poll_s)
        while not sink_is_stopping():
            left = until - time.monotonic()
            if left <= 0 or self._news.wait(min(left, _STEP_S)):
                break
        self._news.clear()

    def finished(self) -> set[Path]:
        """Return the files that were closed or moved since the last call."""
        with self._lock:
            found, self._finished = self._finished, set()
        return found

    def dispatch(self, event: Any) -> None:
        """Take a notice; in the observer's thread."""
        if event.event_type in ("closed", "moved"):
            where = event.dest_path if event.event_type == "moved" else event.src_path
            with self._lock:
                self._finished.add(Path(where))
        self._news.set()

    def _listen(self) -> None:
        """Begin to listen as soon as the folder is there."""
        if not self._listening or self._observer is not None:
            return
        if not self.folder.is_dir():
            return
        require_watchdog()
        from watchdog import events, observers  # noqa: PLC0415 - an extra

        kinds: list[Any] = [
            events.FileCreatedEvent,
            events.FileClosedEvent,
            events.FileMovedEvent,
            events.FileDeletedEvent,
        ]
        if self._each_write:
            kinds.append(events.FileModifiedEvent)
        observer = observers.Observer()
        try:
            observer.schedule(
                self,  # type: ignore[arg-type] # it asks for nothing but dispatch
                str(self.folder),
                recursive=self._deep,
                event_filter=kinds,
            )
            observer.start()
        except OSError as error:
            raise SourceError(
                f"{self.folder} cannot be watched: {error.strerror}; take wake = 'poll'"
            ) from error
        self._observer = observer


def require_watchdog() -> None:
    """Refuse to go on without the library that tells of changes.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import watchdog.observers  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "watch with wake = 'auto' (wake = 'poll' does without)", "watchdog", "watch"
        ) from error


def is_remote(folder: Path) -> bool:
    """Whether a folder lies on a network drive, where no notice tells of others."""
    try:
        mounts = MOUNTS.read_text("utf-8", "replace")
    except OSError:
        return False
    place, best, kind = str(folder.absolute()), "", ""
    for line in mounts.splitlines():
        _, at, form, *_ = line.split(" ")
        inside = place == at or place.startswith(at.rstrip("/") + "/")
        if inside and len(at) >= len(best):
            best, kind = at, form
    return kind.startswith(_REMOTE)
