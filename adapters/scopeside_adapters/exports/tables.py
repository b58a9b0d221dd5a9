"""Columns as files: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scopeside_adapters.exports.result_tables import Column


def has_parquet() -> bool:
    """Return whether Parquet can be written."""
    return importlib.util.find_spec("pyarrow") is not None


def write_table(path: Path, columns: Sequence[Column], *, parquet: bool) -> list[str]:
    """Write ``PATH.csv`` and, if asked for, ``PATH.parquet``; return their names.

    In CSV a name is followed by its unit in brackets, and a value that is not there is
    empty; in Parquet the unit is metadata of the field, and such a value is null.
    """
    text = path.with_name(f"{path.name}.csv")
    _write_csv(text, columns)
    if not parquet:
        return [text.name]
    _write_parquet(path.with_name(f"{path.name}.parquet"), columns)
    return [text.name, f"{path.name}.parquet"]


def _write_csv(path: Path, columns: Sequence[Column]) -> None:
    heads = [f"{one.name} [{one.unit}]" if one.unit else one.name for one in columns]
    cells = [_cells(one) for one in columns]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(zip(*cells, strict=True))


def _cells(column: Column) -> list[Any]:
    values = column.values
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if column.there is None:
        return plain
    return [v if t else "" for v, t in zip(plain, column.there, strict=True)]


def _write_parquet(path: Path, columns: Sequence[Column]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    arrays, fields, taken = [], [], set[str]()
    for column in columns:
        lacking = None if column.there is None else ~column.there
        array = pa.array(column.values, mask=lacking)
        name = _other_than(taken, column.name)
        unit = {"unit": column.unit} if column.unit else None
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=unit))
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path)


def _other_than(taken: set[str], name: str) -> str:
    """Return `name`, numbered where it is taken, and take it."""
    found, k = name, 2
    while found in taken:
        found, k = f"{name}_{k}", k + 1
    taken.add(found)
    return found
