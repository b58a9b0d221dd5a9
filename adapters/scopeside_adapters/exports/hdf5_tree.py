"""Nested plain values as HDF5 groups and attributes, as HyperSpy writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from scopeside_adapters.exports.hyperspy_form import NONE

_LONGEST = 16_000
"""Characters of an attribute: a group has 64 KiB for each of them."""


def write_tree(group: Any, tree: Mapping[str, Any]) -> None:
    """Write mappings as groups, arrays as data sets, the rest as attributes."""
    for name, value in tree.items():
        key = str(name).replace("/", "-") or "-"
        if isinstance(value, Mapping):
            write_tree(group.require_group(key), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(key, data=value, chunks=value.shape or None)
        elif isinstance(value, list | tuple):
            _write_list(group, key, list(value))
        elif isinstance(value, str) and len(value) > _LONGEST:
            _write_list(group, key, value.splitlines())
        else:
            group.attrs[key] = NONE if value is None else value


def _write_list(group: Any, key: str, values: list[Any]) -> None:
    """Write a list of equal things as they are, another one as JSON text."""
    import h5py  # noqa: PLC0415 - an extra

    if not values:
        group.attrs[f"_list_empty_{key}"] = NONE
        return
    numbers = all(type(one) in (int, float) for one in values)
    if numbers and all(abs(one) < 2**63 for one in values):
        array = np.array(values)
        group.create_dataset(f"_list_{key}", data=array, chunks=array.shape)
        return
    text = [one if isinstance(one, str) else json.dumps(one) for one in values]
    group.create_dataset(
        f"_list_{key}", data=text, dtype=h5py.string_dtype(), chunks=(len(text),)
    )
