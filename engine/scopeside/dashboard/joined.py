"""The page's files put together: one script and one style sheet instead of a hundred.

Each file that a tab asks for takes the browser and this server some 5 ms of the cores
that the engine needs. So the modules are joined when the server starts: in the order in
which they need each other, each in a function of its own that returns what it exports.
They are plain modules all the same, and ``/?apart`` loads them so.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

_IMPORT = re.compile(
    r'^import\s+(?:\{([^}]*)\}|\*\s+as\s+(\w+))\s+from\s+"([^"]+)";', re.MULTILINE
)
_EXPORT = re.compile(
    r"^export\s+(?=(?:async\s+)?(?:function|class|const)\s+(\w+))", re.MULTILINE
)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_SHEET = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
_SHEETS = re.compile(rf"(?:\s*{_SHEET.pattern})+")
_MAIN = re.compile(r'<script type="module" src="([^"]+)"></script>')


def script(folder: Path, main: str) -> str:
    """Return a module and all that it needs as one script.

    Parameters
    ----------
    main
        Path of the module below `folder`.

    Raises
    ------
    ValueError
        If a module imports or exports in another way than ours do, or two need each
        other.
    """
    parts: dict[str, str] = {}
    _add(folder, main, parts, ())
    return "\n".join(['"use strict";', "const parts = {};", *parts.values(), ""])


def sheet(folder: Path, names: list[str]) -> str:
    """Return style sheets as one, in their order."""
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def sheets_of(front: str) -> list[str]:
    """Return the names of the style sheets of an HTML file."""
    return _SHEET.findall(front)


def front_page(front: str, base: str, sheet_name: str, script_name: str) -> str:
    """Return an HTML file that loads the joined files, which are found at `base`."""
    one = f'\n  <link rel="stylesheet" href="{base}{sheet_name}">'
    front = _SHEETS.sub(one, front, count=1)
    loads = f'<script type="module" src="{base}{script_name}"></script>'
    front = _MAIN.sub(loads, front, count=1)
    return front.replace("<html ", f'<html data-files="{base}" ', 1)


def _add(
    folder: Path, name: str, parts: dict[str, str], needed_by: tuple[str, ...]
) -> None:
    """Add what a module needs, and then the module."""
    if name in parts:
        return
    if name in needed_by:
        raise ValueError(f"modules need each other: {' → '.join((*needed_by, name))}")
    text = (folder / name).read_text(encoding="utf-8")
    for _, _, path in _IMPORT.findall(text):
        _add(folder, _named(name, path), parts, (*needed_by, name))
    parts[name] = _part(name, text)


def _part(name: str, text: str) -> str:
    exports = _EXPORT.findall(text)

    def taken(found: re.Match[str]) -> str:
        names, whole, path = found.groups()
        left = whole if names is None else f"{{{names.replace(' as ', ': ')}}}"
        return f'const {left} = parts["{_named(name, path)}"];'

    body = _EXPORT.sub("", _IMPORT.sub(taken, text))
    if other := _OTHER.search(body):
        raise ValueError(f"{name}: {other[0]!r:.80} is no import or export as ours are")
    given = f"return {{ {', '.join(exports)} }};"
    return f'// {name}\nparts["{name}"] = (() => {{\n{body}\n{given}\n}})();'


def _named(name: str, path: str) -> str:
    """Return the path below the folder of what a module calls `path`."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
