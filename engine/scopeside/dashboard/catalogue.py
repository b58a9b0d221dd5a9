"""Which results there are: what a tab can choose from."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from scopeside.dashboard.page import Page
from scopeside.dashboard.shelf import Shown

EVERY_S = 0.1
"""Where hundreds of results are new at once they are told together."""

Seen = tuple[Any, ...]


class Catalogue:
    """Says under the topic ``catalogue`` what there is, whenever that changes.

    A result that has no value now says so as an event; it stays what it was, and where,
    so that a tab that is opened meanwhile shows its reason in its place.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}
        self._form: dict[str, dict[str, Any]] = {}
        self._told_s = -EVERY_S
        self._timer: threading.Timer | None = None
        page.on_result(self._hear)
        page.on_engine(lambda _engine: self._forget())
        page.on_gone(lambda _key: self._tell())

    def _forget(self) -> None:
        with self._lock:
            self._seen, self._form = {}, {}

    def _hear(self, shown: Shown) -> None:
        result = shown.result
        form = form_of(shown)
        seen = (form["kind"], form["shape"], result.meta.get("acq"), result.valid)
        with self._lock:
            if result.valid:
                self._form[shown.key] = form
            if self._seen.get(shown.key) == seen or self._timer is not None:
                self._seen[shown.key] = seen
                return
            self._seen[shown.key] = seen
            rest_s = self._told_s + EVERY_S - time.monotonic()
            if rest_s > 0:
                self._timer = threading.Timer(rest_s, self._tell)
                self._timer.daemon = True
                self._timer.start()
                return
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            self._timer, self._told_s = None, time.monotonic()
            shown = self._page.shelf.all()
            there = {one.key for one in shown}
            for known in (self._seen, self._form):
                for key in known.keys() - there:
                    del known[key]
            entries = [entry(one, self._form.get(one.key)) for one in shown]
        self._page.tell("catalogue", entries)


def form_of(shown: Shown) -> dict[str, Any]:
    """Return what a result looks like."""
    result = shown.result
    shape = result.data.shape if isinstance(result.data, np.ndarray) else None
    return {
        "kind": result.kind,
        "shape": shape,
        "units": result.units,
        "axes": result.axes,
    }


def entry(shown: Shown, form: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a tab is told of a result.

    Parameters
    ----------
    form
        What it looked like when it had a value last.
    """
    result, meta = shown.result, shown.result.meta
    looks = form_of(shown) if result.valid or form is None else form
    return {
        "key": shown.key,
        "acq": meta.get("acq"),
        "chain": meta.get("chain"),
        "processor": meta.get("processor"),
        "name": result.name,
        "valid": result.valid,
        "reason": result.reason,
        **looks,
    }
