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

import xxhash

from scopeside.errors import RunError
from scopeside.strangers import from_json

NAME = "manifest.json"
FORM = 1
RECORDING = "recording"
"""State of a run that is being written, or whose writer was killed."""
_OWN = ("form", "files", "digest")
_MEND = "'scopeside runs recover' makes a new one from the recording"
_BLOCK = 1 << 20
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

    That of a closed run gets the digests of all other files that lie there by then.

    Raises
    ------
    OSError
    """
    said = {key: value for key, value in manifest.items() if key not in _OWN}
    if said.get("state") != RECORDING:
        said["files"] = files_of(folder)
    partial = folder / f".{NAME}.{os.getpid()}"
    try:
        with partial.open("wb") as file:
            file.write(to_bytes(said))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / NAME)
    finally:
        partial.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run, without its own digest.

    Raises
    ------
    RunError
        If there is none, or it is not as it was written, or of another form.
    """
    path = folder / NAME
    try:
        return from_bytes(path.read_bytes())
    except FileNotFoundError as error:
        mend = "; 'scopeside runs recover' makes one" if _segments_in(folder) else ""
        raise RunError(
            f"{folder} is no recorded run: it has no {NAME}{mend}"
        ) from error
    except (OSError, RunError) as error:
        raise RunError(f"{path}: {error}") from error


def to_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as text; its last line is the digest of all before it."""
    # A name of a file may hold what is no letter; it is told, and read again, as "?".
    text = json.dumps({"form": FORM, **manifest}, indent=1, ensure_ascii=False)
    body = text.encode(errors="replace").removesuffix(b"\n}")
    return body + _last_line(body)


def from_bytes(data: bytes) -> dict[str, Any]:
    """Return what `to_bytes` was given, and its form.

    Raises
    ------
    RunError
        If it is not as it was written.
    """
    try:
        found = from_json(data)
    except ValueError as error:
        raise RunError(f"it is damaged: {error}; {_MEND}") from error
    if not isinstance(found, dict) or not {"acquisition", "state"} <= found.keys():
        raise RunError("it is no manifest of a run")
    if found.get("form") != FORM:
        raise RunError(
            f"it is of form {found.get('form')!r:.40}; this scopeside reads form {FORM}"
        )
    at = data.rfind(b',\n "digest": "')
    if at < 0 or data[at:] != _last_line(data[:at]):
        raise RunError(f"it was changed: it does not fit its digest; {_MEND}")
    del found["digest"]
    return found


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and digest (XXH3-128) of each file beside segments and manifest."""
    return {
        name: {"bytes": path.stat().st_size, "digest": digest_of(path)}
        for name, path in sorted(others(folder).items())
    }


def others(folder: Path) -> dict[str, Path]:
    """Return the files of a run other than segments and manifest, by name in it."""
    return {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != NAME
        and not path.name.startswith(f".{NAME}.")
        and not (path.parent == folder and path.suffix == ".seg")
    }


def digest_of(path: Path) -> str:
    """Return the XXH3-128 of a file."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _last_line(body: bytes) -> bytes:
    return b',\n "digest": "%s"\n}\n' % xxhash.xxh3_128_hexdigest(body).encode()


def _segments_in(folder: Path) -> bool:
    return any(folder.glob("*.seg"))
