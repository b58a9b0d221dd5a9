"""Change the parameters of a processor while its engine runs.

::

    scopeside.set_params("stem.virtual", {"detectors.bf.disk": [130, 126, 20]})
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from scopeside import runfolder
from scopeside.errors import ConfigError, EngineNotFoundError
from scopeside.link import Link
from scopeside.wire import Kind

PATIENCE_S = 30.0
"""An engine has so long to check a change and to take it."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A change that the engine has taken.

    Attributes
    ----------
    version
        Of the processor's parameters from now on; results say it as ``params``.
    frame
        The first frame with the new parameters. None: no frame has come yet that
        could be it; the next one is.
    acquisition
        The one that `frame` belongs to; empty: the next one that begins.
    """

    processor: str
    version: int
    frame: int | None = None
    acquisition: str = ""


def set_params(
    processor: str,
    values: Mapping[str, Any],
    *,
    run: Path | str | None = None,
    timeout: float = 5.0,
) -> Acknowledged:
    """Change parameters of one processor of a running engine.

    Parameters
    ----------
    processor
        ``chain.processor``, as named in the pipeline file.
    values
        New values by key; a key such as ``detectors.bf.disk`` leads into a table. What
        is not named stays.
    run
        The run folder of the engine; None: the one that was started last.
    timeout
        For so long the first frame with the new parameters is awaited, s.

    Raises
    ------
    ConfigError
        If a value is not allowed or the processor cannot change; nothing has changed.
    EngineNotFoundError
        If no engine runs, or it does not answer.
    """
    folder = runfolder.the_running() if run is None else Path(run)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    link = Link.dial(context, f"ipc://{folder}/control", f"client-{uuid.uuid4().hex}")
    try:
        wanted = {str(key): _plain(value) for key, value in values.items()}
        link.send(Kind.PARAM, {"processor": processor, "values": wanted})
        answer = _answer(link, PATIENCE_S)
        if answer is None:
            raise EngineNotFoundError(
                f"the engine in {folder} did not answer within {PATIENCE_S:g} s"
            )
        until = time.monotonic() + timeout
        while answer["state"] == "taken":
            later = _answer(link, until - time.monotonic())
            if later is None:
                return Acknowledged(processor, answer["version"])
            answer = later
    finally:
        link.close()
        context.term()
    return Acknowledged(
        processor, answer["version"], answer["frame"], answer["acquisition"]
    )


def _answer(link: Link, seconds: float) -> dict[str, Any] | None:
    """Wait for the engine's next word; None if it says nothing."""
    link.socket.poll(max(0, int(1000 * seconds)))
    answer = link.receive()
    if answer is None:
        return None
    if "error" in answer.header:
        raise ConfigError(answer.header["error"])
    return answer.header


def _plain(value: Any) -> Any:
    """Return a value as it could stand in a pipeline file."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)
