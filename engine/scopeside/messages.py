"""Checks tables of settings and says what is wrong in the user's words.

A message names the key, what was found and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scopeside.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M],
    values: Mapping[str, Any],
    *,
    where: str = "",
    folder: Path | None = None,
) -> M:
    """Return `values` as a `model`.

    Parameters
    ----------
    where
        The key that holds `values`, put before the names in messages.
    folder
        Relative paths are taken from here.

    Raises
    ------
    ConfigError
        One line for each thing that is wrong.
    """
    try:
        return model.model_validate(dict(values), context={"folder": folder})
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error, model, where))) from error


def unknown(what: str, found: str, allowed: Iterable[str]) -> str:
    """Return a sentence on a name that is not one of `allowed`."""
    names = sorted(allowed)
    close = difflib.get_close_matches(found, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(names) if names else "none"
    return f"{what} {found!r} is not known{hint} (known: {listed})"


def _lines(error: ValidationError, model: type[BaseModel], where: str) -> list[str]:
    lines = []
    for problem in error.errors():
        location = problem["loc"]
        key = _key(where, location)
        if problem["type"] == "extra_forbidden":
            owner = _model_at(model, location[:-1])
            allowed = [] if owner is None else list(owner.model_fields)
            lines.append(f"{key}: {unknown('key', str(location[-1]), allowed)}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing; it is required")
        else:
            text = problem["msg"].removeprefix("Value error, ")
            text = text[:1].lower() + text[1:]
            found = problem["input"]
            lines.append(
                f"{key}: {text}"
                if isinstance(found, Mapping | BaseModel)
                else f"{key}: found {found!r:.80}; {text}"
            )
    return lines


def _key(where: str, location: tuple[int | str, ...]) -> str:
    key = where
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += f".{part}" if key else part
    return key or "the file"


def _model_at(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> type[BaseModel] | None:
    """Return the model whose field lies at `location`, where it can be told."""
    found: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or found is None:
            continue
        field = found.model_fields.get(part)
        found = None if field is None else _model_in(field.annotation)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (model := _model_in(inner)) is not None:
            return model
    return None
