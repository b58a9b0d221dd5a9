"""Which results there are: what a tab can choose from."""

from __future__ import annotations

from typing import Any

import numpy as np

from scopeside.dashboard.page import Page
from scopeside.dashboard.shelf import Shown


class Catalogue:
    """Says under the topic ``catalogue`` what there is, whenever that changes."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen: dict[str, tuple[Any, ...]] = {}
        page.on_result(self._hear)
        page.on_engine(lambda _engine: self._forget())

    def _forget(self) -> None:
        self._seen = {}

    def _hear(self, shown: Shown) -> None:
        result = shown.result
        shape = result.data.shape if isinstance(result.data, np.ndarray) else None
        seen = (result.kind, shape, result.meta.get("acq"))
        if self._seen.get(shown.key) != seen:
            self._seen[shown.key] = seen
            self._page.tell("catalogue", [entry(one) for one in self._page.shelf.all()])


def entry(shown: Shown) -> dict[str, Any]:
    """Return what a tab is told of a result."""
    result, meta = shown.result, shown.result.meta
    is_array = isinstance(result.data, np.ndarray)
    return {
        "key": shown.key,
        "kind": result.kind,
        "acq": meta.get("acq"),
        "chain": meta.get("chain"),
        "processor": meta.get("processor"),
        "name": result.name,
        "shape": result.data.shape if is_array else None,
        "units": result.units,
        "axes": result.axes,
        "valid": result.valid,
        "reason": result.reason,
    }
