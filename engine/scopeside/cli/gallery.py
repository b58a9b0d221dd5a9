"""The last value of every result, drawn small in the terminal."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from scopeside.cli.picture import picture
from scopeside.result import Result


class Gallery:
    """The last value of every result, ready to be drawn."""

    def __init__(self) -> None:
        self.acquisition = ""
        self.beside = ""
        self._last: dict[str, Result] = {}

    def add(self, result: Result) -> None:
        """Keep a result; a new acquisition clears what was there."""
        acquisition = str(result.meta.get("acq", ""))
        if acquisition != self.acquisition:
            self._last.clear()
            self.acquisition = acquisition
        name = (
            f"{result.meta.get('chain')}.{result.meta.get('processor')}.{result.name}"
        )
        self._last[name] = result
        self.beside = beside(result)

    def draw(self, width: int, height: int) -> RenderableType:
        """Return all of it for a terminal of that size."""
        if not self._last:
            return Text("waiting for results …", "dim")
        across = max(1, min(len(self._last), width // 34))
        down = -(-len(self._last) // across)
        cell = (width // across - 4, max(4, height // down - 5))
        panels = [
            Panel(_body(result, *cell), title=name, subtitle=state_of(result))
            for name, result in sorted(self._last.items())
        ]
        head = Text.assemble((f" {self.acquisition}", "bold"), f"  {self.beside}")
        return Group(head, Columns(panels))


def state_of(result: Result) -> str:
    """Return how old a result is and what it stands on, in a few words."""
    if not result.valid:
        return f"invalid: {result.reason}"
    age = (time.time_ns() - result.meta.get("t_frame_ns", time.time_ns())) / 1e9
    of = f"/{result.expected}" if result.expected is not None else ""
    final = "final" if result.meta.get("final") else f"{age:.1f} s old"
    return f"{result.used}{of} frames, {final}"


def beside(result: Result) -> str:
    """Return the channels at the time of the result's last frame, in a line."""
    return "  ".join(
        f"{name} {sample['value']:.6g} {sample['unit']}".rstrip()
        for name, sample in (result.meta.get("channels") or {}).items()
    )


def _body(result: Result, width: int, height: int) -> RenderableType:
    data, mask = result.data, result.mask
    if result.axes[:1] == ("scan",) and mask is not None and mask.any():
        newest = int(np.flatnonzero(mask.any(axis=(1, 2)))[-1])
        data, mask = data[newest], mask[newest]
    elif result.axes[:1] == ("scan",):
        data, mask = data[-1], None
    if isinstance(data, np.ndarray) and data.ndim == 2:
        log = result.axes == ("y", "x")
        return picture(data, mask, width, height, log=log)
    if isinstance(data, np.ndarray) and data.ndim == 1 and len(data):
        return _curve(data, width)
    return Text(f"{data}"[: width * height])


def _curve(data: Any, width: int) -> Text:
    values = np.asarray(data[-width:], float)
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    blocks = "▁▂▃▄▅▆▇█"
    line = "".join(blocks[min(7, int(8 * (v - low) / span))] for v in values)
    return Text(f"{line}\n{low:g} … {high:g} {''}", "cyan")
