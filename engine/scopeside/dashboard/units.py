"""The unit of a parameter, as far as its name or its description says it for sure."""

from __future__ import annotations

import re

_BY_NAME = {
    "per_m": "1/m",
    "per_s": "1/s",
    "per_frame": "per frame",
    "per_px": "per px",
    "rad_per_px": "rad/px",
    "e_per_A2": "e/Å²",
    "kT": "kT",
    "area_px": "px²",
    "px": "px",
    "m": "m",
    "nm": "nm",
    "s": "s",
    "ms": "ms",
    "deg": "°",
    "rad": "rad",
    "mrad": "mrad",
    "eV": "eV",
    "V": "V",
    "K": "K",
}
_BY_WORD = {
    "px": "px",
    "pixels": "px",
    "px and degrees": "px, °",
    "metres": "m",
    "1/m": "1/m",
    "1/nm": "1/nm",
    "1/Å": "1/Å",
    "nm": "nm",
    "seconds": "s",
    "s": "s",
    "ms": "ms",
    "degrees": "°",
    "frames": "frames",
    "scans": "scans",
    "kT": "kT",
}
_SAID = re.compile(
    rf"(?:, |\] in )({'|'.join(map(re.escape, _BY_WORD))})"
    r"(?=[.,;:]| of the | from | for |$)"
)


def unit_of(name: str, about: str) -> str:
    """Return a unit such as ``px``; empty if none is said.

    Names end in it (``min_radius_px``), and descriptions have it behind a comma
    (“Time constant of the mean, frames; …”).
    """
    parts = name.split("_")
    for begin in range(1, len(parts)):
        unit = _BY_NAME.get("_".join(parts[begin:]))
        if unit is not None:
            return unit
    said = _SAID.search(about)
    return "" if said is None else _BY_WORD[said[1]]
