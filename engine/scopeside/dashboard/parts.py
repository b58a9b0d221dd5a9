"""The page with all its parts."""

from __future__ import annotations

from pathlib import Path

from scopeside.dashboard.catalogue import Catalogue
from scopeside.dashboard.closer import Closer
from scopeside.dashboard.feed import Feed
from scopeside.dashboard.feedback import Feedback
from scopeside.dashboard.health import Health
from scopeside.dashboard.insitu import InSitu
from scopeside.dashboard.page import Page
from scopeside.dashboard.patterns import Patterns
from scopeside.dashboard.plain import plain
from scopeside.dashboard.scale import Scales
from scopeside.dashboard.server import Server
from scopeside.dashboard.shelf import Shown
from scopeside.dashboard.steering import Steering
from scopeside.dashboard.values import Values


class Dashboard:
    """A page that follows an engine; use it in a ``with``, or start and close it.

    Parameters
    ----------
    folder
        Run folder of the engine; None: the one that was started last, and the next.
    port
        Of 127.0.0.1; 0: any free one.
    token
        That changes need.
    """

    def __init__(self, folder: Path | None, port: int, token: str) -> None:
        self.page = Page()
        self._scales = Scales(self.page)
        self._closer = Closer(self.page)
        self.parts = [
            Health(self.page),  # the first: whatever fails, it tells
            Catalogue(self.page),
            self._scales,
            Patterns(self.page, self._closer.keep),
            Values(self.page),
            Steering(self.page),
            InSitu(self.page),
            Feedback(self.page),
        ]
        self.server = Server(self.page, port, token, self._beside)
        self._feed = Feed(
            folder, self.page.hear, self.page.attached, self.page.hear_status
        )

    def _beside(self, shown: Shown) -> dict[str, object]:
        """Return what belongs to an image that a tab gets, beside the result's own."""
        self._closer.keep(shown)
        return {"meta": plain(shown.result.meta), "pixel": self._scales.of(shown)}

    def start(self) -> None:
        """Serve, and begin to look for the engine.

        Raises
        ------
        OSError
            If the port is taken.
        """
        try:
            self.server.start()
        except BaseException:
            self.page.over.set()  # threads of its parts run already
            raise
        self._feed.start()

    def close(self) -> None:
        """Hang up."""
        self.page.over.set()
        self._feed.close()
        self.server.close()
