"""``scopeside keys``: who may connect to an engine, and what each may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

keys_app = typer.Typer(
    help="Keys for programs that connect to an engine or its guard.",
    no_args_is_help=True,
)
KEY_FOLDER = Path("keys")
Folder = Annotated[Path, typer.Argument(help="The key folder.")]


@keys_app.callback()
def _keys() -> None:
    pass


@keys_app.command(name="new")
def new(
    name: Annotated[str, typer.Argument(help="What the program is to be called.")],
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="The key folder, by default keys; without --role: where the two "
            "files are to be.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do; give it more than once for more: ingest, observe, "
            "configure, propose, arm, unblank, hold.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a key pair (0600); with --role, let it in at an engine.

    With --role the key folder is made if need be (0700), with the engine's own pair,
    and the program is let in wherever a pipeline file says keys = "FOLDER", at once.
    Without, a plain pair is written and the line for [control.door] printed.
    """
    if role:
        _with_roles(name, KEY_FOLDER if folder is None else folder, role)
    else:
        _plain(name, Path() if folder is None else folder)


@keys_app.command(name="list")
def list_(folder: Folder = KEY_FOLDER) -> None:
    """List the programs of a key folder, and what each may do."""
    from scopeside.security import ring

    for program in ring.read(folder):
        print(f"{program.name:<20} {program.key} {' '.join(sorted(program.roles))}")


@keys_app.command(name="remove")
def remove(
    name: Annotated[str, typer.Argument(help="Who is not to be let in any more.")],
    folder: Folder = KEY_FOLDER,
) -> None:
    """Take a program out: within 2 s an engine that runs cuts its links.

    Its files are deleted; a copy of its secret is of no use any more.
    """
    from scopeside.security import ring

    for path in ring.remove(folder, name):
        print(f"{path} is removed")
    print(f"{name} is let in no more; engines that run cut its links within 2 s")


def _with_roles(name: str, folder: Path, roles: list[str]) -> None:
    from scopeside.security import ring

    own, secret = ring.admit(folder, name, roles)
    print(
        f"{name} is let in by {folder} ({' '.join(sorted(set(roles)))}).\n"
        f"{secret}: for {name}: carry it to where that runs (0600), then delete it "
        "here. It holds the key of this engine as well, by which it knows it:\n"
        f"    {own.public}"
    )
    if "configure" in roles:
        print(
            "configure: nothing asks for this role yet; parameters are set on the "
            "engine's own machine (scopeside set)"
        )


def _plain(name: str, folder: Path) -> None:
    import json

    from scopeside.security.keys import write_pair

    pair, public, secret = write_pair(name, folder)
    print(f"{public}: the public key\n{secret}: the secret key; it stays with {name}")
    print("For a program, among the clients of [control.door]:\n")
    print(
        f'    {{ name = "{name}", key = "{pair.public}", '
        'roles = ["propose", "observe"] },\n'
    )
    print(f"For the guard itself:\n\n    key = {json.dumps(str(secret))}")
