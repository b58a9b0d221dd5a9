"""Serval's HTTP interface: where data go, start, stop, and what was dropped.

Everything is GET except settings, which are read as a whole, changed, and PUT back.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from scopeside.detector import Sink
from scopeside.errors import SourceError
from scopeside_adapters.rest import RestApi, RestError

log = logging.getLogger(__name__)

_IDLE = "DA_IDLE"
_OF_EVENTS = ("tpx3", "timepix3")
_OF_IMAGES = (*_OF_EVENTS, "mpx3", "medipix3")
_CONFLICT = 409
_STOP_S = 10.0
_POLL_S = 0.1


class Serval:
    """One Serval; ``base`` is an address such as ``http://127.0.0.1:8080``."""

    def __init__(self, base: str, timeout_s: float = 5.0) -> None:
        self.name = f"Serval at {base.rsplit('://', maxsplit=1)[-1].rstrip('/')}"
        self._api = RestApi(base, self.name, timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def dashboard(self) -> dict[str, Any]:
        """Return the state of server, measurement and detector."""
        return self._table("/dashboard")

    def check_detector(self, *, images: bool = False) -> None:
        """Refuse a Serval without a Timepix3; a Medipix3 sends images alone.

        Raises
        ------
        SourceError
            If none is connected, or it is another.
        """
        about = self.dashboard().get("Detector")
        if not isinstance(about, dict):
            raise SourceError(
                f"{self.name} runs, but no detector is connected to it: switch the "
                "camera on and connect it in Serval"
            )
        kind = str(about.get("DetectorType", "Tpx3"))
        if kind.lower() not in (_OF_IMAGES if images else _OF_EVENTS):
            raise SourceError(
                f"{self.name} has a {kind} detector; only Tpx3 streams events, and "
                "Mpx3 images (stream = 'images')"
            )

    def layout(self) -> Any:
        """Return where the chips lie."""
        return self._api.get("/detector/layout")

    def configure(self, changes: dict[str, Any]) -> None:
        """Change settings of the detector."""
        settings = self._table("/detector/config")
        if any(settings.get(key) != value for key, value in changes.items()):
            self._api.put("/detector/config", {**settings, **changes})

    def destination(self) -> dict[str, Any]:
        """Return where data go now."""
        return self._table("/server/destination")

    def send_to(self, destination: dict[str, Any]) -> None:
        """Set where data go."""
        self._api.put("/server/destination", destination)

    def start(self) -> None:
        """Start a measurement; one that runs is stopped first."""
        try:
            answer = self._api.get("/measurement/start")
            if "already running" not in str(answer).lower():
                return
        except RestError as error:
            running = "already running" in error.text.lower()
            if error.status != _CONFLICT and not running:
                raise
        self.stop()
        self._api.get("/measurement/start")

    def stop(self) -> None:
        """Stop the measurement, and wait until it has ended.

        Raises
        ------
        SourceError
            If it goes on.
        """
        try:
            self._api.get("/measurement/stop")
        except RestError as error:
            if error.status != _CONFLICT:  # 409: there is none
                raise
        deadline = time.monotonic() + _STOP_S
        while self.status() != _IDLE:
            if time.monotonic() > deadline:
                raise SourceError(
                    f"{self.name} is still {self.status()} {_STOP_S:g} s after it was "
                    "told to stop; stop the measurement there"
                )
            time.sleep(_POLL_S)

    def status(self) -> str:
        """Return what the measurement does, such as DA_RECORDING."""
        measurement = self.dashboard().get("Measurement")
        if not isinstance(measurement, dict):
            return _IDLE
        return str(measurement.get("Status", _IDLE))

    def dropped(self) -> int:
        """Return how many frames the detector has dropped in this measurement."""
        measurement = self.dashboard().get("Measurement")
        said = measurement.get("DroppedFrames") if isinstance(measurement, dict) else 0
        try:
            return int(said or 0)
        except (ValueError, TypeError, OverflowError) as error:
            raise RestError(
                f"{self.name} says that DroppedFrames is {said!r:.80}"
            ) from error

    def _table(self, path: str) -> dict[str, Any]:
        answer = self._api.get(path)
        if not isinstance(answer, dict):
            raise RestError(f"{self.name} answered GET {path} with {answer!r:.80}")
        return answer


def with_ours(
    destination: dict[str, Any], ours: dict[str, Any], kind: str = "Raw"
) -> dict[str, Any]:
    """Return `destination` with our channel of a kind besides those of others.

    Raises
    ------
    RestError
        If the channels that are there are none.
    """
    others = destination.get(kind) or []
    if not isinstance(others, list) or not all(isinstance(one, dict) for one in others):
        raise RestError(f"Serval says that its destination {kind} is {others!r:.80}")
    kept = [one for one in others if one.get("Base") != ours["Base"]]
    return {**destination, kind: [*kept, ours]}


class Watch:
    """Looks at the dashboard once a second, in a thread of its own.

    The thread writes what it saw, whole; `news` reads it from another.
    """

    def __init__(self, serval: Serval, every_s: float = 1.0) -> None:
        self._serval = serval
        self._every_s = every_s
        self._dropped = 0
        self._told = 0
        self._trouble = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def tell(self, sink: Sink) -> None:
        """Tell what is new."""
        if dropped := self.dropped():
            sink.reject(
                dropped,
                "dropped_by_detector",
                f"Serval dropped {dropped} frames of data: its network, disk or "
                "another destination is too slow",
            )
        if trouble := self.trouble():
            sink.note(trouble)

    def dropped(self) -> int:
        """Return how many frames the detector has dropped since it was asked."""
        now = self._dropped
        fresh, self._told = max(0, now - self._told), now
        return fresh

    def trouble(self) -> str:
        """Return why Serval cannot be asked, once; empty if it can."""
        told, self._trouble = self._trouble, ""
        return told

    def _look(self) -> None:
        silent = False
        while not self._stop.wait(self._every_s):
            try:
                self._dropped = self._serval.dropped()
                silent = False
            except SourceError as error:
                log.debug("dashboard: %s", error)
                if not silent:
                    self._trouble = f"{self._serval.name} cannot be asked: {error}"
                silent = True
