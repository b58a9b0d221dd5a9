"""Mark what is going on now, so that it is recorded (``[record] mode = "on_event"``).

::

    scopeside.mark.keep(before_s=20, note="the liquid moves")
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import zmq

from scopeside import runfolder
from scopeside.errors import ConfigError, EngineNotFoundError
from scopeside.link import Link
from scopeside.wire import Kind

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A mark that the engine has taken.

    Attributes
    ----------
    t_ns
        Time stamp of the newest frame, around which is kept; ns since 1970 UTC.
    """

    acquisition: str
    t_ns: int
    before_s: float
    after_s: float


def keep(
    before_s: float | None = None,
    after_s: float | None = None,
    note: str = "",
    *,
    run: Path | str | None = None,
) -> Kept:
    """Keep what surrounds this moment, as if a processor had told of an event.

    Parameters
    ----------
    before_s, after_s
        So long before and after the newest frame; None: as in the pipeline file. What
        the memory does not hold any more cannot be kept.
    note
        Stands with the window in the manifest.
    run
        The run folder of the engine; None: the one that was started last.

    Raises
    ------
    ConfigError
        If nothing records on events, or nothing is running.
    EngineNotFoundError
        If no engine runs, or it does not answer.
    """
    folder = runfolder.the_running() if run is None else Path(run)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    link = Link.dial(context, f"ipc://{folder}/control", f"client-{uuid.uuid4().hex}")
    asked = {"before_s": before_s, "after_s": after_s, "note": note}
    try:
        link.send(Kind.KEEP, asked)
        link.socket.poll(int(1000 * PATIENCE_S))
        answer = link.receive()
    finally:
        link.close()
        context.term()
    if answer is None:
        raise EngineNotFoundError(
            f"the engine in {folder} did not answer within {PATIENCE_S:g} s"
        )
    said = answer.header
    if "error" in said:
        raise ConfigError(said["error"])
    before, after = said["before_ns"] / 1e9, said["after_ns"] / 1e9
    return Kept(said["acq"], said["t_ns"], before, after)
