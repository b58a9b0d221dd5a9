"""``KEY=VALUE`` on the command line, with values as in a pipeline file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from scopeside.errors import ConfigError


def assignments(settings: Sequence[str], such_as: str) -> dict[str, Any]:
    """Return what ``KEY=VALUE`` arguments say, by key.

    Raises
    ------
    ConfigError
        If one is no assignment; `such_as` is an example of one.
    """
    table: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"{setting!r} is no setting: expected KEY=VALUE, such as {such_as}"
            )
        table[key.strip()] = _value(text)
    return table


def _value(text: str) -> Any:
    """Read a value as a pipeline file would, or take it as text without quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
