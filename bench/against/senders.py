"""Processes of `bench/peers.py`, and LiberTEM-live's simulators as such."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.against.streams import Stream, write_dectris, write_merlin

PATIENCE_S = 120.0


def free_ports(n: int) -> list[int]:
    """Return ports of this machine that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Process:
    """A process of ours, whose lines are noted with the time at which they came."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # it and its children can be ended together
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait_for(
        self, pattern: str, patience_s: float = PATIENCE_S, after: int = 0
    ) -> tuple[float, str]:
        """Wait for a line in which `pattern` is found; return its time and itself.

        Lines before the one with the number `after` do not count.
        """
        until = time.monotonic() + patience_s
        with self._changed:
            while True:
                for at, line in self.lines[after:]:
                    if re.search(pattern, line):
                        return at, line
                left = until - time.monotonic()
                if left <= 0 or self.process.poll() is not None:
                    said = "\n".join(line for _, line in self.lines[-20:])
                    raise RuntimeError(f"never said {pattern!r}; it said:\n{said}")
                self._changed.wait(min(left, 0.2))

    def last(self, pattern: str) -> float:
        """Return when the last line came in which `pattern` is found."""
        for at, line in self.lines[::-1]:
            if re.search(pattern, line):
                return at
        raise RuntimeError(f"never said {pattern!r}")

    def kill(self) -> None:
        """End it and its children, now."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._thread.join(5)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append((time.monotonic(), line.rstrip()))
                self._changed.notify_all()


@dataclass(frozen=True)
class Sender:
    """A simulator that is ready: where it is, and how it says that it begins."""

    process: Process
    ports: dict[str, int]
    began: str


@contextmanager
def sender_of(stream: Stream, folder: Path) -> Iterator[Sender]:
    """Have LiberTEM-live's simulator send `stream` to whoever asks."""
    write = {"merlin": write_merlin, "dectris": write_dectris}[stream.protocol]
    start = {"merlin": _merlin_sender, "dectris": _dectris_sender}[stream.protocol]
    file = write(stream, folder)
    try:
        with start(file) as sender:
            yield sender
    finally:
        for left in (file, file.with_suffix(".mib")):
            left.unlink(missing_ok=True)


@contextmanager
def _merlin_sender(file: Path) -> Iterator[Sender]:
    data, control, trigger = free_ports(3)
    command = [
        _command("libertem-live-mib-sim"), str(file), "--host", "127.0.0.1",
        "--cached", "MEMFD", "--wait-trigger", "--data-port", str(data),
        "--control-port", str(control), "--trigger-port", str(trigger),
    ]  # fmt: skip
    with Process(command, _environment(file)) as process:
        process.wait_for("TriggerSocketServer listening")
        ports = {"data": data, "control": control}
        yield Sender(process, ports, "yielding from single scan")


@contextmanager
def _dectris_sender(file: Path) -> Iterator[Sender]:
    # It binds a port that is given twice, and fails; of the free ones it takes, it
    # says the last.
    command = [_command("libertem-live-dectris-sim"), str(file)]
    command += ["--port", "0", "--zmqport", "0"]
    with Process(command, _environment(file)) as process:
        ports = {}
        for name, said in (("data", "RustedReplay"), ("control", "API server")):
            _, line = process.wait_for(f"{said} listening on")
            ports[name] = int(re.findall(r"\d+", line)[-1])
        yield Sender(process, ports, "sending all frames")


def _command(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def _environment(file: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(file.parent), "PYTHONUNBUFFERED": "1"}
