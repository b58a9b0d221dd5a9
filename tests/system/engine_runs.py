"""Starts whole engines as a user does: ``scopeside`` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scopeside.errors import EngineNotFoundError
from scopeside.inquiry import ask

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def environment(folder: Path) -> dict[str, str]:
    """An environment in which engines of other tests are not seen."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    path = [str(ROOT / part) for part in ("engine", "adapters", "processors", ".")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "SCOPESIDE_RUN": str(run),
        "COLUMNS": "200",
    }


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "scopeside.cli.main", *map(str, arguments)]


def scopeside(
    folder: Path, *arguments: object, timeout: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Running:
    """An engine that runs in the background."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process

    def status(self) -> dict[str, Any]:
        """What the engine says of itself, empty if it does not answer yet."""
        run = self.folder / "run" / "scopeside"
        for folder in sorted(run.iterdir()) if run.is_dir() else []:
            if (folder / "control").exists():
                try:
                    return ask(folder)
                except EngineNotFoundError:
                    continue
        return {}

    def until(self, condition: Any, what: str) -> dict[str, Any]:
        """Wait until a status meets the condition, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        status: dict[str, Any] = {}
        while time.monotonic() < deadline:
            status = self.status()
            if status and condition(status):
                return status
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.ask_where_it_hangs(status)
        raise AssertionError(
            f"never {what}; its last status was {status}; it said:\n{self.output()}"
        )

    def ask_where_it_hangs(self, status: dict[str, Any]) -> None:
        """Have the processes write their stacks, for the message of the failure."""
        for process in status.get("processes", []):
            if process["alive"]:
                os.kill(process["pid"], signal.SIGUSR1)
        time.sleep(1)

    def pid(self, name: str) -> int:
        status = self.until(lambda s: pid_of(s, name) is not None, f"saw {name}")
        return pid_of(status, name)

    def kill(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGKILL)

    def output(self) -> str:
        if self.process.poll() is None:
            self.process.kill()
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return out

    def wait(self) -> int:
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        self.said = out
        return self.process.returncode


def pid_of(status: dict[str, Any], name: str) -> Any:
    for process in status.get("processes", []):
        if process["name"] == name and process["alive"]:
            return process["pid"]
    return None


@contextmanager
def running(folder: Path, *arguments: object) -> Iterator[Running]:
    """Run an engine in the background; it is killed if the test leaves it."""
    process = subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    engine = Running(folder, process)
    try:
        yield engine
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()


def nothing_left(folder: Path) -> list[str]:
    """What an ended engine has left: run folders, shared memory, processes."""
    run = folder / "run" / "scopeside"
    left = [str(path) for path in run.iterdir()] if run.is_dir() else []
    # The token of this user's pages stays, so that a tab goes on with the next engine.
    left = [path for path in left if not path.endswith("/page.token")]
    left += [str(path) for path in Path("/dev/shm").glob("scopeside*")]
    marker = f"SCOPESIDE_RUN={folder / 'run'}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes().split(b"\0"):
                left.append(f"process {process.name}")
        except OSError:
            continue
    return left
