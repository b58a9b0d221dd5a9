"""Values with units, as files give them, in SI; None where they mean nothing."""

from __future__ import annotations

_METRES = {
    "m": 1.0,
    "mm": 1e-3,
    "µm": 1e-6,
    "μm": 1e-6,
    "um": 1e-6,
    "nm": 1e-9,
    "Å": 1e-10,
    "å": 1e-10,
    "A": 1e-10,
    "angstrom": 1e-10,
    "pm": 1e-12,
}
_RADIANS = {"rad": 1.0, "mrad": 1e-3, "µrad": 1e-6, "μrad": 1e-6}
_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_PLAUSIBLE_M = (1e-13, 1e-3)  # no microscope steps or resolves outside of this


def length(value: float, unit: str | None) -> float | None:
    """Return a pixel or a step in metres."""
    found = _scaled(value, unit, _METRES)
    # TIA and others write 1/m and call it nm: what is absurd is not understood.
    if found is None or not _PLAUSIBLE_M[0] <= found <= _PLAUSIBLE_M[1]:
        return None
    return found


def angle(value: float, unit: str | None) -> float | None:
    """Return an angle in radians."""
    return _scaled(value, unit, _RADIANS)


def duration(value: float, unit: str | None) -> float | None:
    """Return a time in seconds."""
    return _scaled(value, unit, _SECONDS)


def _scaled(value: float, unit: str | None, units: dict[str, float]) -> float | None:
    factor = units.get(str(unit).strip())
    return None if factor is None or not value > 0 else float(value) * factor
