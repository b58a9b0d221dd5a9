"""Nested plain values as HDF5 groups and attributes, as HyperSpy writes them.

The values come out of a recording, where somebody else may have named them: whatever
the names and texts are, the file can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside_adapters.exports.hyperspy_form import NONE

_LONGEST = 16_000
"""Characters of an attribute: HDF5 has 64 KiB for each of them."""
_INTEGERS = -(2**63), 2**63 - 1


def write_tree(group: Any, tree: Mapping[str, Any]) -> None:
    """Write mappings as groups, arrays as data sets, the rest as attributes."""
    for name, value in tree.items():
        key = _free_name(group, str(name))
        if isinstance(value, Mapping):
            write_tree(group.create_group(key), value)
        elif isinstance(value, np.ndarray):
            # HyperSpy asks each data set for its chunks; an empty one cannot have any.
            chunks = value.shape if value.size and value.ndim else None
            group.create_dataset(key, data=value, chunks=chunks)
        elif isinstance(value, list | tuple):
            _write_list(group, key, list(value))
        elif isinstance(value, str) and len(value) > _LONGEST:
            _write_list(group, key, value.splitlines())
        else:
            group.attrs[key] = _plain(value)


def text_of(value: str) -> str:
    """Return a text that HDF5 can hold: UTF-8 without NUL."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _plain(value: Any) -> Any:
    if value is None:
        return NONE
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int) and _INTEGERS[0] <= value <= _INTEGERS[1]:
        return value
    return text_of(str(value))


def _free_name(group: Any, name: str) -> str:
    """Return a name that HDF5 takes and that is not in use in the group."""
    key = text_of(name).replace("/", "-").strip(".") or "-"
    while key in group or key in group.attrs or f"_list_{key}" in group:
        key += "_"
    return key


def _write_list(group: Any, key: str, values: list[Any]) -> None:
    """Write a list of equal things as they are, another one as JSON text."""
    import h5py  # noqa: PLC0415 - an extra

    if not values:
        group.attrs[f"_list_empty_{key}"] = NONE
        return
    if all(type(one) in (int, float) for one in values) and all(
        isinstance(_plain(one), int | float) for one in values
    ):
        array = np.array(values)
        group.create_dataset(f"_list_{key}", data=array, chunks=array.shape)
        return
    text = [text_of(one if isinstance(one, str) else json.dumps(one)) for one in values]
    group.create_dataset(
        f"_list_{key}", data=text, dtype=h5py.string_dtype(), chunks=(len(text),)
    )
