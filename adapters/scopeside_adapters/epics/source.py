"""The `epics` detector: a camera that an areaDetector IOC serves over PVAccess."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, Field

from scopeside.acquisition import Acquisition
from scopeside.detector import Sink
from scopeside.errors import ProtocolError, ScopesideError, SourceError
from scopeside.params import Params
from scopeside.settings import AcquisitionSettings
from scopeside_adapters.epics.channel import Channel, Lost, Update, load
from scopeside_adapters.epics.driver import ArmParams, Driver
from scopeside_adapters.epics.intake import WAIT_S, Intake, take_all
from scopeside_adapters.epics.protocol import Frame, frame_of
from scopeside_adapters.epics.series import Series

_TRY_AGAIN_S = 2.0
_ADDRESS = re.compile(r"[^\s:]+(?::(\d{1,5}))?")


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":") if ":" in text else (text, "", "")
    if (
        not host
        or " " in text
        or (colon and not (port.isdigit() and 0 < int(port) < 65536))
    ):
        raise ValueError("it is HOST:PORT, such as '127.0.0.1:5075', or HOST alone")
    return text


Address = Annotated[str, AfterValidator(_address)]


class EpicsParams(Params):
    """``[detector] kind = "epics"``."""

    pv: str = Field(pattern=r"\S+")
    """Name of the channel with the images, such as 13SIM1:Pva1:Image."""
    servers: tuple[Address, ...] = ()
    """IOCs that are asked for it by TCP, as HOST:PORT (usual port 5075)."""
    addresses: tuple[Address, ...] = ()
    """Where it is searched for by UDP, HOST or HOST:PORT (usual port 5076). If neither
    is given, the variables EPICS_PVA_… of the environment say where."""
    timeout_s: float = Field(5.0, ge=0.5, le=60)
    """No IOC for so long is told; a link that is dead for so long (the library makes
    it 2.7 at least) is lost, s."""
    silence_s: float = Field(5.0, gt=0)
    """No frame for so long: the acquisition is over, s."""
    frames: int | None = Field(None, ge=1)
    """Frames of an acquisition, where there is no scan; absent: not known."""
    first_id: int | None = None
    """uniqueId of the first frame of an acquisition (1 where ArrayCounter is set to 0
    before it); absent: that of the first frame that comes."""
    take_current: bool = False
    """Whether the frame that the channel holds when we connect is taken."""
    queue: int = Field(32, ge=4, le=10_000)
    """Frames that may wait here, and as many in the IOC."""
    arm: ArmParams | None = None
    """Start acquisitions through the records of the driver."""


class EpicsDetector:
    """Delivers the acquisitions that an areaDetector channel shows.

    Attributes
    ----------
    intake
        What takes the frames while `run` does; its `latest` has the newest
        attributes. None before.
    """

    Params: ClassVar[type[BaseModel]] = EpicsParams

    def __init__(self, params: EpicsParams, settings: AcquisitionSettings) -> None:
        # A new process takes the next acquisition; it must not start one again.
        self.resumes = params.arm is None
        self.intake: Intake | None = None
        self._params = params
        self._settings = settings
        self._scan = settings.scan_of()
        self._frames = params.frames if self._scan is None else self._scan.frames
        where = ", ".join(params.servers + params.addresses)
        self._name = f"EPICS channel {params.pv}" + (f" at {where}" if where else "")

    def prepare(self) -> None:
        """Load p4p."""
        load()

    def check(self) -> list[str]:
        """Ask for the channel and return what is wrong with it."""
        params = self._params
        if self._frames is not None and params.frames not in (None, self._frames):
            return [f"frames = {params.frames}, and the scan takes {self._frames}"]
        try:
            with self._channel() as channel:
                found = self._first(channel)
                if found:
                    return [found]
            if params.arm is not None:
                with self._driver(params.arm) as driver:
                    driver.find()
        except ScopesideError as error:
            return [str(error)]
        return []

    def run(self, sink: Sink) -> None:
        """Take acquisitions until the engine is asked to end, or those we start do."""
        params = self._params
        first_id = 1 if params.arm and params.first_id is None else params.first_id
        with self._channel() as channel, self._armed(sink) as between:
            sink.note(f"waiting for frames of {self._name}")
            self.intake = Intake(
                channel,
                sink,
                Series(self._frames, first_id),
                lambda frame: self._acquisition(frame, sink.new_id()),
                silence_s=params.silence_s,
                timeout_s=params.timeout_s,
                take_current=params.take_current,
                name=self._name,
            )
            most = params.arm.acquisitions if params.arm else 0
            take_all(self.intake, sink, between, most)

    def _first(self, channel: Channel) -> str:
        """Return what is wrong with what the channel holds; empty if nothing is."""
        until = time.monotonic() + self._params.timeout_s
        try:
            while time.monotonic() < until:
                found = channel.receive(WAIT_S)
                if isinstance(found, Lost):
                    return f"{self._name}: {found.reason}"
                if isinstance(found, Update):
                    frame_of(found.fields)
                    return ""
        except ProtocolError as error:
            return f"{self._name}: {error}"
        return (
            f"no IOC answers for {self._name} within {self._params.timeout_s:g} s; is "
            "the IOC running, is the channel's name right, and do servers or addresses "
            "lead to it?"
        )

    @contextmanager
    def _armed(self, sink: Sink) -> Iterator[Callable[[int], None]]:
        """Give what is to be done between acquisitions; afterwards stop the driver."""
        arm = self._params.arm
        if arm is None:
            yield lambda _: None
            return
        with self._driver(arm, lambda: sink.stopping) as driver:
            starter = _Starter(driver, self._frames, self._params.silence_s, sink)
            try:
                yield starter.start
            finally:
                starter.stop()

    def _acquisition(self, frame: Frame, name: str) -> Acquisition:
        params = self._params
        said = frame.timestamp_ns is not None
        return Acquisition(
            id=name,
            kind="movie" if self._scan is None else "scan4d",
            frame_shape=frame.shape,
            dtype=frame.dtype,
            frames=self._frames,
            scan=self._scan,
            detector=self._name,
            started_ns=frame.timestamp_ns if said else time.time_ns(),
            metadata={
                "pv": params.pv,
                "codec": frame.codec or "none",
                "timestamps": "of the IOC" if said else "of reception",
                "first_unique_id": frame.unique_id,
                "attributes": dict(frame.attributes),
            },
        )

    def _channel(self) -> Channel:
        return Channel(
            self._params.pv,
            self._configuration(),
            environment=self._environment,
            queue=self._params.queue,
        )

    def _driver(
        self, arm: ArmParams, stopping: Callable[[], bool] = lambda: False
    ) -> Driver:
        return Driver(
            arm,
            stopping,
            self._configuration(),
            environment=self._environment,
            timeout_s=self._params.timeout_s,
        )

    @property
    def _environment(self) -> bool:
        return not (self._params.servers or self._params.addresses)

    def _configuration(self) -> dict[str, str]:
        params = self._params
        # The library takes a link for dead after 4/3 of this.
        found = {"EPICS_PVA_CONN_TMO": f"{params.timeout_s * 0.75:.3f}"}
        if self._environment:
            return found
        found |= {
            "EPICS_PVA_NAME_SERVERS": " ".join(params.servers),
            "EPICS_PVA_ADDR_LIST": " ".join(params.addresses),
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        }
        if all(_is_loopback(address) for address in params.servers + params.addresses):
            found["EPICS_PVA_INTF_ADDR_LIST"] = "127.0.0.1"
        return found


class _Starter:
    """Starts an acquisition of the driver whenever none is open."""

    def __init__(
        self, driver: Driver, frames: int | None, silence_s: float, sink: Sink
    ) -> None:
        self._driver = driver
        self._frames = frames
        self._silence_s = silence_s
        self._sink = sink
        self._not_before = 0.0
        self._armed_after: int | None = None

    def start(self, ended: int) -> None:
        """Arm the driver, if it has not just been armed.

        `ended` acquisitions have ended; if there are no more of them than when it
        was armed last, its first frame may still come.
        """
        if ended == self._armed_after and time.monotonic() < self._not_before:
            return
        wait_s = self._silence_s
        try:
            self._driver.arm(self._frames)
        except SourceError as error:
            self._sink.note(f"cannot start an acquisition: {error}; trying again")
            wait_s = _TRY_AGAIN_S
        self._armed_after = ended
        self._not_before = time.monotonic() + wait_s

    def stop(self) -> None:
        """Stop the driver, if we started it."""
        if self._armed_after is None:
            return
        try:
            self._driver.stop()
        except SourceError as error:
            self._sink.note(f"the driver may go on: {error}")


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0] or address
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
