"""What a tab loads: the front page, and the files that stay the same for a version."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from scopeside.dashboard import joined
from scopeside.dashboard.rules import STATIC, Ruled, RuledFiles

_SCRIPT, _SHEET = "scopeside.js", "scopeside.css"
_FIRST = "js/theme_first.js"
_MAIN = "js/main.js"
FOR_EVER = "max-age=31536000, immutable"
"""The address of a file has the version in it."""


@dataclass(frozen=True)
class Bundle:
    """All that a tab loads first.

    Attributes
    ----------
    version
        Changes when any file does: tabs then load them anew.
    front
        The HTML that loads the joined files.
    apart
        The HTML that loads each module by itself.
    kept
        The joined files, by name.
    """

    version: str
    front: bytes
    apart: bytes
    kept: Mapping[str, bytes]


def bundle(bokeh: Path, folder: Path = STATIC) -> Bundle:
    """Return what tabs load from a folder.

    Parameters
    ----------
    bokeh
        The folder of BokehJS, which is loaded later, from an address of this version.
    """
    version = version_of([*folder.rglob("*"), *bokeh.glob("bokeh*.min.js")])
    apart = (folder / "index.html").read_text(encoding="utf-8")
    base = f"v/{version}/"
    front = joined.front_page(apart, base, _SHEET, _SCRIPT)
    front = front.replace(f'src="{_FIRST}"', f'src="{base}{_FIRST}"')
    kept = {
        _SCRIPT: joined.script(folder, _MAIN).encode(),
        _SHEET: joined.sheet(folder, joined.sheets_of(apart)).encode(),
        _FIRST: (folder / _FIRST).read_bytes(),
    }
    return Bundle(version, front.encode(), apart.encode(), kept)


def version_of(paths: list[Path]) -> str:
    """Return what changes when one of these files does."""
    hashed = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            hashed.update(path.name.encode() + path.read_bytes())
    return hashed.hexdigest()[:16]


class Front(Ruled):
    """``/``: the page itself; ``/?apart`` with each module by itself, to look into."""

    bundle: Bundle

    def initialize(self, bundle: Bundle, port: int) -> None:  # type: ignore[override]
        """Take what is served."""
        super().initialize(port, None)
        self.bundle = bundle

    def get(self) -> None:
        """Give it; a browser asks each time whether it has changed."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-cache")
        apart = "apart" in self.request.arguments or self.request.query == "apart"
        self.finish(self.bundle.apart if apart else self.bundle.front)

    head = get


class KeptFiles(Ruled):
    """``/v/VERSION/…``: what is made of the files, from memory."""

    bundle: Bundle

    def initialize(self, bundle: Bundle, port: int) -> None:  # type: ignore[override]
        """Take what is served."""
        super().initialize(port, None)
        self.bundle = bundle

    def get(self, version: str, name: str) -> None:
        """Give a file of this version; there is no other."""
        found = self.bundle.kept.get(name)
        if found is None or version != self.bundle.version:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, _ = mimetypes.guess_type(name)
        self.set_header("Content-Type", f"{kind}; charset=UTF-8")
        self.set_header("Cache-Control", FOR_EVER)
        self.finish(found)

    head = get

    def compute_etag(self) -> str | None:
        """Return None: what stays for ever is not asked for again."""
        return None


class VersionedFiles(RuledFiles):
    """Files whose address has the version in it."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - its signature
        """Have the browser keep them."""
        self.set_header("Cache-Control", FOR_EVER)
