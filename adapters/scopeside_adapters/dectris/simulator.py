"""A simulated DECTRIS detector: SIMPLON over HTTP, images over ZeroMQ PUSH."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Self

import numpy as np

from scopeside_adapters.dectris.compose import (
    Series,
    Stream,
    compress,
    end_of,
    image_of,
    start_of,
)
from scopeside_adapters.dectris.metadata import images_in_series
from scopeside_adapters.dectris.parcel import Array, Parcel
from scopeside_adapters.dectris.pusher import Pace, Pusher
from scopeside_adapters.dectris.simulated import (
    DectrisSimulatorParams,
    Oddities,
    first_values,
    poisson,
)
from scopeside_adapters.dectris.simulated_rest import Keys, RefusedError, RestServer
from scopeside_adapters.faults import Faults, ResetRequested

_CHUNK = 1024
"""Images that are composed at once; a series of less than `_AHEAD_BYTES` as a whole,
before its header is sent."""
_AHEAD_BYTES = 1 << 30


class DectrisSimulator:
    """A detector of the SIMPLON family with frames that are known."""

    Params: ClassVar[type[DectrisSimulatorParams]] = DectrisSimulatorParams

    def __init__(
        self,
        params: DectrisSimulatorParams,
        faults: Faults | None = None,
        oddities: Oddities | None = None,
    ) -> None:
        self.params = params
        self.faults = faults or Faults()
        self.oddities = oddities or Oddities()
        self.series = 0
        self._frames = {
            channel: poisson(params, k) for k, channel in enumerate(params.channels)
        }
        self._orders: SimpleQueue[str] = SimpleQueue()
        self._halt = threading.Event()
        self._closing = threading.Event()
        self._idle = threading.Event()
        self._exposed = threading.Event()
        self._armed = threading.Event()
        self._blobs: dict[tuple[str, str], dict[str, list[bytes]]] = {}

    def frames(self, n: int, channel: str = "") -> Array:
        """Return the first `n` frames of a series, as they are sent."""
        known: Array = self._frames[channel or next(iter(self._frames))]
        return known[np.arange(n) % len(known)]

    @property
    def is_connected(self) -> bool:
        """Whether a client is linked to the stream; for one thread only."""
        return self._pusher.is_connected

    # -- its life ------------------------------------------------------------------

    def __enter__(self) -> Self:
        params = self.params
        self.keys = Keys(first_values(params))
        self._pusher = Pusher(params.host, params.port)
        self._rest = RestServer(params.host, params.api_port, self.keys, self._command)
        self.port, self.api_port = self._pusher.port, self._rest.port
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone, in mid-series as well, without a farewell."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        self._rest.close()
        self._pusher.close()

    def run(self, say: Callable[[str], None]) -> None:
        """Serve until interrupted, telling of each series."""
        with self:
            host = self.params.host
            say(f"SIMPLON at {host}:{self.api_port}, stream at {host}:{self.port}")
            known = 0
            while not self._closing.wait(0.05):
                if self.params.auto and self.is_connected and self._state() == "idle":
                    time.sleep(self.params.pause_s)
                    self.take_series()
                if self.series != known:
                    known = self.series
                    say(f"series {known}: {self._images()} images")

    def take_series(self) -> None:
        """Arm and trigger as a client does; for passive clients."""
        self._command("arm", None)
        mode = self._config("trigger_mode")
        if mode in ("ints", "inte"):
            for _ in range(int(self._config("ntrigger"))):
                self._command("trigger", None)

    # -- commands; called from the threads of the HTTP server -------------------------

    def _command(self, name: str, _: Any) -> dict[str, Any]:
        state = self._state()
        if name == "initialize":
            self._set_state("idle")
            return {}
        if state in ("na", "error"):
            raise RefusedError(f"{name} is not allowed in state {state}")
        if name == "arm":
            return self._arm(state)
        if name == "trigger":
            return self._trigger(state)
        if name in ("disarm", "cancel", "abort"):
            self._halt.set()
            if state != "idle":
                self._idle.wait(10)
            return {"sequence id": self.series}
        raise RefusedError(f"there is no command {name}")

    def _arm(self, state: str) -> dict[str, Any]:
        if state != "idle":
            raise RefusedError(f"arm is not allowed in state {state}")
        self.series += 1
        self.keys.set("stream/status", "dropped", 0)
        self._halt.clear()
        self._idle.clear()
        self._set_state("ready")
        self._armed.clear()
        self._orders.put("arm")
        self._armed.wait(60)
        said = self.oddities.arm_says
        return {"sequence id": self.series if said is None else said}

    def _trigger(self, state: str) -> dict[str, Any]:
        if state != "ready":
            raise RefusedError(f"trigger is not allowed in state {state}")
        self._exposed.clear()
        self._orders.put("trigger")
        while not self._exposed.wait(0.05) and not self._closing.is_set():
            pass
        return {}

    def _state(self) -> str:
        return str(self.keys.get("detector/status", "state"))

    def _set_state(self, state: str) -> None:
        self.keys.set("detector/status", "state", state)

    def _config(self, key: str) -> Any:
        return self.keys.get("detector/config", key)

    def _images(self) -> int:
        mode, n = self._config("trigger_mode"), self._config("nimages")
        return images_in_series(mode, n, self._config("ntrigger")) or n

    # -- the stream; in a thread of its own -------------------------------------------

    def _serve(self) -> None:
        while not self._closing.is_set():
            if self._ordered("arm"):
                self._take()
                self._set_state("idle")
                self._exposed.set()
                self._idle.set()

    def _ordered(self, what: str) -> bool:
        try:
            return self._orders.get(timeout=0.02) == what
        except Empty:
            return False

    def _take(self) -> None:
        """Send one series: header, images as they are triggered, end."""
        legacy = self.keys.get("stream/config", "format") == "legacy"
        stream: Stream = "v1" if legacy else "v2"
        series = self._composed(stream)
        ahead = self._ahead(series, stream)
        if not self.oddities.no_header:
            self._pusher.push(Parcel.of([start_of(series, stream)]), 0, 1, self._halted)
        self._armed.set()
        try:
            self._expose_all(series, stream, ahead)
        except ResetRequested:
            self._pusher.reset()
            return
        self._closing.wait(self.oddities.late_end_s)
        if not self.oddities.no_end:
            end = Parcel.of([end_of(series, stream)])
            self._pusher.push(end, 0, 1, self._closing.is_set)

    def _halted(self) -> bool:
        return self._halt.is_set() or self._closing.is_set()

    def _expose_all(self, series: Series, stream: Stream, ahead: Parcel | None) -> None:
        mode = self._config("trigger_mode")
        each = {"ints": self._config("nimages"), "inte": 1}.get(mode, series.images)
        done = 0
        while done < series.images and not self._halted():
            if mode in ("ints", "inte") and not self._ordered("trigger"):
                continue
            self._set_state("acquire")
            last = min(done + each, series.images)
            pace = Pace(self.params.fps)
            for parcel, a, b in self._parcels(series, stream, done, last, ahead):
                self._pusher.push(parcel, a, b, self._halted, pace)
                if self._halted():
                    return
            done = last
            if done < series.images:
                self._set_state("ready")
                self._exposed.set()

    def _composed(self, stream: Stream) -> Series:
        params, config = self.params, self.keys.all("detector/config")
        key = (str(config["compression"]), stream)
        if key not in self._blobs:
            self._blobs[key] = {
                channel: compress(frames, config["compression"], stream)
                for channel, frames in self._frames.items()
            }
        return Series(
            series=self.series,
            shape=params.shape,
            dtype=np.dtype(params.dtype),
            images=self._images(),
            compression=config["compression"],
            detail=self.keys.get("stream/config", "header_detail"),
            blobs=self._blobs[key],
            config=config,
            appendix=params.appendix,
        )

    def _ahead(self, series: Series, stream: Stream) -> Parcel | None:
        """Compose all images at once, if they are not too many."""
        size = sum(len(part) for part in image_of(series, stream, 0))
        if self._is_faulty or size * series.images > _AHEAD_BYTES:
            return None
        return Parcel.of([image_of(series, stream, k) for k in range(series.images)])

    @property
    def _is_faulty(self) -> bool:
        odd = self.oddities
        return bool(
            self.faults.of or odd.wrong_series or odd.corrupt or odd.wrong_shape
        )

    def _parcels(
        self,
        series: Series,
        stream: Stream,
        first: int,
        last: int,
        ahead: Parcel | None,
    ) -> Iterator[tuple[Parcel, int, int]]:
        """Yield images `first` to `last` (exclusive) as parcels and ranges."""
        if ahead is not None:
            yield ahead, first, last
        elif self._is_faulty:
            numbered = (
                (k, self._odd_image(series, stream, k)) for k in range(first, last)
            )
            for parts in self.faults.apply(numbered, _cut):
                yield Parcel.of([parts]), 0, 1
        else:
            for a in range(first, last, _CHUNK):
                numbers = range(a, min(a + _CHUNK, last))
                parcel = Parcel.of([image_of(series, stream, k) for k in numbers])
                yield parcel, 0, parcel.messages

    def _odd_image(self, series: Series, stream: Stream, number: int) -> list[bytes]:
        odd = self.oddities
        if self.faults.of.get(number) == "drop" and odd.counted:
            dropped = self.keys.get("stream/status", "dropped")
            self.keys.set("stream/status", "dropped", dropped + 1)
        if number in odd.wrong_series:
            series = replace(series, series=series.series + 1000)
        if number in odd.wrong_shape:
            height, width = series.shape
            series = replace(series, shape=(height // 2, width * 2))
        if number in odd.corrupt:
            spoilt = {c: [_spoil(b) for b in bs] for c, bs in series.blobs.items()}
            series = replace(series, blobs=spoilt)
        return image_of(series, stream, number)


def _cut(parts: list[bytes]) -> list[bytes]:
    """Cut a message short: in its last part (V2), or in its pixels (V1)."""
    at = 2 if len(parts) > 2 else 0
    return [*parts[:at], parts[at][: len(parts[at]) // 2], *parts[at + 1 :]]


def _spoil(blob: bytes) -> bytes:
    """Spoil the first compressed block: its length says more than there is."""
    return blob[:12] + b"\x7f\xff\xff\xff" + blob[16:]
