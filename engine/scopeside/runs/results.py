"""The results beside a recording, by name; brought up to date while it grows."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scopeside.errors import ProtocolError, RunError
from scopeside.publication import from_header, to_header
from scopeside.result import Result

FOLDER = "results"
CHANNELS = "channels"
_SUFFIX = ".npz"


class Results(Mapping[str, Result]):
    """``run.results["chain.processor.name"]``; a file is read when it is asked for.

    While the run grows, names appear, and a result is read again when it has changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._read: dict[str, tuple[tuple[int, int], Result]] = {}

    def __iter__(self) -> Iterator[str]:
        found = self._folder.glob(f"*{_SUFFIX}")
        return iter(sorted(path.name.removesuffix(_SUFFIX) for path in found))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Result:
        """Return a result as it is now.

        Raises
        ------
        KeyError
        RunError
            If its file is damaged.
        """
        path = self._folder / f"{name}{_SUFFIX}"
        if path.parent != self._folder:
            raise KeyError(name)
        try:
            status = path.stat()
        except OSError:
            raise KeyError(name) from None
        stamp = (status.st_ino, status.st_mtime_ns)
        known = self._read.get(name)
        if known is None or known[0] != stamp:
            known = self._read[name] = (stamp, read(path))
        return known[1]


def read(path: Path) -> Result:
    """Return the result in a file that `scopeside.collect.files.write` has written.

    Raises
    ------
    RunError
        If it is damaged.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["meta"]))
            arrays = {name: file[name] for name in ("data", "mask") if name in file}
        payload: list[Any] = []
        if header.get("dtype") is not None:
            payload = _payload(header, arrays)
        return from_header(header, payload)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise RunError(f"{path} cannot be read as a result: {error}") from error
    except ProtocolError as error:
        raise RunError(f"{path}: {error}") from error


def _payload(header: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[Any]:
    """Return data and mask as they travel."""
    as_sent = Result("", arrays["data"], mask=arrays.get("mask"))
    said, payload = to_header(as_sent)
    if said["shape"] != header["shape"] or said["dtype"] != header["dtype"]:
        raise ValueError(f"its array is {said['shape']} {said['dtype']}")
    return list(payload)


def samples(folder: Path, channel: str) -> tuple[Any, Any]:
    """Return the samples of a channel: times (n,) int64, ns; values (n,) float64.

    Raises
    ------
    KeyError
    RunError
        If the file is damaged.
    """
    path = folder / CHANNELS / f"{channel}{_SUFFIX}"
    if path.parent != folder / CHANNELS or not path.is_file():
        raise KeyError(channel)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return file["times_ns"], file["values"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise RunError(f"{path} cannot be read as samples: {error}") from error
