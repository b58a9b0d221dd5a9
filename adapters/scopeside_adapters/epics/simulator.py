"""The other end: an areaDetector IOC in miniature, on PVAccess, faulty on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from scopeside.errors import SourceError
from scopeside.params import Params
from scopeside_adapters.epics.channel import load
from scopeside_adapters.epics.encode import Codec, empty, member_of, ntndarray
from scopeside_adapters.faults import Fault, Faults, ResetRequested

Array = npt.NDArray[Any]
Message = tuple[int, int, Array, bool]
"""uniqueId, time in ns, image, whether half of it is missing."""
_DIFFERENT = 64
_MODES = ("Single", "Multiple", "Continuous")
_LONGEST_NAP_S = 0.05
_LAST_S = 0.5
"""For the last frames to leave."""


def _dtype(name: str) -> str:
    if np.dtype(name).kind not in "uif" or np.dtype(name).itemsize > 8:
        raise ValueError("it is such as uint8, uint16, int32 or float32")
    return np.dtype(name).name


class EpicsSimulatorParams(Params):
    """``scopeside simulate epics``."""

    pv: str = "13SIM1:Pva1:Image"
    """Name of the channel."""
    port: int = Field(5075, ge=0, le=65535)
    """TCP port on 127.0.0.1; 0: any free one."""
    udp_port: int = Field(0, ge=0, le=65535)
    """UDP port for searches; 0: any free one."""
    shape: tuple[int, int] = (256, 256)
    """Height and width of a frame, pixels."""
    dtype: Annotated[str, AfterValidator(_dtype)] = "uint16"
    """Type of a pixel."""
    codec: Codec = "none"
    """How frames are packed."""
    frames: int = Field(500, ge=1)
    """Frames of an acquisition."""
    acquisitions: int = Field(1, ge=1)
    """How many there are, one after another."""
    fps: float = Field(100.0, gt=0, le=1e5)
    """Frames a second."""
    pause_s: float = Field(1.0, ge=0)
    """A client must have been there for so long before each acquisition, s."""
    seed: int = Field(0, ge=0)
    """Of the Poisson noise that the frames are; frame i is `frame_at(params, i)`."""
    timestamps: bool = True
    """Whether the frames have a time."""
    driver: str = ""
    """Prefix of the driver's records, such as 13SIM1:cam1:; with it, acquisitions
    begin when Acquire is set to 1."""
    faults: dict[int, Fault] = {}
    """What goes wrong, by the number of the frame from 0: drop, duplicate, reorder,
    truncate, stall, reset."""


def library(params: EpicsSimulatorParams) -> Array:
    """Return the frames that are repeated, at most 64 different ones."""
    n = min(params.frames, _DIFFERENT)
    rng = np.random.default_rng(params.seed)
    return rng.poisson(5.0, (n, *params.shape)).astype(params.dtype)


def frame_at(params: EpicsSimulatorParams, index: int) -> Array:
    """Return the frame of this index, of any acquisition."""
    frames = library(params)
    return np.asarray(frames[index % len(frames)])


class Ioc:
    """Serves one channel, on 127.0.0.1 only, and the records of a driver.

    Attributes
    ----------
    port
        TCP port it listens at.
    udp_port
        UDP port where it is searched for.
    watched
        Set while somebody is connected to the channel.
    acquire
        Set while the driver shall acquire.
    halt
        Set it to end what is being played.
    """

    def __init__(self, params: EpicsSimulatorParams) -> None:
        load()
        self.port = params.port
        self.udp_port = params.udp_port
        self.halt = threading.Event()
        self.watched = threading.Event()
        self.acquire = threading.Event()
        self._params = params
        self._library = library(params)
        self._count = 0
        self._records: dict[str, Any] = {}
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What a client names in `servers`."""
        return f"127.0.0.1:{self.port}"

    def post(self, value: Any) -> None:
        """Set the channel to a value, such as `encode.ntndarray` makes."""
        self._channel.post(value)

    def play(self, frames: int | None = None, *, first_id: int = 1) -> None:
        """Send an acquisition at the rate asked for, with the faults asked for."""
        total = self._wanted() if frames is None else frames
        faults = Faults(self._params.faults)
        began_ns = time.time_ns() * self._params.timestamps
        period_ns = int(1e9 / self._params.fps) * self._params.timestamps
        messages = (
            (i, (first_id + i, began_ns + i * period_ns, self._frame(i), False))
            for i in range(total)
        )
        try:
            for message in self._paced(faults.apply(messages, _cut)):
                self.post(self._value(*message))
                self._note("ArrayCounter", message[0])
        except ResetRequested:
            self.reset()
        finally:
            self.acquire.clear()
            self._note("Acquire", 0)

    def reset(self) -> None:
        """Break all links, and serve again at the same port."""
        self._server.stop()
        self._open()

    def record(self, name: str) -> Any:
        """Return the value of a record of the driver; of ImageMode, its number."""
        value = self._records[name].current()
        return value["value.index" if name == "ImageMode" else "value"]

    def close(self) -> None:
        """Stop playing and serving."""
        self.halt.set()
        self._server.stop()

    # ---------------------------------------------------------------------------

    def _open(self) -> None:
        from p4p.server import Server  # noqa: PLC0415 - only where EPICS is played
        from p4p.server.raw import SharedPV  # noqa: PLC0415

        self.watched.clear()
        self._channel = SharedPV(handler=_Watcher(self.watched), initial=empty())
        providers = {self._params.pv: self._channel}
        if self._params.driver:
            self._records = self._driver_records(SharedPV)
            prefix = self._params.driver
            providers |= {f"{prefix}{name}": pv for name, pv in self._records.items()}
        try:
            self._server = Server(
                providers=[providers],
                useenv=False,
                conf={
                    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
                    "EPICS_PVAS_SERVER_PORT": str(self.port),
                    "EPICS_PVAS_BROADCAST_PORT": str(self.udp_port),
                    "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
                    "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
                },
            )
        except RuntimeError as error:
            raise SourceError(f"cannot serve at {self.address}: {error}") from error
        found = self._server.conf()
        self.port = int(found["EPICS_PVAS_SERVER_PORT"])
        self.udp_port = int(found["EPICS_PVAS_BROADCAST_PORT"])

    def _driver_records(self, shared: type[Any]) -> dict[str, Any]:
        from p4p.nt import NTEnum, NTScalar  # noqa: PLC0415 - as above

        kinds: dict[str, tuple[Any, Any]] = {
            "Acquire": (NTScalar("i"), 0),
            "ArrayCounter": (NTScalar("i"), 0),
            "NumImages": (NTScalar("i"), self._params.frames),
            "AcquireTime": (NTScalar("d"), 1 / self._params.fps),
            "ImageMode": (NTEnum(), {"index": 1, "choices": list(_MODES)}),
        }
        return {
            name: shared(handler=_Record(name, self._changed), initial=kind.wrap(value))
            for name, (kind, value) in kinds.items()
        }

    def _changed(self, record: str, value: Any) -> None:
        if record == "Acquire":
            (self.acquire.set if value["value"] else self.acquire.clear)()

    def _wanted(self) -> int:
        if not self._records:
            return self._params.frames
        single, many = self.record("ImageMode") == 0, self.record("ImageMode") == 2
        return 1 if single else 1 << 30 if many else int(self.record("NumImages"))

    def _note(self, record: str, value: int) -> None:
        if self._records:
            now = self._records[record].current()
            now["value"] = value
            self._records[record].post(now)

    def _paced(self, messages: Iterable[Message]) -> Iterator[Message]:
        """Yield each message when it is due; with a driver, while it acquires."""
        began = time.monotonic()
        for k, message in enumerate(messages):
            due = began + k / self._params.fps
            while (left := due - time.monotonic()) > 0:
                time.sleep(min(left, _LONGEST_NAP_S))
            if self.halt.is_set() or (self._records and not self.acquire.is_set()):
                return
            yield message

    def _frame(self, index: int) -> Array:
        return np.asarray(self._library[index % len(self._library)])

    def _value(self, unique_id: int, stamp: int, frame: Array, half: bool) -> Any:
        self._count += 1
        value = ntndarray(
            frame,
            unique_id=unique_id,
            timestamp_ns=stamp,
            codec=self._params.codec,
            attributes={
                "Temperature": 20.0 + self._count / 1000,
                "Camera": "simulated",
            },
        )
        if half:
            whole = value["value"]
            value["value"] = (member_of(whole.dtype), whole[: len(whole) // 2])
        return value


class EpicsSimulator:
    """Plays acquisitions, or waits for Acquire if there is a driver."""

    Params: ClassVar[type[EpicsSimulatorParams]] = EpicsSimulatorParams

    def __init__(self, params: EpicsSimulatorParams) -> None:
        self._params = params

    def run(self, say: Callable[[str], None]) -> None:
        """Serve the channel until all acquisitions are played."""
        params = self._params
        with Ioc(params) as ioc:
            say(f"{params.pv} at {ioc.address}; waiting for a client")
            for number in range(1, params.acquisitions + 1):
                if params.driver:
                    ioc.acquire.wait()
                else:
                    _until_watched(ioc, params.pause_s)
                say(f"acquisition {number} of {params.acquisitions}")
                ioc.play()
            time.sleep(max(params.pause_s, _LAST_S))
            say("all acquisitions are played")


class _Watcher:
    """Tells when the first client comes, and when the last one has gone."""

    def __init__(self, watched: threading.Event) -> None:
        self._watched = watched

    def onFirstConnect(self, _: Any) -> None:  # noqa: N802 - p4p's name
        self._watched.set()

    def onLastDisconnect(self, _: Any) -> None:  # noqa: N802 - p4p's name
        self._watched.clear()


class _Record:
    """Takes what a client writes."""

    def __init__(self, name: str, changed: Callable[[str, Any], None]) -> None:
        self._name = name
        self._changed = changed

    def put(self, pv: Any, operation: Any) -> None:
        value = operation.value()
        pv.post(value)
        self._changed(self._name, value)
        operation.done()


def _cut(message: Message) -> Message:
    return (*message[:3], True)


def _until_watched(ioc: Ioc, seconds: float) -> None:
    """Wait until a client has stayed for so long: a check comes and goes."""
    since = time.monotonic()
    while not ioc.watched.is_set() or time.monotonic() - since < seconds:
        if not ioc.watched.is_set():
            since = time.monotonic()
        time.sleep(min(_LONGEST_NAP_S, max(seconds, 0.001)))
