"""The pipeline of a replay: that of the recording, or another one, made harmless.

Pure: tables in, tables out. Nothing here can reach a microscope: feedback observes,
and its instrument is on paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scopeside.errors import ConfigError, RunError
from scopeside.settings import ChannelSettings

DETECTOR = "replay"
"""Kind of the detector, and of the channels, of a replay."""
PAPER = "paper"
_OF_THE_PLACE = ("record", "results", "metrics")
"""Tables that say where a live engine writes and listens."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wants to be replayed, and how."""

    run: Path
    pace: str = "max"
    since: float | str | None = None
    until: float | str | None = None
    script: str = "changes"
    """none, changes or all: what else is as recorded (see the detector ``replay``)."""


@dataclass(slots=True)
class Tables:
    """The tables of a pipeline, and what was left out of them, in words."""

    raw: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def recorded_tables(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pipeline that was recorded.

    Raises
    ------
    RunError
        If the manifest does not hold it.
    """
    raw = manifest.get("pipeline")
    if not isinstance(raw, Mapping) or "chain" not in raw:
        raise RunError(
            "its manifest does not hold the pipeline that was recorded: name one with "
            "--pipeline"
        )
    return deepcopy(dict(raw))


def replay_tables(
    raw: Mapping[str, Any],
    asked: Asked,
    *,
    audit: Path,
    state: Mapping[str, Any] | None = None,
) -> Tables:
    """Return the tables of a pipeline as a replay has them.

    Parameters
    ----------
    raw
        Those of the recording, or of another pipeline.
    audit
        Where the decisions of the replay are written: never into the recorded log.
    state
        What the microscope said it was set to; an instrument on paper says the same.

    Raises
    ------
    ConfigError
        If feedback could be armed.
    """
    made = Tables(deepcopy(dict(raw)))
    for name in _OF_THE_PLACE:
        made.raw.pop(name, None)
    made.raw["detector"] = _detector(asked)
    _acquisition(made)
    _channels(made, asked.run)
    _control(made, audit, state)
    if asked.script == "all":
        for chain in made.raw["chain"]:
            chain["edge"] = "lossless"
    return made


def refuse_to_command(raw: Mapping[str, Any], source: str) -> None:
    """Refuse a pipeline whose feedback is meant to do something.

    Raises
    ------
    ConfigError
        If it is anything but ``observe``.
    """
    mode = (raw.get("control") or {}).get("mode", "observe")
    if mode != "observe":
        raise ConfigError(
            f"{source}: control.mode: found {mode!r}; a replay shows what was, and "
            "commands no microscope: 'observe'"
        )


def _detector(asked: Asked) -> dict[str, Any]:
    table: dict[str, Any] = {"kind": DETECTOR, "path": str(asked.run.resolve())}
    table |= {"pace": asked.pace, "script": asked.script}
    places = {"since": asked.since, "until": asked.until}
    return table | {key: value for key, value in places.items() if value is not None}


def _acquisition(made: Tables) -> None:
    """Leave out what has been done to the recorded acquisition already."""
    table = made.raw.pop("acquisition", None) or {}
    if table.get("calibration"):
        made.raw["acquisition"] = {"calibration": table["calibration"]}


def _channels(made: Tables, run: Path) -> None:
    """Have each channel play its recorded samples."""
    common = ChannelSettings.model_fields
    kept = []
    for table in made.raw.pop("channel", ()):
        name = str(table.get("name"))
        path = run.resolve() / "channels" / f"{name}.npz"
        if not path.is_file():
            made.notes.append(f"channel {name!r} is left out: there is no {path}")
            continue
        own = {key: value for key, value in table.items() if key in common}
        own |= {"kind": DETECTOR, "path": str(path)}
        # The recorded times are those of the frames' clock already.
        own.pop("offset_s", None)
        kept.append(own)
    if kept:
        made.raw["channel"] = kept


def _control(made: Tables, audit: Path, state: Mapping[str, Any] | None) -> None:
    """Let feedback observe: no microscope, no other programs, a log of its own."""
    table = made.raw.get("control")
    if table is None:
        return
    table["audit"] = str(audit)
    if table.pop("door", None) is not None:
        made.notes.append("control.door is left out: nobody proposes to a replay")
    if table.get("mode", "observe") != "observe":
        made.notes.append(f"control.mode is 'observe' here; it was {table['mode']!r}")
        table["mode"] = "observe"
    adapter = table.get("adapter")
    if adapter is None or adapter.get("kind") == PAPER:
        return
    table["adapter"] = {"kind": PAPER, "state": dict(state or {})}
    made.notes.append(
        f"control.adapter is an instrument on paper here; it was "
        f"{adapter.get('kind')!r}"
    )
    if table.pop("view", None) is not None:
        made.notes.append("control.view is left out: it belongs to the instrument")
