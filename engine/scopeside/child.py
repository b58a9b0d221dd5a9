"""What every process that the supervisor starts has in common.

The supervisor writes a `Spec` to the child's standard input, as JSON. The child dies
with the supervisor (all but the guard), leaves Ctrl-C to it, shows a heartbeat on its
board, and talks to it over one link.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import zmq

from scopeside.board import Board
from scopeside.link import Link
from scopeside.messages import validate
from scopeside.pipeline import Pipeline
from scopeside.prctl import die_with_parent, set_name
from scopeside.settings import RawPipeline
from scopeside.wire import Kind

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class Spec:
    """What a child is told at its birth."""

    role: str
    name: str
    incarnation: int
    run_folder: str
    pipeline: Mapping[str, Any]
    pipeline_folder: str
    pipeline_source: str
    board_fd: int
    parent: int
    slab_fd: int = -1
    slab_bytes: int = 0
    journal_fds: tuple[int, ...] = ()
    spool_fd: int = -1
    epoch: int = 0
    chain: str = ""
    limit: int | None = None
    endpoints: tuple[str, ...] = ()
    results_port: int | None = None
    page_port: int | None = None
    used_ids: tuple[str, ...] = ()
    results_folder: str = ""
    quarantine_folder: str = "quarantine"
    token: str = ""
    """Known to guard and adviser only: it is by this that they know each other."""
    kept_ns: Mapping[str, int] = field(default_factory=dict)
    """Of each channel: up to when the collector has its samples."""

    @property
    def identity(self) -> str:
        """Name and incarnation: no two processes of a run share it."""
        return f"{self.name}#{self.incarnation}"

    def to_json(self) -> str:
        """Return the text that the child reads."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the spec that `to_json` wrote."""
        values = json.loads(text)
        for key in ("journal_fds", "endpoints", "used_ids"):
            values[key] = tuple(values[key])
        return cls(**values)

    def endpoint(self, name: str) -> str:
        """Return the address of a socket in the run's folder."""
        return f"ipc://{self.run_folder}/{name}"

    @property
    def prepare_lock(self) -> Path:
        """The file that the processes of a run lock while they prepare."""
        return Path(self.run_folder) / "prepare.lock"

    def load_settings(self) -> RawPipeline:
        """Return the tables that the engine reads itself: no plug-in is loaded."""
        folder = Path(self.pipeline_folder)
        return validate(RawPipeline, self.pipeline, folder=folder)

    def load_pipeline(self) -> Pipeline:
        """Return the pipeline, checked again: plug-ins are loaded here."""
        return Pipeline.from_raw(
            self.pipeline,
            folder=Path(self.pipeline_folder),
            source=self.pipeline_source,
        )


class Child:
    """The child's side of its bond with the supervisor.

    Parameters
    ----------
    outlives_parent
        It sees to its own end when the supervisor is gone: `orphaned` says so.
    """

    def __init__(self, spec: Spec, *, outlives_parent: bool = False) -> None:
        self.spec = spec
        self._outlives_parent = outlives_parent
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.board = Board(spec.board_fd)
        self.board.update(pid=os.getpid(), incarnation=spec.incarnation)
        self.control = Link.dial(self.context, spec.endpoint("control"), spec.identity)
        self._beating = threading.Event()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def tell(self, kind: Kind, **header: Any) -> None:
        """Say something to the supervisor."""
        self.control.send(kind, header)

    @property
    def orphaned(self) -> bool:
        """Whether the supervisor is gone."""
        return os.getppid() != self.spec.parent

    def close(self) -> None:
        """Let the last words leave, if anybody hears them; then close all sockets."""
        self._beating.set()
        linger_ms = 0 if self.orphaned else 2000
        self.control.flush_and_close(linger_ms)
        self.context.destroy(linger=linger_ms)

    def _beat(self) -> None:
        while not self._beating.wait(HEARTBEAT_S):
            if self.orphaned and not self._outlives_parent:
                os._exit(3)  # the supervisor is gone; nobody is left to report to
            self.board.beat()


def main(run: Callable[[Child], None], *, outlives_parent: bool = False) -> None:
    """Run a child process: read the spec, do the work, say why it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # At the exit Python looks three times through all that was loaded, for cycles: a
    # quarter of what a short-lived process costs. The kernel takes it all anyway.
    atexit.register(gc.freeze)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # A thread that fills slots and one that sends descriptors share the interpreter:
    # the usual 5 ms between switches would be felt in every batch.
    sys.setswitchinterval(0.0005)
    # Only when this has come are we the supervisor's child, and not the fork server's.
    spec = Spec.from_json(sys.stdin.read())
    set_name(spec.name)
    if not outlives_parent:
        die_with_parent()
    child = Child(spec, outlives_parent=outlives_parent)
    # The supervisor asks with this signal where a process hangs before it kills it.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        run(child)
    except Exception as error:
        log.exception("%s ended by an error", spec.name)
        child.tell(Kind.NOTE, message=f"{type(error).__name__}: {error}", fatal=True)
        child.close()
        sys.exit(1)
    child.close()
