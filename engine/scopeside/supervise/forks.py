"""Processes forked for an engine, and the fork server that does it.

A `scopeside.fork_server` runs beside the engine. Why not the one of `multiprocessing`:
children are the server's there, so that they die with it, cannot tell whether the
supervisor lives, and how they ended is told by a third process.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import BinaryIO

from scopeside.errors import ScopesideError
from scopeside.prctl import adopting

log = logging.getLogger(__name__)

ANSWER_S = 60.0
"""The server has so long to import and fork; a second will do, on a cold disk ten."""
AGAIN_S = 5.0
"""It has so long to fork once it has: the engine does nothing else meanwhile."""


class Forked:
    """One forked process, a child of ours.

    Attributes
    ----------
    pid
        Its id.
    stderr
        What it complains of can be read here, without waiting.
    code
        Its exit code, negative for a signal; None as far as is known it runs.
    """

    def __init__(self, pid: int, stderr: BinaryIO) -> None:
        self.pid = pid
        self.stderr = stderr
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._look(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        while (code := self._look(0)) is None:
            pass
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs: an id may be somebody else's after that."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _look(self, options: int) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid == self.pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code


class Forks:
    """Starts processes by a fork server, which it starts when it is first needed.

    Parameters
    ----------
    modules
        What the server imports before it forks.
    """

    def __init__(self, modules: Collection[str]) -> None:
        self._modules = tuple(modules)
        self._server: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def prepare(self) -> None:
        """Start the server, which then imports while we do other things."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._server = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "scopeside.fork_server",
                    str(its.fileno()),
                    *self._modules,
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                process_group=0,
                env=_environment(),
            )
        ours.settimeout(ANSWER_S)
        self._link = ours

    def start(self, module: str, fds: Sequence[int], said: bytes) -> Forked:
        """Start a process that runs a module.

        Parameters
        ----------
        fds
            Open there under the same numbers.
        said
            What it reads on its standard input.

        Raises
        ------
        OSError
            If the system lets no more processes start.
        ScopesideError
            If the fork server cannot be started, or does not answer.
        """
        forked = self._forked(module, fds, said)
        if forked is None:
            log.warning("the fork server is started again")
            self.close()
            forked = self._forked(module, fds, said)
        if forked is None:
            self.close()
            raise ScopesideError(
                "no process can be started: the fork server (python -m "
                "scopeside.fork_server) ended; what it wrote stands above"
            )
        return forked

    def close(self) -> None:
        """End the server; what it has forked runs on."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._server is not None:
            self._server.kill()  # it may be importing still, and has nothing to lose
            self._server.wait()
            self._server = None

    def _forked(self, module: str, fds: Sequence[int], said: bytes) -> Forked | None:
        """Return a new process; None if the server is dead.

        It may have forked one and not told us. That finds nothing on its input, which
        is for nobody else, and ends.
        """
        hear, stdin = os.pipe()
        stderr, complain = os.pipe()
        try:
            request = {"module": module, "fds": [0, 2, *fds]}
            with adopting():
                pid = self._ask(request, [hear, complain, *fds])
        except BaseException:
            os.close(stdin)
            os.close(stderr)
            raise
        finally:
            os.close(hear)
            os.close(complain)
        if pid is None:
            os.close(stdin)
            os.close(stderr)
            return None
        os.set_blocking(stderr, False)
        forked = Forked(pid, os.fdopen(stderr, "rb", buffering=0))
        try:
            with os.fdopen(stdin, "wb") as pipe:
                pipe.write(said)
        except BrokenPipeError:
            log.warning("%s (%d) died before it was told what to do", module, pid)
        return forked

    def _ask(self, request: Mapping[str, object], fds: list[int]) -> int | None:
        """Return the id of a new process; None if the server is dead."""
        answer = self._answer(request, fds)
        if answer is None:
            return None
        found = json.loads(answer)
        if "pid" not in found:
            raise OSError(found["errno"], f"cannot fork: {found['error']}")
        return int(found["pid"])

    def _answer(self, request: Mapping[str, object], fds: list[int]) -> bytes | None:
        """Return what the server answers, None if it is dead, or as good as that."""
        if self._link is None:
            self.prepare()
        assert self._link is not None
        try:
            socket.send_fds(self._link, [json.dumps(request).encode()], fds)
            answer = self._link.recv(1 << 12)
            self._link.settimeout(AGAIN_S)
            return answer or None
        except TimeoutError as error:
            if self._link.gettimeout() == AGAIN_S:
                return None
            self.close()
            raise ScopesideError(
                f"the fork server has not answered within {ANSWER_S:g} s"
            ) from error
        except OSError:
            return None


def _environment() -> dict[str, str]:
    """Return our environment with our import path, so that children find the same.

    Processes share the cores among themselves; a BLAS that started a thread a core in
    each of them would only get in their way.
    """
    path = os.pathsep.join(p for p in sys.path if p)
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}
