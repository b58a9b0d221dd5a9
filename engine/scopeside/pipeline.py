"""The pipeline file: read once, checked as a whole, and frozen."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field

from scopeside.channel import ChannelSource
from scopeside.control import setup
from scopeside.detector import Detector
from scopeside.errors import ConfigError
from scopeside.messages import unknown, validate
from scopeside.params import Params
from scopeside.plugins import (
    channel_class,
    detector_class,
    look_in,
    processor_class,
)
from scopeside.processor import Order, Processor
from scopeside.record.settings import EDGE, RecordSettings
from scopeside.settings import (
    AcquisitionSettings,
    ChannelSettings,
    EdgePolicy,
    EngineSettings,
    Name,
    RawChain,
    RawPipeline,
    ResultsSettings,
    ServerSettings,
    SlabSettings,
)

T = TypeVar("T")

CHANNELS = "channels"
"""Results of channels bear this in place of a chain's name."""


class _Head(Params):
    """The keys of a plug-in's table that the engine reads itself."""

    kind: str = Field(min_length=1)
    name: Name | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One processor of a chain, loaded and checked."""

    name: str
    kind: str
    cls: type[Processor]
    params: BaseModel
    values: Mapping[str, Any] = field(default_factory=dict)
    """The parameters as they stand in the file."""
    folder: Path = Path()
    """Relative paths among them are taken from here."""

    def changed(self, values: Mapping[str, Any], *, where: str = "") -> Step:
        """Return it with other parameters.

        Raises
        ------
        ConfigError
            If they cannot be; `where` stands before the keys.
        """
        params = validate(
            self.cls.Params, values, where=where or self.name, folder=self.folder
        )
        return replace(self, params=params, values=values)


@dataclass(frozen=True, slots=True)
class Chain:
    """Processors that see the same frames one after another."""

    name: str
    device: str
    edge: EdgePolicy
    workers: int
    steps: tuple[Step, ...]

    @property
    def ordered(self) -> bool:
        """Whether one of its processors needs the batches in order."""
        return any(step.cls.order is not Order.ANY for step in self.steps)


@dataclass(frozen=True, slots=True)
class Channel:
    """A stream of samples beside the frames, loaded and checked."""

    settings: ChannelSettings
    cls: type[ChannelSource]
    params: BaseModel

    def source(self) -> ChannelSource:
        """Return a new source of it."""
        return self.cls(self.params)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A whole pipeline file, checked; every value can be used as it is."""

    raw: Mapping[str, Any]
    """The tables as they were read; the processes of the engine are given these."""
    folder: Path
    source: str
    detector_kind: str
    detector_cls: type[Detector]
    detector_params: BaseModel
    acquisition: AcquisitionSettings
    chains: tuple[Chain, ...]
    channels: tuple[Channel, ...]
    control: setup.Control | None
    record: RecordSettings | None
    slab: SlabSettings
    engine: EngineSettings
    results: ResultsSettings
    metrics: ServerSettings

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a pipeline file.

        Raises
        ------
        ConfigError
            The message names the file, the key, what was found and what is allowed.
        """
        text = _text_of(path)
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                f"{path}: is not TOML: {error}{_line_of(error, text)}"
            ) from error
        return cls.from_raw(raw, folder=path.resolve().parent, source=str(path))

    @classmethod
    def from_raw(
        cls, raw: Mapping[str, Any], *, folder: Path, source: str = "pipeline"
    ) -> Self:
        """Check tables that are already in memory.

        Raises
        ------
        ConfigError
            As `load` does.
        """
        try:
            checked = validate(RawPipeline, raw, folder=folder)
            look_in(folder)
            kind, values = _head(checked.detector, "detector")[:2]
            detector = _named("detector.kind", detector_class, kind)
            params = validate(detector.Params, values, where="detector", folder=folder)
            chains = tuple(
                _chain(chain, f"chain[{i}]", folder)
                for i, chain in enumerate(checked.chain)
            )
            channels = _channels(checked, folder)
            control = _control(checked.control, chains, folder)
            if control is not None and hasattr(detector, "frames_of"):
                _refuse_to_command(kind, control)
            _check_events(checked.record, chains)
        except ConfigError as error:
            lines = str(error).splitlines()
            raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from (
                error.__cause__ or error
            )
        return cls(
            raw=raw,
            folder=folder,
            source=source,
            detector_kind=kind,
            detector_cls=detector,
            detector_params=params,
            acquisition=checked.acquisition,
            chains=chains,
            channels=channels,
            control=control,
            record=checked.record,
            slab=checked.slab,
            engine=checked.engine,
            results=checked.results,
            metrics=checked.metrics,
        )

    @property
    def records_on_event(self) -> bool:
        """Whether only what surrounds events is recorded."""
        return self.record is not None and self.record.mode == "on_event"

    def chain(self, name: str) -> Chain:
        """Return the chain of that name."""
        return next(chain for chain in self.chains if chain.name == name)


def usual_name(kind: str) -> str:
    """Return what a processor is called whose table gives no name."""
    return kind.rpartition(":")[2].lower()


def _text_of(path: Path) -> str:
    """Return what a file says, without the mark that some editors put first."""
    try:
        data = path.read_bytes()
        if b"\0" in data[:4] or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ConfigError(f"{path}: is UTF-16 text; save it as UTF-8")
        return data.decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}: is not UTF-8 text (line {line} holds the byte "
            f"{error.object[error.start]:#04x}); save it as UTF-8"
        ) from error


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> str:
    """Return the line that an error speaks of, for those who count no lines."""
    found = re.search(r"\(at line (\d+), column", str(error))
    if found is None:
        return ""
    line = text.splitlines()[int(found[1]) - 1 :][:1]
    return f": {line[0].strip():.80}" if line else ""


def _chain(raw: RawChain, where: str, folder: Path) -> Chain:
    steps: list[Step] = []
    for i, table in enumerate(raw.processor):
        key = f"{where}.processor[{i}]"
        kind, values, name = _head(table, key)
        cls = _named(f"{key}.kind", processor_class, kind)
        name = name or usual_name(kind)
        if name in {step.name for step in steps}:
            raise ConfigError(
                f"{key}.name: two processors of chain {raw.name!r} are called "
                f"{name!r}; give one a 'name'"
            )
        params = validate(cls.Params, values, where=key, folder=folder)
        steps.append(Step(name, kind, cls, params, values, folder))
    chain = Chain(raw.name, raw.device, raw.edge, raw.workers, tuple(steps))
    if chain.ordered and chain.workers > 1:
        needs = [s.name for s in steps if s.cls.order is not Order.ANY]
        raise ConfigError(
            f"{where}.workers: found {raw.workers}; {needs[0]!r} needs its frames in "
            "order, so the chain can have one worker only"
        )
    return chain


def _control(
    table: dict[str, Any] | None, chains: tuple[Chain, ...], folder: Path
) -> setup.Control | None:
    if table is None:
        return None
    control = setup.load(table, folder)
    steps = {step.name for chain in chains for step in chain.steps}
    for decider in control.deciders:
        for want in decider.wants:
            processor = want.partition(".")[0]
            if processor not in steps:
                raise ConfigError(
                    f"control: {decider.name} hears {want!r}: "
                    f"{unknown('processor', processor, steps)}"
                )
    return control


def _refuse_to_command(kind: str, control: setup.Control) -> None:
    """Refuse what could reach a microscope: frames of yesterday say nothing of it."""
    settings = control.settings
    if settings.mode != "observe":
        raise ConfigError(
            f"control.mode: found {settings.mode!r}; a detector of kind {kind!r} shows "
            "what was, and no microscope is commanded by it: 'observe'"
        )
    if settings.door is not None:
        raise ConfigError("control.door: leave it out; a replay commands nothing")
    if not getattr(
        control.instrument_cls, "moves_nothing", control.instrument_cls is None
    ):
        found = (settings.adapter or {}).get("kind")
        raise ConfigError(
            f"control.adapter.kind: found {found!r}; a replay has no microscope: "
            "'paper', or no adapter"
        )


def _check_events(record: RecordSettings | None, chains: tuple[Chain, ...]) -> None:
    """Refuse to wait for events that nobody can tell of."""
    if record is None:
        return
    steps = {step.name: step for chain in chains for step in chain.steps}
    for i, want in enumerate(record.on):
        processor, dot, what = want.partition(".")
        if not (processor and dot and what):
            raise ConfigError(
                f"record.on[{i}]: found {want!r}; expected processor.result, as "
                "'nucleation.event'"
            )
        if processor not in steps:
            raise ConfigError(
                f"record.on[{i}]: {want!r}: {unknown('processor', processor, steps)}"
            )
        if steps[processor].cls.order is not Order.ORDERED:
            raise ConfigError(
                f"record.on[{i}]: {want!r}: {processor!r} tells of nothing while "
                "frames come: its results are merged; processors that work in order do"
            )


def _channels(raw: RawPipeline, folder: Path) -> tuple[Channel, ...]:
    found: dict[str, Channel] = {}
    for i, table in enumerate(raw.channel):
        channel = _channel(table, f"channel[{i}]", folder)
        name = channel.settings.name
        if name in found:
            raise ConfigError(
                f"channel[{i}].name: two channels are called {name!r}; names must "
                "differ"
            )
        found[name] = channel
    for i, chain in enumerate(raw.chain):
        if chain.name == EDGE:
            raise ConfigError(
                f"chain[{i}].name: {EDGE!r} is the recorder's place in the ledger; "
                "choose another name"
            )
        if found and chain.name == CHANNELS:
            raise ConfigError(
                f"chain[{i}].name: {CHANNELS!r} is where the results of channels are "
                "found; choose another name"
            )
    return tuple(found.values())


def _channel(table: Mapping[str, Any], where: str, folder: Path) -> Channel:
    common = ChannelSettings.model_fields
    settings = validate(
        ChannelSettings, {k: v for k, v in table.items() if k in common}, where=where
    )
    cls = _named(f"{where}.kind", channel_class, settings.kind)
    own = {k: v for k, v in table.items() if k not in common}
    strange = [k for k in own if k not in cls.Params.model_fields]
    if strange and cls.Params.model_config.get("extra") == "forbid":
        # Here, so that a mistyped key is compared with the common ones as well.
        known = [*common, *cls.Params.model_fields]
        raise ConfigError(
            "\n".join(f"{where}.{key}: {unknown('key', key, known)}" for key in strange)
        )
    params = validate(cls.Params, own, where=where, folder=folder)
    return Channel(settings, cls, params)


def _named(key: str, find: Callable[[str], T], kind: str) -> T:
    """Return what `find` finds, or name the `key` that asks for it."""
    try:
        return find(kind)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def _head(
    table: Mapping[str, Any], where: str
) -> tuple[str, dict[str, Any], str | None]:
    """Split a plug-in's table into kind, its own values, and the name."""
    values = dict(table)
    named = where != "detector"
    head = validate(
        _Head,
        {
            k: values.pop(k)
            for k in ("kind", "name")
            if k in values and (named or k == "kind")
        },
        where=where,
    )
    return head.kind, values, head.name
