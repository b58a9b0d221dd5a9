"""The `watch` detector: takes what a camera writes, while it writes it."""

from __future__ import annotations

from typing import ClassVar

from scopeside.detector import Sink
from scopeside.errors import MissingExtraError, ScopesideError, SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.file.watch.candidates import Candidates
from scopeside_adapters.file.watch.growing import Growing, NotYetError
from scopeside_adapters.file.watch.opening import (
    GROWING_SUFFIXES,
    open_growing,
    why_not,
)
from scopeside_adapters.file.watch.parameters import WatchParams
from scopeside_adapters.file.watch.pictures import Pictures
from scopeside_adapters.file.watch.series import Follower
from scopeside_adapters.file.watch.stop_file import StopFile
from scopeside_adapters.file.watch.wake import Wake, require_watchdog


class WatchDetector:
    """Delivers the frames of files that grow, or of a folder that fills."""

    Params: ClassVar[type[WatchParams]] = WatchParams
    resumes = False  # a new process would begin with the first file again

    def __init__(self, params: WatchParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings

    def check(self) -> list[str]:
        """Return what would keep the files from being read."""
        params = self._params
        problems = []
        try:
            if params.wake == "auto":
                require_watchdog()
        except MissingExtraError as error:
            problems.append(str(error))
        path = params.path
        if not path.exists() and not path.parent.is_dir():
            problems.append(f"{path}: there is no folder {path.parent}")
        scan = self._settings.scan_of(params.scan)
        if scan is not None and params.frames not in (None, scan.frames):
            problems.append(
                f"frames = {params.frames}, but the scan has {scan.frames} frames"
            )
        if path.is_file() and (why := why_not(path, params.key, params.raw)):
            problems.append(why)
        return problems

    def run(self, sink: Sink) -> None:
        """Deliver acquisitions until the engine stops."""
        params = self._params
        if self._is_folder and params.file_is == "frame":
            deep = params.pattern.startswith("**/")
            with Wake(params.path, params.poll_s, params.wake, deep=deep) as wake:
                Pictures(params, self._settings, sink).run(wake)
            return
        folder = params.path if self._is_folder else params.path.parent
        with Wake(folder, params.poll_s, params.wake, each_write=True) as wake:
            Series(params, self._settings, sink, folder=self._is_folder).run(wake)

    @property
    def _is_folder(self) -> bool:
        """Whether the path is a folder; of one to come, its suffix tells."""
        path = self._params.path
        if path.exists():
            return path.is_dir()
        return path.suffix.lower() not in GROWING_SUFFIXES and self._params.raw is None


class Series:
    """Delivers files that grow, one after another."""

    def __init__(
        self,
        params: WatchParams,
        settings: AcquisitionSettings,
        sink: Sink,
        *,
        folder: bool,
    ) -> None:
        self._params = params
        self._settings = settings
        self._sink = sink
        self._files = Candidates(params, folder=folder)
        self._stop = StopFile(params.stop_file)
        self._skip = not params.existing and not folder and params.path.exists()
        if folder and not params.existing:
            self._files.skip_all()
        sink.note(f"waiting for frames in {params.path}")

    def run(self, wake: Wake) -> None:
        """Follow files until the engine stops."""
        while (growing := self._next_file(wake)) is not None:
            with growing:
                first = growing.count(ended=True) if self._skip else 0
                self._skip = False
                self._follow(growing, first, wake)

    def _follow(self, growing: Growing, first: int, wake: Wake) -> None:
        """Deliver all acquisitions that a file becomes."""
        self._files.done(growing.path)
        follower = Follower(growing, self._params, self._settings, first)
        while self._grows(growing, follower, wake):
            follower.run(self._sink, wake, self._stop, self._files.another)

    def _next_file(self, wake: Wake) -> Growing | None:
        """Wait for a file with a whole frame; None: the engine stops."""
        params, sink = self._params, self._sink
        while not sink.stopping:
            self._stop.appeared()  # one that comes between acquisitions ends none
            for path in self._files.waiting():
                try:
                    return open_growing(path, params.key, params.raw, params.settle_s)
                except MissingExtraError:
                    raise
                except (NotYetError, ScopesideError) as error:
                    if message := self._files.refused(path, str(error)):
                        sink.note(message)
            wake.wait(lambda: sink.stopping, params.poll_s)
        return None

    def _grows(self, growing: Growing, follower: Follower, wake: Wake) -> bool:
        """Wait until a file has more whole frames; False: go to another one."""
        while not self._sink.stopping:
            try:
                if not follower.broken and growing.count() > follower.read:
                    return True
                lost = growing.lost(follower.read)
            except (SourceError, OSError) as error:
                lost = str(error)
                follower.broken = True
            if lost:
                self._files.again(growing.path)
                return False
            if self._files.another():
                return False
            wake.wait(lambda: self._sink.stopping, self._params.poll_s)
        return False
