"""CURVE key pairs in files: the public one may be shown, the secret one may not.

The files are those of pyzmq (``zmq.auth.load_certificate`` reads them)::

    curve
        public-key = "40 characters, Z85"
        secret-key = "40 characters, Z85"

One that was made with a role also has the ``server-key`` of the engine that knows it.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import NamedTuple

import zmq
from zmq.utils import z85

from scopeside.errors import ConfigError

_LINE = re.compile(r'^\s*(public|secret)-key\s*=\s*"([^"\n]*)"\s*$', re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_SERVER = re.compile(r'^\s*server-key\s*=\s*"([^"\n]*)"\s*$', re.MULTILINE)
_LARGEST = 4096
_PUBLIC_HEAD = "# Public key of {name} for scopeside; others may see it.\n"
_CLOSED_HEAD = (
    "# SECRET key of {name} for scopeside; whoever reads it can act as {name}.\n"
)


class KeyPair(NamedTuple):
    """Both keys, Z85 (40 characters)."""

    public: str
    secret: str


class Passport(NamedTuple):
    """What a program connects to an engine with: its own pair, and the engine's key."""

    pair: KeyPair
    server: str

    def put_on(self, socket: zmq.Socket[bytes]) -> None:
        """Have a socket use it from its next ``connect`` on."""
        socket.curve_serverkey = self.server.encode()
        socket.curve_publickey = self.pair.public.encode()
        socket.curve_secretkey = self.pair.secret.encode()


def checked_name(name: str) -> str:
    """Return a program's name if it is one.

    Raises
    ------
    ValueError
        If it is not 1 to 40 letters, digits, ``_`` or ``-``.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            "a name has 1 to 40 letters, digits, '_' or '-', and begins with a "
            "letter or digit"
        )
    return name


def checked_key(key: str) -> str:
    """Return a key if it is one.

    Raises
    ------
    ValueError
        If it is not 32 bytes in Z85.
    """
    if len(key) != 40:
        raise ValueError(f"a key has 40 characters (Z85), not {len(key)}")
    try:
        again = z85.encode(z85.decode(key.encode("ascii"))).decode("ascii")
    except (ValueError, KeyError, OverflowError, struct.error) as error:
        raise ValueError("this is no key in Z85") from error
    if again != key:
        raise ValueError("this is no key in Z85")
    return key


def write_secret(name: str, folder: Path, server: str = "") -> tuple[KeyPair, Path]:
    """Make a key pair; return it and the file that holds it (0600).

    Parameters
    ----------
    server
        Public key of the engine that will know it; written down with it.

    Raises
    ------
    ConfigError
        If a file of that name is there already, or the folder cannot be written.
    """
    try:
        checked_name(name)
    except ValueError as error:
        raise ConfigError(f"{name!r:.60}: {error}") from error
    public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
    path = folder / f"{name}.key_secret"
    kept = f'    server-key = "{server}"\n' if server else ""
    kept = f'metadata\n{kept}curve\n    public-key = "{public}"\n'
    kept += f'    secret-key = "{secret}"\n'
    write_new(path, _CLOSED_HEAD.format(name=name) + kept, 0o600)
    return KeyPair(public, secret), path


def write_pair(name: str, folder: Path) -> tuple[KeyPair, Path, Path]:
    """Make a key pair; return it, the public file and the secret one (0600).

    Raises
    ------
    ConfigError
        If a file of that name is there already, or the folder cannot be written.
    """
    # The secret one first: where that cannot be written there is no pair.
    pair, closed_file = write_secret(name, folder)
    open_file = folder / f"{name}.key"
    said = f'metadata\ncurve\n    public-key = "{pair.public}"\n'
    try:
        write_new(open_file, _PUBLIC_HEAD.format(name=name) + said, 0o644)
    except ConfigError:
        closed_file.unlink()
        raise
    return pair, open_file, closed_file


def read_secret(path: Path) -> KeyPair:
    """Return the pair in a secret key file that nobody else may read.

    Raises
    ------
    ConfigError
        If it is not there, is open to others, belongs to another user, or holds no
        pair of keys that belong together.
    """
    text = read_closed(path)
    found = dict(_LINE.findall(text))
    try:
        pair = KeyPair(*(checked_key(found[what]) for what in ("public", "secret")))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{path} is no secret key file: it lacks a public-key and a secret-key of "
            "40 characters; scopeside keys new NAME writes one"
        ) from error
    if zmq.curve_public(pair.secret.encode()).decode() != pair.public:
        raise ConfigError(f"{path}: its public and its secret key are no pair")
    return pair


def read_passport(path: Path) -> Passport:
    """Return what a program connects with: a file that was made with a role.

    Raises
    ------
    ConfigError
        As `read_secret`, or if it does not say which engine it is for.
    """
    pair = read_secret(path)
    found = _SERVER.findall(read_closed(path))
    try:
        (server,) = found
        return Passport(pair, checked_key(server))
    except ValueError as error:
        raise ConfigError(
            f"{path} does not say which engine it is for (server-key); scopeside keys "
            "new NAME --role ROLE writes one that does"
        ) from error


def read_closed(path: Path) -> str:
    """Return the text of a file after looking at who may read that very file.

    Raises
    ------
    ConfigError
        If it cannot be read, is open to others, or is another user's.
    """
    try:
        file = path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read the key {path}: {error.strerror}") from error
    with file:
        status = os.fstat(file.fileno())
        if os.name != "posix":
            return file.read(_LARGEST)  # its rights are not in a mode: those it is in
        if status.st_mode & 0o077 or status.st_uid != os.getuid():
            raise ConfigError(
                f"the key {path} has mode {status.st_mode & 0o777:04o}, owner "
                f"{status.st_uid}; it must be yours and 0600. Others may have read it: "
                f"make a new one, or: chmod 600 {path}"
            )
        return file.read(_LARGEST)


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that is not there yet; whatever the umask, open to `mode` at most.

    Raises
    ------
    ConfigError
        If it is there already or cannot be written.
    """
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already; it is not overwritten") from error
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.write(text)
