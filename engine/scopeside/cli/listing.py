"""``scopeside list``: what is installed, and what it takes."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scopeside.errors import PluginError
from scopeside.messages import unknown
from scopeside.plugins import (
    CHANNELS,
    CONTROLS,
    DETECTORS,
    POLICIES,
    PROCESSORS,
    SIMULATORS,
    SINKS,
    installed,
)

GROUPS = {
    "detectors": DETECTORS,
    "processors": PROCESSORS,
    "channels": CHANNELS,
    "simulators": SIMULATORS,
    "controls": CONTROLS,
    "policies": POLICIES,
    "exports": SINKS,
}
SINGULAR = {"policies": "policy"}


def list_command(kind: str | None) -> int:
    """List everything, or show the parameters of one."""
    console = Console(highlight=False)
    if kind is None:
        for title, group in GROUPS.items():
            _list(console, title, group)
        console.print("\nscopeside list KIND shows the parameters of one.")
        return 0
    if ":" in kind:
        _show(console, "processor or detector", kind, EntryPoint(kind, kind, "").load())
        return 0
    found = [(t, g) for t, g in GROUPS.items() if kind in installed(g)]
    if not found:
        names = [name for group in GROUPS.values() for name in installed(group)]
        raise PluginError(unknown("kind", kind, names))
    for title, group in found:
        _show(
            console,
            SINGULAR.get(title, title.removesuffix("s")),
            kind,
            installed(group)[kind].load(),
        )
    return 0


def _list(console: Console, title: str, group: str) -> None:
    console.print(f"\n[bold]{title}[/]")
    points = installed(group)
    if not points:
        console.print("  none yet")
    for name, point in sorted(points.items()):
        try:
            text = _first_line(point.load())
        except (ImportError, AttributeError) as error:
            text = f"does not load: {error}"
        console.print(f"  [cyan]{name:<12}[/] {escape(text)}")


def _show(console: Console, what: str, kind: str, plugin: Any) -> None:
    console.print(f"[bold]{kind}[/] ({what}): {escape(_first_line(plugin))}")
    table = Table(box=None, pad_edge=False)
    for column in ("key", "type", "default", "meaning"):
        table.add_column(column, no_wrap=column == "key")
    for row in rows(plugin.Params):
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Return (key, type, default, meaning) of each parameter, nested ones after."""
    found = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        shown = "required" if default is PydanticUndefined else f"{default!r}"
        found.append(
            (
                prefix + name,
                "table" if nested else _type_name(inner),
                "" if nested or default is None else shown,
                (field.description or "").replace("\n", " "),
            )
        )
        if nested:
            assert isinstance(inner, type)
            found += rows(inner, f"{prefix}{name}.")
    return found


def _type_name(annotation: Any) -> str:
    plain = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return " or ".join(repr(value) for value in inner)
    if origin in (Union, UnionType):
        kinds = [_type_name(kind) for kind in inner if kind is not NoneType]
        return " or ".join(dict.fromkeys(kinds))
    if origin in (tuple, list):
        return f"[{', '.join(_type_name(kind) for kind in inner if kind is not ...)}]"
    if origin is dict:
        return "table"
    return str(getattr(annotation, "__name__", annotation))


def _first_line(plugin: Any) -> str:
    lines = (plugin.__doc__ or "").strip().splitlines()
    return lines[0] if lines else ""
