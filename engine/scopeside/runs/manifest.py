"""The manifest of a run: what it is, and at its end what it came to.

``manifest.json`` is there from the first moment (state ``recording``) and is replaced
as a whole, never written into.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from scopeside.errors import RunError
from scopeside.strangers import from_json

NAME = "manifest.json"
FORM = 1
RECORDING = "recording"
"""State of a run that is being written, or whose writer was killed."""
_LIBRARIES = ("scopeside", "numpy", "scipy", "numba", "llvmlite", "pyzmq", "msgpack")


def software() -> dict[str, str]:
    """Return the versions that results may depend on."""
    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # run from a checkout
    return found


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Put a manifest in place of the one before, whole or not at all.

    Raises
    ------
    OSError
    """
    partial = folder / f".{NAME}.{os.getpid()}"
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump({"form": FORM, **manifest}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / NAME)
    finally:
        partial.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run.

    Raises
    ------
    RunError
        If there is none, or it is of another form.
    """
    path = folder / NAME
    try:
        found = from_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{folder} is no recorded run: it has no {NAME}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not {"acquisition", "state"} <= found.keys():
        raise RunError(f"{path} is no manifest of a run")
    if found.get("form") != FORM:
        raise RunError(
            f"{path} is of form {found.get('form')!r}; this scopeside reads form {FORM}"
        )
    return found
