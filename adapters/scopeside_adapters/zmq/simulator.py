"""The other end of the frame wire: a producer, faulty on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import xxhash
import zmq

from scopeside.acquisition import Acquisition
from scopeside.detector import EndState
from scopeside.errors import ConfigError, SourceLostError
from scopeside.security.keys import read_passport
from scopeside.wire import Buffer, Kind, encode

Array = npt.NDArray[Any]
Fault = Literal[
    "drop",
    "duplicate",
    "reorder",
    "truncate",
    "wrong_magic",
    "wrong_dtype",
    "wrong_digest",
    "oversize",
    "stall",
]
STALL_S = 0.2
_POLL_MS = 100


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, by the number of the batch.

    ``reorder``: it swaps places with the one after it.
    """

    of: Mapping[int, Fault] = field(default_factory=dict)
    oversize_bytes: int = 2 << 20
    """Size of a part that is too large."""

    def apply(
        self, batches: Iterable[tuple[int, list[Buffer]]]
    ) -> Iterable[list[Buffer]]:
        """Yield the messages that a faulty producer sends instead of `batches`."""
        late: list[list[Buffer]] = []
        for seq, parts in batches:
            fault = self.of.get(seq)
            if fault == "reorder":
                late.append(parts)
                continue
            if fault == "stall":
                time.sleep(STALL_S)
            yield from self._instead(fault, parts)
            yield from late
            late.clear()
        yield from late

    def _instead(self, fault: Fault | None, parts: list[Buffer]) -> list[list[Buffer]]:
        envelope, header, pixels, *rest = parts
        match fault:
            case "drop":
                return []
            case "duplicate":
                return [parts, parts]
            case "truncate":
                return [[envelope, header, bytes(pixels)[:-1], *rest]]
            case "wrong_magic":
                return [[b"XX" + bytes(envelope)[2:], header, pixels, *rest]]
            case "wrong_dtype":
                return [[envelope, bytes(header).replace(b"<u2", b"<f4"), pixels]]
            case "wrong_digest":
                spoilt = bytearray(pixels)
                spoilt[0] ^= 1
                return [[envelope, header, spoilt, *rest]]
            case "oversize":
                return [[envelope, header, bytes(self.oversize_bytes), *rest]]
            case _:
                return [parts]


class Producer:
    """Pushes acquisitions to an engine.

    Parameters
    ----------
    endpoint
        Where the engine listens.
    on_wait
        Called when the engine has taken nothing for `wait_s`, once each time.
    timeout_s
        Give up when it has taken nothing for so long; None: never.
    linger_s
        How long, at the end, what was sent may take to leave.
    keys
        The file ``NAME.key_secret`` of ``scopeside keys new NAME --role ingest``.

    Raises
    ------
    ConfigError
        If `endpoint` is no address, or the keys cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        on_wait: Callable[[], None] = lambda: None,
        wait_s: float = 3.0,
        timeout_s: float | None = None,
        linger_s: float = 10.0,
        keys: Path | None = None,
    ) -> None:
        passport = None if keys is None else read_passport(keys)
        self.endpoint = endpoint
        self._on_wait = on_wait
        self._wait_s = wait_s
        self._timeout_s = timeout_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.sndhwm = 16
        self._socket.linger = int(linger_s * 1000)
        # Nothing is queued for an engine that is not there.
        self._socket.immediate = True
        self._socket.setsockopt(zmq.IPV6, "[" in endpoint)
        if passport is not None:
            passport.put_on(self._socket)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close(at_once=True)
            raise ConfigError(
                f"cannot push to {endpoint!r}: {error.strerror}; an endpoint is "
                "such as 'tcp://127.0.0.1:5555'"
            ) from error
        self._about: dict[str, Any] = {}
        self._seq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(at_once=kind is not None)

    def start(self, acquisition: Acquisition, epoch: int = 0) -> None:
        """Begin an acquisition."""
        self._about = {"acq": acquisition.id, "epoch": epoch}
        self._seq = 0
        said = {"acquisition": acquisition.to_dict(), "epoch": epoch}
        self.send(encode(Kind.START, said))

    def batch(
        self, pixels: Array, first: int, timestamp_ns: Array | int | None = None
    ) -> None:
        """Send frames ``(n, height, width)``, the first of which is `first`."""
        self.send(self.encoded(pixels, first, timestamp_ns))

    def encoded(
        self, pixels: Array, first: int, timestamp_ns: Array | int | None = None
    ) -> list[Buffer]:
        """Return the next BATCH of the acquisition without sending it."""
        seq, self._seq = self._seq, self._seq + 1
        return encode_batch(
            {**self._about, "seq": seq}, pixels, first, timestamp_ns, digest=True
        )

    def gap(self, first: int, last: int, cause: str = "lost_by_producer") -> None:
        """Say that frames `first` to `last`, inclusive, will not come."""
        told = {**self._about, "first": first, "last": last, "cause": cause}
        self.send(encode(Kind.GAP, told))

    def end(self, total: int, state: EndState = "complete", reason: str = "") -> None:
        """End the acquisition, of which there are `total` frames."""
        said = {**self._about, "total": total, "state": state, "reason": reason}
        self.send(encode(Kind.END, said))

    def play(
        self,
        acquisition: Acquisition,
        frames: Array,
        *,
        batch_frames: int = 16,
        faults: Faults | None = None,
        epoch: int = 0,
    ) -> None:
        """Send a whole acquisition, with `faults`."""
        self.start(acquisition, epoch)
        firsts = range(0, len(frames), batch_frames)
        batches = (
            (seq, self.encoded(frames[first : first + batch_frames], first))
            for seq, first in enumerate(firsts)
        )
        for parts in (faults or Faults()).apply(batches):
            self.send(parts)
        self.end(len(frames))

    def send(self, parts: Sequence[Buffer]) -> None:
        """Send a message as it is, waiting for the engine to take it.

        Raises
        ------
        SourceLostError
            If it takes nothing for `timeout_s`.
        """
        began, told = time.monotonic(), False
        while True:
            try:
                self._socket.send_multipart(list(parts), zmq.NOBLOCK)
                return
            except zmq.Again:
                self._socket.poll(_POLL_MS, zmq.POLLOUT)
            waited = time.monotonic() - began
            if not told and waited > self._wait_s:
                told = True
                self._on_wait()
            if self._timeout_s is not None and waited > self._timeout_s:
                raise SourceLostError(
                    f"no engine took a frame at {self.endpoint} for {waited:.0f} s"
                )

    def close(self, *, at_once: bool = False) -> None:
        """Let what was sent leave (unless `at_once`), then close."""
        self._context.destroy(linger=0 if at_once else None)


def encode_batch(
    about: Mapping[str, Any],
    pixels: Array,
    first: int,
    timestamp_ns: Array | int | None = None,
    *,
    digest: bool = False,
) -> list[Buffer]:
    """Return a BATCH: `about` (acq, epoch, seq) and frames ``(n, height, width)``."""
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    raw = np.ascontiguousarray(little).tobytes()
    header: dict[str, Any] = {
        **about,
        "first": first,
        "n": len(pixels),
        "shape": list(pixels.shape[1:]),
        "dtype": little.dtype.str,
        "codec": "raw",
    }
    payload: list[Buffer] = [raw]
    if isinstance(timestamp_ns, np.ndarray):
        header["t_ns"] = True
        payload.append(timestamp_ns.astype("<i8").tobytes())
    elif timestamp_ns is not None:
        header["t_ns"] = timestamp_ns
    if digest:
        header["digest"] = xxhash.xxh3_64_hexdigest(raw)
    return encode(Kind.BATCH, header, payload)
