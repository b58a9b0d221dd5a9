"""LiberTEM-live as `bench/peers.py` sees it: a process that is asked and answers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.against.senders import Process
from bench.against.streams import Stream

WAYS = ("masks", "masks and CoMUDF", "masks, sparse")
"""How it may be asked for the sums and the centre of mass, see `their_process`."""
PARTITION = 256
"""Frames a partition where the rate counts: its own choice for a Merlin."""


class Peer:
    """LiberTEM-live, once it has started its workers."""

    def __init__(self, process: Process, workers: int) -> None:
        self.process = process
        self.ask({"do": "open", "workers": workers})

    def ask(self, what: dict[str, Any], patience_s: float = 180.0) -> dict[str, Any]:
        """Have it do something; return its answer.

        Raises
        ------
        RuntimeError
            If it fails, or does not answer.
        """
        before = len(self.process.lines)
        self.process.say(json.dumps(what))
        _, line = self.process.wait_for(r"^answer \{", patience_s, before)
        answer: dict[str, Any] = json.loads(line.removeprefix("answer "))
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


@contextmanager
def peer(workers: int, folder: Path) -> Iterator[Peer]:
    """Keep LiberTEM-live as long as it is needed."""
    script = Path(__file__).with_name("their_process.py")
    environment = {**os.environ, "TMPDIR": str(folder)}
    with Process([sys.executable, str(script)], environment) as process:
        yield Peer(process, workers)


def request(
    do: str,
    stream: Stream,
    ports: dict[str, int],
    *,
    way: str = "masks and CoMUDF",
    partition: int = PARTITION,
    acquisitions: int = 2,
) -> dict[str, Any]:
    """Return what a `Peer` is asked; the last acquisition counts."""
    return {
        "do": do,
        "stream": asdict(stream),
        "ports": ports,
        "way": way,
        "partition": partition,
        "acquisitions": acquisitions,
    }
