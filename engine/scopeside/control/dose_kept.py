"""The dose account as plain values, so that it outlives the guard."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scopeside.control.dose_beam import Box, Rate
from scopeside.control.dose_ledger import Ledger
from scopeside.control.dose_map import DoseMap
from scopeside.control.dose_settings import DoseSettings
from scopeside.control.instrument import Value
from scopeside.errors import ConfigError

VERSION = 1
_AWAY = "put the file away to begin at nothing (a new specimen), or set it right"


@dataclass(frozen=True, slots=True)
class Restored:
    """What the account goes on from; `held` begins with the last read-back."""

    held: tuple[tuple[int, Mapping[str, Value]], ...]
    enforced: bool
    blank_s: float


def kept_values(settings: DoseSettings, ledger: Ledger) -> dict[str, Any]:
    """Return what is to be kept of the doses."""
    return {
        "version": VERSION,
        "moves": _moves(settings),
        "run": list(ledger.run),
        "highest": list(ledger.highest),
        "uncalibrated_s": ledger.uncalibrated_s,
        "open": ledger.waiting(),
        "map": ledger.map.to_dict(),
    }


def restored(
    settings: DoseSettings, ledger: Ledger, kept: Mapping[str, Any]
) -> Restored:
    """Put into `ledger` what was kept, and return the rest.

    Raises
    ------
    ConfigError
        If it is not what was written, or was written with other settings.
    """
    try:
        return _restored(settings, ledger, kept)
    except (ValueError, TypeError, KeyError, zlib.error, OverflowError) as error:
        raise ConfigError(
            f"control.dose: the account that was kept cannot be read "
            f"({type(error).__name__}: {error!s:.120}); {_AWAY}"
        ) from error


def _restored(
    settings: DoseSettings, ledger: Ledger, kept: Mapping[str, Any]
) -> Restored:
    if kept["version"] != VERSION:
        raise ValueError(f"version {kept['version']!s:.20}, not {VERSION}")
    found = DoseMap.from_dict(kept["map"])
    if found.cell_m != settings.cell_m or kept["moves"] != _moves(settings):
        raise ConfigError(
            f"control.dose: the account that was kept has cell_m = {found.cell_m:g} "
            f"and moves = {kept['moves']}; the settings have others, and it cannot be "
            f"converted; {_AWAY}"
        )
    ledger.map = found
    ledger.run = _rate(kept["run"])
    ledger.highest = _rate(kept["highest"])
    ledger.uncalibrated_s = _amount(kept["uncalibrated_s"])
    ledger.count_waiting(
        [
            (_amount(s), None if b is None else [_box(one) for one in b])
            for s, b in kept["open"]
        ]
    )
    held = []
    if kept["t_ns"] is not None:
        held = [
            (int(t), dict(v))
            for t, v in [[kept["t_ns"], kept["values"]], *kept["sent"]]
        ]
    if type(kept["enforced"]) is not bool:
        raise ValueError("enforced is true or false")
    return Restored(tuple(held), kept["enforced"], _amount(kept["blank_s"]))


def _moves(settings: DoseSettings) -> dict[str, Any]:
    """Return `moves` as it comes back from a file."""
    return {
        name: [list(row) for row in one] if isinstance(one, tuple) else one
        for name, one in settings.moves.items()
    }


def _rate(values: Any) -> Rate:
    nominal, upper = values
    return Rate(_amount(nominal), _amount(upper))


def _box(values: Any) -> Box:
    found = Box(*(float(one) for one in values))
    if not all(math.isfinite(one) for one in found):
        raise ValueError("a place is not finite")
    return found


def _amount(value: Any) -> float:
    found = float(value)
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"{found} is no amount")
    return found
