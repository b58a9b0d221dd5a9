"""``[control]`` of a pipeline file, loaded and checked: instrument, policies, rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scopeside.control.instrument import Instrument
from scopeside.control.policy import Policy
from scopeside.control.rule import Rule
from scopeside.control.settings import ControlSettings
from scopeside.control.with_view import WithView
from scopeside.errors import ConfigError
from scopeside.messages import validate
from scopeside.plugins import instrument_class, policy_class


@dataclass(frozen=True, slots=True)
class Decider:
    """A policy or rule by the name that its proposals bear."""

    name: str
    cls: type[Policy]
    params: BaseModel
    wants: tuple[str, ...]
    """Results that it hears, as ``processor.result``."""

    def policy(self) -> Policy:
        """Return a new one."""
        return self.cls(self.params)


@dataclass(frozen=True, slots=True)
class Control:
    """Everything of ``[control]``; `instrument_cls` is None where there is none."""

    settings: ControlSettings
    instrument_cls: type[Instrument] | None
    instrument_params: BaseModel | None
    deciders: tuple[Decider, ...]

    def instrument(self) -> Instrument | None:
        """Return a new connection to the instrument, not opened.

        With ``[control.view]`` it makes view offsets out of what the adapter can do.
        """
        if self.instrument_cls is None:
            return None
        instrument = self.instrument_cls(self.instrument_params)
        settings = self.settings
        if settings.view is None:
            return instrument
        kind = str((settings.adapter or {}).get("kind", ""))
        return WithView(instrument, settings.view, kind, settings.limits)


def load(table: Any, folder: Path) -> Control:
    """Return what ``[control]`` says.

    Raises
    ------
    ConfigError
        The message names the key, what was found and what is allowed.
    """
    settings = validate(ControlSettings, table, where="control", folder=folder)
    cls: type[Instrument] | None = None
    params: BaseModel | None = None
    if settings.adapter is not None:
        kind, values = _kind(settings.adapter, "control.adapter")
        cls = _named("control.adapter.kind", instrument_class, kind)
        params = validate(cls.Params, values, where="control.adapter", folder=folder)
    deciders: dict[str, Decider] = {}
    for where, decider in [*_rules(settings, folder), *_policies(settings, folder)]:
        if decider.name in deciders:
            raise ConfigError(
                f"{where}.name: two rules or policies are called {decider.name!r}; "
                "give one a 'name'"
            )
        deciders[decider.name] = decider
    return Control(settings, cls, params, tuple(deciders.values()))


def _rules(settings: ControlSettings, folder: Path) -> list[tuple[str, Decider]]:
    found = []
    for i, table in enumerate(settings.rule):
        where = f"control.rule[{i}]"
        values = dict(table)
        name = _name(values.pop("name", f"rule{i}"), where)
        params = validate(Rule.Params, values, where=where, folder=folder)
        found.append((where, _decider(where, name, Rule, params)))
    return found


def _policies(settings: ControlSettings, folder: Path) -> list[tuple[str, Decider]]:
    found = []
    for i, table in enumerate(settings.policy):
        where = f"control.policy[{i}]"
        kind, values = _kind(table, where)
        usual = kind.rpartition(":")[2].lower()
        name = _name(values.pop("name", usual), where)
        cls = _named(f"{where}.kind", policy_class, kind)
        params = validate(cls.Params, values, where=where, folder=folder)
        found.append((where, _decider(where, name, cls, params)))
    return found


def _decider(where: str, name: str, cls: type[Policy], params: BaseModel) -> Decider:
    wants = tuple(cls(params).wants)
    for want in wants:
        if not isinstance(want, str) or not all(want.partition(".")):
            raise ConfigError(
                f"{where}: results are named 'processor.result', not {want!r:.60}"
            )
    return Decider(name, cls, params, wants)


def _kind(table: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    values = dict(table)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or not kind:
        raise ConfigError(f"{where}.kind: missing; it is required")
    return kind, values


def _name(name: Any, where: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= 40 or "/" in name:
        raise ConfigError(
            f"{where}.name: found {name!r:.60}; expected 1 to 40 letters without '/'"
        )
    return name


def _named(key: str, find: Any, kind: str) -> Any:
    try:
        return find(kind)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error
