"""What a form asks for: the fields of a plug-in's ``Params``, as plain values.

Made from the JSON schema that pydantic gives. Each field says by `control` how it is
entered:

- ``number``, ``whole``: with `min`, `above`, `max`, `below` where there is a limit;
- ``switch``: true or false; ``choice``: one of `choices`;
- ``several``: some of `choices`; ``numbers``: a list of numbers, with the limits of
  each, and `least`, `most` of them;
- ``text``, ``file``: text, a path;
- ``either``: one of `choices` (words), or one of `others` (controls);
- ``table``: has `fields`; ``tables``: any number of tables, by name, each has `fields`;
- ``value``: anything else, written as JSON.

`optional` means that it may be left out though it has no default: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from scopeside.dashboard.units import unit_of

Schema = Mapping[str, Any]
Field = dict[str, Any]

_LIMITS = {
    "minimum": "min",
    "exclusiveMinimum": "above",
    "maximum": "max",
    "exclusiveMaximum": "below",
}
_NUMBERS = ("number", "whole")


def fields_of(model: type[BaseModel]) -> list[Field]:
    """Return the fields of a table of parameters, in its order."""
    schema = model.model_json_schema()
    return _fields(schema, schema.get("$defs", {}))


def _fields(schema: Schema, definitions: Schema) -> list[Field]:
    required = schema.get("required", ())
    return [
        _field(key, one, definitions, required=key in required)
        for key, one in schema.get("properties", {}).items()
    ]


def _field(key: str, schema: Schema, definitions: Schema, *, required: bool) -> Field:
    about = str(schema.get("description", "")).replace("\n", " ")
    found = control_of(schema, definitions)
    found |= {"key": key, "about": about, "required": required}
    if "default" in schema:
        found["default"] = schema["default"]
    if found["control"] in (*_NUMBERS, "numbers", "either", "value") and (
        unit := unit_of(key, about)
    ):
        found["unit"] = unit
    return found


def control_of(schema: Schema, definitions: Schema) -> Field:
    """Return how a value of that schema is entered."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return _of_several(schema["anyOf"], definitions)
    if "const" in schema:
        return {"control": "choice", "choices": [schema["const"]]}
    if "enum" in schema:
        return {"control": "choice", "choices": list(schema["enum"])}
    match schema.get("type"):
        case "boolean":
            return {"control": "switch"}
        case "integer":
            return {"control": "whole", **_limits(schema)}
        case "number":
            return {"control": "number", **_limits(schema)}
        case "string":
            is_path = schema.get("format") == "path"
            return {"control": "file" if is_path else "text"}
        case "array":
            return _of_list(schema, definitions)
        case "object":
            return _of_table(schema, definitions)
    return {"control": "value"}


def _of_several(schemas: list[Schema], definitions: Schema) -> Field:
    """Return the control of a value that may be of several kinds, or none."""
    kinds = [one for one in schemas if one.get("type") != "null"]
    found: Field = {"optional": True} if len(kinds) < len(schemas) else {}
    controls = [control_of(one, definitions) for one in kinds]
    if len(controls) == 1:
        control = controls[0]
        # Whether there is a table at all is part of the value: it is entered whole.
        return found | ({"control": "value"} if "fields" in control else control)
    words = [w for c in controls if c["control"] == "choice" for w in c["choices"]]
    others = [c for c in controls if c["control"] != "choice"]
    if not others:
        return found | {"control": "choice", "choices": words}
    return found | {"control": "either", "choices": words, "others": others}


def _of_list(schema: Schema, definitions: Schema) -> Field:
    items = schema.get("prefixItems") or [schema.get("items", {})]
    controls = [control_of(one, definitions) for one in items]
    first = controls[0]
    count = {"least": schema.get("minItems"), "most": schema.get("maxItems")}
    count = {key: value for key, value in count.items() if value is not None}
    if all(one["control"] in _NUMBERS for one in controls):
        same = first if all(one == first for one in controls) else {}
        whole = all(one["control"] == "whole" for one in controls)
        limits = {key: same[key] for key in _LIMITS.values() if key in same}
        return {"control": "numbers", "whole": whole, **limits, **count}
    if first["control"] == "choice":
        return {"control": "several", "choices": first["choices"], **count}
    return {"control": "value"}


def _of_table(schema: Schema, definitions: Schema) -> Field:
    if "properties" in schema:
        return {"control": "table", "fields": _fields(schema, definitions)}
    each = schema.get("additionalProperties")
    if isinstance(each, Mapping):
        inner = control_of(each, definitions)
        if inner["control"] == "table":
            return {"control": "tables", "fields": inner["fields"]}
    return {"control": "value"}


def _limits(schema: Schema) -> Field:
    return {ours: schema[its] for its, ours in _LIMITS.items() if its in schema}
