"""Changes that an acquisition does not take: they wait here for its end.

They are asked for as soon as a result stands on all frames, or the engine says that no
acquisition runs, and again and again for a second: the next one may begin at once. A
refusal while one runs is no word on the change itself.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scopeside.dashboard.page import Page
from scopeside.dashboard.shelf import Shown
from scopeside.errors import ConfigError, EngineNotFoundError, ScopesideError
from scopeside.inquiry import ask

log = logging.getLogger(__name__)

EVERY_S = 0.025
TRIES_S = 1.0
LOOK_S = 0.5
"""While something waits it is looked so often whether nothing runs."""
Tables = Mapping[str, Any]


@dataclass(slots=True)
class Waiting:
    """A change that waits, or what has become of it.

    Attributes
    ----------
    values, drop, move
        Keys with new values; keys of tables that go; keys that get another name.
    what
        In words.
    place
        Where on the page it was asked for.
    state
        ``waiting``, ``done``, ``refused`` or ``cancelled``.
    missed
        Ends of acquisitions at which the next one was quicker.
    """

    id: str
    processor: str
    values: Tables
    drop: list[str]
    move: Mapping[str, str]
    what: str
    place: str
    state: str = "waiting"
    reason: str = ""
    version: int | None = None
    missed: int = 0


class Next:
    """The commands ``set_next`` and ``cancel_next``, and the topic ``steering_next``.

    Parameters
    ----------
    check
        Called with a processor and all its parameters; raises a `ConfigError` if they
        can never be.
    """

    def __init__(self, page: Page, check: Callable[[str, Tables], None]) -> None:
        self._page, self._check = page, check
        self._lock = threading.Lock()
        self._all: dict[str, Waiting] = {}
        self._go = threading.Event()
        page.commands["set_next"] = self._ask
        page.commands["cancel_next"] = self._cancel
        page.on_result(self._hear)
        page.on_status(lambda _status: self._hear_status())
        page.on_engine(lambda _engine: self._give_up())
        threading.Thread(target=self._run, name="next", daemon=True).start()

    # -- what is asked for --------------------------------------------------------

    def _ask(self, body: Tables) -> dict[str, Any]:
        """Have a change wait; the one that waits for the same processor is in its way.

        Raises
        ------
        ConfigError
            If the values can never be, or one waits already.
        EngineNotFoundError
            If it is another engine than the one that the person has seen.
        """
        name, engine = str(body["processor"]), self._page.engine
        if (
            engine is None
            or Path(str(body.get("engine") or engine)).name != engine.name
        ):
            raise EngineNotFoundError("that engine runs no more: nothing was changed")
        change = Waiting(
            uuid.uuid4().hex,
            name,
            dict(body.get("values", {})),
            [str(key) for key in body.get("drop", [])],
            {str(old): str(new) for old, new in dict(body.get("move", {})).items()},
            str(body.get("what", ""))[:200],
            str(body.get("place", ""))[:40],
        )
        self._check(name, self._values_of(change))
        with self._lock:
            before = self._all.get(name)
            if before is not None and before.state == "waiting":
                raise ConfigError(f"{before.what} waits already: cancel it first")
            self._all[name] = change
        self._tell()
        self._hear_status()
        return {"id": change.id}

    def _cancel(self, body: Tables) -> dict[str, Any]:
        for one in self._waiting():
            if one.id == body["id"]:
                self._end(one, "cancelled")
        return {}

    def _values_of(self, change: Waiting) -> dict[str, Any]:
        """Return all parameters as they are now, with the change."""
        said = self._page.status.get("params", {}).get(change.processor)
        if said is None:
            raise ConfigError(f"there is no processor {change.processor!r:.80}")
        values: dict[str, Any] = said["params"]
        for old, new in change.move.items():
            values = _renamed(values, old, new)
        for key in change.drop:
            values = _put(values, key.split("."), _GONE)
        for key, value in change.values.items():
            values = _put(values, key.split("."), value)
        return values

    # -- when it can be -----------------------------------------------------------

    def _hear(self, shown: Shown) -> None:
        result = shown.result
        if result.expected and result.used >= result.expected and self._waiting():
            self._go.set()

    def _hear_status(self) -> None:
        if self._waiting() and not runs(self._page.status):
            self._go.set()

    def _run(self) -> None:
        while not self._page.over.is_set():
            if not self._go.wait(LOOK_S):
                continue
            self._go.clear()
            try:
                self._try_for_a_while()
            except Exception:
                log.exception("a change that waits could not be asked for")

    def _try_for_a_while(self) -> None:
        ends = time.monotonic() + TRIES_S
        waiting = self._waiting()
        while waiting and time.monotonic() < ends and not self._page.over.is_set():
            for one in waiting:
                self._try(one)
            waiting = [one for one in waiting if one.state == "waiting"]
            if waiting:
                self._page.over.wait(EVERY_S)
        for one in waiting:
            one.missed += 1
        self._go.clear()
        self._tell()

    def _try(self, one: Waiting) -> None:
        """Ask for it once; a refusal counts if it comes twice and nothing runs."""
        if one.state != "waiting":
            return  # cancelled meanwhile
        try:
            try:
                self._set(one)
            except ConfigError:
                if self._is_idle():
                    self._set(one)
        except ScopesideError as error:
            if not isinstance(error, ConfigError) or self._is_idle():
                self._end(one, "refused", str(error))

    def _set(self, one: Waiting) -> None:
        values = dict(one.values)
        if one.drop or one.move:  # a table without one of its keys is given whole
            wanted = self._values_of(one)
            heads = {key.partition(".")[0] for key in (*one.drop, *one.move, *values)}
            values = {head: wanted[head] for head in heads}
        body = {"processor": one.processor, "values": values}
        one.version = self._page.commands["set_params"](body)["version"]
        self._end(one, "done")

    def _is_idle(self) -> bool:
        engine = self._page.engine
        try:
            return engine is not None and not runs(ask(engine, 1))
        except ScopesideError:
            return False

    # -- telling ------------------------------------------------------------------

    def _waiting(self) -> list[Waiting]:
        with self._lock:
            return [one for one in self._all.values() if one.state == "waiting"]

    def _give_up(self) -> None:
        for one in self._waiting():
            self._end(one, "refused", "the engine has ended: nothing was changed")

    def _end(self, one: Waiting, state: str, reason: str = "") -> None:
        one.state, one.reason = state, reason
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            self._page.tell("steering_next", [_told(one) for one in self._all.values()])


def runs(status: Tables) -> bool:
    """Whether an acquisition runs, by what an engine says."""
    return any(one.get("state") == "running" for one in status.get("open", {}).values())


def _told(one: Waiting) -> dict[str, Any]:
    told = asdict(one)
    for key in ("values", "drop", "move"):
        del told[key]
    return told


_GONE: Any = object()


def _put(table: Tables, keys: list[str], value: Any) -> dict[str, Any]:
    """Return a table with a value in its place, or without it."""
    head, *rest = keys
    if rest:
        inner = table.get(head)
        value = _put(inner if isinstance(inner, Mapping) else {}, rest, value)
    left = {key: one for key, one in table.items() if key != head or value is not _GONE}
    return left if value is _GONE else {**left, head: value}


def _renamed(table: Tables, old: str, new: str) -> dict[str, Any]:
    """Return a table with another name for one of its keys, which keeps its place."""
    head, _, rest = old.partition(".")
    if rest:
        inner = table.get(head)
        return {
            **table,
            head: _renamed(inner if isinstance(inner, Mapping) else {}, rest, new),
        }
    return {(new if key == head else key): one for key, one in table.items()}
