"""The `merlin` detector: a MerlinEM that is armed here, or only listened to."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, field_validator

from scopeside.detector import Sink, StopRequested
from scopeside.errors import SourceError
from scopeside.params import Params
from scopeside.settings import AcquisitionSettings, Port
from scopeside_adapters.medipix_pixels import warm_all
from scopeside_adapters.merlin.controller import ControlError, Controller
from scopeside_adapters.merlin.intake import WAIT_S, Intake
from scopeside_adapters.merlin.link import Link
from scopeside_adapters.merlin.survey import warm as warm_survey

log = logging.getLogger(__name__)

TRIGGERS = {
    "internal": 0,
    "rising_ttl": 1,
    "falling_ttl": 2,
    "rising_lvds": 3,
    "falling_lvds": 4,
    "soft": 5,
}
Trigger = Literal[
    "internal", "rising_ttl", "falling_ttl", "rising_lvds", "falling_lvds", "soft"
]
Value = int | float | str
_CONNECT_S = 5.0
_QUIET_S = 0.1
_TRIES = 5


class MerlinParams(Params):
    """``[detector] kind = "merlin"``."""

    host: str = "127.0.0.1"
    """The detector PC."""
    port: Port = 6342
    """Its data port."""
    arm: StrictBool = False
    """true: set up and start the acquisitions; false: listen, somebody else starts."""
    acquisitions: int | None = Field(None, ge=0)
    """How many to take; 0: until stopped. Absent: 1 if armed, else until stopped."""
    control_port: Port = 6341
    """Its control port; used only with `arm`."""
    frames: int | None = Field(None, ge=0)
    """NUMFRAMESTOACQUIRE; 0: endless. Absent: the frames of the scan, if there is one,
    else as the detector is set."""
    frames_per_trigger: int | None = Field(None, ge=1)
    """NUMFRAMESPERTRIGGER."""
    exposure_ms: float | None = Field(None, gt=0)
    """ACQUISITIONTIME, ms."""
    period_ms: float | None = Field(None, gt=0)
    """ACQUISITIONPERIOD, ms."""
    depth: Literal[1, 6, 12, 24] | None = None
    """COUNTERDEPTH, bits."""
    trigger: Trigger | None = None
    """TRIGGERSTART; with soft, the trigger is sent once the detector is ready."""
    variables: dict[Annotated[str, Field(pattern="^[A-Z][A-Z0-9_]*$")], Value] = {}
    """Further variables by their own names, such as HVBIAS = 120; set in this order."""
    counter: Literal[0, 1] | None = None
    """Which counter is taken where each exposure has a frame of both; absent: 0, if
    the detector says so, else all frames."""
    flip_y: StrictBool = True
    """true: the image upright, as the detector's software and HyperSpy show it; false:
    rows in the order in which they are sent, bottom first."""
    silence_s: float = Field(1.5, gt=0)
    """In mid-series the detector has failed if it is silent for so long and for five
    of the longest intervals so far, s."""
    max_frame_mib: int = Field(64, ge=1, le=1024)
    """Largest message that is taken, MiB."""

    @field_validator("variables")
    @classmethod
    def _plain(cls, variables: dict[str, Value]) -> dict[str, Value]:
        for name, value in variables.items():
            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"{name}: a value is printable text in one line")
        return variables


class MerlinDetector:
    """Delivers the acquisitions of a MerlinEM, one after another."""

    Params: ClassVar[type[MerlinParams]] = MerlinParams
    resumes = True
    """After a crash of the adapter the next acquisition can be taken."""
    again_s = 0.5
    """Pause before a lost detector is connected to again."""

    def __init__(self, params: MerlinParams, settings: AcquisitionSettings) -> None:
        self._params = params
        self._settings = settings
        self._name = f"Merlin at {params.host}:{params.port}"
        self._done = 0
        self._served = False

    def check(self) -> list[str]:
        """Say whether the host has an address and, if it is to be armed, answers.

        The data port is left alone: it serves one client, and that may be another's.
        """
        params = self._params
        try:
            socket.getaddrinfo(params.host, params.port, type=socket.SOCK_STREAM)
        except OSError as error:
            return [f"host: {params.host!r} is no address that is known: {error}"]
        if not params.arm:
            return []
        try:
            with Controller(params.host, params.control_port, 2.0) as control:
                control.version()
        except SourceError as error:
            return [str(error)]
        return []

    def prepare(self) -> None:
        """Load or compile the kernels."""
        warm_survey()
        warm_all()

    def run(self, sink: Sink) -> None:
        """Take acquisitions until there are enough or the engine is asked to end."""
        self._done, self._served, said = 0, False, ""
        while not self._enough():
            try:
                with self._connected(sink) as (link, control):
                    lost = self._take(sink, link, control)
            except SourceError as error:
                refused = isinstance(error, ControlError) and error.reply is not None
                if refused or not self._served:
                    raise
                lost = str(error)
            if self._enough():
                return
            if lost != said:
                sink.note(f"{lost}; connecting again")
                said = lost
            _pause(sink, self.again_s)

    def _enough(self) -> bool:
        asked = self._params.acquisitions
        if asked is None:
            asked = 1 if self._params.arm else 0
        return 0 < asked <= self._done

    @contextmanager
    def _connected(self, sink: Sink) -> Iterator[tuple[Link, Controller | None]]:
        """Connect, to the control port first: what is wrong is told there."""
        params = self._params
        largest = params.max_frame_mib << 20

        def give_up() -> None:
            if sink.stopping:
                raise StopRequested

        there = (
            Controller(params.host, params.control_port, give_up=give_up)
            if params.arm
            else nullcontext()
        )
        with (
            there as control,
            Link(params.host, params.port, largest, _CONNECT_S) as link,
        ):
            yield link, control

    def _take(self, sink: Sink, link: Link, control: Controller | None) -> str:
        """Take acquisitions until there are enough, or return what was lost."""
        params = self._params
        intake = Intake(
            link,
            sink,
            self._settings,
            counter=params.counter,
            flip_y=params.flip_y,
            silence_s=params.silence_s,
            on_header=lambda: self._trigger(control),
            status=lambda: None if control is None else control.status(),
        )
        if control is None:
            self._listen(sink, intake)
        else:
            self._arm(sink, intake, control)
        return f"{self._name}: {link.closed}"

    def _listen(self, sink: Sink, intake: Intake) -> None:
        self._served = True
        sink.note(f"listening to {self._name}")
        while not self._enough() and intake.take_one():
            self._done += 1

    def _arm(self, sink: Sink, intake: Intake, control: Controller) -> None:
        for name, value in self._variables().items():
            control.set(name, value)
        try:
            while not self._enough():
                self._start(control, intake)
                self._served = True
                sink.note(f"started {self._name}")
                if not intake.take_one(announced=True):
                    break
                self._done += 1
        finally:
            self._stop(control)

    def _start(self, control: Controller, intake: Intake) -> None:
        """Start an acquisition, after the end of what a busy detector does."""
        intake.drain(_QUIET_S)
        for _ in range(_TRIES):
            if control.start():
                return
            control.stop()
            intake.drain(_QUIET_S)  # it stops when it has sent what it holds
        raise ControlError(
            f"{control.name} stays busy; stop what it does in the Merlin software"
        )

    def _variables(self) -> dict[str, Any]:
        params = self._params
        scan = self._settings.scan_of()
        frames = params.frames
        if frames is None and scan is not None:
            frames = scan.frames
        asked = {
            "COUNTERDEPTH": params.depth,
            "ACQUISITIONTIME": params.exposure_ms,
            "ACQUISITIONPERIOD": params.period_ms,
            "NUMFRAMESTOACQUIRE": frames,
            "NUMFRAMESPERTRIGGER": params.frames_per_trigger,
            "TRIGGERSTART": None
            if params.trigger is None
            else TRIGGERS[params.trigger],
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return {**given, **params.variables}

    def _trigger(self, control: Controller | None) -> None:
        if control is not None and self._params.trigger == "soft":
            control.command("SOFTTRIGGER")

    def _stop(self, control: Controller) -> None:
        """Stop what may still run; a detector that does not answer is left alone."""
        control.hurry()
        try:
            control.stop()
        except ControlError as error:
            log.warning("%s", error)


def _pause(sink: Sink, seconds: float) -> None:
    """Wait, but not for a stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if sink.stopping:
            raise StopRequested
        time.sleep(WAIT_S)
