"""Configures, arms and triggers the detector, one series after another."""

from __future__ import annotations

import threading
import time
from typing import Any

from scopeside.detector import Sink, StopRequested
from scopeside.errors import SourceError
from scopeside_adapters.dectris.intake import Intake
from scopeside_adapters.dectris.parameters import INTERNAL, DectrisParams
from scopeside_adapters.dectris.simplon import Simplon
from scopeside_adapters.rest import RestError

_LINK_S = 5.0
_HEADER_S = 10.0
_DRAIN_S = 2.0
_RETRY_S = 1.0
_PATIENCE_S = 30.0
"""Beyond what an exposure must take, s."""


class Armed:
    """Takes series until the engine is asked to end."""

    def __init__(
        self, params: DectrisParams, simplon: Simplon, intake: Intake, sink: Sink
    ) -> None:
        self._params = params
        self._simplon = simplon
        self._intake = intake
        self._sink = sink
        self._is_configured = False
        self._is_told = False

    def run(self) -> None:
        """Take series; a detector that is lost between two is waited for.

        Raises
        ------
        SourceError
            If the first series cannot be begun.
        StopRequested
            When the engine is asked to end.
        """
        while not self._sink.stopping:
            try:
                self._take_series()
            except SourceError as error:
                if not self._intake.finished:
                    raise
                self._is_configured = False
                self._wait_a_little(str(error))
            else:
                self._is_told = False
        raise StopRequested

    def _wait_a_little(self, trouble: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._sink.note(f"{trouble}; it is tried again every {_RETRY_S:g} s")
        until = time.monotonic() + _RETRY_S
        while time.monotonic() < until and not self._sink.stopping:
            time.sleep(0.02)

    def _take_series(self) -> None:
        params, simplon, intake = self._params, self._simplon, self._intake
        simplon.make_ready(initialize=params.initialize)
        if not self._is_configured:
            simplon.set_stream(params.stream, params.header_detail)
            simplon.configure(params.settings())
            self._is_configured = True
        # The header is pushed while `arm` is answered: who connects later misses it.
        linked = intake.links_stand(_LINK_S)
        if self._sink.stopping:
            return
        if not linked:
            raise SourceError(
                f"{simplon.name} answers, but its stream at {intake.address} does not; "
                "is the port right, and does a firewall stand between?"
            )
        said = simplon.described()
        intake.expect(simplon.arm())
        trigger = None
        if said.get("trigger_mode", params.trigger_mode) in INTERNAL:
            trigger = Trigger(simplon, said)
        try:
            self._until_it_ends(trigger)
        except StopRequested:
            self._stop(trigger)
            raise
        finally:
            if trigger is not None:
                trigger.cancel()

    def _until_it_ends(self, trigger: Trigger | None) -> None:
        before, armed = self._intake.finished, time.monotonic()
        while self._intake.finished == before:
            self._intake.step()
            if trigger is not None and trigger.trouble and self._intake.in_series:
                self._intake.finish(trigger.trouble)
            elif not self._intake.in_series and self._intake.finished == before:
                waited = time.monotonic() - armed
                if waited > _HEADER_S:
                    raise SourceError(
                        f"{self._simplon.name} was armed, but no header came from "
                        f"{self._intake.address} within {_HEADER_S:g} s; another "
                        "program that is connected to the stream takes every second "
                        "message"
                    )

    def _stop(self, trigger: Trigger | None) -> None:
        """Abort the series, and throw away what the detector has still to send."""
        if trigger is not None:
            trigger.cancel()
        try:
            self._simplon.command("abort")
        except RestError as error:
            self._sink.note(f"the series could not be aborted: {error}")
        else:
            self._intake.drain(_DRAIN_S)


class Trigger:
    """Gives the trigger commands of a series, each of which waits for its images."""

    def __init__(self, simplon: Simplon, said: dict[str, Any]) -> None:
        self.trouble = ""
        self._simplon = simplon
        self._said = said
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trigger", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Give no further trigger; the last one is not waited for."""
        self._cancelled.set()

    def _run(self) -> None:
        said = self._said
        try:
            triggers = int(said.get("ntrigger") or 1)
            images = int(said.get("nimages") or 1)
            seconds = images * float(said.get("frame_time") or 0.0) + _PATIENCE_S
        except (TypeError, ValueError):
            triggers, seconds = 1, _PATIENCE_S
        try:
            for _ in range(triggers):
                if self._cancelled.is_set() or not self._is_ready(seconds):
                    return
                self._simplon.trigger(None, seconds)
        except RestError as error:
            if not self._cancelled.is_set():
                self.trouble = str(error)

    def _is_ready(self, seconds: float) -> bool:
        """Wait while an exposure that was triggered before is still going on."""
        until = time.monotonic() + seconds
        while self._simplon.state() == "acquire" and time.monotonic() < until:
            if self._cancelled.wait(0.02):
                return False
        return True
