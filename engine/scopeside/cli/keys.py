"""``scopeside keys``: key pairs for programs that come to the guard's door."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

keys_app = typer.Typer(
    help="Keys for programs that may ask something of the guard.",
    no_args_is_help=True,
)


@keys_app.callback()
def _keys() -> None:
    pass


@keys_app.command(name="new")
def new(
    name: Annotated[str, typer.Argument(help="What the program is to be called.")],
    folder: Annotated[
        Path, typer.Argument(help="Where the two files are to be.")
    ] = Path(),
) -> None:
    """Make a key pair: NAME.key may be shown, NAME.key_secret must not (0600).

    It prints the line for [control.door] of the pipeline file.
    """
    import json

    from scopeside.control.keys import write_pair

    pair, public, secret = write_pair(name, folder)
    print(f"{public}: the public key\n{secret}: the secret key; it stays with {name}")
    print("For a program, among the clients of [control.door]:\n")
    print(
        f'    {{ name = "{name}", key = "{pair.public}", '
        'roles = ["propose", "observe"] },\n'
    )
    print(f"For the guard itself:\n\n    key = {json.dumps(str(secret))}")
