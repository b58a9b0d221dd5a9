"""Where frames, samples and results cross the border of this machine.

On this machine no keys are needed. From elsewhere a program comes with a key of the
key folder; frames and samples may be let in without, if the pipeline file says
``plaintext = true``, and then everybody is told so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from scopeside.errors import ConfigError
from scopeside.security.address import checked_bind, of_this_machine
from scopeside.security.keys import Passport, read_passport
from scopeside.security.listening import problem_with
from scopeside.security.ring import Ring, Role, own_pair


def check_border(
    key: str, endpoint: str, keys: Path | None, *, plaintext: bool, role: Role
) -> None:
    """Refuse an address that others reach and that nothing guards.

    Parameters
    ----------
    key
        Of the pipeline file, that has the address.

    Raises
    ------
    ValueError
        Saying which key is to be set, and to what.
    """
    if keys is not None and plaintext:
        raise ValueError("keys and plaintext = true: choose one")
    if keys is not None and endpoint.startswith("ipc://"):
        raise ValueError(f"keys are for tcp://, and {key} is {endpoint}")
    if keys is None and not plaintext and not of_this_machine(endpoint):
        raise ValueError(
            f"{key} = '{endpoint}': other machines could reach it; that needs "
            f"keys = 'FOLDER', which scopeside keys new NAME --role {role} makes. On "
            "this machine: 'tcp://127.0.0.1:PORT' or 'ipc://PATH', with a tunnel "
            "(ssh -L) for a producer elsewhere"
        )


def plaintext_note(what: str, endpoint: str) -> str:
    """Return what is to be told of an address that is open; empty on this machine."""
    if of_this_machine(endpoint):
        return ""
    return (
        f"PLAINTEXT: {what} at {endpoint} come without keys: whoever reaches that "
        "address can send some of his own and read along (plaintext = true)"
    )


def plaintext_notes(tables: Iterable[object]) -> list[str]:
    """Return what is to be told of the addresses that pipeline tables leave open."""
    notes = [getattr(table, "plaintext_note", "") for table in tables]
    return [note for note in notes if note]


def checked_results(endpoint: str) -> str:
    """Return an address that results may be published at.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not endpoint.startswith("tcp://"):
        raise ValueError("it is 'tcp://ADDRESS:PORT', such as 'tcp://192.168.1.5:8768'")
    return checked_bind(endpoint)


def check_results(bind: str | None, keys: Path | None) -> None:
    """Refuse what could not be opened; nothing is left open.

    Raises
    ------
    ConfigError
        If the key folder is of no use, or nobody can listen there.
    """
    if bind is None or keys is None:
        return
    own_pair(keys)
    Ring(keys, {"observe"})
    if problem := problem_with(bind):
        raise ConfigError(f"results.bind: nobody can listen at {bind}: {problem}")


def way_to(endpoint: str, keys: Path | str | None) -> tuple[str, Passport | None]:
    """Return where to connect for results, and with what.

    Raises
    ------
    ConfigError
        If it is another machine and there are no keys, or they cannot be used.
    """
    # localhost is what one types; we take care of what it resolves to.
    endpoint = re.sub(r"\Atcp://localhost:", "tcp://127.0.0.1:", endpoint)
    if keys is not None:
        return endpoint, read_passport(Path(keys))
    if endpoint.startswith("tcp://") and not of_this_machine(endpoint):
        raise ConfigError(
            f"{endpoint} is of another machine, whose results need keys: --keys "
            "NAME.key_secret, which scopeside keys new NAME --role observe makes there"
        )
    return endpoint, None
