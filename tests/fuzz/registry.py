"""All fuzz targets by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from tests.fuzz.target import Target

_MODULES = ("wires", "detectors", "kernels", "files", "texts")


def targets() -> Mapping[str, Target]:
    """Return all targets."""
    found: dict[str, Target] = {}
    for name in _MODULES:
        for target in import_module(f"tests.fuzz.targets.{name}").targets():
            assert target.name not in found
            found[target.name] = target
    return found
