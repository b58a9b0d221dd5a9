"""Reads the results and channels that lie in a run's folder."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scopeside.errors import ProtocolError, RunError
from scopeside.publication import from_header
from scopeside.result import Result


@dataclass(frozen=True, slots=True)
class Stored:
    """A result, and the name of its file: chain, processor and result."""

    stem: str
    result: Result


def files_of(folder: Path) -> list[Path]:
    """Return the files of results and of channels, in order of name."""
    return [
        path
        for below in ("results", "channels")
        for path in sorted((folder / below).glob("*.npz"))
    ]


def read_result(path: Path) -> Stored:
    """Read the file of one result.

    Raises
    ------
    RunError
        If it is none.
    """
    arrays = _arrays(path, ("data", "meta"))
    try:
        header = json.loads(str(arrays["meta"][()]))
        data, payload = arrays["data"], []
        if header.get("dtype") is None:
            header["value"] = json.loads(str(data[()]))
        else:
            little = data.astype(data.dtype.newbyteorder("<"), copy=False)
            payload = [np.ascontiguousarray(little).tobytes()]
            if "mask" in arrays:
                payload.append(np.packbits(arrays["mask"].astype(bool)).tobytes())
        return Stored(path.stem, from_header(header, payload))
    except (ValueError, TypeError, AttributeError, ProtocolError) as error:
        raise RunError(f"{path} is no result: {error}") from error


def read_channel(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return times (n,), ns since 1970 UTC, and values (n,) of a channel.

    Raises
    ------
    RunError
        If the file is none of a channel.
    """
    arrays = _arrays(path, ("times_ns", "values"))
    return arrays["times_ns"], arrays["values"]


def _arrays(path: Path, needed: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    try:
        # numpy leaves a file open that it cannot read.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if lacking := [name for name in needed if name not in found]:
        raise RunError(f"{path} has no {', '.join(lacking)}")
    return found
