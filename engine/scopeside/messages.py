"""Checks tables of settings and says what is wrong in the user's words.

A message names the key, what was found and what is allowed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

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
    problems = error.errors()
    for problem in problems:
        location = problem["loc"]
        key = _key(where, location)
        if problem["type"] == "too_short" and any(
            len(other["loc"]) > len(location)
            and other["loc"][: len(location)] == location
            for other in problems
        ):
            continue  # its entries are wrong, and are spoken of themselves
        if problem["type"] == "extra_forbidden":
            owner = _model_at(model, location[:-1])
            allowed = [] if owner is None else list(owner.model_fields)
            lines.append(f"{key}: {unknown('key', str(location[-1]), allowed)}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing; it is required")
        else:
            lines.append(_line(key, problem))
    return lines


def _line(key: str, problem: ErrorDetails) -> str:
    found = problem["input"]
    text = _in_plain_words(key, problem)
    if not _is_short(found):
        return f"{key}: {text}" if key else text
    return f"{key}: found {_as_written(found)}; {text}"


def _in_plain_words(key: str, problem: ErrorDetails) -> str:
    """Return what is allowed, in words that need no knowledge of Python."""
    allowed = _ALLOWED.get(problem["type"])
    if allowed is not None:
        found = problem["input"]
        return allowed.format(
            key=re.sub(r"\[\d+\]", "", key),
            brackets="; write its head in double brackets: [[{}]]".format(
                re.sub(r"\[\d+\]", "", key)
            )
            if isinstance(found, Mapping)
            else "",
            unit=" without quotes or unit" if isinstance(found, str) else "",
            **{name: _whole(value) for name, value in problem.get("ctx", {}).items()},
        )
    text = problem["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


_ALLOWED = {
    "dict_type": "expected a table: [{key}]",
    "model_type": "expected a table: [{key}]",
    "model_attributes_type": "expected a table: [{key}]",
    "tuple_type": "expected a list{brackets}",
    "list_type": "expected a list{brackets}",
    "too_short": "expected {min_length} or more entries, not {actual_length}",
    "too_long": "expected {max_length} entries at most, not {actual_length}",
    "int_type": "expected a whole number{unit}",
    "int_parsing": "expected a whole number{unit}",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number{unit}",
    "float_parsing": "expected a number{unit}",
    "finite_number": "expected a finite number",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected {le} or less",
    "literal_error": "expected {expected}",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_type": "expected text in quotes",
    "string_too_short": "expected text that is not empty",
}
"""By pydantic's name of what is wrong."""


def _whole(value: Any) -> Any:
    """Return 10 for 10.0: a limit looks as a person would write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_short(value: Any) -> bool:
    """Whether a value is worth showing: no table, nor a list of tables."""
    if isinstance(value, list | tuple):
        return all(_is_short(item) for item in value)
    return not isinstance(value, Mapping | BaseModel)


def _as_written(value: Any) -> str:
    """Return a value about as it stands in a TOML file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        text = f"[{', '.join(_as_written(item) for item in value)}]"
        return text if len(text) <= 80 else f"{text[:79]}…"
    return f"{value!r:.80}"


def _key(where: str, location: tuple[int | str, ...]) -> str:
    key = where
    for part in location:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            key += f".{part}" if key else part
    return key


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
