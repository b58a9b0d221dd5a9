"""Puts results and samples beside the recording, while it grows and at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.acquisition import Acquisition
from scopeside.collect import files
from scopeside.join import FloatArray, IntArray
from scopeside.publication import digest
from scopeside.result import Result
from scopeside.runs import place
from scopeside.runs.results import CHANNELS, FOLDER

SHARE = 10
"""Writing pauses for so many times what it took."""

Named = tuple[str, str, Result]
"""Chain, processor, result."""


@dataclass(slots=True)
class _Written:
    """What lies beside one recording."""

    digests: dict[str, tuple[str, int, bool, str]] = field(default_factory=dict)
    said: bool = False


class Beside:
    """Writes what is new of an acquisition into the folder of its run.

    Parameters
    ----------
    engine
        The private folder of the engine: there the recorder says where it records.
    every_s
        What has changed is written so often at most.
    """

    def __init__(self, engine: Path, every_s: float) -> None:
        self.notes: list[str] = []
        self._engine = engine
        self._every_s = every_s
        self._written: dict[str, _Written] = {}
        self._last = time.monotonic()
        self._took = 0.0

    def due_in(self, now: float) -> float:
        """Return in how many seconds something may be written again; monotonic."""
        pause = max(self._every_s, SHARE * self._took)
        return max(0.0, self._last + pause - now)

    def write(self, acquisition: Acquisition, results: Iterable[Named]) -> None:
        """Write those of the results that have changed; problems become notes."""
        began = time.monotonic()
        known = self._written.setdefault(acquisition.id, _Written())
        for problem in self._write(acquisition, results, "recording"):
            if not known.said:
                known.said = True
                self.notes.append(f"{acquisition.id}: {problem} (said once)")
        self._last = time.monotonic()
        self._took = self._last - began

    def close(
        self,
        acquisition: Acquisition,
        results: Sequence[Named],
        samples: Iterable[tuple[str, IntArray, FloatArray]],
        state: str,
    ) -> list[str]:
        """Write the last results and all samples; return what could not be."""
        self._written.pop(acquisition.id, None)  # the state of all has changed
        problems = list(self._write(acquisition, results, state))
        folder = place.folder_of(self._engine, acquisition.id)
        if folder is None and any(result.used for _, _, result in results):
            problems.append(
                f"{acquisition.id} is not recorded: its results lie beside no recording"
            )
        if folder is None:
            return problems
        for name, times, values in samples:
            try:
                _write_samples(folder / CHANNELS / f"{name}.npz", times, values)
            except OSError as error:
                problems.append(f"channel {name} beside the recording: {error}")
        self._written.pop(acquisition.id, None)
        return problems

    def _write(
        self, acquisition: Acquisition, results: Iterable[Named], state: str
    ) -> Iterable[str]:
        """Write what has changed; yield what could not be."""
        folder = place.folder_of(self._engine, acquisition.id)
        if folder is None:
            return
        known = self._written.setdefault(acquisition.id, _Written()).digests
        for chain, processor, result in results:
            name = f"{chain}.{processor}.{result.name}"
            about = (digest(result), result.used, result.valid, result.reason)
            if known.get(name) == about:
                continue
            beside: dict[str, Any] = {
                "acquisition": acquisition.to_dict(),
                "chain": chain,
                "processor": processor,
                "state": state,
            }
            try:
                files.write(folder / FOLDER, chain, processor, result, beside)
            except OSError as error:
                yield f"{name} could not be written beside the recording: {error}"
            else:
                known[name] = about


def _write_samples(path: Path, times: IntArray, values: FloatArray) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                times_ns=times.astype("<i8", copy=False),
                values=values.astype("<f8", copy=False),
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
