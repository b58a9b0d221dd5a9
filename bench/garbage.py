"""What a detector costs that sends nothing but garbage: time a byte, and memory.

    python bench/garbage.py [--seconds 60] [--only merlin]

Each adapter runs against a peer that sends random bytes, with pieces of its protocol
strewn in, as fast as they are taken. Nothing is asked of the result but that the
adapter goes on, in bounded memory. The memory is that of the whole process, measured
after a tenth of the time and at the end.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
for part in ("engine", "adapters", "processors", "."):
    sys.path.insert(0, str(ROOT / part))
sys.path.remove(str(ROOT / "bench")) if str(ROOT / "bench") in sys.path else None

from scopeside.detector import StopRequested  # noqa: E402 - found by the lines above
from scopeside.errors import SourceError  # noqa: E402
from scopeside.settings import AcquisitionSettings  # noqa: E402
from scopeside_adapters.dectris.source import DectrisDetector  # noqa: E402
from scopeside_adapters.merlin.source import MerlinDetector  # noqa: E402
from scopeside_adapters.timepix3.source import Timepix3Detector  # noqa: E402
from scopeside_adapters.zmq.source import ZmqDetector  # noqa: E402

PIECES: dict[str, list[bytes]] = {
    "merlin": [
        b"MPX,0000065921,MQ1,000001,00384,01,0256,0256,U08,",
        b"MPX,99",
        b"HDR,\t",
    ],
    "timepix3": [b"TPX3\x00\x00\x10\x00", b"TPX3\x01\x00\xf8\xff"],
    "dectris": [b"\xd9\xd9\xf7\xaa\x64type\x65image", b"\xbf\x9f\x9b" + b"\xff" * 8],
    "zmq": [b"SF\x01\x02", b"\xdd\xff\xff\xff\xff"],
}


class Sink:
    """Counts what is said, keeps nothing, and stops after some time."""

    max_latency_s = 0.002

    def __init__(self) -> None:
        self.stopping = False
        self.said: Counter[str] = Counter()

    def _refuse(self) -> None:
        if self.stopping:
            raise StopRequested

    def start(self, *_: object, **__: object) -> None:
        """Begin: garbage should not come so far."""
        self._refuse()
        self.said["acquisitions"] += 1
        raise SourceError("garbage was taken for an acquisition")

    def reject(self, n: int, cause: str, _message: str) -> None:
        """Count."""
        self._refuse()
        self.said[cause] += max(1, n)

    def note(self, _message: str) -> None:
        """Count."""
        self.said["notes"] += 1

    def new_id(self) -> str:
        """Return some id."""
        return "garbage"


def garbage(kind: str, size: int = 1 << 20) -> bytes:
    """Return random bytes with pieces of a protocol in them."""
    rng = np.random.default_rng(2026)
    data = bytearray(rng.integers(0, 256, size, dtype=np.uint8).tobytes())
    for at in rng.integers(0, size - 64, size // 4096).tolist():
        piece = PIECES[kind][at % len(PIECES[kind])]
        data[at : at + len(piece)] = piece
    return bytes(data)


class TcpPeer:
    """Listens, and sends garbage to whoever connects."""

    def __init__(self, kind: str) -> None:
        self.sent = 0
        self.stopping = False
        self._data = garbage(kind)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.stopping:
            try:
                link, _ = self._server.accept()
            except TimeoutError:
                continue
            link.settimeout(0.2)
            self._send(link)

    def _send(self, link: socket.socket) -> None:
        at = 0
        with link:
            while not self.stopping:
                try:
                    n = link.send(self._data[at : at + 65536])
                except TimeoutError:
                    continue
                except OSError:
                    return  # it has had enough of us; the next one may connect
                self.sent += n
                at = (at + n) % len(self._data)


class ZmqPeer:
    """Pushes garbage, in messages of some KiB."""

    def __init__(self, kind: str, *, connect: int = 0) -> None:
        self.sent = 0
        self.stopping = False
        self._data = garbage(kind)
        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.linger = 0
        self._socket.sndhwm = 16
        self.port = connect
        if connect:
            self._socket.connect(f"tcp://127.0.0.1:{connect}")
        else:
            self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        threading.Thread(target=self._send, args=(kind,), daemon=True).start()

    def _send(self, kind: str) -> None:
        at = 0
        while not self.stopping:
            if not self._socket.poll(50, zmq.POLLOUT):
                continue
            size = 1024 + at % 8192
            start = at % (len(self._data) - size)
            piece = PIECES[kind][at % len(PIECES[kind])]
            parts = [piece + self._data[start : start + size]]
            if at % 3 == 0:
                parts += [self._data[start : start + 64], b""]
            self._socket.send_multipart(parts)
            self.sent += sum(map(len, parts))
            at += size
        self._socket.close()


def merlin() -> tuple[Any, Any]:
    """Return a Merlin that is none."""
    peer = TcpPeer("merlin")
    return peer, {"port": peer.port}


def timepix3() -> tuple[Any, Any]:
    """Return a Timepix3 that is none."""
    peer = TcpPeer("timepix3")
    return peer, {"connect": f"127.0.0.1:{peer.port}", "signal": "none"}


def dectris() -> tuple[Any, Any]:
    """Return a DECTRIS detector that is none."""
    peer = ZmqPeer("dectris")
    return peer, {"host": "127.0.0.1", "port": peer.port, "api_port": 0}


def pushed() -> tuple[Any, Any]:
    """Return a producer that is none."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    peer = ZmqPeer("zmq", connect=port)
    return peer, {"bind": f"tcp://127.0.0.1:{port}"}


