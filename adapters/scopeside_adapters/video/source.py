"""The `video` detector: movies, network streams and cameras that FFmpeg can read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from scopeside.detector import Sink
from scopeside.errors import MissingExtraError, ScopesideError, SourceError
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.video.decoder import choose, open_input, require_av
from scopeside_adapters.video.parameters import VideoParams
from scopeside_adapters.video.playing import Playing

_STEP_S = 0.02  # so that a stop is seen soon


class VideoDetector:
    """Delivers the luma of a movie or a stream."""

    Params: ClassVar[type[VideoParams]] = VideoParams

    def __init__(self, params: VideoParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        self.resumes = params.live  # a movie would begin anew

    def check(self) -> list[str]:
        """Open a movie; of a stream nothing can be known without taking it."""
        params = self._params
        try:
            require_av()
            if params.live:
                return []
            if params.format is None and not Path(params.input).exists():
                return [f"{params.input} does not exist"]
            with open_input(params) as container:
                choose(container, params.stream)
        except MissingExtraError as error:
            return [str(error)]
        except ScopesideError as error:
            return [str(error)]
        return []

    def prepare(self) -> None:
        """Load FFmpeg."""
        require_av()

    def run(self, sink: Sink) -> None:
        """Play a movie once, or a stream whenever it is there."""
        params = self._params
        told = ""
        while not sink.stopping:
            playing = Playing(params, self._settings, sink)
            try:
                playing.run()
            except SourceError as error:
                if not params.live or params.reconnect_s is None:
                    raise
                if str(error) != told:
                    sink.note(f"{error}; trying again every {params.reconnect_s:g} s")
                told = str(error)
            else:
                told = ""
                if not params.live or params.reconnect_s is None:
                    return
            self._wait(sink)

    def _wait(self, sink: Sink) -> None:
        assert self._params.reconnect_s is not None
        until = time.monotonic() + self._params.reconnect_s
        while not sink.stopping and time.monotonic() < until:
            time.sleep(_STEP_S)
