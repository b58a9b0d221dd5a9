"""The programs that the door knows: those of the pipeline file, and of a key folder."""

from __future__ import annotations

from typing import Any, get_args

from scopeside.control.door_client import Known
from scopeside.control.door_settings import DoorClient, DoorSettings, Role
from scopeside.errors import ConfigError
from scopeside.security.ring import Program, Ring

DOOR_ROLES = frozenset(get_args(Role))


class Programs:
    """Whose a key is, and what the door remembers of that program."""

    def __init__(self, settings: DoorSettings) -> None:
        """Read the key folder, if there is one.

        Raises
        ------
        ConfigError
            If it cannot be used, or names a program that the pipeline file names.
        """
        self._per_s = settings.per_s
        self._listed = {client.key: client.name for client in settings.clients}
        self._known = {
            client.name: Known(client, settings.per_s) for client in settings.clients
        }
        self._ring = None if settings.keys is None else Ring(settings.keys, DOOR_ROLES)
        names = set(self._listed.values())
        for program in () if self._ring is None else self._ring.programs.values():
            if program.name in names:
                raise ConfigError(
                    f"control.door: {program.name!r} is among the clients and in the "
                    f"key folder {settings.keys}; it is in one of them"
                )

    def name_of(self, key: str) -> str | None:
        """Return whose key it is; None: it gets no connection."""
        listed = self._listed.get(key)
        if listed is not None or self._ring is None:
            return listed
        name = self._ring.name_of(key)
        return None if name in self._listed.values() else name

    def knows(self, name: str) -> bool:
        """Whether a program of that name still may come in."""
        return self.get(name) is not None

    def why_nobody(self) -> str:
        """Return what is wrong with the key folder now; empty if nothing is."""
        return "" if self._ring is None else self._ring.why_nobody()

    def get(self, name: str) -> Known | None:
        """Return what is remembered of a program; None if it is not one any more."""
        if name in self._listed.values() or self._ring is None:
            return self._known.get(name)
        for program in self._ring.programs.values():
            if program.name == name:
                return self._of_ring(program)
        self._known.pop(name, None)
        return None

    def status(self) -> dict[str, Any]:
        """Return who spoke and what was refused, as plain values."""
        return {
            known.name: {
                "roles": sorted(known.roles),
                "heard": known.heard,
                "refused": dict(known.refused),
            }
            for known in self._known.values()
        }

    def _of_ring(self, program: Program) -> Known:
        roles: Any = program.roles & DOOR_ROLES
        known = self._known.get(program.name)
        if known is None:
            client = DoorClient(name=program.name, key=program.key, roles=roles)
            known = self._known[program.name] = Known(client, self._per_s)
        known.roles = roles  # as they are now
        return known
