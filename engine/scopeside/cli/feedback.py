"""The commands by which a person oversees feedback; `main` takes them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Feedback"

Run = Annotated[
    Path | None,
    typer.Option(
        help="The engine's run folder; by default the one that has a guard.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")]
LogFile = Annotated[
    Path | None,
    typer.Argument(
        help="The audit log, or its folder; by default that of the guard that runs, "
        "or audit.jsonl here.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="All of it, as JSON.")]

audit = typer.Typer(
    help="Read the audit log: what was proposed, decided and done, and why.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def arm(
    for_: Annotated[
        str,
        typer.Option(
            "--for", metavar="TIME", help="For how long: 90s, 10m, 2h; 12h at most."
        ),
    ],
    yes: Yes = False,
    run: Run = None,
) -> None:
    """Let rules and policies act on the microscope, for a time.

    Until then every proposal that keeps the limits of the pipeline file is carried out
    without asking. When the time is over, proposals wait for a person again. When
    anything is in doubt (the engine is silent, the instrument does not do as told),
    feedback is parked until a person arms it once more.

    scopeside is no safety system: the instrument's own interlocks and controls stay.
    Exit code 0 only if the guard has confirmed.
    """
    from scopeside.cli.commanding import arm_command

    raise typer.Exit(arm_command(for_, yes=yes, run=run))


def advise(run: Run = None) -> None:
    """Have every proposal wait for a person; also ends being armed or parked.

    See them with 'scopeside proposals'.
    """
    from scopeside.cli.commanding import plain_command

    raise typer.Exit(plain_command("advise", run))


def hold(run: Run = None) -> None:
    """Stop acting on the microscope, now.

    Nothing is sent any more and feedback is parked until a person arms it or asks for
    advice. A command that the instrument is already carrying out is not taken back.
    It works also while one is under way, on a path of its own. All guards of yours are
    asked, unless --run names one.

    Exit code 0 only if every guard has confirmed. If it says NOT CONFIRMED, use the
    instrument's own controls.
    """
    from scopeside.cli.stopping import stop_command

    raise typer.Exit(stop_command("hold", run))


def blank(run: Run = None) -> None:
    """Hold, and blank the beam, now.

    On a connection of its own, so that a command that is under way does not stand in
    the way. It stays blanked until a person unblanks. All guards of yours are asked,
    unless --run names one.

    Exit code 0 only if every guard has confirmed that the beam is blanked. If it says
    NOT CONFIRMED, use the instrument's own controls.
    """
    from scopeside.cli.stopping import stop_command

    raise typer.Exit(stop_command("blank", run))


def unblank(yes: Yes = False, run: Run = None) -> None:
    """Let the beam on again.

    Only a person can, unless the pipeline file says may_unblank. Feedback stays as it
    is: parked, if it was parked.
    """
    from scopeside.cli.commanding import unblank_command

    raise typer.Exit(unblank_command(yes=yes, run=run))


def proposals(
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep showing them, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
    run: Run = None,
) -> None:
    """List the proposals that wait for a person, with what they stand on and their age.

    Take one with 'scopeside accept ID', turn it down with 'scopeside decline ID'; one
    that nobody takes in time is given up.
    """
    from scopeside.cli.overseeing import proposals_command

    raise typer.Exit(proposals_command(watch=watch, as_json=as_json, run=run))


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Of the proposal: 'scopeside proposals' lists them."
    ),
]


def accept(name: Id, run: Run = None) -> None:
    """Have a proposal carried out that waits.

    The guard checks it once more, against the microscope as it is now. Exit code 0 only
    if the instrument has done it.
    """
    from scopeside.cli.commanding import plain_command

    raise typer.Exit(plain_command("accept", run, id=name))


def decline(name: Id, run: Run = None) -> None:
    """Turn a proposal down that waits."""
    from scopeside.cli.commanding import plain_command

    raise typer.Exit(plain_command("decline", run, id=name))


def guard(as_json: AsJson = False, run: Run = None) -> None:
    """Say how feedback is: mode, why it is parked, dose against budget, last verdicts.

    scopeside is no safety system: the instrument's own interlocks and controls stay.
    """
    from scopeside.cli.overseeing import guard_command

    raise typer.Exit(guard_command(as_json=as_json, run=run))


@audit.command()
def verify(
    file: LogFile = None,
    head: Annotated[
        str,
        typer.Option(
            metavar="HASH",
            help="A hash that was noted down earlier, alone or as N:HASH: finds lines "
            "cut off at the end, too.",
        ),
    ] = "",
) -> None:
    """Check that an audit log is as it was written, line by line.

    A changed byte, a missing, doubled, moved or inserted line is named. It prints the
    number and hash of the last record: note them down somewhere else, and what was cut
    off at the end is found the next time. Exit code 1 if anything is found.
    """
    from scopeside.cli.auditing import verify_command

    raise typer.Exit(verify_command(file, head))


@audit.command()
def show(
    file: LogFile = None,
    last: Annotated[int, typer.Option(min=1, help="So many of the last.")] = 20,
    refused: Annotated[
        bool, typer.Option("--refused", help="Only what was refused.")
    ] = False,
    rule: Annotated[
        str, typer.Option(metavar="NAME", help="Only of this rule or policy.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="The records themselves, as JSON.")
    ] = False,
) -> None:
    """Show the last records: who asked for what, what was decided, and why.

    Times are those of this machine's zone. The latency is that from the last frame of
    the evidence to the command; to the verdict where none was sent.
    """
    from scopeside.cli.auditing import show_command

    raise typer.Exit(
        show_command(file, count=last, refused=refused, rule=rule, as_json=as_json)
    )


@audit.command()
def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of a proposal, or the number of a record: 'audit show' lists both.",
        ),
    ],
    file: LogFile = None,
) -> None:
    """Tell why the microscope did something, or why it did not.

    Which frames and results it stood on, which rule asked, what the guard checked, what
    was sent, what the instrument answered, and how long each step took.
    """
    from scopeside.cli.auditing import explain_command

    raise typer.Exit(explain_command(name, file))


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    for command in (
        arm,
        advise,
        hold,
        blank,
        unblank,
        proposals,
        accept,
        decline,
        guard,
    ):
        app.command(rich_help_panel=PANEL)(command)
    app.add_typer(audit, name="audit", rich_help_panel=PANEL)
