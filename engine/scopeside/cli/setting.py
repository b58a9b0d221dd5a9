"""``scopeside set``: change parameters while the engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from scopeside.adjust import Acknowledged, set_params
from scopeside.cli.assignments import assignments


def set_command(processor: str, settings: Sequence[str], run: Path | None) -> int:
    """Change a processor's parameters, and say from which frame on they hold."""
    values = assignments(settings, "detectors.bf.disk=[128,128,20]")
    said = in_words(set_params(processor, values, run=run))
    Console(highlight=False).print(said, markup=False, soft_wrap=True)
    return 0


def in_words(change: Acknowledged) -> str:
    """Return what the engine has acknowledged."""
    text = f"{change.processor}: version {change.version} of the parameters holds "
    if change.frame is None:
        return f"{text}from the next frame on"
    if not change.acquisition:
        return f"{text}from the next acquisition on"
    return f"{text}from frame {change.frame} of {change.acquisition} on"
