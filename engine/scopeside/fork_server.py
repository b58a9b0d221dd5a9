"""An engine's processes are forked here: ``python -m scopeside.fork_server FD ...``.

It imports once what all of them need, which takes a process most of its start: a worker
that died is back in a few hundredths of a second instead of one, and they share the
memory. It starts no thread, opens no socket and touches no GPU, so that a fork of it is
as good as a new interpreter; a user's plug-ins are loaded in the children, as they are
on disk then.

The supervisor asks by a message on a socket: the module to run, and under which numbers
the descriptors that come with it are wanted (0, 1, 2 are the standard streams). The
answer is the process id. The child is forked twice and so handed over to the supervisor
(the reaper of what is orphaned below it, see `scopeside.supervise.forks`): it is its
child like any other, and lives on if the fork server dies.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence

from scopeside.prctl import die_with_parent

LARGEST_REQUEST = 1 << 16
MOST_DESCRIPTORS = 64


def serve(supervisor: socket.socket) -> str | None:
    """Fork as often as asked; return in each child which module it is to run.

    Returns
    -------
    None
        In the fork server itself, when the supervisor is gone.
    """
    while True:
        data, fds, _, _ = socket.recv_fds(supervisor, LARGEST_REQUEST, MOST_DESCRIPTORS)
        if not data:
            return None
        request = json.loads(data)
        found = _fork()
        if found is None:
            supervisor.close()
            os.setpgid(0, 0)  # Ctrl-C at the terminal is for the supervisor
            _take(fds, request["fds"])
            _forget_numbers()
            return str(request["module"])
        for fd in fds:
            os.close(fd)
        supervisor.send(found)


def _fork() -> bytes | None:
    """Return the answer for the supervisor; None in the child."""
    hear, say = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        os.close(hear)
        os.close(say)
        return _refusal(error)
    if between == 0:
        os.close(hear)
        try:
            pid = os.fork()
        except OSError as error:
            os.write(say, _refusal(error))
            os._exit(1)
        if pid == 0:
            os.close(say)
            return None
        os.write(say, json.dumps({"pid": pid}).encode())
        os._exit(0)
    os.close(say)
    os.waitpid(between, 0)  # from here on the child is the supervisor's
    with os.fdopen(hear, "rb") as pipe:
        return pipe.read()


def _refusal(error: OSError) -> bytes:
    return json.dumps({"errno": error.errno, "error": error.strerror}).encode()


def _take(fds: Sequence[int], wanted: Sequence[int]) -> None:
    """Give descriptors the numbers that the supervisor has for them."""
    above = max([*fds, *wanted, 2]) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    os.closerange(3, above)
    for fd, number in zip(moved, wanted, strict=True):
        os.dup2(fd, number, inheritable=number <= 2)
        os.close(fd)


def _forget_numbers() -> None:
    """Let no two children draw the same numbers from numpy's global generator."""
    if (module := sys.modules.get("numpy.random")) is not None:
        module.seed()


def _same(number: int) -> int:
    return number


def main(fd: int, modules: Sequence[str]) -> None:
    """Import, then serve; in a child: run its module as ``python -m`` would."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    for name in modules:
        importlib.import_module(name)
    if (numba := sys.modules.get("numba")) is not None:
        # What numba loads for its first function takes each child 0.2 s otherwise.
        numba.njit(_same)(1)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it looks at
    module = serve(socket.socket(fileno=fd))
    if module is not None:
        sys.modules.pop(module, None)  # it runs as __main__, once
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