CASES: dict[str, tuple[Any, Callable[[], tuple[Any, Any]]]] = {
    "merlin": (MerlinDetector, merlin),
    "timepix3": (Timepix3Detector, timepix3),
    "dectris": (DectrisDetector, dectris),
    "zmq": (ZmqDetector, pushed),
}


def resident_mib() -> float:
    """Return the memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def suffer(kind: str, seconds: float) -> list[str]:
    """Send garbage for some time; return a row of the table."""
    cls, begin = CASES[kind]
    peer, params = begin()
    detector = cls(cls.Params(**params), AcquisitionSettings())
    prepare = getattr(detector, "prepare", None)
    if prepare is not None:
        prepare()
    sink = Sink()
    ended: list[str] = []

    def run() -> None:
        # A source may end for good at what is no detector; a person starts it again.
        while not sink.stopping:
            try:
                detector.run(sink)
            except StopRequested:
                return
            except SourceError as error:
                ended.append(str(error))
                time.sleep(0.01)

    began, cpu = time.monotonic(), time.process_time()
    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(seconds / 10)
    early = resident_mib()
    time.sleep(seconds * 0.9)
    late = resident_mib()
    sink.stopping = peer.stopping = True
    thread.join(10)
    took = time.monotonic() - began
    mb = peer.sent / 1e6
    said = ", ".join(f"{cause} {n}" for cause, n in sink.said.most_common(4))
    return [
        kind,
        f"{took:.0f}",
        f"{mb:.0f}",
        f"{1e9 * (time.process_time() - cpu) / max(peer.sent, 1):.1f}",
        f"{early:.0f}",
        f"{late - early:+.1f}",
        str(len(ended)),
        f"{said}; {ended[-1][:90] if ended else ''}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=CASES)
    asked = parser.parse_args()
    table = Table(
        "adapter", "s", "MB taken", "ns/byte, both ends", "MiB", "MiB more", "ends",
        "said",
    )  # fmt: skip
    for kind in [asked.only] if asked.only else CASES:
        table.add_row(*suffer(kind, asked.seconds))
    Console().print(table)


if __name__ == "__main__":
    main()
