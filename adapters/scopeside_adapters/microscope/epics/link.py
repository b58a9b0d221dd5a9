"""How PVs are read and written, whatever the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

PvValue = float | str


class PvLink(Protocol):
    """A connection to an IOC; everything may raise `InstrumentError`."""

    def open(self, names: Sequence[str]) -> None:
        """Connect to these PVs."""

    def close(self) -> None:
        """Disconnect; may be called twice."""

    def read(self, names: Sequence[str]) -> dict[str, PvValue]:
        """Return the values; those in INVALID alarm are left out."""

    def put(self, values: Mapping[str, float]) -> None:
        """Write all of them, and wait until the IOC says that it has done so."""
