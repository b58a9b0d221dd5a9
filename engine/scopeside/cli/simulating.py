"""``scopeside simulate``: a detector's double that pushes to an engine elsewhere."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from scopeside.errors import PluginError
from scopeside.messages import unknown
from scopeside.plugins import installed

SIMULATORS = "scopeside.simulators"


def simulate_command(
    kind: str,
    *,
    to: str,
    movie: bool,
    fps: float | None,
    acquisitions: int,
    scan: tuple[int, int],
    frames: int,
    seed: int,
) -> int:
    """Play a detector of that `kind` and return the exit code.

    Raises
    ------
    PluginError
        If there is no such simulator or it does not load.
    """
    play = _simulator(kind)
    console = Console(highlight=False)
    try:
        play(
            lambda text: console.print(text, markup=False, soft_wrap=True),
            to=to,
            movie=movie,
            fps=fps,
            acquisitions=acquisitions,
            scan=scan,
            frames=frames,
            seed=seed,
        )
    except KeyboardInterrupt:
        console.print("interrupted; the acquisition is left without an end")
        return 130
    return 0


def _simulator(kind: str) -> Any:
    known = installed(SIMULATORS)
    if kind not in known:
        raise PluginError(unknown("simulator", kind, known))
    try:
        return known[kind].load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"simulator {kind!r} does not load: {error}") from error
