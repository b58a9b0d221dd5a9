"""The key folder: whose keys an engine knows, and what each may do.

::

    keys/                  0700
        engine.key_secret  0600, the engine's own pair
        NAME.key           0600, a program's public key and its roles
        NAME.key_secret    0600, for the program: carry it there, then delete it here

Anything that is open to others, or another user's, is refused as a whole: whoever can
write here can let himself in. The folder is looked at again while the engine runs, so
that a key that is put in or taken out counts within a second.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from scopeside.errors import ConfigError
from scopeside.security.keys import (
    KeyPair,
    checked_key,
    checked_name,
    read_closed,
    read_secret,
    write_new,
    write_pair,
    write_secret,
)

Role = Literal["ingest", "observe", "configure", "propose", "arm", "unblank", "hold"]
ROLES: tuple[str, ...] = get_args(Role)
ENGINE = "engine"
MOST_KEYS = 1000
LOOK_S = 1.0
_ROLES = re.compile(r'^\s*roles\s*=\s*"([^"\n]*)"\s*$', re.MULTILINE)
_KEY = re.compile(r'^\s*public-key\s*=\s*"([^"\n]*)"\s*$', re.MULTILINE)


class Program(NamedTuple):
    """Whose a key is and what it may do."""

    name: str
    key: str
    roles: frozenset[str]


def make(folder: Path) -> KeyPair:
    """Make the key folder, closed to others, with the engine's own pair, if need be.

    Raises
    ------
    ConfigError
        If there is one that is open to others, or none can be made.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass  # looked at below
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}") from error
    check_closed(folder)
    own = folder / f"{ENGINE}.key_secret"
    return read_secret(own) if own.exists() else write_pair(ENGINE, folder)[0]


def check_closed(folder: Path) -> None:
    """Refuse a key folder that others can look into or that is not this user's.

    Raises
    ------
    ConfigError
        Saying what it is and what it must be.
    """
    try:
        status = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"cannot read the key folder {folder}: {error.strerror}; scopeside keys "
            "new NAME --role ROLE makes it"
        ) from error
    closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    if not closed or status.st_uid != os.getuid():
        raise ConfigError(
            f"the key folder {folder} has mode {status.st_mode & 0o777:04o}, owner "
            f"{status.st_uid}; it must be a folder of yours and 0700: others could let "
            f"themselves in. chmod 700 {folder}"
        )


def own_pair(folder: Path) -> KeyPair:
    """Return the engine's own keys.

    Raises
    ------
    ConfigError
        If the folder or the file is not closed to others, or is not there.
    """
    check_closed(folder)
    return read_secret(folder / f"{ENGINE}.key_secret")


def admit(folder: Path, name: str, roles: Iterable[str]) -> tuple[KeyPair, Path]:
    """Make a program's keys, and write down what it may do.

    Returns
    -------
    The engine's own pair, and the file for the program.

    Raises
    ------
    ConfigError
        If a role is unknown, or a program of that name is there already.
    """
    asked = sorted(set(roles))
    if unknown := sorted(set(asked) - set(ROLES)):
        raise ConfigError(f"a role is one of {', '.join(ROLES)}, not {unknown[0]!r}")
    if name == ENGINE:
        raise ConfigError(f"{ENGINE!r} is the engine itself; take another name")
    own = make(folder)
    path = folder / f"{name}.key"
    if path.exists():
        raise ConfigError(f"{path} is there already; it is not overwritten")
    pair, secret = write_secret(name, folder, own.public)
    lines = [
        f"# Public key of {name} for scopeside, and what it may do.",
        "metadata",
        f'    roles = "{" ".join(asked)}"',
        "curve",
        f'    public-key = "{pair.public}"',
    ]
    write_new(path, "\n".join(lines) + "\n", 0o600)
    return own, secret


def remove(folder: Path, name: str) -> list[Path]:
    """Take a program out, and return the files that are gone.

    Raises
    ------
    ConfigError
        If there is none of that name, or it is the engine itself.
    """
    check_closed(folder)
    names = (f"{name}.key", f"{name}.key_secret")
    there = [folder / one for one in names if (folder / one).is_file()]
    if name == ENGINE or not there or Path(name).name != name:
        known = ", ".join(program.name for program in read(folder)) or "nobody"
        raise ConfigError(f"no program {name!r:.60} in {folder} (there: {known})")
    for path in there:
        path.unlink()
    return there


def read(folder: Path) -> list[Program]:
    """Return all programs of a key folder by name.

    Raises
    ------
    ConfigError
        If anything in it is open to others, is no key, or is there twice.
    """
    check_closed(folder)
    paths = sorted(folder.glob("*.key"))
    if len(paths) > MOST_KEYS:
        raise ConfigError(f"{folder} holds more than {MOST_KEYS} keys")
    found = [_program(path) for path in paths if path.stem != ENGINE]
    keys = [program.key for program in found]
    for program in found:
        if keys.count(program.key) > 1:
            raise ConfigError(f"{folder}: two programs have the key of {program.name}")
    return found


def _program(path: Path) -> Program:
    text = read_closed(path)
    roles, keys = _ROLES.findall(text), _KEY.findall(text)
    try:
        if len(roles) != 1 or len(keys) != 1:
            raise ValueError("it has one line roles and one line public-key")
        asked = frozenset(roles[0].split())
        if not asked or asked - set(ROLES):
            raise ValueError(f"roles are of {', '.join(ROLES)}, not {roles[0]!r:.60}")
        return Program(checked_name(path.stem), checked_key(keys[0]), asked)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error


class Ring:
    """The programs of a key folder that have a role, as they are now.

    Where the folder cannot be read any more nobody is known: `problem` says why.
    Used by several threads: what is asked for is replaced, never changed.
    """

    def __init__(
        self,
        folder: Path,
        roles: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the folder.

        Raises
        ------
        ConfigError
            As `read`.
        """
        self._folder = folder
        self._roles = frozenset(roles)
        self._clock = clock
        self.problem = ""
        self._doubted = False
        self._seen = _signature(folder)
        self._programs = self._read()
        self._looked = clock()

    @property
    def programs(self) -> Mapping[str, Program]:
        """By public key."""
        if self._clock() - self._looked >= LOOK_S:
            self._look()
        return self._programs

    def name_of(self, key: str) -> str | None:
        """Return whose key it is, None if nobody with one of the roles has it."""
        program = self.programs.get(key)
        return None if program is None else program.name

    def knows(self, name: str) -> bool:
        """Whether a program of that name still has one of the roles."""
        return any(one.name == name for one in self.programs.values())

    def why_nobody(self) -> str:
        """Return why nobody is known now; empty if that is not so."""
        if self._clock() - self._looked >= LOOK_S:
            self._look()
        return self.problem

    def _look(self) -> None:
        self._looked = self._clock()
        seen = _signature(self._folder)
        if seen == self._seen:
            return
        try:
            self._programs, self.problem = self._read(), ""
        except ConfigError as error:
            if not self._doubted:
                self._doubted = True  # it may be in the midst of being written
                return
            self._programs, self.problem = {}, f"nobody is let in: {error}"
        self._doubted = False
        self._seen = seen

    def _read(self) -> Mapping[str, Program]:
        return {
            program.key: program
            for program in read(self._folder)
            if program.roles & self._roles
        }


def _signature(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return what changes when anything in the folder does; empty if unreadable."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in entries)
        statuses = [(name, (folder / name).lstat()) for name in (".", *names)]
    except OSError:
        return ()
    return tuple((n, s.st_mtime_ns, s.st_size, s.st_mode) for n, s in statuses)
