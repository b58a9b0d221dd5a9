"""A running pipeline as the text of a pipeline file, with the parameters that hold."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Mapping
from typing import Any

from scopeside import __version__
from scopeside.errors import ConfigError, MissingExtraError
from scopeside.messages import validate
from scopeside.pipeline import usual_name
from scopeside.pipeline_tables import Tables
from scopeside.plugins import look_in, processor_class

Said = Mapping[str, Mapping[str, Any]]
"""What ``status`` says of the parameters, by ``chain.processor``."""


def text_of(running: Tables, said: Said, acquisition: str, frame: int) -> str:
    """Return the text of a pipeline file.

    Parameters
    ----------
    acquisition, frame
        The newest, for the comment at the top.

    Raises
    ------
    ConfigError
        If a value that holds cannot be written in a pipeline file.
    MissingExtraError
        If the library that writes TOML is not installed.
    """
    try:
        import tomlkit  # noqa: PLC0415 - only needed here
    except ImportError as error:
        raise MissingExtraError("saving a pipeline", "tomlkit", "page") from error
    tables = tables_of(running, said)
    text = tomlkit.dumps(tables)
    if tomllib.loads(text) != tables:
        raise ConfigError("this pipeline cannot be written as TOML")
    head = _head(running, said, acquisition, frame)
    return "".join(f"# {line}".rstrip() + "\n" for line in head) + f"\n{text}"


def tables_of(running: Tables, said: Said) -> dict[str, Any]:
    """Return the tables with the parameters that hold, and without what is none.

    Raises
    ------
    ConfigError
        If leaving out a none would bring another value.
    """
    look_in(running.folder)
    chains = [_chain(chain, said, running) for chain in running.tables["chain"]]
    found: dict[str, Any] = _without_none({**running.tables, "chain": chains})
    return found


def _chain(chain: Mapping[str, Any], said: Said, running: Tables) -> dict[str, Any]:
    steps = [_step(chain["name"], step, said, running) for step in chain["processor"]]
    return {**chain, "processor": steps}


def _step(
    chain: str, step: Mapping[str, Any], said: Said, running: Tables
) -> Mapping[str, Any]:
    name = name_of(chain, step)
    now = said.get(name)
    if now is None or now["version"] == 1:
        return step
    head = {key: step[key] for key in ("kind", "name") if key in step}
    values: dict[str, Any] = _without_none(now["params"])
    model = processor_class(step["kind"]).Params
    meant = validate(model, now["params"], where=name, folder=running.folder)
    if validate(model, values, where=name, folder=running.folder) != meant:
        raise ConfigError(
            f"{name}: one of its parameters is none, where a pipeline file that leaves "
            "it out means its default; a file cannot say that"
        )
    return head | values


def name_of(chain: str, step: Mapping[str, Any]) -> str:
    """Return what a processor is called in the engine: ``chain.processor``."""
    return f"{chain}.{step.get('name') or usual_name(step['kind'])}"


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(one) for one in value]
    return value


def _head(running: Tables, said: Said, acquisition: str, frame: int) -> list[str]:
    """Return the comment; what comes from outside cannot end its line."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    where = (
        f"frame {frame} of {_line(acquisition)}" if acquisition else "no acquisition"
    )
    changed = [
        f"  {name}: version {one['version']}, since frame {one['frame']} of "
        + (_line(one["acquisition"]) if one["acquisition"] else "the next acquisition")
        for name, one in said.items()
        if one["version"] > 1
    ]
    return [
        f"Saved {now} by scopeside {__version__} from the pipeline that ran:",
        f"{_line(running.source)}, at {where}.",
        "Parameters that were changed while it ran:"
        if changed
        else "Nothing was changed while it ran.",
        *changed,
        "Relative paths are taken from the folder of this file. They were written for",
        f"{_line(running.folder)}: put it there.",
    ]


def _line(text: object) -> str:
    """Return a text that stays on its line, quoted if it would not."""
    plain = str(text)
    return plain if plain.isprintable() else json.dumps(plain)
