"""One process that the supervisor answers for, through all its lives."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any

from scopeside.board import Board
from scopeside.child import Spec
from scopeside.supervise.forks import Forked, Forks

log = logging.getLogger(__name__)

MODULES = {
    "adapter": "scopeside.ingest.process",
    "worker": "scopeside.work.process",
    "collector": "scopeside.collect.process",
    "channels": "scopeside.channels.process",
    "adviser": "scopeside.control.adviser_process",
    "guard": "scopeside.control.guard_process",
    "recorder": "scopeside.record.process",
    "page": "scopeside.dashboard.process",
}


STACK_S = 0.2
"""A process has so long to write down where it hangs."""
START_S = 180.0
"""A process has so long to become ready; the first may compile for the others."""


class State(Enum):
    """Where a process stands."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    DEGRADED = "degraded"


class RestartBudget:
    """So many restarts within so many seconds, and no more."""

    def __init__(self, restarts: int, window_s: float) -> None:
        self._restarts = restarts
        self._window_s = window_s
        self._at: deque[float] = deque()
        self.total = 0

    def spend(self, now: float) -> bool:
        """Take one restart; False if there is none left."""
        while self._at and now - self._at[0] > self._window_s:
            self._at.popleft()
        if len(self._at) >= self._restarts:
            return False
        self._at.append(now)
        self.total += 1
        return True


class Member:
    """A role in the engine and the process that fills it now."""

    def __init__(
        self,
        spec: Spec,
        budget: RestartBudget,
        forks: Forks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spec = spec
        self.budget = budget
        self.board = Board(spec.board_fd)
        self.state = State.STARTING
        self.process: Forked | None = None
        self.last_words: deque[str] = deque(maxlen=30)
        self._forks = forks
        self._clock = clock
        self._partial = b""
        self._unread: list[str] = []
        self.began = 0.0

    @property
    def name(self) -> str:
        """Name of the role, such as ``worker.stem.0``."""
        return self.spec.name

    @property
    def beside(self) -> bool:
        """Whether the engine does its work without it as well."""
        return self.spec.role == "page"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def stderr(self) -> int:
        """The descriptor on which it complains."""
        assert self.process is not None
        return self.process.stderr.fileno()

    def start(self, **changes: Any) -> None:
        """Start a new process for the role, with `changes` to what it is told."""
        self.spec = replace(self.spec, incarnation=self.spec.incarnation + 1, **changes)
        self.state = State.STARTING
        self.began = self._clock()
        self._partial = b""
        spec = self.spec
        fds = [spec.board_fd, spec.slab_fd, spec.spool_fd, *spec.journal_fds]
        self.process = self._forks.start(
            MODULES[spec.role], [fd for fd in fds if fd >= 0], spec.to_json().encode()
        )

    def read_stderr(self) -> list[str]:
        """Return the lines it has written since the last call."""
        lines: list[str] = []
        while self.process is not None:
            try:
                data = os.read(self.stderr, 1 << 16)
            except (BlockingIOError, ValueError):
                break
            if not data:
                break
            *whole, self._partial = (self._partial + data).split(b"\n")
            lines += [line.decode(errors="replace") for line in whole]
        self.last_words.extend(lines)
        before, self._unread = self._unread, []
        return before + lines

    def complaint(self, silent_s: float, stall_s: float) -> str | None:
        """Return why it should be killed, None if it does well."""
        now_ns = int(self._clock() * 1e9)
        said = self.board.read()
        if self.state is State.STARTING:
            late = self._clock() - self.began > max(START_S, silent_s)
            return "did not become ready" if late else None
        if said.get("incarnation") != self.spec.incarnation:
            return None
        silent = (now_ns - said["beat_ns"]) / 1e9
        if silent > silent_s:
            return f"has been silent for {silent:.0f} s"
        since = said.get("since_ns") or 0
        if since and (now_ns - since) / 1e9 > stall_s:
            return f"has worked on one batch for {(now_ns - since) / 1e9:.0f} s"
        return None

    def where_it_hangs(self) -> list[str]:
        """Return the stacks of its threads; nothing if it cannot answer any more."""
        if self.process is None or self.process.poll() is not None:
            return []
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(STACK_S)
        return self.read_stderr()

    def kill(self) -> None:
        """End the process at once."""
        if self.alive:
            assert self.process is not None
            self.process.send_signal(signal.SIGKILL)

    def reap(self) -> str:
        """Wait for the end of the process and return how it ended, in words."""
        assert self.process is not None
        code = self.process.wait()
        rest = self.read_stderr()
        if self._partial:
            rest.append(self._partial.decode(errors="replace"))
            self.last_words.append(rest[-1])
            self._partial = b""
        self.process.stderr.close()
        self._unread = rest  # for the next `read_stderr`
        if code >= 0:
            return f"exited with code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
